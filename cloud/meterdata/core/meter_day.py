"""What one meter reported of one UTC day: a set of statements, in one compressed row.

A value is identified by gateway, boot, tick and channel (logical name, scaler, unit). Merging is the union of sets: the
same value under the same key is kept once, with the messages that stated it; other values under that key are kept too
and the value is flagged as in conflict. Which of them counts does not depend on who came first: a plainly valid one
before one with a quality code before one that says the value is missing, then the smallest. At most
`FACTS_PER_VALUE_MAX` facts of a value and `MESSAGES_PER_ROW_MAX` messages of a row are kept, the least ones, so that a
gateway gone wild fills no disk; that, too, is independent of order. UTC is no part of a fact: a row lies where the
caller last derived it to be. How a day is written down is decided in `day_body`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wire.readings import QUALITY_MISSING

FACTS_PER_VALUE_MAX = 16
MESSAGES_PER_ROW_MAX = 16

VALID = ""
"""The quality of a value that nothing is said against."""


class ChannelKey(NamedTuple):
    """Logical name, scaler and unit (IEC 62056-6-2): values of different ones are never the same quantity."""

    obis: bytes
    scaler: int
    unit: int


class Source(NamedTuple):
    """Whose ticks a row counts by: a gateway in one boot, or a meter by its own clock, in UTC."""

    gateway: str
    """Empty for a meter's own clock: who read it is no part of the fact."""
    boot: bytes
    """For a meter's own clock what stands for it, by profile (`placing.meter_clock`)."""

    @property
    def by_meter(self) -> bool:
        return not self.gateway


class Fact(NamedTuple):
    """A value that was stated; the least one counts."""

    rank: int
    value: int
    """Means nothing where the value is missing."""
    quality: str

    @classmethod
    def of(cls, value: int, quality: str) -> "Fact":
        """Return a stated value with its quality code, empty for valid."""
        if quality == QUALITY_MISSING:
            return cls(2, 0, quality)
        return cls(1 if quality else 0, value, quality)

    @property
    def missing(self) -> bool:
        return self.rank == 2


class Row(NamedTuple):
    """What one message states of one meter at one tick."""

    source: Source
    tick_ms: int
    offset_ms: int
    """UTC less tick."""
    estimated: bool
    message: int
    channels: tuple[ChannelKey, ...]
    """Ascending, each once."""
    values: tuple[int, ...]
    qualities: tuple[str, ...]
    """One of each value: a quality code, or `VALID`."""


class Reading(NamedTuple):
    """A value of a day, as it counts."""

    utc_ms: int
    estimated: bool
    source: Source
    tick_ms: int
    channel: ChannelKey
    value: int | None
    quality: str
    others: tuple[Fact, ...]
    """What else was stated under this key and does not count; not empty means conflict."""
    messages: tuple[int, ...]
    """The ids of the messages that stated something under this key."""


@dataclass(slots=True)
class Counts:
    """How many values there are, and how often something was said that was not new."""

    values: int = 0
    """Keys under which there is a value."""
    missing: int = 0
    """Keys of which all that is said is that there is no value."""
    duplicates: int = 0
    """Statements that said what another message had said."""
    conflicts: int = 0
    """Keys with more than one value."""

    def add(self, other: "Counts") -> None:
        self.values += other.values
        self.missing += other.missing
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts


RowKey = tuple[int, int]
"""Index of the source, and tick."""
PlainRow = tuple[int, ...]
"""Source index, tick, offset, estimated, message, shape index, then a value for each channel of the day."""
SOURCE, TICK, OFFSET, ESTIMATED, MESSAGE, SHAPE, VALUES = range(7)
ODD_SHAPE = 0
"""The shape of a row that is not one plain statement; what it holds stands in `Day.odd`."""
Shape = tuple[str | None, ...]
"""For each channel of the day a quality code, `VALID`, or None where nothing is stated."""


@dataclass(slots=True)
class OddRow:
    """A row of which several messages spoke, or one said two things."""

    facts: list[tuple[Fact, ...]]
    """For each channel of the day what was stated, ascending."""
    messages: dict[int, int]
    """Message id to the channels it stated something of, as bits."""


