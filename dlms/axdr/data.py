"""COSEM data as an exact tree: every value with the type it has, to bytes and back (GB 9.5, BB 4.1.5).

For what has to be written in a certain type, and for looking closely at what came; `dlms.axdr.values` is the fast way
when only the values count.
"""

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from dlms.axdr.compact import TypeDescription, encode_description, open_compact, read_rows
from dlms.axdr.length import decode_length, encode_length
from dlms.axdr.tags import DELTAS, DEPTH_MAX, STRINGS, STRUCTS, BitString, Tag
from dlms.axdr.values import Delta, Value
from dlms.errors import DecodeError

__all__ = ["BitString", "CompactArray", "Data", "Tag", "TypeDescription", "Value", "decode", "encode", "of_value"]

Content: TypeAlias = "bool | int | float | bytes | str | BitString | CompactArray | tuple[Data, ...] | None"


@dataclass(frozen=True, slots=True)
class Data:
    """One value and its type."""

    tag: Tag
    value: Content = None
    """Arrays and structures: tuple of `Data`; octet-string, date-time, date and time: bytes; bcd: the byte as it is."""

    def plain(self) -> Value:
        """Return what `dlms.axdr.values.decode_value` makes of the same bytes."""
        value = self.value
        if isinstance(value, CompactArray):
            return [row.plain() for row in value.rows]
        if isinstance(value, tuple):
            members = (member.plain() for member in value)
            return list(members) if self.tag is Tag.ARRAY else tuple(members)
        if self.tag in DELTAS:
            assert isinstance(value, int)
            return Delta(value)
        return value


@dataclass(frozen=True, slots=True)
class CompactArray:
    """Contents of a compact array: the type of all its elements, and the elements."""

    description: TypeDescription
    rows: tuple[Data, ...]


def decode(data: bytes) -> Data:
    """Return the one value that `data` is.

    Raises:
        DecodeError: Anything else, whatever the bytes.
    """
    try:
        value, end = _decode_at(data, 0, 0)
    except (IndexError, struct.error):
        raise DecodeError("the data ends within a value") from None
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes follow the data")
    return value


def encode(data: Data) -> bytes:
    """Return the bytes of a value.

    Raises:
        ValueError: The value is none of its type.
    """
    parts: list[bytes] = []
    _encode_into(parts, data)
    return b"".join(parts)


# ---- constructors, by the names of the standard ----------------------------------------------------------------------

NULL_DATA: Final = Data(Tag.NULL_DATA)
DONT_CARE: Final = Data(Tag.DONT_CARE)


def array(*elements: Data) -> Data:
    """Return an array; all elements should be of one type."""
    return Data(Tag.ARRAY, elements)


def structure(*members: Data) -> Data:
    """Return a structure."""
    return Data(Tag.STRUCTURE, members)


def compact_array(*rows: Data) -> Data:
    """Return a compact array of rows that are all of the type of the first.

    Raises:
        ValueError: There is no row to take the type from, or one holds a compact array.
    """
    if not rows:
        raise ValueError("a compact array without rows needs a type description")
    return Data(Tag.COMPACT_ARRAY, CompactArray(_description_of(rows[0]), rows))


def boolean(value: bool) -> Data:  # noqa: FBT001  the value is what this is about
    """Return a boolean."""
    return Data(Tag.BOOLEAN, value)


def bit_string(*bits: bool) -> Data:
    """Return a bit-string, leftmost bit first."""
    return Data(Tag.BIT_STRING, BitString.of(*bits))


def octet_string(value: bytes) -> Data:
    """Return an octet-string."""
    return Data(Tag.OCTET_STRING, value)


def visible_string(value: str) -> Data:
    """Return a visible-string."""
    return Data(Tag.VISIBLE_STRING, value)


def utf8_string(value: str) -> Data:
    """Return a utf8-string."""
    return Data(Tag.UTF8_STRING, value)


def date_time(value: bytes) -> Data:
    """Return a date-time of its own type, of 12 bytes; most attributes want an octet-string instead."""
    return Data(Tag.DATE_TIME, value)


def date(value: bytes) -> Data:
    """Return a date of its own type, of 5 bytes."""
    return Data(Tag.DATE, value)


def time(value: bytes) -> Data:
    """Return a time of its own type, of 4 bytes."""
    return Data(Tag.TIME, value)


def float32(value: float) -> Data:
    """Return a float32."""
    return Data(Tag.FLOAT32, value)


