"""Lengths and counts of A-XDR: one byte up to 127, else first the number of bytes that follow, with bit 7 set (GB 9.5).

Decides how such a number looks; whether that many bytes or elements are there is the caller's check.
"""

from typing import Final

from dlms.errors import DecodeError

_SHORT_MAX: Final = 0x7F
_BYTES_MAX: Final = 4
"""Of a long form that is read: 4 GiB is more than any transfer."""
_SHORT: Final = tuple(bytes((number,)) for number in range(_SHORT_MAX + 1))


def encode_length(length: int) -> bytes:
    """Return the shortest form of a length.

    Raises:
        ValueError: Negative, or of more than four bytes.
    """
    if 0 <= length <= _SHORT_MAX:
        return _SHORT[length]
    width = (length.bit_length() + 7) // 8
    if length < 0 or width > _BYTES_MAX:
        raise ValueError(f"{length} is no length")
    return bytes((0x80 | width,)) + length.to_bytes(width, "big")


def decode_length(data: bytes, offset: int) -> tuple[int, int]:
    """Return the length that stands at `offset`, and the offset behind it; longer forms than needed are accepted.

    Raises:
        DecodeError: The bytes end within it, or it has no or more than four bytes.
    """
    try:
        first = data[offset]
    except IndexError:
        raise DecodeError("the data ends where a length should stand") from None
    offset += 1
    if first <= _SHORT_MAX:
        return first, offset
    width = first & _SHORT_MAX
    end = offset + width
    if not 0 < width <= _BYTES_MAX or end > len(data):
        raise DecodeError("a length is not one to four bytes long, or the data ends within it")
    return int.from_bytes(data[offset:end], "big"), end
