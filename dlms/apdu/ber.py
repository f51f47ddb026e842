"""The little of BER that ACSE needs (ITU-T X.690): fields by tag, INTEGER.

Only definite lengths are read, which look as in A-XDR; indefinite ones (0x80) are refused, for no meter sends them.
"""

from typing import Final

from dlms.axdr.length import decode_length, encode_length
from dlms.errors import DecodeError

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
_HIGH_TAG: Final = 0x1F
_MORE: Final = 0x80
_INTEGER_BYTES_MAX: Final = 8


def encode_field(tag: int, content: bytes) -> bytes:
    """Return a field with a one-byte tag."""
    return bytes((tag,)) + encode_length(len(content)) + content


def encode_integer(number: int) -> bytes:
    """Return the content of an INTEGER, as short as it can be."""
    magnitude = number if number >= 0 else ~number
    return number.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def decode_integer(content: bytes) -> int:
    """Return the number that the content of an INTEGER is."""
    if not 1 <= len(content) <= _INTEGER_BYTES_MAX:
        raise DecodeError(f"an INTEGER of {len(content)} bytes")
    return int.from_bytes(content, "big", signed=True)


def read_field(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Return tag, content and end of the field at `offset`; a tag of several bytes keeps its first one only."""
    try:
        tag = data[offset]
        offset += 1
        if tag & _HIGH_TAG == _HIGH_TAG:
            while data[offset] & _MORE:
                offset += 1
            offset += 1
    except IndexError:
        raise DecodeError("a field ends within its tag") from None
    length, offset = decode_length(data, offset)
    end = offset + length
    if end > len(data):
        raise DecodeError(f"{length} bytes are announced and {len(data) - offset} follow")
    return tag, data[offset:end], end


def read_fields(data: bytes) -> dict[int, bytes]:
    """Return contents by tag; the order does not matter, and no tag may come twice."""
    fields: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        tag, content, offset = read_field(data, offset)
        if tag in fields:
            raise DecodeError(f"field {tag:#x} comes twice")
        fields[tag] = content
    return fields


def unwrap(data: bytes, tag: int | None = None) -> bytes:
    """Return the content of the one field that `data` is, of any tag where none is given."""
    found, content, end = read_field(data, 0)
    if tag is not None and found != tag:
        raise DecodeError(f"tag {found:#x} stands where {tag:#x} belongs")
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes follow a field")
    return content