def float64(value: float) -> Data:
    """Return a float64."""
    return Data(Tag.FLOAT64, value)


def integer(value: int) -> Data:
    """Return an integer of 8 bits with sign."""
    return Data(Tag.INTEGER, value)


def long(value: int) -> Data:
    """Return an integer of 16 bits with sign."""
    return Data(Tag.LONG, value)


def double_long(value: int) -> Data:
    """Return an integer of 32 bits with sign."""
    return Data(Tag.DOUBLE_LONG, value)


def long64(value: int) -> Data:
    """Return an integer of 64 bits with sign."""
    return Data(Tag.LONG64, value)


def unsigned(value: int) -> Data:
    """Return an integer of 8 bits without sign."""
    return Data(Tag.UNSIGNED, value)


def long_unsigned(value: int) -> Data:
    """Return an integer of 16 bits without sign."""
    return Data(Tag.LONG_UNSIGNED, value)


def double_long_unsigned(value: int) -> Data:
    """Return an integer of 32 bits without sign."""
    return Data(Tag.DOUBLE_LONG_UNSIGNED, value)


def long64_unsigned(value: int) -> Data:
    """Return an integer of 64 bits without sign."""
    return Data(Tag.LONG64_UNSIGNED, value)


def enum(value: int) -> Data:
    """Return an enum."""
    return Data(Tag.ENUM, value)


def bcd(value: int) -> Data:
    """Return a bcd: the byte as it stands, so that 0x42 reads as 42."""
    return Data(Tag.BCD, value)


def of_value(value: Value) -> Data:
    """Return a plain value in the type that usually fits it.

    Whole numbers become double-long-unsigned, double-long, long64-unsigned or long64, the first that holds them; float
    becomes float64, bytes octet-string, str visible-string or utf8-string, list array, tuple structure.

    Raises:
        ValueError: A whole number of more than 64 bits.
    """
    match value:
        case None:
            return NULL_DATA
        case bool():
            return boolean(value)
        case int():
            return _of_int(value)
        case float():
            return float64(value)
        case bytes():
            return octet_string(value)
        case str():
            return visible_string(value) if value.isascii() else utf8_string(value)
        case BitString():
            return Data(Tag.BIT_STRING, value)
        case list():
            return array(*map(of_value, value))
        case tuple():
            return structure(*map(of_value, value))


def _of_int(value: int) -> Data:
    if 0 <= value < 2**32:
        return double_long_unsigned(value)
    if -(2**31) <= value < 0:
        return double_long(value)
    if -(2**63) <= value < 2**64:
        return long64(value) if value < 0 else long64_unsigned(value)
    raise ValueError(f"{value} has more than 64 bits")


# ---- bytes to tree ---------------------------------------------------------------------------------------------------


def _decode_at(data: bytes, offset: int, depth: int) -> tuple[Data, int]:
    tag = _TAGS.get(data[offset])
    if tag is None:
        raise DecodeError(f"there is no type of data with tag {data[offset]}")
    offset += 1
    if tag not in _NESTED:
        return _decode_leaf(data, offset, tag)
    if depth >= DEPTH_MAX:
        raise DecodeError(f"data is nested more than {DEPTH_MAX} deep")
    if tag is Tag.COMPACT_ARRAY:
        description, offset, end = open_compact(data, offset, depth)
        contents = data[offset:end]
        rows = read_rows(lambda at: _decode_content(contents, at, description), len(contents))
        return Data(tag, CompactArray(description, tuple(rows))), end
    count, offset = decode_length(data, offset)
    if count > len(data) - offset:
        raise DecodeError("an array or structure has more elements than bytes are left")
    members = []
    for _ in range(count):
        member, offset = _decode_at(data, offset, depth + 1)
        members.append(member)
    return Data(tag, tuple(members)), offset


def _decode_content(data: bytes, offset: int, description: TypeDescription) -> tuple[Data, int]:
    tag = description.tag
    if tag not in (Tag.ARRAY, Tag.STRUCTURE):
        return _decode_leaf(data, offset, tag)
    members = []
    for part in description.parts():
        member, offset = _decode_content(data, offset, part)
        members.append(member)
    return Data(tag, tuple(members)), offset


