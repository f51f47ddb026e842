"""Rows of profiles as they come from a meter, turned into values of channels.

Decides what can be kept of a column: numbers in their scaler, bits as numbers, instants as Unix seconds (unit 7). The
rest, such as text, is left out. Nothing is asked of the meter here.
"""

from collections.abc import Callable, Sequence
from math import isfinite

import msgspec

from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import BitString
from dlms.cosem.profile_rows import CaptureObject, Cell, Row
from dlms.cosem.units import NO_UNIT
from gateway.adapters.dlms.times import MeterTime
from gateway.core.acquisition import LogEntry
from wire.facts import ReadValue
from wire.limits import VALUE_MAX
from wire.readings import CAPTURED_S_MAX, CapturedRow, Channel

UNIT_SECOND = 7
FLOAT_DIGITS = 3
"""Decimal places that are kept of a float."""
SCALER_MAX = 12

_DATE_TIME_BYTES = 12
_BILLING_DATE = bytes((0, 0, 0, 1, 2, 255))


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One column of a profile, as the meter says."""

    class_id: int
    name: bytes
    attribute: int
    data_index: int = 0
    scaler: int = 0
    unit: int = NO_UNIT

    @property
    def capture(self) -> CaptureObject:
        return CaptureObject(self.class_id, self.name, self.attribute, self.data_index)


def time_column(columns: Sequence[CaptureObject | Column]) -> int | None:
    """Return which column says when a row was captured."""
    captures = [column.capture if isinstance(column, Column) else column for column in columns]
    for is_it in (_is_clock, _is_billing_date, _is_time):
        found = next((index for index, column in enumerate(captures) if is_it(column)), None)
        if found is not None:
            return found
    return None


def _is_clock(column: CaptureObject) -> bool:
    return column.is_clock


def _is_billing_date(column: CaptureObject) -> bool:
    return column.name == _BILLING_DATE


def _is_time(column: CaptureObject) -> bool:
    return column.is_time


def captured_rows(
    columns: Sequence[Column], rows: Sequence[Row], time: MeterTime
) -> tuple[tuple[Channel, ...], tuple[CapturedRow, ...]]:
    """Return rows as channels and values; a row without an instant is left out.

    Args:
        columns: Of every row; one of them is the time.
        rows: As the meter gave them.
        time: How it writes instants.
    """
    at = time_column(columns)
    if at is None or not rows:
        return (), ()
    stamped = [(captured_s, row) for row in rows if (captured_s := _instant_s(time, row[at])) is not None]
    channels, values = _kept(columns, [row for _, row in stamped], at, time)
    by_row = zip(*values, strict=True) if values else ((),) * len(stamped)
    return channels, tuple(CapturedRow(captured_s, row) for (captured_s, _), row in zip(stamped, by_row, strict=True))


def log_entries(
    columns: Sequence[Column], rows: Sequence[Row], time: MeterTime, *, code: bytes
) -> tuple[LogEntry, ...]:
    """Return the entries of an event log; a row without a code is left out.

    Args:
        columns: Of every row.
        rows: As the meter gave them.
        time: How it writes instants.
        code: Logical name of the column with the event code.
    """
    at = time_column(columns)
    code_at = next((index for index, column in enumerate(columns) if column.name == code), None)
    if code_at is None:
        return ()
    rows = [row for row in rows if _number(row[code_at]) is not None]
    measured = [column for index, column in enumerate(columns) if index != code_at]
    cells = [tuple(cell for index, cell in enumerate(row) if index != code_at) for row in rows]
    time_at = None if at is None else at - (code_at < at)
    channels, values = _kept(measured, cells, time_at, time)
    by_row: Sequence[Sequence[int | None]] = list(zip(*values, strict=True)) if values else [()] * len(rows)
    return tuple(
        LogEntry(
            (_instant_s(time, row[at]) if at is not None else None) or 0,
            _number(row[code_at]) or 0,
            tuple(
                ReadValue(channel.obis, channel.scaler, channel.unit, value)
                for channel, value in zip(channels, found, strict=True)
            ),
        )
        for row, found in zip(rows, by_row, strict=True)
    )


def _instant_s(time: MeterTime, cell: Cell) -> int | None:
    captured_s = time.seconds(cell)
    return captured_s if captured_s is not None and 0 <= captured_s <= CAPTURED_S_MAX else None


def _kept(
    columns: Sequence[Column], rows: Sequence[Row], at: int | None, time: MeterTime
) -> tuple[tuple[Channel, ...], list[list[int | None]]]:
    """Return the channels that can be kept, and the values of each; the same channel twice is kept once."""
    kept: dict[Channel, list[int | None]] = {}
    for index, column in enumerate(columns):
        if index == at:
            continue
        found = channel_values(column, [row[index] for row in rows], time)
        if found is not None and not any(_is_same(found[0], channel) for channel in kept):
            kept[found[0]] = found[1]
    return tuple(kept), list(kept.values())


def _is_same(one: Channel, other: Channel) -> bool:
    return (one.obis, one.unit) == (other.obis, other.unit)


def channel_values(column: Column, cells: Sequence[Cell], time: MeterTime) -> tuple[Channel, list[int | None]] | None:
    """Return the cells of one column as values of a channel; None where nothing of it is a number."""
    present = [cell for cell in cells if cell is not None]
    if any(_is_moment(cell) for cell in present):
        return Channel(column.name, 0, UNIT_SECOND), [_in_range(time.seconds(cell)) for cell in cells]
    turn: Callable[[Cell], int | None] = _number
    scaler = column.scaler
    if any(isinstance(cell, float) for cell in present):
        turn, scaler = _fixed_point, scaler - FLOAT_DIGITS
    values = [_in_range(turn(cell)) for cell in cells]
    if abs(scaler) > SCALER_MAX or (present and all(value is None for value in values)):
        return None
    return Channel(column.name, scaler, column.unit if 1 <= column.unit <= NO_UNIT else NO_UNIT), values


def _is_moment(cell: Cell) -> bool:
    return isinstance(cell, CosemDateTime) or (isinstance(cell, bytes) and len(cell) == _DATE_TIME_BYTES)


def _number(cell: Cell) -> int | None:
    if isinstance(cell, int | BitString):
        return int(cell)
    return None


def _fixed_point(cell: Cell) -> int | None:
    if isinstance(cell, float):
        shifted = cell * 10**FLOAT_DIGITS
        return round(shifted) if isfinite(shifted) else None
    number = _number(cell)
    return None if number is None else number * 10**FLOAT_DIGITS


def _in_range(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= VALUE_MAX else None
