"""How a day is written down: columns of differences, as narrow as they can be, bytes of one weight together, zstd.

A body is one byte of version, then one zstd frame of: the length of the header (4 bytes, little-endian), the header
(MessagePack), and the columns one after the other. The same facts give the same bytes whatever order they were merged
in: sources, channels and shapes are sorted and those no row uses are left out. The columns are those of
`meter_day.PlainRow`; where a row states nothing of a channel, the column repeats the value before. A column of width 0
is constant; width 9 holds plain 64-bit values because a difference would not fit.
"""

import operator
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec
import zstandard

from cloud.meterdata.core.meter_day import (
    ODD_SHAPE,
    SHAPE,
    SOURCE,
    TICK,
    VALUES,
    ChannelKey,
    Day,
    Fact,
    OddRow,
    PlainRow,
    Shape,
    Source,
)
from wire.readings import QUALITY_MISSING

VERSION: Final = 1
LEVEL: Final = 1
_LENGTH_BYTES: Final = 4
_TYPE_OF_WIDTH: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
_CONSTANT: Final = 0
_ABSOLUTE: Final = 9


class _Odd(msgspec.Struct, array_like=True, frozen=True):
    source: int
    tick_ms: int
    facts: list[tuple[Fact, ...]]
    messages: list[tuple[int, bytes]]


class _Header(msgspec.Struct, array_like=True, frozen=True):
    row_count: int
    sources: list[Source]
    channels: tuple[ChannelKey, ...]
    shapes: list[Shape]
    odd: list[_Odd]
    firsts: list[int]
    widths: bytes


class DayCodec:
    """Writes and reads bodies; for one thread at a time."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()
        self._header = msgspec.msgpack.Decoder(_Header)

    def encode(self, day: Day) -> bytes:
        """Return the body of a day that has rows; the day's numbering is put in order on the way."""
        assert day.rows, "a day without rows has no body"
        _put_in_order(day)
        columns = [_pack(column) for column in zip(*_filled(day), strict=True)]
        header = msgspec.msgpack.encode(
            _Header(
                len(day.rows),
                day.sources,
                day.channels,
                [shape for shape in day.shapes if shape is not None],
                [_pack_odd(*key, day.odd[key]) for key in sorted(day.odd)],
                [first for first, _, _ in columns],
                bytes(width for _, width, _ in columns),
            )
        )
        plain = b"".join([len(header).to_bytes(_LENGTH_BYTES, "little"), header, *(packed for _, _, packed in columns)])
        return bytes([VERSION]) + self._compressor.compress(plain)

    def decode(self, body: bytes) -> Day:
        """Return the day of a body; of our own making, so nothing is checked but the version."""
        assert body[0] == VERSION, f"a day of version {body[0]}"
        plain = self._decompressor.decompress(body[1:])
        at = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES], "little")
        header = self._header.decode(plain[_LENGTH_BYTES:at])
        columns: list[Sequence[int]] = []
        for first, width in zip(header.firsts, header.widths, strict=True):
            end = at + _packed_bytes(width, header.row_count)
            columns.append(_unpack(first, width, plain[at:end], header.row_count))
            at = end
        return Day(
            header.sources,
            header.channels,
            [None, *header.shapes],
            list(zip(*columns, strict=True)),
            {(odd.source, odd.tick_ms): _unpack_odd(odd) for odd in header.odd},
        )


def _pack(column: Sequence[int]) -> tuple[int, int, bytes]:
    """Return the first value, the width and the bytes of a column."""
    if column.count(column[0]) == len(column):
        return column[0], _CONSTANT, b""
    deltas = list(map(operator.sub, column[1:], column))
    for width, code in _TYPE_OF_WIDTH.items():
        try:
            return column[0], width, _by_weight(array(code, deltas), width)
        except OverflowError:
            continue
    return column[0], _ABSOLUTE, _by_weight(array("q", column[1:]), 8)


