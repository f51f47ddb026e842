"""What a statement stands for, and what of a set is left beside it.

The latest close counts. A statement stands for every register point taken at or before its close, also for one that
arrives late, and for every statement of an earlier close. What is left, the *reduced* set, comes to the same whether it
was pruned before or not, so that a box that forgot the points and a cloud that keeps them agree. A close is final: what
arrives afterwards and concerns the time before changes nothing that was closed, and an operator books what was real by
an `Adjustment`:

- a tariff takes over energy after the close only;
- a release takes an installation out, without a last step;
- an assignment counts from its opening register on, the whole step falling after the close.

Who makes statements, and when, is left to their owners; what one says is decided by `prepay.statement`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prepay.entries import Assignment, CarriedInstallation, Entry, RegisterPoint, Release, Statement
from prepay.tariff import Schedule

NEVER_MS = -1
"""The close of an account without a statement."""


class ClosedError(ValueError):
    """Raised when an instant lies before the close of an account, for which a set no longer says anything.

    Attributes:
        closed_at_ms: The close.
    """

    def __init__(self, at_ms: int, closed_at_ms: int) -> None:
        super().__init__(f"{at_ms} lies before {closed_at_ms}, at which the account was closed")
        self.closed_at_ms = closed_at_ms


class Period(NamedTuple):
    """What energy must have in common to be rounded together; periods sort by time."""

    from_ms: int
    tariff: bytes
    price: int
    price_digits: int


def latest_close_ms(entries: Iterable[Entry]) -> int:
    """Return the instant at which a set is closed, or `NEVER_MS`."""
    return max((entry.closed_at_ms for entry in entries if isinstance(entry, Statement)), default=NEVER_MS)


def is_covered(entry: Entry, closed_at_ms: int) -> bool:
    """Tell whether a statement of that close stands for an entry."""
    match entry:
        case RegisterPoint():
            return entry.taken_at_ms <= closed_at_ms
        case Statement():
            return entry.closed_at_ms < closed_at_ms
        case _:
            return False


def reduced(members: Mapping[bytes, Entry]) -> dict[bytes, Entry]:
    """Return what is left of a set, by digest."""
    closed_at_ms = latest_close_ms(members.values())
    return {digest: entry for digest, entry in members.items() if not is_covered(entry, closed_at_ms)}


def is_followed(
    assignment: Assignment | None,
    release: Release | None,
    carried: CarriedInstallation | None,
    *,
    at_ms: int,
    closed_at_ms: int,
) -> bool:
    """Tell whether an installation is one to be told of: begun, and not over when the account was closed."""
    if carried is not None:
        return True
    over = release is not None and release.until_ms <= closed_at_ms
    return assignment is not None and assignment.from_ms <= at_ms and not over


def period_energies(prices: Schedule, energies_wh: Mapping[int, int], statement: Statement | None) -> dict[Period, int]:
    """Return the energy of each period that is not settled: what a statement carries, and what came since.

    Args:
        prices: The account's tariffs.
        energies_wh: Since the statement, by index of the tariff span.
        statement: The latest.
    """
    energies: dict[Period, int] = {}
    for carried in statement.periods if statement is not None else ():
        period = Period(carried.from_ms, carried.tariff, carried.price, carried.price_digits)
        energies[period] = energies.get(period, 0) + carried.energy_wh
    for index, energy_wh in energies_wh.items():
        if index >= 0 and energy_wh > 0:
            from_ms, tariff = prices.spans[index]
            period = Period(from_ms, tariff.id, tariff.price, tariff.price_digits)
            energies[period] = energies.get(period, 0) + energy_wh
    return energies
