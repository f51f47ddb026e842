"""The fast way from A-XDR to plain Python values, and past a value without reading it (GB 9.5, BB 4.1.5).

A structure becomes a tuple, an array or compact array a list, numbers int or float, octet strings bytes, the others of
the obvious type; date-time, date and time stay bytes, null-data and don't-care both are None. What a number's type was
is lost: `dlms.axdr.data` keeps it. Elements of an array that are laid out alike, as the rows of a profile are, are
unpacked many at once.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import Final, NamedTuple, TypeAlias

from dlms.axdr.compact import TypeDescription, decode_description, open_compact, read_rows
from dlms.axdr.length import decode_length
from dlms.axdr.tags import DELTAS, DEPTH_MAX, FORMATS, STRUCTS, BitString, Tag
from dlms.errors import DecodeError

Value: TypeAlias = bool | int | float | bytes | str | BitString | list["Value"] | tuple["Value", ...] | None


class Delta(int):
    """A number that counts from the value before it in the same column (delta types, BB 4.1.5)."""

    __slots__ = ()


_FIXED: Final = {tag: (layout.unpack_from, layout.size) for tag, layout in STRUCTS.items() if tag not in DELTAS}
_SIZES: Final = {**{tag: layout.size for tag, layout in STRUCTS.items()}, Tag.NULL_DATA: 0, Tag.DONT_CARE: 0}
_PLURAL: Final = (int(Tag.STRUCTURE), int(Tag.ARRAY))
_NESTED: Final = (*_PLURAL, int(Tag.COMPACT_ARRAY))
_EMPTY: Final = (int(Tag.NULL_DATA), int(Tag.DONT_CARE))
_WIDTHS: Final = tuple(_SIZES.get(tag, -1) for tag in range(256))
"""Bytes of contents by tag; -1 where they have to be looked at."""
_STRING_MAX: Final = 0x7F
"""Length of a string whose length is one byte."""
_RUN_MIN: Final = 4
"""Elements left that make it worth to look for a run."""
_MISSES_MAX: Final = 4
"""Elements not laid out like the next one after which an array is read one by one."""
_CHUNK: Final = 8
"""Elements of the first step of a run; each step is longer, so that what is compared in vain stays in proportion."""


def decode_value(data: bytes) -> Value:
    """Return the one value that `data` is.

    Raises:
        DecodeError: Anything else, whatever the bytes.
    """
    value, end = value_at(data, 0)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes follow the data")
    return value


def value_at(data: bytes, offset: int) -> tuple[Value, int]:
    """Return the value at `offset`, and the offset behind it.

    Raises:
        DecodeError: None stands there.
    """
    try:
        return _value(data, offset, 0)
    except (IndexError, struct.error):
        raise DecodeError("the data ends within a value") from None


def end_of(data: bytes, offset: int) -> int:
    """Return the offset behind the value at `offset`; of the value only its lengths are looked at.

    Raises:
        DecodeError: No whole value stands there.
    """
    try:
        offset = _skip(data, offset)
    except IndexError:
        offset = len(data) + 1
    if offset > len(data):
        raise DecodeError("the data ends within a value")
    return offset


def _skip(data: bytes, offset: int) -> int:
    widths = _WIDTHS
    pending = 1
    while pending:
        pending -= 1
        tag = data[offset]
        offset += 1
        width = widths[tag]
        if width >= 0:
            offset += width
        elif tag in _PLURAL:
            count, offset = decode_length(data, offset)
            pending += count
        elif tag == Tag.BIT_STRING:
            bits, offset = decode_length(data, offset)
            offset += (bits + 7) // 8
        else:
            if tag == Tag.COMPACT_ARRAY:
                _, offset = decode_description(data, offset)
            elif tag not in _STRINGS:
                raise DecodeError(f"there is no type of data with tag {tag}")
            length, offset = decode_length(data, offset)
            offset += length
    return offset


def _octets(data: bytes, offset: int) -> tuple[bytes, int]:
    length, offset = decode_length(data, offset)
    end = offset + length
    if end > len(data):
        raise DecodeError("a string is longer than the data")
    return data[offset:end], end


def _visible(data: bytes, offset: int) -> tuple[str, int]:
    octets, end = _octets(data, offset)
    return octets.decode("latin-1"), end


def _utf8(data: bytes, offset: int) -> tuple[str, int]:
    octets, end = _octets(data, offset)
    return octets.decode("utf-8", errors="replace"), end


def _bits(data: bytes, offset: int) -> tuple[BitString, int]:
    bits, offset = decode_length(data, offset)
    end = offset + (bits + 7) // 8
    if end > len(data):
        raise DecodeError("a bit string is longer than the data")
    return BitString(data[offset:end], bits), end


_STRINGS: Final = {Tag.OCTET_STRING: _octets, Tag.VISIBLE_STRING: _visible, Tag.UTF8_STRING: _utf8}


def _untagged(data: bytes, offset: int, tag: int) -> tuple[Value, int]:
    """Return a value that holds no others and whose tag was read."""
    if tag == Tag.OCTET_STRING:
        return _octets(data, offset)
    if tag in _EMPTY:
        return None, offset
    if tag == Tag.VISIBLE_STRING:
        return _visible(data, offset)
    if tag == Tag.BIT_STRING:
        return _bits(data, offset)
    if tag == Tag.UTF8_STRING:
        return _utf8(data, offset)
    if tag in DELTAS:
        layout = STRUCTS[Tag(tag)]
        return Delta(layout.unpack_from(data, offset)[0]), offset + layout.size
    raise DecodeError(f"there is no type of data with tag {tag}")


def _value(data: bytes, offset: int, depth: int) -> tuple[Value, int]:
    tag = data[offset]
    offset += 1
    fixed = _FIXED.get(tag)
    if fixed is not None:
        unpack, size = fixed
        return unpack(data, offset)[0], offset + size
    if tag not in _NESTED:
        return _untagged(data, offset, tag)
    if depth >= DEPTH_MAX:
        raise DecodeError(f"data is nested more than {DEPTH_MAX} deep")
    if tag == Tag.COMPACT_ARRAY:
        return _compact(data, offset, depth)
    count, offset = decode_length(data, offset)
    if count > len(data) - offset:
        raise DecodeError("an array or structure has more elements than bytes are left")
    if tag == Tag.ARRAY:
        return _array(data, offset, count, depth + 1)
    members: list[Value] = []
    for _ in range(count):
        # The most frequent types here, without a call for each: half the time of a compressed profile.
        tag = data[offset]
        fixed = _FIXED.get(tag)
        if fixed is not None:
            unpack, size = fixed
            members.append(unpack(data, offset + 1)[0])
            offset += 1 + size
        elif tag in _EMPTY:
            members.append(None)
            offset += 1
        else:
            member, offset = _value(data, offset, depth + 1)
            members.append(member)
    return tuple(members), offset


# ---- many elements at once -------------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """Where an element of an array has its tags and lengths, and how to unpack what stands between."""

    rows: struct.Struct
    checks: tuple[tuple[int, bytes], ...]
    nulls: tuple[int, ...]
    columns: int
    """0 for an element that is no structure."""


def _array(data: bytes, offset: int, count: int, depth: int) -> tuple[list[Value], int]:
    elements: list[Value] = []
    misses = 0
    while len(elements) < count:
        start = offset
        element, offset = _value(data, offset, depth)
        elements.append(element)
        left = count - len(elements)
        if left >= _RUN_MIN and misses < _MISSES_MAX and data[start : start + 2] == data[offset : offset + 2]:
            layout = _layout_at(data, start)
            if layout is None:
                misses = _MISSES_MAX
                continue
            end = _run(data, offset, layout, left, elements)
            misses += end == offset
            offset = end
    return elements, offset


def _layout_at(data: bytes, start: int) -> _Layout | None:
    """Return the layout of the element at `start`, which was read before; None where it has parts of no fixed size."""
    checks = []
    nulls = []
    codes = [">"]
    columns, offset = 0, start
    if data[start] == Tag.STRUCTURE:
        columns, offset = data[start + 1], start + 2
        checks = [(0, data[start : start + 1]), (1, data[start + 1 : offset])]
        codes.append("2x")
        if columns > _STRING_MAX:
            return None
    for column in range(columns or 1):
        tag = data[offset]
        checks.append((offset - start, data[offset : offset + 1]))
        offset += 1
        if tag == Tag.OCTET_STRING and data[offset] <= _STRING_MAX:
            checks.append((offset - start, data[offset : offset + 1]))
            codes.append(f"2x{data[offset]}s")
            offset += 1 + data[offset]
        elif tag in _EMPTY:
            nulls.append(column)
            codes.append("x")
        elif tag in _FIXED:
            codes.append("x" + FORMATS[tag])
            offset += _SIZES[Tag(tag)]
        else:
            return None
    return _Layout(_compiled("".join(codes)), tuple(checks), tuple(nulls), columns)


@lru_cache(maxsize=256)
def _compiled(layout: str) -> struct.Struct:
    return struct.Struct(layout)


def _run(data: bytes, offset: int, layout: _Layout, left: int, elements: list[Value]) -> int:
    """Append all elements from `offset` on that have this layout, at most `left`; return the offset behind them."""
    size = layout.rows.size
    chunk = _CHUNK
    while left:
        wanted = count = min(chunk, left, (len(data) - offset) // size)
        end = offset + count * size
        for position, byte in layout.checks:
            others = data[offset + position : end : size].lstrip(byte)
            if others:
                count -= len(others)
                end = offset + count * size
        elements.extend(_unpack(data[offset:end], layout, count))
        offset = end
        left -= count
        chunk *= 4
        if count < wanted or not wanted:
            break
    return offset


def _unpack(part: bytes, layout: _Layout, count: int) -> Iterator[Value]:
    rows = layout.rows.iter_unpack(part)
    if not layout.nulls:
        return rows if layout.columns else (value for (value,) in rows)
    if not layout.columns:
        return repeat(None, count)
    columns: list[Iterator[Value] | tuple[Value, ...]] = list(zip(*rows, strict=True))
    for index in layout.nulls:
        columns.insert(index, repeat(None, count))
    return zip(*columns, strict=True)


# ---- compact arrays --------------------------------------------------------------------------------------------------


def _compact(data: bytes, offset: int, depth: int) -> tuple[list[Value], int]:
    description, offset, end = open_compact(data, offset, depth)
    codes = [FORMATS.get(member.tag) for member in description.members]
    plain = description.tag is Tag.STRUCTURE and not any(member.tag in DELTAS for member in description.members)
    if plain and codes and None not in codes:
        rows = _compiled(">" + "".join(code for code in codes if code))
        if (end - offset) % rows.size:
            raise DecodeError("the last element of a compact array runs over its end")
        return list(rows.iter_unpack(data[offset:end])), end
    contents = data[offset:end]
    return read_rows(lambda at: _content(contents, at, description), len(contents)), end


def _content(data: bytes, offset: int, description: TypeDescription) -> tuple[Value, int]:
    """Return an element of a compact array by its description; one without bytes does not move the offset."""
    tag = description.tag
    if tag is Tag.ARRAY:
        elements: list[Value] = []
        for _ in range(description.count):
            element, offset = _content(data, offset, description.members[0])
            elements.append(element)
        return elements, offset
    if tag is Tag.STRUCTURE:
        members = []
        for part in description.members:
            member, offset = _content(data, offset, part)
            members.append(member)
        return tuple(members), offset
    fixed = _FIXED.get(tag)
    if fixed is not None:
        unpack, size = fixed
        return unpack(data, offset)[0], offset + size
    return _untagged(data, offset, tag)
