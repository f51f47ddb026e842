"""Readings as columns: one block holds many rows of the same channels, as differences, so that small steps are short.

A row is one meter at one instant. Rows are sorted by meter and time, which serves both shapes there are: the profile
(one meter, many times) and the snapshot (many meters, one time). A channel is a COSEM logical name with scaler and
unit; its column holds integers, `value * 10**scaler` in `unit` (IEC 62056-6-2 clause 4.3.2).
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from wire import limits
from wire.errors import LimitExceededError, MalformedError

BootId = Annotated[bytes, Meta(min_length=8, max_length=8)]
TickMs = Annotated[int, Meta(ge=0, le=limits.TICK_MS_MAX)]
MeterId = Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX, pattern=r"^[A-Za-z0-9-]+\Z")]
Obis = Annotated[bytes, Meta(min_length=6, max_length=6)]
Scaler = Annotated[int, Meta(ge=-12, le=12)]
Unit = Annotated[int, Meta(ge=1, le=255)]
Value = Annotated[int, Meta(ge=-limits.VALUE_MAX, le=limits.VALUE_MAX)]
Delta = Annotated[int, Meta(ge=-2 * limits.VALUE_MAX, le=2 * limits.VALUE_MAX)]
"""Between two values."""
Quality = Annotated[str, Meta(min_length=3, max_length=11, pattern=r"^[0-9]{1,2}\.[0-9]{1,3}\.[0-9]{1,4}\Z")]

QUALITY_MISSING = "2.5.259"
"""IEC 61968-9: known missing read, said by the data collection system."""
QUALITY_SUSPECT = "2.5.258"
"""IEC 61968-9: out of the range that the meter's profile allows, kept as read."""


CAPTURED_S_MAX = limits.TIME_MS_MAX // 1000
"""Unix seconds of what a meter captured; the least is 0, since a meter's clock may never have been set."""