@dataclass(slots=True)
class Day:
    """A day in memory. Rows are sorted by key; sources, channels and shapes are numbered in any order."""

    sources: list[Source] = field(default_factory=list)
    channels: tuple[ChannelKey, ...] = ()
    """Ascending."""
    shapes: list[Shape | None] = field(default_factory=lambda: [None])
    rows: list[PlainRow] = field(default_factory=list)
    odd: dict[RowKey, OddRow] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def put(self, row: Row) -> None:
        """Add what a message states; stating it again changes nothing but where in time it lies."""
        if row.channels != self.channels:
            self.widen(row.channels)
        values: tuple[int, ...] = row.values
        shape: Shape = row.qualities
        if row.channels != self.channels:
            values, shape = self._spread(row)
        plain = (
            self._source_index(row.source),
            row.tick_ms,
            row.offset_ms,
            int(row.estimated),
            row.message,
            self._shape_index(shape),
            *values,
        )
        self._unite(plain, None)

    def take(self, source: Source, tick_ms: int) -> "Day":
        """Remove the row of a key, and return it as a day of its own; empty if there was none."""
        taken = Day()
        if source not in self.sources:
            return taken
        key = (self.sources.index(source), tick_ms)
        at = bisect_left(self.rows, key)
        if at < len(self.rows) and self.rows[at][:2] == key:
            taken = Day(list(self.sources), self.channels, list(self.shapes), [self.rows.pop(at)])
            if key in self.odd:
                taken.odd[key] = self.odd.pop(key)
        return taken

    def disown(self, source: Source, tick_ms: int, message: int) -> None:
        """Take back what one message stated; what others stated of the same row stays, as it was united with it."""
        taken = self.take(source, tick_ms)
        for row in taken.rows:
            odd = taken.odd.get((row[SOURCE], row[TICK]))
            others = {} if odd is None else {other: bits for other, bits in odd.messages.items() if other != message}
            if odd is not None and others:
                united = OddRow(odd.facts, others)
                plain = self._as_plain(row, united)
                insort(self.rows, plain)
                if plain[SHAPE] == ODD_SHAPE:
                    self.odd[plain[SOURCE], plain[TICK]] = united

    def put_day(self, other: "Day", *, offset_ms: int, estimated: bool) -> None:
        """Add the rows of another day, all at this place in time."""
        self.widen(other.channels)
        other.widen(self.channels)
        for row in other.rows:
            moved = list(row)
            odd = other.odd.get((row[SOURCE], row[TICK]))
            moved[SOURCE] = self._source_index(other.sources[row[SOURCE]])
            moved[OFFSET], moved[ESTIMATED] = offset_ms, int(estimated)
            shape = other.shapes[row[SHAPE]]
            moved[SHAPE] = ODD_SHAPE if shape is None else self._shape_index(shape)
            self._unite(tuple(moved), odd)

    def readings(self) -> Iterator[Reading]:
        """Return what counts, by row and channel."""
        for row in self.rows:
            odd = self._odd_of(row)
            utc_ms = row[TICK] + row[OFFSET]
            for index, facts in enumerate(odd.facts):
                if facts:
                    first = facts[0]
                    yield Reading(
                        utc_ms,
                        bool(row[ESTIMATED]),
                        self.sources[row[SOURCE]],
                        row[TICK],
                        self.channels[index],
                        None if first.missing else first.value,
                        first.quality,
                        tuple(fact for fact in facts[1:] if not fact.missing),
                        tuple(sorted(message for message, bits in odd.messages.items() if bits >> index & 1)),
                    )

    def newest(self) -> dict[ChannelKey, Reading]:
        """Return for each channel the last reading that holds a value."""
        found: dict[ChannelKey, Reading] = {}
        for row in self._latest_first():
            if len(found) == len(self.channels):
                break
            key = (row[SOURCE], row[TICK])
            single = Day(self.sources, self.channels, self.shapes, [row])
            single.odd = {key: self.odd[key]} if key in self.odd else {}
            for reading in single.readings():
                if reading.value is not None:
                    found.setdefault(reading.channel, reading)
        return found

    def _latest_first(self) -> Iterable[PlainRow]:
        times = [row[TICK] + row[OFFSET] for row in self.rows]
        if len(self.sources) == 1 and times == sorted(times):
            return reversed(self.rows)
        return sorted(self.rows, key=lambda row: (row[TICK] + row[OFFSET], self.sources[row[SOURCE]]), reverse=True)

    def counts(self) -> Counts:
        """Return how much there is, for reconciliation."""
        counts = Counts()
        for row in self.rows:
            odd = self._odd_of(row)
            for index, facts in enumerate(odd.facts):
                stated = sum(bits >> index & 1 for bits in odd.messages.values())
                there = [fact for fact in facts if not fact.missing]
                counts.values += bool(there)
                counts.missing += bool(facts) and not there
                counts.conflicts += len(there) > 1
                counts.duplicates += max(0, stated - len(facts))
        return counts

    def _source_index(self, source: Source) -> int:
        try:
            return self.sources.index(source)
        except ValueError:
            self.sources.append(source)
            return len(self.sources) - 1

    def _shape_index(self, shape: Shape) -> int:
        try:
            return self.shapes.index(shape)
        except ValueError:
            self.shapes.append(shape)
            return len(self.shapes) - 1

    def widen(self, channels: Iterable[ChannelKey]) -> None:
        """Make room for channels."""
        wider = tuple(sorted({*self.channels, *channels}))
        if wider != self.channels:
            self.set_channels(wider)

    def set_channels(self, channels: tuple[ChannelKey, ...]) -> None:
        """Number the channels anew; those left out must hold nothing."""
        old = {channel: index for index, channel in enumerate(self.channels)}
        origin = [old.get(channel) for channel in channels]
        self.channels = channels
        self.shapes = [
            None if shape is None else tuple(None if at is None else shape[at] for at in origin)
            for shape in self.shapes
        ]
        self.rows = [(*row[:VALUES], *(0 if at is None else row[VALUES + at] for at in origin)) for row in self.rows]
        for odd in self.odd.values():
            odd.facts = [() if at is None else odd.facts[at] for at in origin]
            odd.messages = {
                message: sum(1 << index for index, at in enumerate(origin) if at is not None and bits >> at & 1)
                for message, bits in odd.messages.items()
            }

    def _spread(self, row: Row) -> tuple[tuple[int, ...], Shape]:
        stated = {channel: at for at, channel in enumerate(row.channels)}
        places = [stated.get(channel) for channel in self.channels]
        return (
            tuple(0 if at is None else row.values[at] for at in places),
            tuple(None if at is None else row.qualities[at] for at in places),
        )

    def _unite(self, plain: PlainRow, odd: OddRow | None) -> None:
        """Add a row in this day's own numbering, `odd` what it holds if it is an odd one."""
        key = (plain[SOURCE], plain[TICK])
        at = bisect_left(self.rows, key)
        if at == len(self.rows) or self.rows[at][:2] != key:
            self.rows.insert(at, plain)
            if odd is not None:
                self.odd[key] = odd
            return
        there = self.rows[at]
        if there[MESSAGE:] == plain[MESSAGE:] and odd is None and there[SHAPE] != ODD_SHAPE:
            self.rows[at] = plain
            return
        united = _united(self._odd_of(there), odd or self._odd_of(plain))
        self.odd.pop(key, None)
        self.rows[at] = self._as_plain(plain, united)
        if self.rows[at][SHAPE] == ODD_SHAPE:
            self.odd[key] = united

    def _odd_of(self, row: PlainRow) -> OddRow:
        shape = self.shapes[row[SHAPE]]
        if shape is None:
            return self.odd[row[SOURCE], row[TICK]]
        facts: list[tuple[Fact, ...]] = [
            () if quality is None else (Fact.of(value, quality),)
            for value, quality in zip(row[VALUES:], shape, strict=True)
        ]
        return OddRow(facts, {row[MESSAGE]: sum(1 << index for index, stated in enumerate(facts) if stated)})

    def _as_plain(self, row: PlainRow, odd: OddRow) -> PlainRow:
        """Return the row that holds `odd`, as a plain one if that says it all."""
        place = row[:MESSAGE]
        stated = sum(1 << index for index, facts in enumerate(odd.facts) if facts)
        if list(odd.messages.values()) == [stated] and all(len(facts) < 2 for facts in odd.facts):
            shape = tuple(facts[0].quality if facts else None for facts in odd.facts)
            values = (facts[0].value if facts else 0 for facts in odd.facts)
            return (*place, next(iter(odd.messages)), self._shape_index(shape), *values)
        return (*place, 0, ODD_SHAPE, *(0 for _ in self.channels))


def same_facts(one: Day, other: Day) -> bool:
    """Tell whether two days hold the same, places in time included."""
    return list(_sorted_readings(one)) == list(_sorted_readings(other))


def _sorted_readings(day: Day) -> Sequence[Reading]:
    return sorted(day.readings())


def _united(one: OddRow, other: OddRow) -> OddRow:
    messages = dict(one.messages)
    for message, bits in other.messages.items():
        messages[message] = messages.get(message, 0) | bits
    return OddRow(
        [
            ours if ours == theirs else tuple(sorted({*ours, *theirs})[:FACTS_PER_VALUE_MAX])
            for ours, theirs in zip(one.facts, other.facts, strict=True)
        ],
        dict(sorted(messages.items())[:MESSAGES_PER_ROW_MAX]),
    )
