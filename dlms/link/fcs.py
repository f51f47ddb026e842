"""The check sequences of HDLC frames: CRC-16 of ISO/IEC 13239, as Green Book 8.4.2.6 uses it for both HCS and FCS.

HDLC sends each byte least significant bit first, while `binascii.crc_hqx` counts from the most significant one, so
bytes are mirrored on the way in and the result on the way out. Both steps run in C: about one microsecond a frame.
"""

from binascii import crc_hqx
from typing import Final

START: Final = 0xFFFF
"""The state before the first byte."""
GOOD: Final = 0x1D0F
"""The state after bytes and their own check sequence; so it is also where an FCS goes on after a correct HCS."""

_MIRRORED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def check_sequence(data: bytes, state: int = START) -> bytes:
    """Return the two bytes to send behind `data`."""
    return (crc_hqx(data.translate(_MIRRORED), state) ^ 0xFFFF).to_bytes(2, "big").translate(_MIRRORED)


def is_intact(data: bytes, state: int = START) -> bool:
    """Tell whether `data` ends in its own check sequence."""
    return crc_hqx(data.translate(_MIRRORED), state) == GOOD
