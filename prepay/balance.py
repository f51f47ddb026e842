"""The balance of an account as a pure function of a version, a set of entries and an instant.

    amount = credits + adjustments - sum over tariff periods of round(energy of the period * price)

It decides what counts at an instant: credits and adjustments issued, and register points taken, not after it. The
order in which entries are given and how often each is given make no difference. A statement stands for the register
points up to its close (`prepay.closing`), so the fold begins there and no balance of an earlier instant is known. This
module is the specification, written to be read; `prepay.account` keeps the same result up to date without starting
over.

Whoever changes what any set of entries comes to raises `BALANCE_VERSION`, and keeps the old function for as long as
boxes in the field compute it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from prepay.closing import NEVER_MS, ClosedError, Period, is_followed, latest_close_ms, period_energies, reduced
from prepay.digest import set_digest
from prepay.entries import (
    Adjustment,
    Assignment,
    CarriedInstallation,
    Credit,
    Entry,
    Opening,
    RegisterPoint,
    Release,
    Statement,
    Tariff,
)
from prepay.identity import NaturalKey, entry_digest, moment_ms, natural_key, precedence, require_account
from prepay.money import NO_CURRENCY, Currency, amount_text, charge_minor
from prepay.register import Fault, Line, Mark, closing_mark, follow, line_start, point_mark
from prepay.tariff import Schedule, schedule, span_index

BALANCE_VERSION = 2
QUARANTINED_SHOWN_MAX = 32

InstallationKey: TypeAlias = tuple[str, int]
"""Meter serial and number of the installation."""


class UnknownVersionError(ValueError):
    """Raised when a balance is asked for by a version that this program does not compute."""


class Quarantined(NamedTuple):
    """An entry that is kept and does not count as it stands; sorts by its instant."""

    at_ms: int
    entry: bytes
    """Digest of the entry."""
    fault: Fault
    step_wh: int
    """How far the register moved in a step that was not believed."""
    rival: bytes
    """Digest of the value that counts instead, for a conflict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCharge:
    """What one period under one tariff costs."""

    tariff: bytes
    from_ms: int
    energy_wh: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationEnergy:
    """How far one installation has been followed."""

    meter_serial: str
    installation: int
    charged_wh: int
    """Energy between the believed points, priced or not."""
    register_wh: int
    """The last believed register."""
    read_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A balance with all that is needed to compare and to explain it."""

    account: str
    amount_minor: int
    currency: Currency
    """`NO_CURRENCY` while the account's opening has not arrived."""
    version: int
    digest: bytes
    """Of the reduced set; box and cloud agree when version, digest and instant agree."""
    at_ms: int
    credited_minor: int
    adjusted_minor: int
    charged_minor: int
    charged_wh: int
    """Energy that was priced."""
    unpriced_wh: int
    """Energy used before any tariff held; it costs nothing until one does."""
    closed_at_ms: int
    """The close of the latest statement, or `NEVER_MS`."""
    settled_minor: int
    """What the tariff periods cost that were over at the close."""
    settled_wh: int
    released_wh: int
    """Energy of the installations that were over at the close, priced or not."""
    periods: tuple[PeriodCharge, ...]
    """The other periods with energy, by time."""
    installations: tuple[InstallationEnergy, ...]
    """The installations begun and not over at the close, by meter serial and number."""
    quarantined_count: int
    quarantined: tuple[Quarantined, ...]
    """The latest of those that no statement stands for, by time."""
    missing_tariffs: tuple[bytes, ...]
    """Ids of tariffs that others name and the set lacks."""

    def __str__(self) -> str:
        return f"{amount_text(self.amount_minor, self.currency)} (v{self.version} {self.digest.hex()[:8]} {self.at_ms})"


class Followed(NamedTuple):
    """How far an installation was followed up to an instant."""

    line: Line
    charged_wh: int


@dataclass(slots=True, kw_only=True)
class Sums:
    """What the entries of an account add up to before anything is rounded."""

    credited_minor: int = 0
    adjusted_minor: int = 0
    energies_wh: dict[int, int] = field(default_factory=dict)
    """Since the statement, by index of the tariff span; -1 before the first."""
    followed: dict[InstallationKey, Followed] = field(default_factory=dict)
    """The installations to be told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a reduced set comes to at an instant before anything is rounded."""

    opening: Opening | None
    statement: Statement | None
    """The latest."""
    releases: Mapping[InstallationKey, Release]
    prices: Schedule
    sums: Sums
    quarantined: Sequence[Quarantined]
    """Up to the instant, by time; without those that the statement stands for."""


