"""What a message says of meters, and where in time and whose it is: placed, waiting for a clock, or refused.

A row is placed if the clock of its boot is known and the gateway was assigned to the meter then. Decides nothing
about where rows are kept; the feeder of monitoring places the same rows by the same rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cloud.meterdata.core.meter_day import VALID, ChannelKey, Row, Source
from cloud.meterdata.core.utc import Anchor, Timeline, is_plausible
from wire.errors import Reason
from wire.facts import ClockFact, Event, Health, LineHealth, MeterEvent, Receipt, UpFact
from wire.readings import Profile, Readings, captured, to_table

_UTC = Timeline([Anchor(tick_ms=0, error_ms=0, utc_ms=0, synced=True)])
"""The clock of ticks that are UTC already."""
IMPLAUSIBLE_TIME = "implausible-time"
"""Why a row is refused whose UTC would lie outside the years this system can have seen."""


class BlockRow(NamedTuple):
    """A row of a block: values and quality codes in the order of the block's channels."""

    meter: str
    tick_ms: int
    """By the clock of the block."""
    values: tuple[int, ...]
    qualities: tuple[str, ...]


class Block(NamedTuple):
    """Rows of the same channels, in columns."""

    boot: bytes
    """Of the gateway that stamped them; for what meters stamped by themselves, `meter_clock` of the profile."""
    channels: tuple[ChannelKey, ...]
    """Ascending, each once."""
    meters: Sequence[str]
    """Whose each row is."""
    ticks_ms: Sequence[int]
    """When each row was, by the clock of the block."""
    columns: Sequence[Sequence[int]]
    """For each channel the value of every row."""
    flagged: Mapping[int, tuple[str, ...]]
    """The quality codes, in the order of the channels, of each row that is not plainly valid, by its index."""
    by_meter: bool = False
    """Meters stamped the rows: ticks are UTC, and who reported them is no part of the fact."""

    def rows(self) -> Iterable[BlockRow]:
        """Return the rows one by one."""
        plain = (VALID,) * len(self.channels)
        stamped = zip(self.meters, self.ticks_ms, zip(*self.columns, strict=True), strict=True)
        if not self.flagged:
            return (BlockRow(*row, plain) for row in stamped)
        return (BlockRow(*row, self.flagged.get(index, plain)) for index, row in enumerate(stamped))


Stamped = Event | MeterEvent | Receipt | Health | LineHealth


def meter_of(fact: Stamped) -> str:
    """Return the meter that a fact is about; empty for none."""
    return "" if isinstance(fact, LineHealth) else fact.meter


def meter_clock(profile: bytes) -> bytes:
    """Return what stands for a boot where meters stamped the rows of a profile."""
    return bytes(2) + profile


@dataclass(frozen=True, slots=True)
class Stated:
    """What a message says, as far as meter data and monitoring care."""

    anchors: Mapping[bytes, list[Anchor]]
    """By boot."""
    blocks: list[Block]
    stamped: list[Stamped]
    """Events, receipts, health: what else carries a tick."""
    profiles_read: list[tuple[bytes, int]] = field(default_factory=list)
    """Boot and tick at which profiles had been read."""

    def spans(self) -> dict[bytes, tuple[int, int]]:
        """Return for each boot the least and the greatest tick that anything is stamped with."""
        found: dict[bytes, tuple[int, int]] = {}
        for boot, ticks in self._ticks():
            low, high = found.get(boot, (ticks[0], ticks[0]))
            found[boot] = (min(low, *ticks), max(high, *ticks))
        return found

    def meters(self) -> set[str]:
        """Return the meters that anything is said of."""
        spoken_of = {meter for fact in self.stamped if (meter := meter_of(fact))}
        return spoken_of.union(*(block.meters for block in self.blocks))

    def _ticks(self) -> Iterable[tuple[bytes, Sequence[int]]]:
        for block in self.blocks:
            if not block.by_meter:
                yield block.boot, block.ticks_ms
        for boot, tick_ms in (*((fact.boot, fact.tick_ms) for fact in self.stamped), *self.profiles_read):
            yield boot, [tick_ms]


class Tenure(NamedTuple):
    """From when until when a gateway may report a meter."""

    from_ms: int
    until_ms: int | None
    gateway: str


class PlacedRow(NamedTuple):
    """A row that counts."""

    meter: str
    utc_ms: int
    row: Row


class RefusedRow(NamedTuple):
    """A row that does not count, and why."""

    meter: str
    utc_ms: int
    source: Source
    tick_ms: int
    reason: str


@dataclass(slots=True)
class Placement:
    """What became of the rows of a message."""

    placed: list[PlacedRow] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    waiting: set[bytes] = field(default_factory=set)
    """Boots whose clock is not known yet."""


def stated_in(facts: Iterable[UpFact]) -> Stated:
    """Return what the facts of a message say.

    Raises:
        WireError: A block of readings is not one.
    """
    anchors: dict[bytes, list[Anchor]] = {}
    blocks: list[Block] = []
    stamped: list[Stamped] = []
    profiles_read: list[tuple[bytes, int]] = []
    for fact in facts:
        match fact:
            case ClockFact():
                anchors.setdefault(fact.boot, []).append(Anchor.of(fact))
            case Readings():
                blocks.extend(_blocks_of(fact))
            case Profile():
                blocks.extend(_blocks_of_profile(fact))
                profiles_read.append((fact.boot, fact.tick_ms))
            case Event() | MeterEvent() | Receipt() | Health() | LineHealth():
                stamped.append(fact)
            case _:
                pass
    return Stated(anchors, blocks, stamped, profiles_read)


