"""What the meter keeps of its past besides its events: tables of the stored profiles and how many rows each has."""

from __future__ import annotations

from typing import Final

from device_sim.core.is15959.profiles import Table
from device_sim.core.is15959.quantities import BILLING, BILLING_DATE, BLOCK_LOAD, DAILY_LOAD

BLOCK_TABLE: Final = Table(BLOCK_LOAD)
DAILY_TABLE: Final = Table(DAILY_LOAD)
BILLING_TABLE: Final = Table(BILLING, time=BILLING_DATE)
BLOCK_ENTRIES: Final = 2880
"""30 days of quarter hours."""
DAILY_ENTRIES: Final = 75
BILLING_ENTRIES: Final = 6
