"""The types of COSEM data by number, and the layout of those that always have the same size (GB 9.5, BB 4.1.5).

Tables only: `dlms.axdr.values` and `dlms.axdr.data` read and write with them.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

DEPTH_MAX: Final = 32
"""Levels of arrays and structures within each other; COSEM needs about six."""


class Tag(IntEnum):
    """Tag of the CHOICE `Data`."""

    NULL_DATA = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255


FORMATS: Final[dict[int, str]] = {
    Tag.BOOLEAN: "?",
    Tag.DOUBLE_LONG: "i",
    Tag.DOUBLE_LONG_UNSIGNED: "I",
    Tag.BCD: "B",
    Tag.INTEGER: "b",
    Tag.LONG: "h",
    Tag.UNSIGNED: "B",
    Tag.LONG_UNSIGNED: "H",
    Tag.LONG64: "q",
    Tag.LONG64_UNSIGNED: "Q",
    Tag.ENUM: "B",
    Tag.FLOAT32: "f",
    Tag.FLOAT64: "d",
    Tag.DATE_TIME: "12s",
    Tag.DATE: "5s",
    Tag.TIME: "4s",
    Tag.DELTA_INTEGER: "b",
    Tag.DELTA_LONG: "h",
    Tag.DELTA_DOUBLE_LONG: "i",
    Tag.DELTA_UNSIGNED: "B",
    Tag.DELTA_LONG_UNSIGNED: "H",
    Tag.DELTA_DOUBLE_LONG_UNSIGNED: "I",
}
"""`struct` format of every type of fixed size that has contents, big-endian."""

STRUCTS: Final = {tag: struct.Struct(">" + code) for tag, code in FORMATS.items()}
DELTAS: Final = frozenset(range(Tag.DELTA_INTEGER, Tag.DELTA_DOUBLE_LONG_UNSIGNED + 1))
INTEGERS: Final = (
    Tag.DOUBLE_LONG,
    Tag.DOUBLE_LONG_UNSIGNED,
    Tag.BCD,
    Tag.INTEGER,
    Tag.LONG,
    Tag.UNSIGNED,
    Tag.LONG_UNSIGNED,
    Tag.LONG64,
    Tag.LONG64_UNSIGNED,
    Tag.ENUM,
)
"""Whole numbers that stand for themselves."""
STRINGS: Final = frozenset((Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.UTF8_STRING))


@dataclass(frozen=True, slots=True)
class BitString:
    """Bits in the order they are sent; bit 0 is the leftmost."""

    data: bytes
    """As many bytes as the bits need, unused bits of the last one zero."""
    bits: int

    def __post_init__(self) -> None:
        if len(self.data) != (self.bits + 7) // 8:
            raise ValueError(f"{self.bits} bits do not fill {len(self.data)} bytes")
        unused = -self.bits % 8
        if unused and self.data[-1] & ((1 << unused) - 1):
            object.__setattr__(self, "data", self.data[:-1] + bytes((self.data[-1] >> unused << unused,)))

    @classmethod
    def of(cls, *bits: bool) -> "BitString":
        """Return a bit string of these bits, leftmost first."""
        number = int("".join("1" if bit else "0" for bit in bits) or "0", 2)
        return cls.from_int(number, len(bits))

    @classmethod
    def from_int(cls, number: int, bits: int) -> "BitString":
        """Return the bit string that reads as the binary digits of `number`, `bits` of them."""
        size = (bits + 7) // 8
        return cls((number << (-bits % 8)).to_bytes(size, "big"), bits)

    def __int__(self) -> int:
        return int.from_bytes(self.data, "big") >> (-self.bits % 8)

    def __len__(self) -> int:
        return self.bits

    def __getitem__(self, index: int) -> bool:
        """Return one bit; 0 is the leftmost.

        Raises:
            IndexError: There are not that many.
        """
        if not 0 <= index < self.bits:
            raise IndexError(index)
        return bool(self.data[index >> 3] & (0x80 >> (index & 7)))

    def set_bits(self) -> tuple[int, ...]:
        """Return the indexes of the bits that are set, ascending."""
        return tuple(index for index in range(self.bits) if self[index])