def balance(version: int, entries: Iterable[Entry], *, account: str, at_ms: int) -> Balance:
    """Compute the balance of an account at an instant.

    Args:
        version: The function asked for; only `BALANCE_VERSION` is known.
        entries: The account's set, with the tariffs and register points that belong to it, reduced or not.
        account: The account.
        at_ms: The instant, Unix time in milliseconds.

    Raises:
        UnknownVersionError: This program does not compute that version.
        ForeignEntryError: An entry names another account.
        ClosedError: The instant lies before the latest close.
    """
    require_version(version)
    members = reduced({entry_digest(entry): entry for entry in entries})
    folded = fold(members, account=account, at_ms=at_ms)
    return conclude(
        account=account,
        opening=folded.opening,
        statement=folded.statement,
        digest=set_digest(members),
        at_ms=at_ms,
        prices=folded.prices,
        sums=folded.sums,
        quarantined_count=len(folded.quarantined),
        quarantined=folded.quarantined[-QUARANTINED_SHOWN_MAX:],
    )


def fold(members: Mapping[bytes, Entry], *, account: str, at_ms: int) -> Folded:
    """Add up a reduced set, given by digest, at an instant.

    Raises:
        ForeignEntryError: An entry names another account.
        ClosedError: The instant lies before the latest close.
    """
    for entry in members.values():
        require_account(entry, account)
    require_open(at_ms, latest_close_ms(members.values()))
    counted, quarantined = _settle_conflicts(members)
    opening = next((entry for entry in counted.values() if isinstance(entry, Opening)), None)
    statement = next((entry for entry in counted.values() if isinstance(entry, Statement)), None)
    tariffs = {entry: digest for digest, entry in counted.items() if isinstance(entry, Tariff)}
    prices = account_schedule(account, opening, tariffs)
    quarantined += tariff_quarantine(prices, tariffs)
    sums = Sums()
    for entry in counted.values():
        if isinstance(entry, Credit) and entry.issued_at_ms <= at_ms:
            sums.credited_minor += entry.amount_minor
        elif isinstance(entry, Adjustment) and entry.issued_at_ms <= at_ms:
            sums.adjusted_minor += entry.amount_minor
    releases = {
        (entry.meter_serial, entry.installation): entry for entry in counted.values() if isinstance(entry, Release)
    }
    _follow_all(counted, statement, releases, at_ms, prices, sums, quarantined)
    due = sorted(item for item in quarantined if item.at_ms <= at_ms)
    return Folded(opening=opening, statement=statement, releases=releases, prices=prices, sums=sums, quarantined=due)


def require_version(version: int) -> None:
    """Refuse a version other than ours.

    Raises:
        UnknownVersionError: This program does not compute that version.
    """
    if version != BALANCE_VERSION:
        raise UnknownVersionError(f"balance version {version} is not known here, only {BALANCE_VERSION}")


def require_open(at_ms: int, closed_at_ms: int) -> None:
    """Refuse an instant of which a set no longer says anything.

    Raises:
        ClosedError: It lies before the close.
    """
    if at_ms < closed_at_ms:
        raise ClosedError(at_ms, closed_at_ms)


def account_schedule(account: str, opening: Opening | None, tariffs: Iterable[Tariff]) -> Schedule:
    """Return the tariff schedule of an account, opened or not."""
    return schedule(tuple(tariffs), account=account, tariff_class=opening.tariff_class if opening else "")


def tariff_quarantine(prices: Schedule, digests: Mapping[Tariff, bytes]) -> list[Quarantined]:
    """Return the tariffs at fault as quarantined entries."""
    return [Quarantined(tariff.effective_from_ms, digests[tariff], fault, 0, b"") for tariff, fault in prices.faults]


def conclude(
    *,
    account: str,
    opening: Opening | None,
    statement: Statement | None,
    digest: bytes,
    at_ms: int,
    prices: Schedule,
    sums: Sums,
    quarantined_count: int,
    quarantined: Iterable[Quarantined],
) -> Balance:
    """Round once per period and put the balance together.

    Args:
        account: The account.
        opening: Its opening, if that has arrived.
        statement: The latest statement.
        digest: Of the reduced set.
        at_ms: The instant.
        prices: The account's tariffs.
        sums: What counts at the instant.
        quarantined_count: How many entries are in quarantine at the instant, without those the statement stands for.
        quarantined: The latest `QUARANTINED_SHOWN_MAX` of them, sorted.
    """
    energies = period_energies(prices, sums.energies_wh, statement)
    periods = tuple(_charge(period, energy_wh) for period, energy_wh in sorted(energies.items()) if energy_wh > 0)
    settled_minor, settled_wh = (statement.settled_minor, statement.settled_wh) if statement else (0, 0)
    charged_minor = settled_minor + sum(period.amount_minor for period in periods)
    return Balance(
        account=account,
        amount_minor=sums.credited_minor + sums.adjusted_minor - charged_minor,
        currency=Currency(opening.currency, opening.exponent) if opening else NO_CURRENCY,
        version=BALANCE_VERSION,
        digest=digest,
        at_ms=at_ms,
        credited_minor=sums.credited_minor,
        adjusted_minor=sums.adjusted_minor,
        charged_minor=charged_minor,
        charged_wh=settled_wh + sum(period.energy_wh for period in periods),
        unpriced_wh=sums.energies_wh.get(-1, 0) + (statement.unpriced_wh if statement else 0),
        closed_at_ms=statement.closed_at_ms if statement else NEVER_MS,
        settled_minor=settled_minor,
        settled_wh=settled_wh,
        released_wh=statement.released_wh if statement else 0,
        periods=periods,
        installations=tuple(_installation_energy(*item) for item in sorted(sums.followed.items())),
        quarantined_count=quarantined_count + (statement.quarantined_count if statement else 0),
        quarantined=tuple(quarantined),
        missing_tariffs=prices.missing,
    )