class Channel(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a column holds: logical name, scaler and unit (IEC 62056-6-2 table 4)."""

    obis: Obis
    scaler: Scaler
    unit: Unit


class Column(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One channel of all rows, each value as the difference to the row before."""

    channel: Channel
    deltas: Annotated[list[Delta], Meta(min_length=1, max_length=limits.ROWS_PER_BLOCK_MAX)]


class Exceptional(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A value that is not plainly valid: its row, its column, and why (IEC 61968-9 quality code)."""

    row: Annotated[int, Meta(ge=0, lt=limits.ROWS_PER_BLOCK_MAX)]
    column: Annotated[int, Meta(ge=0, lt=limits.CHANNELS_PER_BLOCK_MAX)]
    quality: Quality


class Readings(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="readings", kw_only=True):
    """A block of readings that the gateway stamped with its own clock."""

    boot: BootId
    meters: Annotated[list[MeterId], Meta(min_length=1, max_length=limits.METERS_PER_GATEWAY_MAX)]
    meter_deltas: Annotated[list[int], Meta(min_length=1, max_length=limits.ROWS_PER_BLOCK_MAX)]
    """Index into `meters`, row by row, as differences; the first row is index 0 plus its difference."""
    tick_deltas: Annotated[list[int], Meta(min_length=1, max_length=limits.ROWS_PER_BLOCK_MAX)]
    """Monotonic milliseconds since boot, row by row, as differences."""
    columns: Annotated[list[Column], Meta(min_length=1, max_length=limits.CHANNELS_PER_BLOCK_MAX)]
    exceptions: Annotated[list[Exceptional], Meta(max_length=limits.ROWS_PER_BLOCK_MAX)]


class Profile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="profile", kw_only=True):
    """Rows that a meter captured and stamped with its own clock, as they stand in one of its profiles.

    The meter vouches for the instants: whoever reads them, and how often, they are the same facts.
    """

    meter: MeterId
    serial: Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX)]
    """What the meter says its serial number is; empty where it does not say."""
    profile: Obis
    """Logical name of the profile (IEC 62056-6-2 clause 4.3.6)."""
    boot: BootId
    tick_ms: TickMs
    """When the gateway had read them."""
    captured_deltas: Annotated[list[int], Meta(min_length=1, max_length=limits.ROWS_PER_BLOCK_MAX)]
    """Unix seconds by the meter's clock, UTC, row by row, as differences."""
    columns: Annotated[list[Column], Meta(min_length=1, max_length=limits.CHANNELS_PER_BLOCK_MAX)]
    exceptions: Annotated[list[Exceptional], Meta(max_length=limits.ROWS_PER_BLOCK_MAX)]


class CapturedRow(NamedTuple):
    """One row of a profile, before it is put in columns: a value or None for each channel."""

    captured_s: int
    """Unix seconds by the meter's clock, UTC."""
    values: Sequence[int | None]
    qualities: Sequence[tuple[int, str]] = ()
    """Column and code of each value that was read but is not plainly valid."""


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One meter at one instant, before it is put in columns: a value or None for each channel."""

    meter: MeterId
    tick_ms: TickMs
    values: list[Value | None]
    qualities: list[tuple[int, Quality]] = []
    """Column and code of each value that was read but is not plainly valid."""


def to_block(boot: bytes, channels: Sequence[Channel], rows: Iterable[Row]) -> Readings:
    """Return rows of the same channels as one block.

    Args:
        boot: The boot whose clock stamped all rows.
        channels: One for each value of every row.
        rows: Any order, 1 to `ROWS_PER_BLOCK_MAX`.

    Raises:
        LimitExceededError: More values or more exceptions than a block may hold; fewer rows will fit.
    """
    ordered = sorted(rows, key=lambda row: (row.meter, row.tick_ms))
    meters = sorted({row.meter for row in ordered})
    position = {meter: index for index, meter in enumerate(meters)}
    columns, exceptions = _columns(channels, ordered)
    return Readings(
        boot=boot,
        meters=meters,
        meter_deltas=_differences([position[row.meter] for row in ordered]),
        tick_deltas=_differences([row.tick_ms for row in ordered]),
        columns=columns,
        exceptions=exceptions,
    )


def to_profile(  # the fields of the fact, one by one
    rows: Iterable[CapturedRow],
    *,
    meter: str,
    serial: str,
    profile: bytes,
    channels: Sequence[Channel],
    boot: bytes,
    tick_ms: int,
) -> Profile:
    """Return rows that a meter captured as one fact.

    Args:
        rows: Any order, 1 to `ROWS_PER_BLOCK_MAX`, each instant once.
        meter: Whose they are.
        serial: Of the instrument, as it says.
        profile: Which of its profiles they stand in.
        channels: One for each value of every row.
        boot: Of the gateway that read them.
        tick_ms: When it had read them.

    Raises:
        LimitExceededError: More values or more exceptions than a block may hold; fewer rows will fit.
    """
    ordered = sorted(rows, key=lambda row: row.captured_s)
    columns, exceptions = _columns(channels, ordered)
    return Profile(
        meter=meter,
        serial=serial,
        profile=profile,
        boot=boot,
        tick_ms=tick_ms,
        captured_deltas=_differences([row.captured_s for row in ordered]),
        columns=columns,
        exceptions=exceptions,
    )


def _columns(
    channels: Sequence[Channel], ordered: Sequence[Row | CapturedRow]
) -> tuple[list[Column], list[Exceptional]]:
    exceptions: list[Exceptional] = []
    columns: list[Column] = []
    for index, channel in enumerate(channels):
        values: list[int] = []
        last = 0
        for row_index, row in enumerate(ordered):
            value = row.values[index]
            if value is None:
                exceptions.append(Exceptional(row_index, index, QUALITY_MISSING))
            else:
                last = value
            values.append(last)
        columns.append(Column(channel, _differences(values)))
    exceptions.extend(
        Exceptional(row_index, column, quality)
        for row_index, row in enumerate(ordered)
        for column, quality in row.qualities
    )
    if len(exceptions) > limits.ROWS_PER_BLOCK_MAX or len(ordered) * len(columns) > limits.VALUES_PER_BLOCK_MAX:
        raise LimitExceededError(f"{len(ordered)} rows of {len(columns)} channels, {len(exceptions)} exceptions")
    return columns, exceptions


class Table(msgspec.Struct, frozen=True):
    """A block with its columns summed up again: what a reader works with."""

    meter_index: list[int]
    ticks_ms: list[int]
    columns: list[list[int]]
    """For each channel the value of every row; where an exception says missing, the number there means nothing."""


def to_table(block: Readings) -> Table:
    """Return a block's rows with every bound checked that its types cannot state.

    Raises:
        MalformedError: Columns of unequal length, an index or tick out of range, an exception beyond the block.
        LimitExceededError: More values than `VALUES_PER_BLOCK_MAX`.
    """
    count = len(block.tick_deltas)
    if len(block.meter_deltas) != count:
        raise MalformedError("columns of one block differ in length")
    meter_index = list(accumulate(block.meter_deltas))
    ticks_ms = list(accumulate(block.tick_deltas))
    if min(meter_index) < 0 or max(meter_index) >= len(block.meters):
        raise MalformedError("a row names a meter beyond the list")
    if min(ticks_ms) < 0 or max(ticks_ms) > limits.TICK_MS_MAX:
        raise MalformedError("a tick is out of range")
    return Table(meter_index, ticks_ms, _summed(block, count))


def captured(profile: Profile) -> tuple[list[int], list[list[int]]]:
    """Return the instants of a profile's rows in Unix seconds, and for each channel the value of every row.

    Raises:
        MalformedError: As `to_table`; also instants that do not ascend or are none.
        LimitExceededError: As `to_table`.
    """
    captured_s = list(accumulate(profile.captured_deltas))
    if captured_s[0] < 0 or captured_s[-1] > CAPTURED_S_MAX or min(profile.captured_deltas[1:], default=1) < 1:
        raise MalformedError("the instants of a profile do not ascend")
    return captured_s, _summed(profile, len(captured_s))


def _summed(block: Readings | Profile, count: int) -> list[list[int]]:
    """Return the columns of a block with `count` rows summed up."""
    if count * len(block.columns) > limits.VALUES_PER_BLOCK_MAX:
        raise LimitExceededError(f"{count} rows of {len(block.columns)} channels")
    if any(len(column.deltas) != count for column in block.columns):
        raise MalformedError("columns of one block differ in length")
    columns = [list(accumulate(column.deltas)) for column in block.columns]
    for values in columns:
        if max(values) > limits.VALUE_MAX or min(values) < -limits.VALUE_MAX:
            raise MalformedError("a value is out of range")
    for exception in block.exceptions:
        if exception.row >= count or exception.column >= len(columns):
            raise MalformedError("an exception names a value beyond the block")
    return columns


def to_rows(block: Readings) -> list[Row]:
    """Return a block as rows, missing values as None: the inverse of `to_block`.

    Raises:
        WireError: As `to_table`.
    """
    table = to_table(block)
    missing = {(item.row, item.column) for item in block.exceptions if item.quality == QUALITY_MISSING}
    flagged: dict[int, list[tuple[int, str]]] = {}
    for item in block.exceptions:
        if item.quality != QUALITY_MISSING:
            flagged.setdefault(item.row, []).append((item.column, item.quality))
    by_row = zip(*table.columns, strict=True)
    return [
        Row(
            block.meters[meter],
            tick_ms,
            [None if (index, column) in missing else value for column, value in enumerate(values)]
            if missing
            else list(values),
            flagged.get(index, []),
        )
        for index, (meter, tick_ms, values) in enumerate(zip(table.meter_index, table.ticks_ms, by_row, strict=True))
    ]


def _differences(values: Sequence[int]) -> list[int]:
    return [values[0], *(after - before for before, after in pairwise(values))]
