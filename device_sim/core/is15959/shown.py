"""What the meter's registers show of what it measures: the same, unless the faults of its registers stand.

Decides nothing about faults (`distortion` does); it only applies them where a register is read or captured, so that an
absurd value can come out of a register, a profile of present values or a stored row alike. What the meter adds up goes
on undisturbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.distortion import Distortion
from device_sim.core.faults import AbsurdQuantity, FaultKind
from device_sim.core.supply import UJ_PER_WH

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from device_sim.core.faults import Faults
    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.supply import PhaseState, Snapshot

_NOTHING: Final[AbstractSet[AbsurdQuantity]] = frozenset()
_ENERGY: Final = frozenset({AbsurdQuantity.ENERGY})
_POWER: Final = frozenset({AbsurdQuantity.POWER})


class Shown:
    """The registers of one meter."""

    __slots__ = ("_distortion", "_faults", "last_import_wh")

    def __init__(self, faults: Faults) -> None:
        self.last_import_wh = 0
        """What the import energy showed when it was last looked at."""
        self._faults = faults
        self._distortion = Distortion(faults)

    def phase(self, meter: Is15959Meter) -> PhaseState:
        """Return voltage and current as they show."""
        return self._see(meter, _NOTHING).phases[0]

    def power_w(self, meter: Is15959Meter) -> int:
        """Return the active power as it shows."""
        return round(self._see(meter, _POWER).phases[0].active_w)

    def import_wh(self, meter: Is15959Meter) -> int:
        """Return the import energy as it shows."""
        self.last_import_wh = self._see(meter, _ENERGY).import_uj // UJ_PER_WH
        return self.last_import_wh

    def block_wh(self, meter: Is15959Meter) -> int:
        """Return the energy of the last interval as its row gets it; while the register stands still, none."""
        if self._faults.active(FaultKind.REPEATED, now_ms=meter.now_ms) is not None:
            return 0
        plain, seen = self._see(meter, _NOTHING), self._see(meter, _ENERGY)
        return meter.measuring.block.import_wh + (seen.import_uj - plain.import_uj) // UJ_PER_WH

    def _see(self, meter: Is15959Meter, read: AbstractSet[AbsurdQuantity]) -> Snapshot:
        return self._distortion.shown(meter.measuring.state, read, now_ms=meter.now_ms)
