"""The count at the end: what the meters really answered against what the database really holds.

Both ends are read, neither is believed about the other. A reading was taken when a meter handed its energy register to
the line in answer to a gateway's periodic read. The simulator logs every energy it sent, also such as no gateway could
keep, and these are taken out one by one, each for a reason with a meter and a time:

- the gateway gave the read up (no answer in its time, or an answer to only a part of it), and says so in its log;
- the answer was to an integrator's ping, which reads a meter whole and keeps nothing.

Reads on demand ask for the voltage, so they touch no energy register. What is left must be in the database: same meter,
same energy, as many times. A reading that is not there is lost; one that is there too often, or was never sent, or
contradicts another under its key, is counted as doubled. What DLMS meters captured by themselves is counted before, in
`rows`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Sent(msgspec.Struct, frozen=True):
    """An energy that a meter answered; a line of the truth log."""

    at_ms: int
    """Site time."""
    meter: str
    energy_wh: float


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A reading in the database."""

    utc_ms: int
    value: int | None
    scaler: int
    has_conflict: bool


class HeldOfMeter(msgspec.Struct, frozen=True):
    """What the database holds of a meter; a line of its export."""

    meter: str
    values: Annotated[int, msgspec.Meta(ge=0)]
    """Values of all channels."""
    readings: list[Held]


@dataclass(slots=True)
class RowAccount:
    """How rows that meters captured compare at the two ends."""

    captured: int = 0
    """Owed, and beyond that what is there already."""
    held: int = 0
    lost: int = 0
    doubled: int = 0
    lost_of: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why one energy sent in this span of site time is in nobody's store."""

    meter: str
    from_ms: int
    until_ms: int


@dataclass(slots=True)
class Account:
    """How the two ends compare."""

    taken: int = 0
    committed: int = 0
    lost: int = 0
    doubled: int = 0
    excused: int = 0
    values: int = 0
    """Values of all channels in the database."""
    rows: int = 0
    """Of those committed, rows that meters captured by themselves."""
    lost_of: Counter[str] = field(default_factory=Counter)

    def add(self, rows: RowAccount) -> None:
        """Count rows that meters captured by themselves, too."""
        self.taken += rows.captured
        self.committed += rows.held
        self.rows += rows.held
        self.lost += rows.lost
        self.doubled += rows.doubled
        self.lost_of += rows.lost_of

    @property
    def is_even(self) -> bool:
        return not self.lost and not self.doubled


def compare(sent: Iterable[Sent], held: Sequence[HeldOfMeter], excuses: Iterable[Excuse]) -> Account:
    """Return how what was sent compares with what is held."""
    sent_of: defaultdict[str, list[Sent]] = defaultdict(list)
    for item in sent:
        sent_of[item.meter].append(item)
    excuses_of: defaultdict[str, list[Excuse]] = defaultdict(list)
    for excuse in excuses:
        excuses_of[excuse.meter].append(excuse)
    held_of = {item.meter: item for item in held}
    account = Account(values=sum(item.values for item in held))
    for meter in sorted(sent_of.keys() | held_of.keys()):
        readings = held_of[meter].readings if meter in held_of else []
        _compare_meter(account, meter, sent_of[meter], readings, excuses_of[meter])
    return account


def _compare_meter(account: Account, meter: str, sent: list[Sent], readings: list[Held], excuses: list[Excuse]) -> None:
    scaler = readings[0].scaler if readings else 0
    sent_at: defaultdict[int, list[int]] = defaultdict(list)
    for item in sent:
        sent_at[_in_units(item.energy_wh, scaler)].append(item.at_ms)
    held = Counter(reading.value for reading in readings if reading.value is not None)
    for value, times in sent_at.items():
        missing = max(len(times) - held[value], 0)
        excused = _excused(times, excuses, count_max=missing)
        account.taken += len(times) - excused
        account.excused += excused
        account.lost += missing - excused
        account.lost_of[meter] += missing - excused
    account.committed += held.total()
    account.doubled += sum(max(count - len(sent_at[value]), 0) for value, count in held.items())
    account.doubled += sum(reading.has_conflict for reading in readings)


def _in_units(energy_wh: float, scaler: int) -> int:
    """Return an energy in units of 10**scaler Wh, rounded half to even as the gateway's register maps say."""
    # The log went through a division, whose last bits must not decide a half.
    in_units: float = energy_wh / 10**scaler
    return round(round(in_units, 6))


def _excused(times: list[int], excuses: list[Excuse], *, count_max: int) -> int:
    """Return how many of some energies are excused, using each excuse up."""
    count = 0
    for at_ms in times:
        if count == count_max:
            break
        fitting = [excuse for excuse in excuses if excuse.from_ms <= at_ms <= excuse.until_ms]
        if fitting:
            excuses.remove(fitting[0])
            count += 1
    return count


class _FailedRead(msgspec.Struct, frozen=True):
    """A line of a gateway's log."""

    event: str
    timestamp: datetime
    meter: str = ""


def given_up(log: Iterable[bytes], *, before_ms: Mapping[str, int], after_ms: int) -> list[Excuse]:
    """Return the reads that a gateway says, in its log, it gave up.

    Args:
        log: Lines of JSON.
        before_ms: By meter, how long before it gave the read up, in site ms, a part of it may have been answered.
        after_ms: How long after that, in site ms, a late answer may have come.
    """
    excuses: list[Excuse] = []
    for line in log:
        if b"read.failed" not in line:
            continue
        failed = msgspec.json.decode(line, type=_FailedRead)
        at_ms = round(failed.timestamp.timestamp() * 1000)
        excuses.append(Excuse(failed.meter, at_ms - before_ms[failed.meter], at_ms + after_ms))
    return excuses


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; 0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 1000) // 1000)
    return ordered[max(rank, 1) - 1]
