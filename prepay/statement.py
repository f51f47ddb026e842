"""What a statement says: the figures of an account at its close, from a complete set.

A statement is sound where the set it is made from held all register points up to the close; who makes it sees to that.
Whoever receives one can make the same of an own set and compare. What it then stands for is decided by
`prepay.closing`.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from prepay.balance import Folded, fold
from prepay.closing import ClosedError, Period, is_covered, latest_close_ms, period_energies, reduced
from prepay.digest import set_digest
from prepay.entries import (
    INSTALLATIONS_MAX,
    CarriedInstallation,
    CarriedPeriod,
    Entry,
    Reached,
    RegisterPoint,
    Statement,
)
from prepay.identity import entry_digest
from prepay.money import charge_minor
from prepay.register import Fault, Mark

_FIRST = Statement(
    account="-",
    closed_at_ms=0,
    issued_at_ms=0,
    predecessor=b"",
    covers=bytes(32),
    points_count=0,
    quarantined_count=0,
    settled_wh=0,
    settled_minor=0,
    unpriced_wh=0,
    released_wh=0,
    installations=(),
    periods=(),
)
"""What goes before the first statement."""
_REGISTER_FAULTS = frozenset({Fault.UNASSIGNED, Fault.OUTSIDE, Fault.BACKWARDS, Fault.IMPLAUSIBLE})
_COMPARED = (
    "settled_minor",
    "settled_wh",
    "unpriced_wh",
    "released_wh",
    "points_count",
    "quarantined_count",
)


class TooMuchToCarryError(ValueError):
    """Raised when more installations of an account go on than a statement can carry."""


def make_statement(entries: Iterable[Entry], *, account: str, closed_at_ms: int, issued_at_ms: int) -> Statement:
    """Close an account at an instant.

    Args:
        entries: Its set, complete up to the instant; later register points make no difference.
        account: The account.
        closed_at_ms: The instant, after the latest close.
        issued_at_ms: When it is signed.

    Raises:
        ClosedError: The account is closed at or after that instant.
        ForeignEntryError: An entry names another account.
        TooMuchToCarryError: More goes on than fits.
    """
    members = reduced({entry_digest(entry): entry for entry in entries})
    latest_ms = latest_close_ms(members.values())
    if closed_at_ms <= latest_ms:
        raise ClosedError(closed_at_ms, latest_ms)
    members = {
        digest: entry
        for digest, entry in members.items()
        if not isinstance(entry, RegisterPoint) or is_covered(entry, closed_at_ms)
    }
    points = {digest for digest, entry in members.items() if isinstance(entry, RegisterPoint)}
    folded = fold(members, account=account, at_ms=closed_at_ms)
    before = folded.statement or _FIRST
    predecessor = b"" if before is _FIRST else entry_digest(before)
    energies = period_energies(folded.prices, folded.sums.energies_wh, folded.statement)
    going_on = _period_at(folded, closed_at_ms)
    over = {period: energy_wh for period, energy_wh in energies.items() if period != going_on}
    installations, released_wh = _installations(folded, closed_at_ms)
    return Statement(
        account=account,
        closed_at_ms=closed_at_ms,
        issued_at_ms=issued_at_ms,
        predecessor=predecessor,
        covers=set_digest(points | {predecessor} - {b""}),
        points_count=before.points_count + len(points),
        quarantined_count=before.quarantined_count + _faults_count(folded, points),
        settled_wh=before.settled_wh + sum(over.values()),
        settled_minor=before.settled_minor + sum(_cost_minor(period, over[period]) for period in over),
        unpriced_wh=before.unpriced_wh + folded.sums.energies_wh.get(-1, 0),
        released_wh=before.released_wh + released_wh,
        installations=installations,
        periods=tuple(_carried(period, energies[period]) for period in energies.keys() - over.keys()),
    )


def differences(signed: Statement, own: Statement) -> Iterator[str]:
    """Name the figures in which two statements of one close differ."""
    for name in _COMPARED:
        theirs, ours = getattr(signed, name), getattr(own, name)
        if theirs != ours:
            yield f"{name} {theirs} here {ours}"
    if signed.periods != own.periods:
        yield f"open_wh {_energy_wh(signed)} here {_energy_wh(own)}"
    for theirs, ours in zip(signed.installations, own.installations, strict=False):
        if theirs != ours:
            yield f"{theirs.meter_serial} {theirs.believed.energy_wh} Wh here {ours.believed.energy_wh}"
    if len(signed.installations) != len(own.installations):
        yield f"installations {len(signed.installations)} here {len(own.installations)}"


def _energy_wh(statement: Statement) -> int:
    return sum(period.energy_wh for period in statement.periods)


def _period_at(folded: Folded, closed_at_ms: int) -> Period | None:
    """Return the period that energy after the close belongs to."""
    begun = [span for span in folded.prices.spans if span.from_ms <= closed_at_ms]
    if not begun:
        return None
    from_ms, tariff = begun[-1]
    return Period(from_ms, tariff.id, tariff.price, tariff.price_digits)


def _cost_minor(period: Period, energy_wh: int) -> int:
    return charge_minor(energy_wh, price=period.price, price_digits=period.price_digits)


def _carried(period: Period, energy_wh: int) -> CarriedPeriod:
    return CarriedPeriod(
        from_ms=period.from_ms,
        tariff=period.tariff,
        price=period.price,
        price_digits=period.price_digits,
        energy_wh=energy_wh,
    )


def _faults_count(folded: Folded, points: AbstractSet[bytes]) -> int:
    """Count what was not believed and will not be seen any more: points, and last steps of installations."""
    return sum(item.entry in points or item.fault in _REGISTER_FAULTS for item in folded.quarantined)


def _installations(folded: Folded, closed_at_ms: int) -> tuple[tuple[CarriedInstallation, ...], int]:
    """Return what is carried of the installations that go on, and the energy of those that are over."""
    carried: list[CarriedInstallation] = []
    released_wh = 0
    for key, (line, charged_wh) in sorted(folded.sums.followed.items()):
        release = folded.releases.get(key)
        if release is not None and release.until_ms <= closed_at_ms:
            released_wh += charged_wh
            continue
        carried.append(
            CarriedInstallation(
                meter_serial=key[0],
                installation=key[1],
                charged_wh=charged_wh,
                believed=_reached(line.believed),
                candidate=_reached(line.candidate) if line.candidate is not None else None,
            )
        )
    if len(carried) > INSTALLATIONS_MAX:
        raise TooMuchToCarryError(f"{len(carried)} installations go on, {INSTALLATIONS_MAX} fit")
    return tuple(carried), released_wh


def _reached(mark: Mark) -> Reached:
    return Reached(mark.taken_at_ms, mark.energy_wh)
