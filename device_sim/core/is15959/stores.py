"""What the meter keeps of its past besides its events: the stored profiles, their tables and how many rows each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.profiles import Table
from device_sim.core.is15959.quantities import BILLING, BILLING_DATE, BLOCK_LOAD, DAILY_LOAD
from device_sim.core.is15959.rows import Ring
from device_sim.core.is15959.witness import Captured
from dlms.obis import obis

if TYPE_CHECKING:
    from device_sim.core.is15959.meter import Is15959Meter

BLOCK_TABLE: Final = Table(BLOCK_LOAD)
DAILY_TABLE: Final = Table(DAILY_LOAD)
BILLING_TABLE: Final = Table(BILLING, time=BILLING_DATE)
BLOCK_ENTRIES: Final = 2880
"""30 days of quarter hours."""
DAILY_ENTRIES: Final = 75
BILLING_ENTRIES: Final = 6


@dataclass(frozen=True, slots=True)
class Store:
    """A stored profile, the same for all meters of this kind."""

    name: bytes
    table: Table
    entries_max: int

    def new_ring(self) -> Ring:
        """Return room for the rows of one meter."""
        return Ring(self.table.layout.size, self.entries_max)

    def keep(self, ring: Ring, meter: Is15959Meter) -> None:
        """Capture a row as the meter stands, for the time it stamps rows with."""
        row = self.table.capture(meter)
        ring.append(meter.stamp_ms, row)
        meter.witness.captured(Captured(meter.now_ms, self.name, meter.stamp_ms, self.table, row))


BLOCK: Final = Store(obis("1.0.99.1.0.255"), BLOCK_TABLE, BLOCK_ENTRIES)
DAILY: Final = Store(obis("1.0.99.2.0.255"), DAILY_TABLE, DAILY_ENTRIES)
BILLED: Final = Store(obis("1.0.98.1.0.255"), BILLING_TABLE, BILLING_ENTRIES)