def place(
    stated: Stated,
    *,
    gateway: str,
    message: int,
    timelines: Mapping[bytes, Timeline],
    tenures: Mapping[str, Sequence[Tenure]],
) -> Placement:
    """Place the rows of a message.

    Args:
        stated: What it says.
        gateway: Who says it.
        message: Its id.
        timelines: By boot; one that is missing is not known yet.
        tenures: By meter.
    """
    placement = Placement()
    nowhere = Timeline()
    for block in stated.blocks:
        timeline = _UTC if block.by_meter else timelines.get(block.boot, nowhere)
        source = Source("" if block.by_meter else gateway, block.boot)
        for row in block.rows():
            moment = timeline.at(row.tick_ms)
            if moment is None:
                placement.waiting.add(block.boot)
                continue
            utc_ms = row.tick_ms + moment.offset_ms
            reason = _objection(tenures.get(row.meter, ()), gateway=gateway, utc_ms=utc_ms, from_history=block.by_meter)
            if reason is not None:
                placement.refused.append(RefusedRow(row.meter, utc_ms, source, row.tick_ms, reason))
                continue
            placed = Row(source, row.tick_ms, *moment, message, block.channels, row.values, row.qualities)
            placement.placed.append(PlacedRow(row.meter, utc_ms, placed))
    return placement


def instants(
    block: Block, *, gateway: str, timeline: Timeline, tenures: Mapping[str, Sequence[Tenure]]
) -> list[int | None]:
    """Return when each row of a block was, UTC in milliseconds; None where `place` would not place it.

    Args:
        block: Of a message.
        gateway: Whose message it is.
        timeline: The clock of the block's boot.
        tenures: By meter.
    """
    stamps = _utc_of(block, timeline)
    if stamps is None:
        return [None] * len(block.ticks_ms)
    rows = zip(block.meters, stamps, strict=True)
    by_meter = block.by_meter
    return [
        utc_ms
        if is_plausible(utc_ms) and may_report(tenures.get(meter, ()), gateway, utc_ms, from_history=by_meter)
        else None
        for meter, utc_ms in rows
    ]


def may_report(tenures: Sequence[Tenure], gateway: str, utc_ms: int, *, from_history: bool) -> bool:
    """Tell whether a gateway may report of a meter at an instant.

    Args:
        tenures: Of the meter.
        gateway: Who reports.
        utc_ms: The instant.
        from_history: Whether the meter recorded it itself, which may be read by a gateway that was given it later.
    """
    for tenure in tenures:
        begun = from_history or tenure.from_ms <= utc_ms
        ended = tenure.until_ms is not None and utc_ms >= tenure.until_ms
        if tenure.gateway == gateway and begun and not ended:
            return True
    return False


def _utc_of(block: Block, timeline: Timeline) -> list[int] | None:
    """Return the UTC of each row; None while nothing is known of the clock."""
    clock = _UTC if block.by_meter else timeline
    first, last = clock.at(min(block.ticks_ms)), clock.at(max(block.ticks_ms))
    if first is None:
        return None
    if first is last:
        # No other anchor lies between: one moment holds for all.
        return [tick_ms + first.offset_ms for tick_ms in block.ticks_ms]
    return [tick_ms + (clock.at(tick_ms) or first).offset_ms for tick_ms in block.ticks_ms]


def _objection(tenures: Sequence[Tenure], *, gateway: str, utc_ms: int, from_history: bool) -> str | None:
    """Say why a row does not count."""
    if not is_plausible(utc_ms):
        return IMPLAUSIBLE_TIME
    return None if may_report(tenures, gateway, utc_ms, from_history=from_history) else str(Reason.NOT_ASSIGNED)


def _blocks_of(block: Readings) -> Iterable[Block]:
    table = to_table(block)
    meters = [block.meters[index] for index in table.meter_index]
    for channels, columns, flagged in _layered(block, table.columns):
        yield Block(block.boot, channels, meters, table.ticks_ms, columns, flagged)


def _blocks_of_profile(profile: Profile) -> Iterable[Block]:
    captured_s, columns = captured(profile)
    meters, ticks_ms = [profile.meter] * len(captured_s), [instant_s * 1_000 for instant_s in captured_s]
    for channels, layer, flagged in _layered(profile, columns):
        yield Block(meter_clock(profile.profile), channels, meters, ticks_ms, layer, flagged, by_meter=True)


def _layered(
    block: Readings | Profile, columns: Sequence[Sequence[int]]
) -> Iterable[tuple[tuple[ChannelKey, ...], Sequence[Sequence[int]], dict[int, tuple[str, ...]]]]:
    """Return channels in order with their columns and codes; several times where a block holds a channel repeatedly."""
    codes = {(item.row, item.column): item.quality for item in block.exceptions}
    rows = sorted({row for row, _ in codes})
    for order in _layers([ChannelKey(*_parts(block, at)) for at in range(len(columns))]):
        of_rows = {row: tuple(codes.get((row, at), VALID) for _, at in order) for row in rows}
        flagged = {row: of_row for row, of_row in of_rows.items() if any(of_row)}
        yield tuple(channel for channel, _ in order), [columns[at] for _, at in order], flagged


def _parts(block: Readings | Profile, at: int) -> tuple[bytes, int, int]:
    channel = block.columns[at].channel
    return channel.obis, channel.scaler, channel.unit


def _layers(channels: Sequence[ChannelKey]) -> list[list[tuple[ChannelKey, int]]]:
    """Return the columns sorted by channel, in as many layers as the most repeated channel needs."""
    layers: list[dict[ChannelKey, int]] = []
    for at, channel in enumerate(channels):
        for layer in layers:
            if channel not in layer:
                layer[channel] = at
                break
        else:
            layers.append({channel: at})
    return [sorted(layer.items()) for layer in layers]
