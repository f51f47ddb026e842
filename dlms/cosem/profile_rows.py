"""Rows of a profile buffer: compressed columns filled, times as times; and rows of a server to bytes (BB 4.3.6.2).

A meter may leave out what follows from the row before: null-data stands for the same value again, in the column of the
clock for the time one capture period later, and a delta type for a difference. Here and nowhere else that is undone.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from dlms.axdr.data import Data, encode, of_value
from dlms.axdr.datetimes import DATE_TIME_BYTES, CosemDateTime
from dlms.axdr.length import encode_length
from dlms.axdr.tags import FORMATS, INTEGERS, Tag
from dlms.axdr.values import Delta, Value, decode_value
from dlms.errors import DecodeError

Cell: TypeAlias = Value | CosemDateTime
Row: TypeAlias = tuple[Cell, ...]

_CLOCK: Final = (8, 2)
_TIMES: Final = frozenset((_CLOCK, (4, 5), (5, 6), (5, 7)))
"""Attributes that are a date-time: of clock, extended register and demand register."""
_INCOMPLETE: Final = frozenset((type(None), Delta))


@dataclass(frozen=True, slots=True)
class CaptureObject:
    """One column of a profile: an attribute, or one element of it."""

    class_id: int
    name: bytes
    """Logical name, 6 bytes."""
    attribute: int
    data_index: int = 0
    """0 the whole attribute, else the element of its structure or array, from 1."""

    @property
    def is_clock(self) -> bool:
        """Say whether this is the time of a clock object, which advances by the capture period."""
        return (self.class_id, self.attribute) == _CLOCK

    @property
    def is_time(self) -> bool:
        """Say whether the Blue Book makes this a date-time."""
        return (self.class_id, self.attribute) in _TIMES


@dataclass(frozen=True, slots=True)
class RowCodec:
    """How the buffer of one profile is read and written."""

    columns: tuple[CaptureObject, ...] = ()
    """As they were captured or selected; empty where they are not known, so that nothing is filled."""
    capture_period_s: int = 0
    """Added for a clock that is left out; negative where the newest row comes first."""
    types: tuple[Tag, ...] = ()
    """Types to write numbers in, by column; empty for those of `dlms.axdr.data.of_value`."""
    fills: bool = True
    """False keeps null-data as None, for meters that mean "no value" by it."""

    def decode(self, data: bytes) -> tuple[Row, ...]:
        """Return the rows of A-XDR of a buffer.

        Raises:
            DecodeError: No array of structures, or of others than these columns.
        """
        rows = decode_value(data)
        if rows is None or rows == []:
            return ()
        if not isinstance(rows, list):
            raise DecodeError(f"a profile buffer is an array, not {type(rows).__name__}")
        structures = [row for row in rows if isinstance(row, tuple)]
        if len(structures) != len(rows):
            raise DecodeError("the rows of a profile are no structures")
        if not self.columns:
            return tuple(structures)
        if any(len(row) != len(self.columns) for row in structures):
            raise DecodeError(f"a profile of {len(self.columns)} columns has rows of another length")
        columns = zip(*structures, strict=True)
        return tuple(zip(*map(self._column, self.columns, columns), strict=True))

    def encode(self, rows: Iterable[Sequence[Cell | Data]]) -> bytes:
        """Return A-XDR of a buffer; times become octet-strings, `Data` is written as it is.

        Raises:
            ValueError: A cell does not fit its type.
        """
        encoded = [self._encode_row(row) for row in rows]
        return b"\x01" + encode_length(len(encoded)) + b"".join(encoded)

    def _column(self, column: CaptureObject, cells: tuple[Value, ...]) -> Sequence[Cell]:
        if self.fills and not _INCOMPLETE.isdisjoint(map(type, cells)):
            return self._filled(column, cells)
        return list(map(_moment, cells)) if column.is_time else cells

    def _filled(self, column: CaptureObject, cells: tuple[Value, ...]) -> list[Cell]:
        period_s = self.capture_period_s if column.is_clock else 0
        turn: Callable[[Value], Cell] = _moment if column.is_time else _same
        before: Cell = None
        filled = []
        for cell in cells:
            if cell is None:
                before = before.plus_seconds(period_s) if isinstance(before, CosemDateTime) and period_s else before
            elif isinstance(cell, Delta):
                if not isinstance(before, int):
                    raise DecodeError("a delta has no number before it")
                before = before + int(cell)
            else:
                before = turn(cell)
            filled.append(before)
        return filled

    def _encode_row(self, row: Sequence[Cell | Data]) -> bytes:
        if self.types and len(row) != len(self.types):
            raise ValueError(f"a row of {len(row)} cells for {len(self.types)} types")
        types: Sequence[Tag | None] = self.types or (None,) * len(row)
        return b"\x02" + encode_length(len(row)) + b"".join(map(_encode_cell, row, types))


def _same(cell: Value) -> Value:
    return cell


def _moment(cell: Value) -> Cell:
    """Return a date-time where it is one; some meters count seconds instead."""
    return CosemDateTime(cell) if type(cell) is bytes and len(cell) == DATE_TIME_BYTES else cell


def _encode_cell(cell: Cell | Data, tag: Tag | None) -> bytes:
    if isinstance(cell, CosemDateTime):
        return (b"\x19" if tag is Tag.DATE_TIME else b"\x09\x0c") + cell.encoded
    pack = _PACKERS.get(tag)
    if pack is not None and type(cell) is int:
        try:
            return pack(cell)
        except struct.error:
            raise ValueError(f"a number is too large or too small for {tag and tag.name}") from None
    if isinstance(cell, Data):
        return encode(cell)
    if cell is None or tag is None or isinstance(cell, (list, tuple)):
        return encode(of_value(cell))
    return encode(Data(tag, cell))


_PACKERS: Final[dict[Tag | None, Callable[[int], bytes]]] = {
    tag: partial(struct.Struct(f">B{FORMATS[tag]}").pack, tag) for tag in INTEGERS
}
