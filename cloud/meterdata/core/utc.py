"""From ticks to UTC: which of a boot's clock facts a tick counts by, whatever order they came in.

Once the cloud has told a boot the time, only what the cloud told counts ("synced"); until then the system clock of the
gateway does ("estimated"). A tick uses the latest anchor at or before it, else the first one after it. Of anchors at
one tick the one with the smallest error counts, of those the one with the smallest UTC. Anchors that can never count
are left out at once, and that loses nothing: a timeline is a join of its anchors, so any order and any repetition give
the same. Clock facts are read from messages by the projector; what becomes of rows whose UTC changed is its business.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from wire.facts import ClockFact, TimeSource
from wire.limits import TICK_MS_MAX, TIME_MS_MAX, TIME_MS_MIN

DAY_MS = 86_400_000

_VERSION = 1
_FIELDS_PER_ANCHOR = 4


class Anchor(NamedTuple):
    """At this tick it was `utc_ms`, give or take `error_ms`."""

    tick_ms: int
    error_ms: int
    utc_ms: int
    synced: bool

    @classmethod
    def of(cls, fact: ClockFact) -> "Anchor":
        """Return what a clock fact says."""
        return cls(fact.tick_ms, fact.error_ms, fact.utc_ms, fact.source is TimeSource.WELCOME)


class Moment(NamedTuple):
    """What to add to a tick to get UTC, and how good that is."""

    offset_ms: int
    estimated: bool
    """By the gateway's own clock, which nobody vouches for."""


class Change(NamedTuple):
    """From this tick until before that one the UTC of a boot's rows is another one now."""

    tick_from_ms: int
    tick_until_ms: int
    before: Moment | None
    """None where rows had to wait."""


class Timeline:
    """The clock of one boot as far as it is known; immutable."""

    __slots__ = ("_anchors", "_moments", "_starts")

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._anchors = _reduced(anchors)
        self._moments = [Moment(anchor.utc_ms - anchor.tick_ms, not anchor.synced) for anchor in self._anchors]
        self._starts = [0, *(anchor.tick_ms for anchor in self._anchors[1:])]

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The anchors that count, by tick."""
        return self._anchors

    @property
    def starts(self) -> list[int]:
        """The ticks from which another anchor counts."""
        return self._starts

    def at(self, tick_ms: int) -> Moment | None:
        """Return how to get the UTC of a tick, or None while nothing is known of this boot's clock."""
        if not self._anchors:
            return None
        return self._moments[bisect_right(self._starts, tick_ms) - 1]

    def tick_of(self, utc_ms: int) -> int:
        """Return the first tick that may lie at an instant or after it; beyond all ticks if none does."""
        if not self._anchors:
            return 0
        for start, moment, end in zip(self._starts, self._moments, [*self._starts[1:], TICK_MS_MAX + 1], strict=True):
            tick_ms = max(start, utc_ms - moment.offset_ms)
            if tick_ms < end:
                return tick_ms
        return TICK_MS_MAX + 1

    def joined(self, anchors: Iterable[Anchor]) -> "Timeline":
        """Return this timeline with more anchors."""
        return Timeline([*self._anchors, *anchors])

    def changes_since(self, before: "Timeline") -> list[Change]:
        """Return the spans of ticks whose UTC, or its quality, differs from what it was, by tick."""
        found: list[Change] = []
        bounds = [*sorted({0, *self._starts, *before.starts}), TICK_MS_MAX + 1]
        for start, end in pairwise(bounds):
            was = before.at(start)
            if was == self.at(start):
                continue
            if found and found[-1].tick_until_ms == start and found[-1].before == was:
                found[-1] = found[-1]._replace(tick_until_ms=end)
            else:
                found.append(Change(start, end, was))
        return found

    def encode(self) -> bytes:
        """Return the bytes that `decode` takes."""
        numbers = array("q", (number for anchor in self._anchors for number in anchor))
        if sys.byteorder == "big":
            numbers.byteswap()
        return bytes([_VERSION]) + numbers.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> "Timeline":
        """Return an encoded timeline; of our own making, so nothing is checked but the version."""
        assert data[0] == _VERSION, f"a timeline of version {data[0]}"
        numbers = array("q")
        numbers.frombytes(data[1:])
        if sys.byteorder == "big":
            numbers.byteswap()
        flat = iter(numbers)
        return cls(
            Anchor(tick, error, utc, bool(synced))
            for tick, error, utc, synced in zip(*[flat] * _FIELDS_PER_ANCHOR, strict=True)
        )


def is_plausible(utc_ms: int) -> bool:
    """Tell whether a derived UTC lies in the years this system can have seen."""
    return TIME_MS_MIN <= utc_ms <= TIME_MS_MAX


def day_of(utc_ms: int) -> int:
    """Return the UTC day of an instant, in days since 1970-01-01."""
    return utc_ms // DAY_MS


def _reduced(anchors: Iterable[Anchor]) -> tuple[Anchor, ...]:
    every = set(anchors)
    if any(anchor.synced for anchor in every):
        every = {anchor for anchor in every if anchor.synced}
    best: dict[int, Anchor] = {}
    for anchor in sorted(every):
        best.setdefault(anchor.tick_ms, anchor)
    return tuple(best.values())
