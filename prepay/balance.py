"""The balance of an account as a pure function of a version, a set of entries and an instant.

    amount = credits + adjustments - sum over tariff periods of round(energy of the period * price)

It decides what counts at an instant: credits and adjustments issued, and register points taken, not after it. The
order in which entries are given and how often each is given make no difference. This module is the specification,
written to be read; `prepay.account` keeps the same result up to date without starting over.

Whoever changes what any set of entries comes to raises `BALANCE_VERSION`, and keeps the old function for as long as
boxes in the field compute it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from prepay.digest import set_digest
from prepay.entries import Adjustment, Assignment, Credit, Entry, Opening, RegisterPoint, Release, Tariff
from prepay.identity import NaturalKey, entry_digest, moment_ms, natural_key, precedence, require_account
from prepay.money import NO_CURRENCY, Currency, amount_text, charge_minor
from prepay.register import Fault, Line, Mark, closing_mark, follow, line_start, point_mark
from prepay.tariff import Schedule, Span, schedule, span_index

BALANCE_VERSION = 1
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
    """Of the whole set; box and cloud agree when version, digest and instant agree."""
    at_ms: int
    credited_minor: int
    adjusted_minor: int
    charged_minor: int
    charged_wh: int
    """Energy that was priced."""
    unpriced_wh: int
    """Energy used before any tariff held; it costs nothing until one does."""
    periods: tuple[PeriodCharge, ...]
    """The periods with energy, by time."""
    installations: tuple[InstallationEnergy, ...]
    """The installations begun, by meter serial and number."""
    quarantined_count: int
    quarantined: tuple[Quarantined, ...]
    """The latest of them, by time."""
    missing_tariffs: tuple[bytes, ...]
    """Ids of tariffs that others name and the set lacks."""

    def __str__(self) -> str:
        return f"{amount_text(self.amount_minor, self.currency)} (v{self.version} {self.digest.hex()[:8]} {self.at_ms})"


@dataclass(slots=True, kw_only=True)
class Sums:
    """What the entries of an account add up to before anything is rounded."""

    credited_minor: int = 0
    adjusted_minor: int = 0
    energies_wh: dict[int, int]
    """By index of the tariff span; -1 before the first."""


def balance(version: int, entries: Iterable[Entry], *, account: str, at_ms: int) -> Balance:
    """Compute the balance of an account at an instant.

    Args:
        version: The function asked for; only `BALANCE_VERSION` is known.
        entries: The account's set, with the tariffs and register points that belong to it.
        account: The account.
        at_ms: The instant, Unix time in milliseconds.

    Raises:
        UnknownVersionError: This program does not compute that version.
        ForeignEntryError: An entry names another account.
    """
    require_version(version)
    by_digest = {entry_digest(entry): entry for entry in entries}
    for entry in by_digest.values():
        require_account(entry, account)
    counted, quarantined = _settle_conflicts(by_digest)
    opening = next((entry for entry in counted.values() if isinstance(entry, Opening)), None)
    tariffs = {entry: digest for digest, entry in counted.items() if isinstance(entry, Tariff)}
    prices = account_schedule(account, opening, tariffs)
    quarantined += tariff_quarantine(prices, tariffs)
    sums = Sums(energies_wh={})
    for entry in counted.values():
        if isinstance(entry, Credit) and entry.issued_at_ms <= at_ms:
            sums.credited_minor += entry.amount_minor
        elif isinstance(entry, Adjustment) and entry.issued_at_ms <= at_ms:
            sums.adjusted_minor += entry.amount_minor
    installations = _follow_all(counted, at_ms, prices.spans, sums, quarantined)
    due = sorted(item for item in quarantined if item.at_ms <= at_ms)
    return conclude(
        account=account,
        opening=opening,
        digest=set_digest(by_digest),
        at_ms=at_ms,
        prices=prices,
        sums=sums,
        installations=installations,
        quarantined_count=len(due),
        quarantined=due[-QUARANTINED_SHOWN_MAX:],
    )


def require_version(version: int) -> None:
    """Refuse a version other than ours.

    Raises:
        UnknownVersionError: This program does not compute that version.
    """
    if version != BALANCE_VERSION:
        raise UnknownVersionError(f"balance version {version} is not known here, only {BALANCE_VERSION}")


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
    digest: bytes,
    at_ms: int,
    prices: Schedule,
    sums: Sums,
    installations: Iterable[InstallationEnergy],
    quarantined_count: int,
    quarantined: Iterable[Quarantined],
) -> Balance:
    """Round once per period and put the balance together.

    Args:
        account: The account.
        opening: Its opening, if that has arrived.
        digest: Of the whole set.
        at_ms: The instant.
        prices: The account's tariffs.
        sums: What counts at the instant.
        installations: The installations begun, in any order.
        quarantined_count: How many entries are in quarantine at the instant.
        quarantined: The latest `QUARANTINED_SHOWN_MAX` of them, sorted.
    """
    periods = tuple(
        _charge(prices.spans[index], energy_wh)
        for index, energy_wh in sorted(sums.energies_wh.items())
        if index >= 0 and energy_wh > 0
    )
    charged_minor = sum(period.amount_minor for period in periods)
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
        charged_wh=sum(period.energy_wh for period in periods),
        unpriced_wh=sums.energies_wh.get(-1, 0),
        periods=periods,
        installations=tuple(sorted(installations, key=lambda item: (item.meter_serial, item.installation))),
        quarantined_count=quarantined_count,
        quarantined=tuple(quarantined),
        missing_tariffs=prices.missing,
    )


def installation_energy(key: InstallationKey, line: Line, charged_wh: int) -> InstallationEnergy:
    """Return how far an installation has been followed."""
    return InstallationEnergy(
        meter_serial=key[0],
        installation=key[1],
        charged_wh=charged_wh,
        register_wh=line.believed.energy_wh,
        read_at_ms=line.believed.taken_at_ms,
    )


def _charge(span: Span, energy_wh: int) -> PeriodCharge:
    tariff = span.tariff
    amount_minor = charge_minor(energy_wh, price=tariff.price, price_digits=tariff.price_digits)
    return PeriodCharge(tariff=tariff.id, from_ms=span.from_ms, energy_wh=energy_wh, amount_minor=amount_minor)


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
    at_ms: int,
    spans: Sequence[Span],
    sums: Sums,
    quarantined: list[Quarantined],
) -> list[InstallationEnergy]:
    """Follow every installation up to an instant, adding its energies and faults to what is given."""
    assignments: dict[InstallationKey, Assignment] = {}
    releases: dict[InstallationKey, Release] = {}
    marks: dict[InstallationKey, list[Mark]] = {}
    for digest, entry in counted.items():
        if isinstance(entry, Assignment):
            assignments[entry.meter_serial, entry.installation] = entry
        elif isinstance(entry, Release):
            releases[entry.meter_serial, entry.installation] = entry
            marks.setdefault((entry.meter_serial, entry.installation), []).append(closing_mark(entry, digest))
        elif isinstance(entry, RegisterPoint):
            marks.setdefault((entry.meter_serial, entry.installation), []).append(point_mark(entry, digest))
    starts_ms = [span.from_ms for span in spans]
    followed: list[InstallationEnergy] = []
    for key in marks.keys() | assignments.keys():
        assignment, release = assignments.get(key), releases.get(key)
        line, charged_wh = line_start(assignment), 0
        for mark in sorted(marks.get(key, ())):
            if mark.taken_at_ms > at_ms:
                break
            verdict = follow(assignment, release, line, mark)
            line, charged_wh = verdict.line, charged_wh + verdict.energy_wh
            index = span_index(starts_ms, mark.taken_at_ms)
            sums.energies_wh[index] = sums.energies_wh.get(index, 0) + verdict.energy_wh
            if verdict.fault is not None:
                quarantined.append(Quarantined(mark.taken_at_ms, mark.digest, verdict.fault, verdict.step_wh, b""))
        if assignment is not None and assignment.from_ms <= at_ms:
            followed.append(installation_energy(key, line, charged_wh))
    return followed
