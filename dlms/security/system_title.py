"""System titles: the eight bytes by which a device is known worldwide (Green Book 4.3.4).

Decides what a title is; whose titles belong together is the association's business. A title is no secret: it is the
first part of every initialization vector and travels in clear.
"""

from typing import Final

from dlms.errors import SecurityError

SYSTEM_TITLE_BYTES: Final = 8
FLAG_LETTERS: Final = 3
_SERIAL_BYTES: Final = SYSTEM_TITLE_BYTES - FLAG_LETTERS


def system_title(flag: str, serial: int) -> bytes:
    """Return the title made of the manufacturer's three FLAG letters and a serial number below 2**40.

    Raises:
        SecurityError: No such letters, or the number does not fit.
    """
    if len(flag) != FLAG_LETTERS or not (flag.isascii() and flag.isalpha() and flag.isupper()):
        raise SecurityError(f"{flag[:10]!r} are no FLAG letters; write three capital letters")
    if not 0 <= serial < 1 << 8 * _SERIAL_BYTES:
        raise SecurityError(f"a serial number in a system title is from 0 to {(1 << 8 * _SERIAL_BYTES) - 1}")
    return flag.encode("ascii") + serial.to_bytes(_SERIAL_BYTES, "big")


def checked_title(title: bytes) -> bytes:
    """Return `title` if it has the eight bytes of a system title; meters in the field put any bytes there.

    Raises:
        SecurityError: It has not.
    """
    if len(title) != SYSTEM_TITLE_BYTES:
        raise SecurityError(f"a system title has {SYSTEM_TITLE_BYTES} bytes, not {len(title)}")
    return bytes(title)


def flag_letters(title: bytes) -> str | None:
    """Return the manufacturer's FLAG letters, or None where the title does not begin with three letters."""
    letters = title[:FLAG_LETTERS]
    return letters.decode("ascii") if len(letters) == FLAG_LETTERS and letters.isalpha() else None