def _decode_leaf(data: bytes, offset: int, tag: Tag) -> tuple[Data, int]:
    """Return a value that holds no others and whose tag is known."""
    layout = STRUCTS.get(tag)
    if layout is not None:
        return Data(tag, layout.unpack_from(data, offset)[0]), offset + layout.size
    if tag in (Tag.NULL_DATA, Tag.DONT_CARE):
        return Data(tag), offset
    length, offset = decode_length(data, offset)
    end = offset + (length if tag in STRINGS else (length + 7) // 8)
    if end > len(data):
        raise DecodeError("a string is longer than the data")
    octets = data[offset:end]
    if tag is Tag.BIT_STRING:
        return Data(tag, BitString(octets, length)), end
    if tag is Tag.OCTET_STRING:
        return Data(tag, octets), end
    try:
        return Data(tag, octets.decode(_CHARSETS[tag])), end
    except UnicodeDecodeError:
        raise DecodeError("a utf8-string is not UTF-8") from None


_TAGS: Final = {int(tag): tag for tag in Tag}
_NESTED: Final = (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY)
_CHARSETS: Final = {Tag.VISIBLE_STRING: "latin-1", Tag.UTF8_STRING: "utf-8"}


# ---- tree to bytes ---------------------------------------------------------------------------------------------------


def _encode_into(parts: list[bytes], data: Data) -> None:
    tag, value = data.tag, data.value
    parts.append(_TAG_BYTES[tag])
    if tag is Tag.COMPACT_ARRAY:
        if not isinstance(value, CompactArray):
            raise _wrong(data)
        contents: list[bytes] = []
        for row in value.rows:
            _encode_content(contents, row, value.description)
        encoded = b"".join(contents)
        parts += (encode_description(value.description), encode_length(len(encoded)), encoded)
    elif tag in (Tag.ARRAY, Tag.STRUCTURE):
        if not isinstance(value, tuple):
            raise _wrong(data)
        parts.append(encode_length(len(value)))
        for member in value:
            _encode_into(parts, member)
    else:
        _encode_leaf(parts, data)


def _encode_content(parts: list[bytes], data: Data, description: TypeDescription) -> None:
    if data.tag is not description.tag:
        raise ValueError(f"a {data.tag.name} stands where a compact array has a {description.tag.name}")
    if data.tag not in (Tag.ARRAY, Tag.STRUCTURE):
        _encode_leaf(parts, data)
        return
    parts_wanted = description.parts()
    if not isinstance(data.value, tuple) or len(data.value) != len(parts_wanted):
        raise ValueError("an element of a compact array has not the length that its type description says")
    for member, part in zip(data.value, parts_wanted, strict=True):
        _encode_content(parts, member, part)


def _encode_leaf(parts: list[bytes], data: Data) -> None:
    """Append a value that holds no others, without its tag."""
    pack = _PACKERS.get(data.tag)
    if pack is not None:
        try:
            parts.append(pack(data.value))
        except (struct.error, OverflowError, TypeError):
            raise _wrong(data) from None
        return
    match data.value:
        case None if data.tag in (Tag.NULL_DATA, Tag.DONT_CARE):
            return
        case BitString() as bits if data.tag is Tag.BIT_STRING:
            parts += (encode_length(bits.bits), bits.data)
        case str() as text if data.tag in _CHARSETS:
            octets = text.encode(_CHARSETS[data.tag])
            parts += (encode_length(len(octets)), octets)
        case bytes() as octets if data.tag is Tag.OCTET_STRING:
            parts += (encode_length(len(octets)), octets)
        case bytes() as octets if _TIMES.get(data.tag) == len(octets):
            parts.append(octets)
        case int() as truth if data.tag is Tag.BOOLEAN:
            parts.append(b"\x01" if truth else b"\x00")
        case _:
            raise _wrong(data)


def _wrong(data: Data) -> ValueError:
    return ValueError(f"a value of type {type(data.value).__name__}, or its size, is no {data.tag.name}")


_TAG_BYTES: Final = {tag: bytes((tag,)) for tag in Tag}
_PACKERS: Final = {
    tag: layout.pack for tag, layout in STRUCTS.items() if tag not in (Tag.BOOLEAN, Tag.DATE_TIME, Tag.DATE, Tag.TIME)
}
_TIMES: Final = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}


def _description_of(data: Data) -> TypeDescription:
    value = data.value
    if data.tag is Tag.COMPACT_ARRAY:
        raise ValueError("a compact array cannot stand inside a compact array")
    if not isinstance(value, tuple):
        return TypeDescription(data.tag)
    if data.tag is Tag.ARRAY:
        if not value:
            raise ValueError("an empty array does not show its type")
        return TypeDescription(data.tag, (_description_of(value[0]),), len(value))
    return TypeDescription(data.tag, tuple(_description_of(member) for member in value))