def _unpack(first: int, width: int, packed: bytes, row_count: int) -> Sequence[int]:
    if width == _CONSTANT:
        return [first] * row_count
    if width == _ABSOLUTE:
        return [first, *_from_weights(packed, 8)]
    return list(accumulate(_from_weights(packed, width), initial=first))


def _packed_bytes(width: int, row_count: int) -> int:
    return (8 if width == _ABSOLUTE else width) * (row_count - 1)


def _by_weight(numbers: "array[int]", width: int) -> bytes:
    """Return all lowest bytes, then all second bytes, and so on: like stands beside like, which compresses."""
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return data if width == 1 else b"".join([data[weight::width] for weight in range(width)])


def _from_weights(packed: bytes, width: int) -> "array[int]":
    numbers = array(_TYPE_OF_WIDTH[width])
    count = len(packed) // width
    data = bytearray(len(packed))
    for weight in range(width):
        data[weight::width] = packed[weight * count : (weight + 1) * count]
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _pack_odd(source: int, tick_ms: int, odd: OddRow) -> _Odd:
    messages = [
        (message, bits.to_bytes((bits.bit_length() + 7) // 8, "little")) for message, bits in odd.messages.items()
    ]
    return _Odd(source, tick_ms, odd.facts, sorted(messages))


def _unpack_odd(odd: _Odd) -> OddRow:
    return OddRow(odd.facts, {message: int.from_bytes(bits, "little") for message, bits in odd.messages})


def _put_in_order(day: Day) -> None:
    """Number sources, channels and shapes in their own order, without those that no row uses."""
    used_shapes = {row[SHAPE] for row in day.rows}
    _drop_unused_channels(day, used_shapes)
    sources = sorted({day.sources[index] for index in {row[SOURCE] for row in day.rows}})
    shape_of = {index: shape for index in used_shapes if (shape := day.shapes[index]) is not None}
    shapes = list(shape_of.values())
    shapes.sort(key=lambda shape: [(quality is not None, quality or "") for quality in shape])
    if sources == day.sources and [None, *shapes] == day.shapes:
        return
    new_source = {index: sources.index(source) for index, source in enumerate(day.sources) if source in sources}
    new_shape = {index: shapes.index(shape) + 1 for index, shape in shape_of.items()}
    new_shape[ODD_SHAPE] = ODD_SHAPE
    day.rows = sorted(
        (new_source[row[SOURCE]], *row[TICK:SHAPE], new_shape[row[SHAPE]], *row[VALUES:]) for row in day.rows
    )
    day.odd = {(new_source[source], tick_ms): odd for (source, tick_ms), odd in day.odd.items()}
    day.sources, day.shapes = sources, [None, *shapes]


def _drop_unused_channels(day: Day, used_shapes: set[int]) -> None:
    shapes = [day.shapes[index] for index in used_shapes]
    if any(shape is not None and None not in shape for shape in shapes):
        return
    used = {
        index for shape in shapes if shape is not None for index, quality in enumerate(shape) if quality is not None
    }
    used.update(index for odd in day.odd.values() for index, facts in enumerate(odd.facts) if facts)
    if len(used) < len(day.channels):
        day.set_channels(tuple(day.channels[index] for index in sorted(used)))


def _filled(day: Day) -> list[PlainRow]:
    """Return the rows with every number that means nothing replaced by the one before it."""
    holes = {
        index: [VALUES + at for at in range(len(day.channels)) if shape is None or shape[at] in (None, QUALITY_MISSING)]
        for index, shape in enumerate(day.shapes)
    }
    if not any(holes[row[SHAPE]] for row in day.rows):
        return day.rows
    filled: list[PlainRow] = []
    last: PlainRow = (0,) * (VALUES + len(day.channels))
    for row in day.rows:
        if holes[row[SHAPE]]:
            whole = list(row)
            for at in holes[row[SHAPE]]:
                whole[at] = last[at]
            last = tuple(whole)
        else:
            last = row
        filled.append(last)
    return filled
