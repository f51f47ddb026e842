"""Logical names: the six bytes that name a COSEM object (OBIS, IEC 62056-6-1)."""

from functools import lru_cache

from dlms.errors import DecodeError

OBIS_BYTES = 6


@lru_cache(maxsize=1024)
def obis(text: str) -> bytes:
    """Return a logical name from its dotted form, such as `1.0.1.8.0.255`.

    Raises:
        DecodeError: Not six numbers from 0 to 255.
    """
    parts = text.split(".")
    if len(parts) != OBIS_BYTES or not all(part.isascii() and part.isdigit() and int(part) <= 0xFF for part in parts):
        raise DecodeError(f"{text[:40]!r} is no OBIS code; write six numbers from 0 to 255 with dots between")
    return bytes(int(part) for part in parts)


def obis_text(name: bytes) -> str:
    """Return the dotted form of a logical name."""
    return ".".join(str(part) for part in name)
