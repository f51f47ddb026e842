"""An account that takes entries in any order and always knows its balance.

It gives exactly what `prepay.balance.balance` gives for the same set, and does for each entry only the work that entry
causes: a register point is judged with its neighbours, a credit moves one sum, the digest changes along one path. A new
tariff or opening adds up the energy anew, a new assignment or release judges its installation anew; both are rare.
A statement takes the place of the register points it stands for, so an account grows between two closes only; of
points and amounts it keeps no more than it judges by. Keeping the set on disk is left to its owner.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from prepay.balance import (
    BALANCE_VERSION,
    QUARANTINED_SHOWN_MAX,
    Balance,
    Followed,
    InstallationKey,
    Quarantined,
    Sums,
    account_schedule,
    carried_by,
    conclude,
    require_open,
    require_version,
    tariff_quarantine,
)
from prepay.closing import NEVER_MS, is_covered, is_followed
from prepay.digest import DigestTree
from prepay.entries import Adjustment, Assignment, Credit, Entry, Opening, RegisterPoint, Release, Statement, Tariff
from prepay.identity import NaturalKey, entry_digest, natural_key, require_account
from prepay.items import Dated, Item, Term, conflict, item_of, item_precedence
from prepay.register import Mark, closing_mark, point_key
from prepay.tariff import span_index
from prepay.track import Amounts, Change, Track


class Account:
    """One account's set of entries and the running sums of its balance.

    Attributes:
        name: The account.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._digests = DigestTree()
        self._hashed_before = 0
        self._terms: dict[NaturalKey, Term] = {}
        self._beaten: dict[NaturalKey, list[Item]] = {}
        self._quarantined: list[Quarantined] = []
        self._opening: Opening | None = None
        self._statement: Statement | None = None
        self._covered: list[bytes] = []
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
        """The digest of the reduced set."""
        return self._digests.value()

    @property
    def closed_at_ms(self) -> int:
        """The close of the latest statement, or `NEVER_MS`."""
        return self._statement.closed_at_ms if self._statement is not None else NEVER_MS

    @property
    def work_count(self) -> int:
        """Steps judged and tree nodes hashed so far."""
        hashed = self._hashed_before + self._digests.hashed_count
        return hashed + sum(track.judged_count for track in self._tracks.values())

    def update(self, entries: Iterable[Entry]) -> None:
        """Add entries.

        Raises:
            ForeignEntryError: An entry names another account; those before it were added.
        """
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> bool:
        """Add an entry and say whether it is new; what a statement stands for is not.

        Raises:
            ForeignEntryError: The entry names another account; nothing was added.
        """
        require_account(entry, self.name)
        if is_covered(entry, self.closed_at_ms):
            return False
        digest = entry_digest(entry)
        if not self._digests.add(digest):
            return False
        item, rival = item_of(entry, digest), self._standing(entry)
        if rival is None:
            self._count(entry, item)
        else:
            self._contest(entry, item, rival)
        return True

    def take_covered(self) -> list[bytes]:
        """Return the digests of the entries that statements have taken the place of since the last call."""
        covered, self._covered = self._covered, []
        return covered

    def balance(self, at_ms: int, *, version: int = BALANCE_VERSION) -> Balance:
        """Return the balance at an instant; the later the instant, the less work.

        Raises:
            UnknownVersionError: This program does not compute that version.
            ClosedError: The instant lies before the latest close.
        """
        require_version(version)
        require_open(at_ms, self.closed_at_ms)
        sums = Sums(
            credited_minor=self._credits.sum_at(at_ms),
            adjusted_minor=self._adjustments.sum_at(at_ms),
            energies_wh=dict(self._energies_wh),
        )
        for key, track in self._tracks.items():
            carried = track.carried
            charged_wh = track.charged_wh + (carried.charged_wh if carried is not None else 0)
            for mark, verdict in track.after(at_ms):
                charged_wh -= verdict.energy_wh
                sums.energies_wh[span_index(self._starts_ms, mark.taken_at_ms)] -= verdict.energy_wh
            if is_followed(track.assignment, track.release, carried, at_ms=at_ms, closed_at_ms=self.closed_at_ms):
                sums.followed[key] = Followed(track.line_at(at_ms), charged_wh)
        due = bisect_right(self._quarantined, at_ms, key=lambda item: item.at_ms)
        return conclude(
            account=self.name,
            opening=self._opening,
            statement=self._statement,
            digest=self.digest,
            at_ms=at_ms,
            prices=self._prices,
            sums=sums,
            quarantined_count=due,
            quarantined=self._quarantined[max(0, due - QUARANTINED_SHOWN_MAX) : due],
        )

    def price_at(self, at_ms: int) -> Tariff | None:
        """Return the tariff in force at an instant, or None before the first."""
        index = span_index(self._starts_ms, at_ms)
        return self._prices.spans[index].tariff if index >= 0 else None

    # ---- one value under each key ------------------------------------------------------------------------------------

    def _standing(self, entry: Entry) -> Item | None:
        """Return what counts under the natural key of an entry."""
        match entry:
            case Credit() | Adjustment():
                return self._amounts(entry).by_id.get(entry.id)
            case RegisterPoint():
                return self._track(entry).by_key.get(point_key(entry))
            case _:
                return self._terms.get(natural_key(entry))

    def _contest(self, entry: Entry, item: Item, rival: Item) -> None:
        """Settle which of several values under one key counts."""
        wins = item_precedence(item) < item_precedence(rival)
        for loser in self._losers(entry):
            self._release(conflict(loser, rival.digest))
        if wins:
            self._discount(entry, rival)
        self._add_loser(entry, rival if wins else item)
        winner = item if wins else rival
        for loser in self._losers(entry):
            self._hold(conflict(loser, winner.digest))
        if wins:
            self._count(entry, item)

    def _losers(self, entry: Entry) -> Sequence[Item]:
        if isinstance(entry, RegisterPoint):
            return self._track(entry).losers.get(point_key(entry), ())
        return self._beaten.get(natural_key(entry), ())

    def _add_loser(self, entry: Entry, loser: Item) -> None:
        if isinstance(loser, Mark):
            assert isinstance(entry, RegisterPoint)
            self._track(entry).losers.setdefault(loser.key, []).append(loser)
        else:
            self._beaten.setdefault(natural_key(entry), []).append(loser)

    def _count(self, entry: Entry, item: Item) -> None:
        """Let an entry take effect."""
        match entry, item:
            case Credit() | Adjustment(), Dated():
                amounts = self._amounts(entry)
                amounts.by_id[entry.id] = item
                amounts.insert(item)
            case RegisterPoint(), Mark():
                track = self._track(entry)
                track.by_key[item.key] = item
                self._apply(track.insert(item))
            case _, Term():
                self._terms[natural_key(entry)] = item
                self._count_term(entry, item.digest)
            case _:
                raise AssertionError("an entry is kept as what it is")

    def _count_term(self, entry: Entry, digest: bytes) -> None:
        match entry:
            case Opening():
                self._opening = entry
                self._reprice()
            case Tariff():
                self._tariffs[entry] = digest
                self._reprice()
            case Assignment():
                track = self._track(entry)
                self._apply(track.reassign(entry, track.release))
            case Release():
                track = self._track(entry)
                self._apply(track.reassign(track.assignment, entry))
                if entry.until_ms > self.closed_at_ms:
                    self._apply(track.insert(closing_mark(entry, digest)))
            case Statement():
                self._close(entry)
            case _:
                pass

    def _discount(self, entry: Entry, rival: Item) -> None:
        """Undo the effect of what `entry` takes the place of at once."""
        match rival:
            case Dated():
                assert isinstance(entry, Credit | Adjustment)
                self._amounts(entry).remove(rival)
            case Mark():
                assert isinstance(entry, RegisterPoint)
                self._apply(self._track(entry).remove(rival))
            case Term(entry=Tariff() as tariff):
                self._unmark_tariffs()
                del self._tariffs[tariff]
                self._mark_tariffs()
            case Term(entry=Release() as release, digest=digest):
                if release.until_ms > self.closed_at_ms:
                    self._apply(self._track(release).remove(closing_mark(release, digest)))
            case _:
                pass

    def _amounts(self, entry: Credit | Adjustment) -> Amounts:
        return self._credits if isinstance(entry, Credit) else self._adjustments

    def _track(self, entry: Assignment | Release | RegisterPoint) -> Track:
        return self._tracks.setdefault((entry.meter_serial, entry.installation), Track())

    # ---- statements --------------------------------------------------------------------------------------------------

    def _close(self, statement: Statement) -> None:
        """Go on from a statement: drop what it stands for, and add up the rest anew."""
        self._statement = statement
        carried = carried_by(statement)
        for key in carried.keys() - self._tracks.keys():
            self._tracks[key] = Track()
        for key, track in self._tracks.items():
            self._covered += track.close(carried.get(key), statement.closed_at_ms)
        for natural, term in list(self._terms.items()):
            if is_covered(term.entry, statement.closed_at_ms):
                del self._terms[natural]
                self._covered += [term.digest, *(loser.digest for loser in self._beaten.pop(natural, ()))]
        self._hashed_before += self._digests.hashed_count
        self._digests = DigestTree(self._members())
        self._add_up()
        self._quarantined = sorted(self._faults())

    def _members(self) -> Iterator[bytes]:
        """Return the digests of all that is kept."""
        for amounts in (self._credits, self._adjustments):
            yield from (item.digest for item in amounts.by_id.values())
        for track in self._tracks.values():
            yield from (mark.digest for mark in track.by_key.values())
            yield from (loser.digest for losers in track.losers.values() for loser in losers)
        yield from (term.digest for term in self._terms.values())
        yield from (loser.digest for losers in self._beaten.values() for loser in losers)

    def _faults(self) -> Iterator[Quarantined]:
        """Return all that is in quarantine."""
        yield from tariff_quarantine(self._prices, self._tariffs)
        for natural, losers in self._beaten.items():
            yield from (conflict(loser, self._winner(natural).digest) for loser in losers)
        for track in self._tracks.values():
            for key, marks in track.losers.items():
                yield from (conflict(mark, track.by_key[key].digest) for mark in marks)
            for mark, verdict in track.verdicts():
                if verdict.fault is not None:
                    yield Quarantined(mark.taken_at_ms, mark.digest, verdict.fault, verdict.step_wh, b"")

    def _winner(self, natural: NaturalKey) -> Item:
        match natural:
            case (2, bytes() as name):
                return self._credits.by_id[name]
            case (3, bytes() as name):
                return self._adjustments.by_id[name]
            case _:
                return self._terms[natural]

    # ---- sums --------------------------------------------------------------------------------------------------------

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
        self._add_up()

    def _add_up(self) -> None:
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