def carried_by(statement: Statement | None) -> dict[InstallationKey, CarriedInstallation]:
    """Return what a statement carries of each installation."""
    carried = statement.installations if statement is not None else ()
    return {(item.meter_serial, item.installation): item for item in carried}


def _installation_energy(key: InstallationKey, followed: Followed) -> InstallationEnergy:
    return InstallationEnergy(
        meter_serial=key[0],
        installation=key[1],
        charged_wh=followed.charged_wh,
        register_wh=followed.line.believed.energy_wh,
        read_at_ms=followed.line.believed.taken_at_ms,
    )


def _charge(period: Period, energy_wh: int) -> PeriodCharge:
    amount_minor = charge_minor(energy_wh, price=period.price, price_digits=period.price_digits)
    return PeriodCharge(tariff=period.tariff, from_ms=period.from_ms, energy_wh=energy_wh, amount_minor=amount_minor)


def _settle_conflicts(by_digest: Mapping[bytes, Entry]) -> tuple[dict[bytes, Entry], list[Quarantined]]:
    """Choose the value that counts under each natural key; the others go into quarantine."""
    values: dict[NaturalKey, list[bytes]] = {}
    for digest, entry in by_digest.items():
        values.setdefault(natural_key(entry), []).append(digest)
    counted: dict[bytes, Entry] = {}
    quarantined: list[Quarantined] = []
    for digests in values.values():
        winner, *losers = sorted(digests, key=lambda digest: precedence(by_digest[digest]))
        counted[winner] = by_digest[winner]
        quarantined += [Quarantined(moment_ms(by_digest[loser]), loser, Fault.CONFLICT, 0, winner) for loser in losers]
    return counted, quarantined


def _follow_all(
    counted: Mapping[bytes, Entry],
    statement: Statement | None,
    releases: Mapping[InstallationKey, Release],
    at_ms: int,
    prices: Schedule,
    sums: Sums,
    quarantined: list[Quarantined],
) -> None:
    """Follow every installation up to an instant, adding its energies and faults to what is given."""
    closed_at_ms = statement.closed_at_ms if statement is not None else NEVER_MS
    carried_ones = carried_by(statement)
    assignments: dict[InstallationKey, Assignment] = {}
    marks: dict[InstallationKey, list[Mark]] = {}
    for digest, entry in counted.items():
        if isinstance(entry, Assignment):
            assignments[entry.meter_serial, entry.installation] = entry
        elif isinstance(entry, RegisterPoint):
            marks.setdefault((entry.meter_serial, entry.installation), []).append(point_mark(entry, digest))
        elif isinstance(entry, Release) and entry.until_ms > closed_at_ms:
            marks.setdefault((entry.meter_serial, entry.installation), []).append(closing_mark(entry, digest))
    starts_ms = [span.from_ms for span in prices.spans]
    for key in marks.keys() | assignments.keys() | carried_ones.keys():
        assignment, release, carried = assignments.get(key), releases.get(key), carried_ones.get(key)
        line, charged_wh = line_start(assignment, carried), carried.charged_wh if carried is not None else 0
        for mark in sorted(marks.get(key, ())):
            if mark.taken_at_ms > at_ms:
                break
            verdict = follow(assignment, release, line, mark)
            line, charged_wh = verdict.line, charged_wh + verdict.energy_wh
            index = span_index(starts_ms, mark.taken_at_ms)
            sums.energies_wh[index] = sums.energies_wh.get(index, 0) + verdict.energy_wh
            if verdict.fault is not None:
                quarantined.append(Quarantined(mark.taken_at_ms, mark.digest, verdict.fault, verdict.step_wh, b""))
        if is_followed(assignment, release, carried, at_ms=at_ms, closed_at_ms=closed_at_ms):
            sums.followed[key] = Followed(line, charged_wh)
