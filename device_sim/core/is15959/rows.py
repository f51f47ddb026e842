"""Rows of a profile as they are kept: bytes of one length in a ring, found by time without looking at them.

Decides layout, order and age of rows; what is in them and when they are captured, others decide. A month of quarter
hours takes about 150 kB, so that hundreds of meters fit one process.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from dlms.axdr.length import encode_length
from dlms.axdr.tags import Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRUCTURE: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one cell is written: always in the same number of bytes."""

    tag: Tag
    layout: str
    """Of the value, in the words of `struct`."""
    head: bytes

    @property
    def size(self) -> int:
        """Bytes of a cell."""
        return len(self.head) + struct.calcsize(">" + self.layout)

    def cell(self, value: int | bytes) -> bytes:
        """Return one value with its type."""
        return self.head + struct.pack(">" + self.layout, value)


def _number(tag: Tag, layout: str) -> Kind:
    return Kind(tag, layout, bytes((tag,)))


U8: Final = _number(Tag.UNSIGNED, "B")
U16: Final = _number(Tag.LONG_UNSIGNED, "H")
U32: Final = _number(Tag.DOUBLE_LONG_UNSIGNED, "I")
I16: Final = _number(Tag.LONG, "h")
I32: Final = _number(Tag.DOUBLE_LONG, "i")
TRUTH: Final = _number(Tag.BOOLEAN, "B")
TIME: Final = Kind(Tag.OCTET_STRING, "12s", b"\x09\x0c")


class Layout:
    """The cells of a row, in their order."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.kinds = tuple(kinds)
        self.head = _STRUCTURE + encode_length(len(self.kinds))
        sizes = [kind.size for kind in self.kinds]
        self.places = tuple(accumulate(sizes, initial=len(self.head)))
        """Where each cell begins, and where the row ends."""
        self.size = self.places[-1]
        self._pack = struct.Struct(
            f">{len(self.head)}s" + "".join(f"{len(kind.head)}s{kind.layout}" for kind in self.kinds)
        ).pack

    def row(self, values: Sequence[int | bytes]) -> bytes:
        """Return a row."""
        cells: list[int | bytes] = [self.head]
        for kind, value in zip(self.kinds, values, strict=True):
            cells += (kind.head, value)
        return self._pack(*cells)

    @cached_property
    def columns(self) -> int:
        """How many cells a row has."""
        return len(self.kinds)


class Ring:
    """The last rows of a profile, oldest first, each with the local time it stands for."""

    __slots__ = ("_bytes", "_descents", "_first", "_times", "entries_max", "row_bytes")

    def __init__(self, row_bytes: int, entries_max: int) -> None:
        self.row_bytes = row_bytes
        self.entries_max = entries_max
        self._bytes = bytearray()
        self._times = array("q")
        self._first = 0
        """Place of the oldest row."""
        self._descents = 0
        """How many rows stand for an earlier time than the one before: after the clock was set back."""

    def __len__(self) -> int:
        return len(self._times)

    @property
    def is_full(self) -> bool:
        return len(self._times) == self.entries_max

    def append(self, local_ms: int, row: bytes) -> None:
        """Keep a row; the oldest makes room for it."""
        if self._times:
            self._descents += local_ms < self.time(len(self._times) - 1)
        if not self.is_full:
            self._times.append(local_ms)
            self._bytes += row
            return
        if len(self._times) > 1:
            self._descents -= self.time(1) < self.time(0)
        place = self._first
        self._times[place] = local_ms
        self._bytes[place * self.row_bytes : (place + 1) * self.row_bytes] = row
        self._first = (place + 1) % self.entries_max

    def clear(self) -> None:
        """Forget all rows."""
        self._bytes, self._times = bytearray(), array("q")
        self._first = self._descents = 0

    def time(self, index: int) -> int:
        """Return the time of a row, counted from 0 for the oldest."""
        return self._times[(self._first + index) % len(self._times)]

    def between(self, first_ms: int | None, last_ms: int | None) -> range | list[int]:
        """Return the rows from one time to another, both included; None is open."""
        count = len(self._times)
        if self._descents:
            chosen = range(count)
            low_ms = first_ms if first_ms is not None else min(self._times)
            high_ms = last_ms if last_ms is not None else max(self._times)
            return [index for index in chosen if low_ms <= self.time(index) <= high_ms]
        begin = 0 if first_ms is None else bisect_left(range(count), first_ms, key=self.time)
        end = count if last_ms is None else bisect_right(range(count), last_ms, key=self.time)
        return range(begin, max(begin, end))

    def joined(self, chosen: range | list[int]) -> bytes:
        """Return rows one after the other."""
        if not isinstance(chosen, range) or not chosen:
            return b"".join([self.row(index) for index in chosen])
        count, size = len(self._times), self.row_bytes
        begin, end = self._first + chosen.start, self._first + chosen.stop
        if begin >= count:
            begin, end = begin - count, end - count
        if end <= count:
            return bytes(self._bytes[begin * size : end * size])
        return bytes(self._bytes[begin * size :] + self._bytes[: (end - count) * size])

    def row(self, index: int) -> bytes:
        """Return one row, counted from 0 for the oldest."""
        place = (self._first + index) % len(self._times) * self.row_bytes
        return bytes(self._bytes[place : place + self.row_bytes])
