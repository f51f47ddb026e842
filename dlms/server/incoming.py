"""A long value on its way in: the blocks of a SET or of an ACTION's parameters, put together.

Decides that blocks come in order, of one request, and are not too much; each service has its own words for a refusal.
"""

from typing import Generic, TypeVar

from dlms.axdr.length import decode_length
from dlms.axdr.values import end_of
from dlms.errors import DecodeError

Target = TypeVar("Target")


class Incoming(Generic[Target]):
    """One transfer: what it is for, and the blocks so far."""

    __slots__ = ("_expected", "_invoke", "_limit_bytes", "_parts", "_total_bytes", "target")

    def __init__(self, target: Target, *, invoke: int, limit_bytes: int) -> None:
        self.target = target
        self._invoke = invoke & 0x0F
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._total_bytes = 0
        self._expected = 1

    def is_of(self, invoke: int) -> bool:
        """Say whether a block belongs to the request that began this."""
        return invoke & 0x0F == self._invoke

    def add(self, block: int, part: bytes) -> bool:
        """Take the next block; False if it is another one than the next, or too much."""
        if block != self._expected or self._total_bytes + len(part) > self._limit_bytes:
            return False
        self._parts.append(part)
        self._total_bytes += len(part)
        self._expected += 1
        return True

    def joined(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


def split_values(encoded: bytes, count: int) -> list[bytes]:
    """Return the items of a SEQUENCE OF Data, as the blocks of a list carry it.

    Raises:
        DecodeError: There are not `count` of them, or something follows.
    """
    announced, offset = decode_length(encoded, 0)
    if announced != count:
        raise DecodeError(f"{announced} values for {count} references")
    values = []
    for _ in range(count):
        end = end_of(encoded, offset)
        values.append(encoded[offset:end])
        offset = end
    if offset != len(encoded):
        raise DecodeError(f"{len(encoded) - offset} bytes follow the last value")
    return values
