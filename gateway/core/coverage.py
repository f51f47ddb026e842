"""What of a meter's profile is held, what the meter never captured, and therefore what is missing.

A profile is a row every `period_s`, so its instants fall into slots; a row that the meter stamped a little off, because
its clock was set, counts for the slot it is nearest to. A slot that was asked for and brought nothing is void once a
later row is held: the meter was off then, and asking again would bring nothing. Without a later row it may still come.
It decides nothing about when to ask.
"""

from collections.abc import Iterable, Sequence
from statistics import mode
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

Slots = tuple[int, int]
"""First and last slot of a range, both within it."""
RANGES_MAX = 4_096
"""Ranges kept of each kind; the oldest go first, and what they covered is then asked for once more."""


class Span(NamedTuple):
    """A stretch of a meter's own time in Unix seconds, both ends within it."""

    first_s: int
    last_s: int


class Coverage(msgspec.Struct, array_like=True, kw_only=True):
    """The slots of one profile of one meter."""

    period_s: Annotated[int, Meta(ge=1)]
    phase_s: Annotated[int, Meta(ge=0)] = 0
    """Instants are `phase_s` after a whole number of periods: midnight is not midnight UTC everywhere."""
    held: list[Slots] = []
    void: list[Slots] = []
    empty: list[Slots] = []
    """Asked for, brought nothing, may still come."""

    def newest_s(self) -> int | None:
        """Return the instant of the newest row held."""
        return self._instant_s(self.held[-1][1]) if self.held else None

    def wanted(self, *, since_s: int, until_s: int, rows_max: int) -> tuple[Span, ...]:
        """Return what to ask for next, newest first.

        What was not asked for yet goes before what was and brought nothing but may still come.

        Args:
            since_s: The meter keeps nothing older, or nobody wants it.
            until_s: The meter's present time.
            rows_max: How many rows the answer may have.
        """
        first = -(-(since_s - self.phase_s) // self.period_s)
        last = (until_s - self.phase_s) // self.period_s
        if first > last:
            return ()
        missing = _without((first, last), _joined([*self.held, *self.void]))
        chosen, left = _newest(_without_all(missing, self.empty), rows_max)
        again, _ = _newest(_within_all(missing, self.empty), left)
        return tuple(self._span(*slots) for slots in reversed(_joined([*chosen, *again])))

    def take(self, instants_s: Sequence[int], *, asked: Iterable[Span]) -> None:
        """Note what asking for some spans brought.

        Args:
            instants_s: When the rows were captured.
            asked: The spans that were read to their end.
        """
        if instants_s and not self.held:
            # Where most rows stand: a single one may have been stamped off when the clock was set.
            self.phase_s = mode(instant_s % self.period_s for instant_s in instants_s)
            self.empty = []
        self.held = _joined([*self.held, *((slot, slot) for slot in map(self._slot, instants_s))])[-RANGES_MAX:]
        newest = self.held[-1][1] if self.held else None
        void, empty = list(self.void), list(self.empty)
        for span in asked:
            for lower, upper in _without(self._slots_in(span), self.held):
                if newest is not None and upper < newest:
                    void.append((lower, upper))
                else:
                    empty.append((lower, upper))
        self.void = _without_all(_joined(void), self.held)[-RANGES_MAX:]
        self.empty = _without_all(_joined(empty), _joined([*self.held, *self.void]))[-RANGES_MAX:]

    def holds(self, instant_s: int) -> bool:
        """Tell whether a row that stands exactly where one is due has been taken."""
        slot = self._slot(instant_s)
        return self._instant_s(slot) == instant_s and bool(_within_all([(slot, slot)], self.held))

    def reopen(self, *, after_s: int) -> None:
        """Ask anew for what is later: the meter's clock was set back, so it has not captured that yet."""
        horizon = (after_s - self.phase_s) // self.period_s
        for ranges in (self.held, self.void, self.empty):
            ranges[:] = [(first, min(last, horizon)) for first, last in ranges if first <= horizon]

    def resampled(self, period_s: int) -> "Coverage":
        """Return the same for another capture period; the row next to a change of it may be asked for once more."""
        other = Coverage(period_s=period_s, phase_s=self.phase_s % period_s)
        for mine, others in ((self.held, other.held), (self.void, other.void)):
            spans = ((self._instant_s(first), self._instant_s(last)) for first, last in mine)
            slots = [
                (-(-(first - other.phase_s) // period_s), (last - other.phase_s) // period_s) for first, last in spans
            ]
            others[:] = _joined((first, last) for first, last in slots if first <= last)
        other.void = _without_all(other.void, other.held)
        return other

    def forget(self, *, before_s: int) -> None:
        """Drop what nobody will ask for again."""
        horizon = self._slot(before_s)
        self.held = [slots for slots in self.held if slots[1] >= horizon] or self.held[-1:]
        self.void = [slots for slots in self.void if slots[1] >= horizon]
        self.empty = [slots for slots in self.empty if slots[1] >= horizon]

    def _slot(self, instant_s: int) -> int:
        return (instant_s - self.phase_s + self.period_s // 2) // self.period_s

    def _instant_s(self, slot: int) -> int:
        return self.phase_s + slot * self.period_s

    def _slots_in(self, span: Span) -> Slots:
        """Return the slots of which every row would lie in a span; the last is before the first if there are none."""
        before_s, after_s = self._margins_s()
        first = -(-(span.first_s + before_s - self.phase_s) // self.period_s)
        return first, (span.last_s - after_s - self.phase_s) // self.period_s

    def _margins_s(self) -> tuple[int, int]:
        before_s = self.period_s // 2
        return before_s, self.period_s - before_s - 1

    def _span(self, first: int, last: int) -> Span:
        """Return the time whose rows count for some slots and for no other."""
        before_s, after_s = self._margins_s()
        return Span(self._instant_s(first) - before_s, self._instant_s(last) + after_s)


def _newest(ranges: Sequence[Slots], slots_max: int) -> tuple[list[Slots], int]:
    """Return the newest of some ranges, together no longer than `slots_max`, and how much is left of that."""
    chosen: list[Slots] = []
    left = slots_max
    for lower, upper in reversed(ranges):
        if left <= 0:
            break
        chosen.append((max(lower, upper - left + 1), upper))
        left -= upper - chosen[-1][0] + 1
    return chosen, left


def _joined(ranges: Iterable[Slots]) -> list[Slots]:
    """Return ranges in order, those that touch or overlap as one."""
    joined: list[Slots] = []
    for lower, upper in sorted(ranges):
        if joined and lower <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], upper))
        else:
            joined.append((lower, upper))
    return joined


def _without(slots: Slots, taken: Sequence[Slots]) -> list[Slots]:
    """Return what of a range lies in none of some ranges, which are in order and apart."""
    left: list[Slots] = []
    lower, upper = slots
    for first, last in taken:
        if last < lower:
            continue
        if first > upper:
            break
        if lower < first:
            left.append((lower, first - 1))
        lower = last + 1
    if lower <= upper:
        left.append((lower, upper))
    return left


def _without_all(ranges: Iterable[Slots], taken: Sequence[Slots]) -> list[Slots]:
    return [left for slots in ranges for left in _without(slots, taken)]


def _within_all(ranges: Iterable[Slots], other: Sequence[Slots]) -> list[Slots]:
    """Return what of some ranges lies in others, which are in order and apart."""
    return [
        (max(lower, first), min(upper, last))
        for lower, upper in ranges
        for first, last in other
        if first <= upper and lower <= last
    ]
