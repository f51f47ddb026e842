"""Type descriptions of compact arrays (GB 9.5 `TypeDescription`): what stands in the contents without tags.

Decides the layout and its limits; the contents are read by `dlms.axdr.values` and `dlms.axdr.data` from a description.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from dlms.axdr.length import decode_length, encode_length
from dlms.axdr.tags import DEPTH_MAX, STRUCTS, Tag
from dlms.errors import DecodeError

R = TypeVar("R")

_VALUES_PER_BYTE_MAX: Final = 8
"""Values that one byte of contents may stand for: null-data takes none, so a count alone could ask for any memory."""
_ARRAY_COUNT_MAX: Final = 0xFFFF
_EMPTY: Final = frozenset((Tag.NULL_DATA, Tag.DONT_CARE))


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """Type of one element of a compact array."""

    tag: Tag
    members: tuple["TypeDescription", ...] = ()
    """Of a structure its elements, of an array the one type of all its elements."""
    count: int = 0
    """Elements of an array."""

    @property
    def bytes_min(self) -> int:
        """Least bytes that the contents of one such element take."""
        if self.tag is Tag.STRUCTURE:
            return sum(member.bytes_min for member in self.members)
        if self.tag is Tag.ARRAY:
            return self.count * self.members[0].bytes_min
        fixed = STRUCTS.get(self.tag)
        return fixed.size if fixed else int(self.tag not in _EMPTY)

    @property
    def values(self) -> int:
        """Values that one such element is, itself among them."""
        if self.tag is Tag.ARRAY:
            return 1 + self.count * self.members[0].values
        return 1 + sum(member.values for member in self.members)

    def parts(self) -> tuple["TypeDescription", ...]:
        """Return the type of every element of such an array or structure."""
        return self.members * self.count if self.tag is Tag.ARRAY else self.members


def decode_description(data: bytes, offset: int, depth: int = 0) -> tuple[TypeDescription, int]:
    """Return the type description at `offset`, and the offset behind it.

    Raises:
        DecodeError: No type description, or nested too deep.
    """
    if depth > DEPTH_MAX:
        raise DecodeError(f"a type description is nested more than {DEPTH_MAX} deep")
    try:
        tag = Tag(data[offset])
    except (IndexError, ValueError):
        raise DecodeError("a type description ends too early or names an unknown type") from None
    offset += 1
    if tag is Tag.ARRAY:
        if offset + 2 > len(data):
            raise DecodeError("a type description ends within the count of an array")
        count = int.from_bytes(data[offset : offset + 2], "big")
        member, offset = decode_description(data, offset + 2, depth + 1)
        return TypeDescription(tag, (member,), count), offset
    if tag is Tag.STRUCTURE:
        length, offset = decode_length(data, offset)
        if length > len(data) - offset:
            raise DecodeError("a type description has more members than bytes")
        members = []
        for _ in range(length):
            member, offset = decode_description(data, offset, depth + 1)
            members.append(member)
        return TypeDescription(tag, tuple(members)), offset
    if tag is Tag.COMPACT_ARRAY:
        raise DecodeError("a compact array cannot stand inside a compact array")
    return TypeDescription(tag), offset


def encode_description(description: TypeDescription) -> bytes:
    """Return the bytes of a type description.

    Raises:
        ValueError: A count that no description can hold.
    """
    head = bytes((description.tag,))
    if description.tag is Tag.ARRAY:
        if not 0 <= description.count <= _ARRAY_COUNT_MAX or len(description.members) != 1:
            raise ValueError("an array in a compact array has one type and at most 65535 elements")
        return head + description.count.to_bytes(2, "big") + encode_description(description.members[0])
    if description.tag is Tag.STRUCTURE:
        members = b"".join(encode_description(member) for member in description.members)
        return head + encode_length(len(description.members)) + members
    return head


def open_compact(data: bytes, offset: int, depth: int) -> tuple[TypeDescription, int, int]:
    """Return the description of the compact array whose tag ended at `offset`, and where its contents start and end.

    Raises:
        DecodeError: Not one, or its elements are more than its contents could be.
    """
    description, offset = decode_description(data, offset, depth)
    length, offset = decode_length(data, offset)
    end = offset + length
    if end > len(data):
        raise DecodeError("a compact array is longer than the data")
    if length:
        size = description.bytes_min
        rows_max = length // size if size else 0
        if not rows_max or rows_max * description.values > length * _VALUES_PER_BYTE_MAX:
            raise DecodeError("the elements of a compact array do not fit its contents")
    return description, offset, end


def read_rows(read: Callable[[int], tuple[R, int]], end: int) -> list[R]:
    """Return the elements that `read` finds one after another from 0 until `end`.

    Raises:
        DecodeError: The last one does not end there.
    """
    rows = []
    offset = 0
    while offset < end:
        row, offset = read(offset)
        rows.append(row)
    if offset != end:
        raise DecodeError("the last element of a compact array runs over its end")
    return rows
