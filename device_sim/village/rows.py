"""The count of rows at the end: what DLMS meters captured by themselves against what the database holds of it.

A row is known by its meter, its profile and the instant it stands for, and compared by one of its values: the energy of
the interval for the block profile, the register for the daily and billing ones. A row is owed once its meter was
visited long enough after it; what was captured later the gateway may have or not. A row owed that is not there is
lost; one that is there too often, was never captured, or has another value, is counted as doubled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from device_sim.village.accounting import RowAccount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from device_sim.village.accounting import Held, HeldOfMeter, Sent

BLOCK: Final = "1.0.99.1.0.255"
BLOCK_ENERGY: Final = "1.0.1.29.0.255"
ENERGY: Final = "1.0.1.8.0.255"
GATHER_S: Final = 3600
"""Gateways read the rows of a block profile by full hours."""
SLACK_S: Final = 120
"""How far a meter's clock may be off, and what it is given to have written a row."""
VISITS_LATER: Final = 3
"""A row is owed when so many visits have begun after it: the last may have been broken off."""


class Captured(msgspec.Struct, frozen=True):
    """A row that a meter captured; a line of the truth log."""

    meter: str
    profile: str
    stamp_s: int
    """Unix seconds, by the meter's clock."""
    values: dict[str, tuple[int, int, int]]
    """Value, scaler and unit by logical name."""

    @property
    def channel(self) -> str:
        """By which value it is compared."""
        return BLOCK_ENERGY if self.profile == BLOCK else ENERGY

    @property
    def value(self) -> int:
        return self.values[self.channel][0]


def owed_until(sent: Iterable[Sent]) -> dict[str, int]:
    """Return up to which instant the rows of each meter are owed, in Unix seconds, from its visits."""
    visits: defaultdict[str, list[int]] = defaultdict(list)
    for item in sent:
        visits[item.meter].append(item.at_ms)
    return {
        meter: (times[-VISITS_LATER] // 1000 - SLACK_S) // GATHER_S * GATHER_S
        for meter, times in visits.items()
        if len(times) >= VISITS_LATER
    }


def compare_rows(
    rows: Iterable[Captured], held: Mapping[str, Sequence[HeldOfMeter]], owed_until_s: Mapping[str, int]
) -> RowAccount:
    """Return how rows captured compare with what is held; the readings that are rows are taken out of `held`.

    Args:
        rows: What the meters captured.
        held: By channel, what the database holds of each meter.
        owed_until_s: As `owed_until` says.
    """
    account = RowAccount()
    found = {
        (of_meter.meter, channel, reading.utc_ms, reading.value): of_meter.readings
        for channel, meters in held.items()
        for of_meter in meters
        for reading in of_meter.readings
    }
    counts = Counter(
        (of_meter.meter, channel, reading.utc_ms, reading.value)
        for channel, meters in held.items()
        for of_meter in meters
        for reading in of_meter.readings
    )
    for row in rows:
        key = (row.meter, row.channel, row.stamp_s * 1000, row.value)
        if counts[key]:
            counts[key] -= 1
            account.held += 1
            account.captured += 1
            account.doubled += _take(found[key], key[2], row.value)
        elif row.stamp_s <= owed_until_s.get(row.meter, -1):
            account.captured += 1
            account.lost += 1
            account.lost_of[row.meter] += 1
    account.doubled += sum(len(of_meter.readings) for of_meter in held.get(BLOCK_ENERGY, ()))
    return account


def _take(readings: list[Held], utc_ms: int, value: int) -> bool:
    """Take a reading out, and return whether it contradicts another under its key."""
    place = next(place for place, reading in enumerate(readings) if (reading.utc_ms, reading.value) == (utc_ms, value))
    return readings.pop(place).has_conflict
