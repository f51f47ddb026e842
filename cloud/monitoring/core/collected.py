"""Which intervals of a day were collected from a meter, and by which message each was there first.

A UTC day is divided into intervals of one length from its beginning on. An interval is collected if there is a row for
it with at least one valid value: one without a quality code, and without another value stated under the same key. Which
interval a row stands for goes by who stamped it:

- a reading that a gateway took stands for the interval in which it was taken, the beginning belonging to it;
- a row that a meter captured by itself stands for the interval whose end is nearest to its stamp, since load profiles
  are stamped at an interval's end (the row of 00:00 is the last of the day before) and meters' clocks are a little off.

An interval is expected where its meter was assigned all along, from one interval after its end on: so long its row may
take its way. When messages came in is asked of the database by whoever counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud.meterdata.core.meter_day import MESSAGE, OFFSET, SHAPE, SOURCE, TICK, VALID, Day, OddRow
from cloud.monitoring.core.targets import DAY_MS

BEFORE = -1
"""In place of an interval's number: the last of the day before."""
Firsts = Mapping[int, int]
"""The message that stated each interval first, by the interval's number in the day."""


def first_messages(day: Day, *, day_from_ms: int, interval_ms: int) -> dict[int, int]:
    """Return for each interval that a stored day says something valid of the message that did so first.

    Args:
        day: As it is stored; a row of its first minutes may stand for the interval `BEFORE`.
        day_from_ms: Its beginning.
        interval_ms: Length of the intervals.
    """
    is_valid = [shape is not None and VALID in shape for shape in day.shapes]
    shifts = [day_from_ms + (interval_ms // 2 if source.by_meter else 0) for source in day.sources]
    found: dict[int, int] = {}
    for row in day.rows:
        message: int | None = row[MESSAGE]
        if not is_valid[row[SHAPE]]:
            odd = day.odd.get((row[SOURCE], row[TICK]))
            message = None if odd is None else _first_valid(odd)
            if message is None:
                continue
        assert message is not None
        slot = (row[TICK] + row[OFFSET] - shifts[row[SOURCE]]) // interval_ms
        if slot not in found or message < found[slot]:
            found[slot] = message
    return found


def expected_slots(
    spans: Iterable[tuple[int, int | None]], *, day_from_ms: int, interval_ms: int, known_at_ms: int
) -> set[int]:
    """Return the intervals that should be there.

    Args:
        spans: From when until when the meter was assigned.
        day_from_ms: The day's beginning.
        interval_ms: Length of the intervals.
        known_at_ms: When this is asked.
    """
    count = max(1, DAY_MS // interval_ms)
    settled_ms = known_at_ms - interval_ms
    found: set[int] = set()
    for from_ms, until_ms in spans:
        end_ms = settled_ms if until_ms is None else min(until_ms, settled_ms)
        first = max(0, -((day_from_ms - from_ms) // interval_ms))
        found.update(range(first, min(count, (end_ms - day_from_ms) // interval_ms)))
    return found


@dataclass(slots=True)
class GatewayDay:
    """A day of the meters of a gateway."""

    expected_count: int = 0
    meters_count: int = 0
    meters_due_count: int = 0
    """Those of which anything was expected."""
    intervals: Counter[int] = field(default_factory=Counter)
    """How many intervals each message stated first."""
    meters: Counter[int] = field(default_factory=Counter)
    """Of how many meters each message stated anything first."""

    def add(self, expected: set[int], day: Firsts, following: Firsts, *, last_slot: int) -> None:
        """Add a meter.

        Args:
            expected: The intervals that should be there.
            day: What the stored day says.
            following: What the stored day after it says.
            last_slot: The day's last interval, of which the day after may say something, too.
        """
        self.meters_count += 1
        if not expected:
            return
        self.meters_due_count += 1
        self.expected_count += len(expected)
        firsts = [message for slot, message in day.items() if slot in expected]
        if BEFORE in following and last_slot in expected:
            if last_slot in day:
                firsts.remove(day[last_slot])
            firsts.append(min(following[BEFORE], day.get(last_slot, following[BEFORE])))
        if firsts:
            self.intervals.update(firsts)
            self.meters[min(firsts)] += 1

    def messages(self) -> set[int]:
        """Return the messages whose arrival is to be known."""
        return set(self.intervals)

    def collected_count(self, arrived_ms: Mapping[int, int], *, by_ms: int) -> int:
        """Return how many intervals were there at an instant."""
        return _known(self.intervals, arrived_ms, by_ms)

    def meters_there_count(self, arrived_ms: Mapping[int, int], *, by_ms: int) -> int:
        """Return of how many meters anything was there at an instant."""
        return _known(self.meters, arrived_ms, by_ms)


def _known(counts: Counter[int], arrived_ms: Mapping[int, int], by_ms: int) -> int:
    return sum(count for message, count in counts.items() if message in arrived_ms and arrived_ms[message] <= by_ms)


def _first_valid(odd: OddRow) -> int | None:
    """Return the first message that stated a valid value of a row, or None."""
    valid = 0
    for index, facts in enumerate(odd.facts):
        there = [fact for fact in facts if not fact.missing]
        if len(there) == 1 and there[0].quality == VALID:
            valid |= 1 << index
    return min((message for message, bits in odd.messages.items() if bits & valid), default=None)
