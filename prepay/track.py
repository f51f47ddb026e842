"""The register points of one installation, kept judged while they arrive in any order.

A point that arrives late is put in its place, and judging goes on from there until it comes to a line it knew already:
usually one point further. What each change means for the sums is left to `prepay.account`.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from prepay.entries import Assignment, CarriedInstallation, Release
from prepay.items import Dated, item_precedence
from prepay.register import Line, Mark, Verdict, follow, line_start


class Change(NamedTuple):
    """A mark whose verdict is new, other than it was, or gone."""

    mark: Mark
    before: Verdict | None
    after: Verdict | None


class Track:
    """One installation's marks with their verdicts, sorted.

    Attributes:
        by_key: The register points that count, by boot and tick; kept by the account.
        losers: Other values under those keys; kept by the account.
        assignment: None while it has not arrived.
        release: None while the installation goes on.
        carried: What the latest statement carries of it, None if that does not know it.
        charged_wh: The energy of all verdicts.
        judged_count: Steps judged so far, the measure of the work done.
    """

    __slots__ = (
        "_marks",
        "_verdicts",
        "assignment",
        "by_key",
        "carried",
        "charged_wh",
        "judged_count",
        "losers",
        "release",
    )

    def __init__(self) -> None:
        self.by_key: dict[bytes, Mark] = {}
        self.losers: dict[bytes, list[Mark]] = {}
        self.assignment: Assignment | None = None
        self.release: Release | None = None
        self.carried: CarriedInstallation | None = None
        self.charged_wh = 0
        self.judged_count = 0
        self._marks: list[Mark] = []
        self._verdicts: list[Verdict] = []

    def verdicts(self) -> Iterator[tuple[Mark, Verdict]]:
        """Return all marks with their verdicts, by time."""
        return zip(self._marks, self._verdicts, strict=True)

    def after(self, at_ms: int) -> Iterator[tuple[Mark, Verdict]]:
        """Return the marks after an instant with their verdicts, by time."""
        place = self._place_after(at_ms)
        return zip(self._marks[place:], self._verdicts[place:], strict=True)

    def line_at(self, at_ms: int) -> Line:
        """Return how far the installation had been followed at an instant."""
        return self._line_before(self._place_after(at_ms))

    def insert(self, mark: Mark) -> list[Change]:
        """Add a mark that is not there."""
        place = bisect_left(self._marks, mark)
        self._marks.insert(place, mark)
        verdict = self._judge(self._line_before(place), mark)
        self._verdicts.insert(place, verdict)
        self.charged_wh += verdict.energy_wh
        return [Change(mark, None, verdict), *self._rejudge(place + 1)]

    def remove(self, mark: Mark) -> list[Change]:
        """Take out a mark that is there."""
        place = bisect_left(self._marks, mark)
        assert self._marks[place] == mark
        del self._marks[place]
        verdict = self._verdicts.pop(place)
        self.charged_wh -= verdict.energy_wh
        return [Change(mark, verdict, None), *self._rejudge(place)]

    def reassign(self, assignment: Assignment | None, release: Release | None) -> list[Change]:
        """Judge all marks anew under other terms."""
        self.assignment, self.release = assignment, release
        line = self._line_before(0)
        changes = []
        for place, mark in enumerate(self._marks):
            changes.append(self._replace(place, self._judge(line, mark)))
            line = self._verdicts[place].line
        return changes

    def close(self, carried: CarriedInstallation | None, closed_at_ms: int) -> list[bytes]:
        """Go on from what a statement carries; return the digests of the points it stands for.

        All verdicts may be new. Of values under one key those after the close are judged among themselves.
        """
        values = [*self.by_key.values(), *(mark for losers in self.losers.values() for mark in losers)]
        self.carried = carried
        self.by_key, self.losers = {}, {}
        for mark in sorted(values, key=item_precedence):
            if mark.taken_at_ms > closed_at_ms and self.by_key.setdefault(mark.key, mark) is not mark:
                self.losers.setdefault(mark.key, []).append(mark)
        ends = [mark for mark in self._marks if not mark.key and mark.taken_at_ms > closed_at_ms]
        self._marks = sorted([*ends, *self.by_key.values()])
        self._verdicts = []
        line = self._line_before(0)
        for mark in self._marks:
            self._verdicts.append(self._judge(line, mark))
            line = self._verdicts[-1].line
        self.charged_wh = sum(verdict.energy_wh for verdict in self._verdicts)
        return [mark.digest for mark in values if mark.taken_at_ms <= closed_at_ms]

    def _rejudge(self, place: int) -> list[Change]:
        """Judge marks from a place on until the line is one that was known."""
        changes = []
        while place < len(self._marks):
            known = self._verdicts[place]
            verdict = self._judge(self._line_before(place), self._marks[place])
            if verdict != known:
                changes.append(self._replace(place, verdict))
            if verdict.line == known.line:
                break
            place += 1
        return changes

    def _replace(self, place: int, verdict: Verdict) -> Change:
        known = self._verdicts[place]
        self._verdicts[place] = verdict
        self.charged_wh += verdict.energy_wh - known.energy_wh
        return Change(self._marks[place], known, verdict)

    def _judge(self, line: Line, mark: Mark) -> Verdict:
        self.judged_count += 1
        return follow(self.assignment, self.release, line, mark)

    def _line_before(self, place: int) -> Line:
        return self._verdicts[place - 1].line if place else line_start(self.assignment, self.carried)

    def _place_after(self, at_ms: int) -> int:
        return bisect_right(self._marks, at_ms, key=lambda mark: mark.taken_at_ms)


class Amounts:
    """A set of dated amounts and its sum at any instant; cheap where the instant is after most of them.

    Attributes:
        by_id: The amounts that count, by the id of their entry; kept by the account.
    """

    __slots__ = ("_items", "_total_minor", "by_id")

    def __init__(self) -> None:
        self.by_id: dict[bytes, Dated] = {}
        self._items: list[Dated] = []
        self._total_minor = 0

    def insert(self, item: Dated) -> None:
        insort(self._items, item)
        self._total_minor += item.amount_minor

    def remove(self, item: Dated) -> None:
        del self._items[bisect_left(self._items, item)]
        self._total_minor -= item.amount_minor

    def sum_at(self, at_ms: int) -> int:
        place = bisect_right(self._items, at_ms, key=lambda item: item.at_ms)
        return self._total_minor - sum(item.amount_minor for item in self._items[place:])
