"""An account that takes entries in any order and always knows its balance.

It gives exactly what `prepay.balance.balance` gives for the same set, and does for each entry only the work that entry
causes: a register point is judged with its neighbours, a credit moves one sum, the digest changes along one path. A new
tariff or opening adds up the energy anew, a new assignment or release judges its installation anew; both are rare.
It grows with its set and forgets nothing; keeping the set on disk is left to its owner.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from prepay.balance import (
    BALANCE_VERSION,
    QUARANTINED_SHOWN_MAX,
    Balance,
    InstallationKey,
    Quarantined,
    Sums,
    account_schedule,
    conclude,
    installation_energy,
    require_version,
    tariff_quarantine,
)
from prepay.digest import DigestTree
from prepay.entries import Adjustment, Assignment, Credit, Entry, Opening, RegisterPoint, Release, Tariff
from prepay.identity import NaturalKey, entry_digest, moment_ms, natural_key, precedence, require_account
from prepay.register import Fault, closing_mark, point_mark
from prepay.tariff import span_index
from prepay.track import Amounts, Change, Dated, Track


class Account:
    """One account's set of entries and the running sums of its balance.

    Attributes:
        name: The account.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._digests = DigestTree()
        self._counted: dict[NaturalKey, Entry] = {}
        self._losers: dict[NaturalKey, list[Entry]] = {}
        self._quarantined: list[Quarantined] = []
        self._opening: Opening | None = None
        self._tariffs: dict[Tariff, bytes] = {}
        self._prices = account_schedule(name, None, ())
        self._starts_ms: list[int] = []
        self._credits = Amounts()
        self._adjustments = Amounts()
        self._tracks: dict[InstallationKey, Track] = {}
        self._energies_wh: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, entry: Entry) -> bool:
        return entry_digest(entry) in self._digests

    @property
    def digest(self) -> bytes:
        """The digest of the set."""
        return self._digests.value()

    @property
    def work_count(self) -> int:
        """Steps judged and tree nodes hashed so far."""
        return self._digests.hashed_count + sum(track.judged_count for track in self._tracks.values())

    def update(self, entries: Iterable[Entry]) -> None:
        """Add entries.

        Raises:
            ForeignEntryError: An entry names another account; those before it were added.
        """
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> bool:
        """Add an entry and say whether it is new.

        Raises:
            ForeignEntryError: The entry names another account; nothing was added.
        """
        require_account(entry, self.name)
        digest = entry_digest(entry)
        if not self._digests.add(digest):
            return False
        key = natural_key(entry)
        rival = self._counted.get(key)
        if rival is None:
            self._counted[key] = entry
            self._count(entry, digest)
        else:
            self._contest(key, rival, entry)
        return True

    def balance(self, at_ms: int, *, version: int = BALANCE_VERSION) -> Balance:
        """Return the balance at an instant; the later the instant, the less work.

        Raises:
            UnknownVersionError: This program does not compute that version.
        """
        require_version(version)
        energies_wh = dict(self._energies_wh)
        installations = []
        for key, track in self._tracks.items():
            charged_wh = track.charged_wh
            for mark, verdict in track.after(at_ms):
                charged_wh -= verdict.energy_wh
                energies_wh[span_index(self._starts_ms, mark.taken_at_ms)] -= verdict.energy_wh
            if track.assignment is not None and track.assignment.from_ms <= at_ms:
                installations.append(installation_energy(key, track.line_at(at_ms), charged_wh))
        sums = Sums(
            credited_minor=self._credits.sum_at(at_ms),
            adjusted_minor=self._adjustments.sum_at(at_ms),
            energies_wh=energies_wh,
        )
        due = bisect_right(self._quarantined, at_ms, key=lambda item: item.at_ms)
        return conclude(
            account=self.name,
            opening=self._opening,
            digest=self.digest,
            at_ms=at_ms,
            prices=self._prices,
            sums=sums,
            installations=installations,
            quarantined_count=due,
            quarantined=self._quarantined[max(0, due - QUARANTINED_SHOWN_MAX) : due],
        )

    def price_at(self, at_ms: int) -> Tariff | None:
        """Return the tariff in force at an instant, or None before the first."""
        index = span_index(self._starts_ms, at_ms)
        return self._prices.spans[index].tariff if index >= 0 else None

    def _contest(self, key: NaturalKey, rival: Entry, entry: Entry) -> None:
        """Settle which of several values under one key counts."""
        losers = self._losers.setdefault(key, [])
        for loser in losers:
            self._release(_conflict(loser, entry_digest(rival)))
        winner = min(rival, entry, key=precedence)
        losers.append(entry if winner is rival else rival)
        if winner is not rival:
            self._discount(rival, entry_digest(rival))
            self._counted[key] = winner
            self._count(winner, entry_digest(winner))
        for loser in losers:
            self._hold(_conflict(loser, entry_digest(winner)))

    def _count(self, entry: Entry, digest: bytes) -> None:
        """Let an entry take effect."""
        match entry:
            case Opening():
                self._opening = entry
                self._reprice()
            case Credit():
                self._credits.insert(Dated(entry.issued_at_ms, digest, entry.amount_minor))
            case Adjustment():
                self._adjustments.insert(Dated(entry.issued_at_ms, digest, entry.amount_minor))
            case Tariff():
                self._tariffs[entry] = digest
                self._reprice()
            case Assignment():
                track = self._track(entry)
                self._apply(track.reassign(entry, track.release))
            case Release():
                track = self._track(entry)
                self._apply(track.reassign(track.assignment, entry))
                self._apply(track.insert(closing_mark(entry, digest)))
            case RegisterPoint():
                self._apply(self._track(entry).insert(point_mark(entry, digest)))

    def _discount(self, entry: Entry, digest: bytes) -> None:
        """Undo the effect of an entry that another takes the place of at once."""
        match entry:
            case Opening() | Assignment():
                pass
            case Credit():
                self._credits.remove(Dated(entry.issued_at_ms, digest, entry.amount_minor))
            case Adjustment():
                self._adjustments.remove(Dated(entry.issued_at_ms, digest, entry.amount_minor))
            case Tariff():
                self._unmark_tariffs()
                del self._tariffs[entry]
                self._mark_tariffs()
            case Release():
                self._apply(self._track(entry).remove(closing_mark(entry, digest)))
            case RegisterPoint():
                self._apply(self._track(entry).remove(point_mark(entry, digest)))

    def _track(self, entry: Assignment | Release | RegisterPoint) -> Track:
        return self._tracks.setdefault((entry.meter_serial, entry.installation), Track())

    def _apply(self, changes: Iterable[Change]) -> None:
        """Carry new verdicts into the sums and the quarantine."""
        for mark, before, after in changes:
            index = span_index(self._starts_ms, mark.taken_at_ms)
            energy_wh = (after.energy_wh if after else 0) - (before.energy_wh if before else 0)
            self._energies_wh[index] = self._energies_wh.get(index, 0) + energy_wh
            if before is not None and before.fault is not None:
                self._release(Quarantined(mark.taken_at_ms, mark.digest, before.fault, before.step_wh, b""))
            if after is not None and after.fault is not None:
                self._hold(Quarantined(mark.taken_at_ms, mark.digest, after.fault, after.step_wh, b""))

    def _reprice(self) -> None:
        """Add up all energy by a new tariff schedule."""
        self._unmark_tariffs()
        self._mark_tariffs()
        self._starts_ms = [span.from_ms for span in self._prices.spans]
        self._energies_wh = {}
        for track in self._tracks.values():
            for mark, verdict in track.verdicts():
                index = span_index(self._starts_ms, mark.taken_at_ms)
                self._energies_wh[index] = self._energies_wh.get(index, 0) + verdict.energy_wh

    def _unmark_tariffs(self) -> None:
        for item in tariff_quarantine(self._prices, self._tariffs):
            self._release(item)

    def _mark_tariffs(self) -> None:
        self._prices = account_schedule(self.name, self._opening, self._tariffs)
        for item in tariff_quarantine(self._prices, self._tariffs):
            self._hold(item)

    def _hold(self, item: Quarantined) -> None:
        insort(self._quarantined, item)

    def _release(self, item: Quarantined) -> None:
        place = bisect_left(self._quarantined, item)
        assert self._quarantined[place] == item
        del self._quarantined[place]


def _conflict(loser: Entry, winner: bytes) -> Quarantined:
    """Return the quarantine of a value that another one beats."""
    return Quarantined(moment_ms(loser), entry_digest(loser), Fault.CONFLICT, 0, winner)
