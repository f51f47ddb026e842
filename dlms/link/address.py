"""HDLC addresses (Green Book 8.4.2.4): who is meant on a line that many stations share.

A server's address has an upper part, the logical device, and a lower part, the physical device; on the wire it takes
one, two or four bytes of seven bits each, the last one marked by its lowest bit. A client's address is one byte. This
module knows forms and ranges; who answers to which address is left to the stations.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from dlms.errors import DecodeError

SHORT_MAX: Final = 0x7F
"""The greatest value of a part that has one byte; as an address it means all stations."""
LONG_MAX: Final = 0x3FFF
"""The greatest value of a part that has two bytes; as an address it means all stations."""


@dataclass(frozen=True, slots=True)
class StationAddress:
    """A server on a line; two addresses are equal if they name the same station, however wide they are written."""

    upper: int
    """The logical device; 1 is the management logical device."""
    lower: int | None = None
    """The physical device; None where the line has only one."""
    is_wide: bool = field(default=False, compare=False)
    """Whether to write four bytes even where fewer would do; some meters answer to nothing else."""

    def __post_init__(self) -> None:
        if not 0 <= self.upper <= LONG_MAX or not 0 <= (self.lower or 0) <= LONG_MAX:
            raise ValueError(f"each part of an HDLC address lies between 0 and {LONG_MAX}: {self}")
        if self.lower is None and (self.is_wide or self.upper > SHORT_MAX):
            raise ValueError(f"an HDLC address of four bytes has a physical device: {self}")

    def encode(self) -> bytes:
        """Return the bytes of this address on the wire."""
        if self.lower is None:
            return bytes((self.upper << 1 | 1,))
        if self.is_wide or self.upper > SHORT_MAX or self.lower > SHORT_MAX:
            return _long_form(self.upper, self.lower)
        return bytes((self.upper << 1, self.lower << 1 | 1))

    def forms(self) -> frozenset[bytes]:
        """Return every way to write this address."""
        if self.lower is None:
            return frozenset((self.encode(),))
        return frozenset((self.encode(), _long_form(self.upper, self.lower)))

    def is_meant_by(self, destination: bytes) -> bool:
        """Tell whether a destination names this station, alone or among all; for frames that want no answer.

        Raises:
            DecodeError: The destination is no address.
        """
        meant = decode_address(destination)
        everyone = LONG_MAX if meant.is_wide else SHORT_MAX
        return meant.upper in (self.upper, everyone) and meant.lower in (None, self.lower, everyone)


def _long_form(upper: int, lower: int) -> bytes:
    return bytes((upper >> 6 & 0xFE, upper << 1 & 0xFE, lower >> 6 & 0xFE, lower << 1 & 0xFE | 1))


@lru_cache(maxsize=1024)
def decode_address(raw: bytes) -> StationAddress:
    """Read the bytes of one address.

    Raises:
        DecodeError: Not one, two or four bytes of which only the last is marked as last.
    """
    if len(raw) not in {1, 2, 4} or not raw[-1] & 1 or any(byte & 1 for byte in raw[:-1]):
        raise DecodeError(f"{raw[:8].hex()} is no HDLC address")
    parts = [byte >> 1 for byte in raw]
    match parts:
        case [upper]:
            return StationAddress(upper)
        case [upper, lower]:
            return StationAddress(upper, lower)
        case _:
            return StationAddress(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], is_wide=True)


def encode_client(client: int) -> bytes:
    """Return the byte of a client's address, such as 0x21 for the public client 16."""
    if not 0 <= client <= SHORT_MAX:
        raise ValueError(f"a client's HDLC address lies between 0 and {SHORT_MAX}, not {client}")
    return bytes((client << 1 | 1,))
