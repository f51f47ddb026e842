"""Profiles: load profiles, billing and event logs, class 7, and how to ask for a part of one (BB 4.3.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dlms.apdu.services import Selection
from dlms.axdr.data import Data, octet_string
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import Tag
from dlms.cosem.attribute import Attribute, AttributeRef, CosemObject, Method
from dlms.cosem.codecs import (
    ANY,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LONG_UNSIGNED,
    NAME,
    NOTHING,
    Codec,
    enumeration,
    optional,
    record,
    sequence,
)
from dlms.cosem.profile_rows import CaptureObject, Cell, Row, RowCodec
from dlms.errors import DecodeError

__all__ = [
    "CAPTURE_OBJECT",
    "ENTRY_SELECTOR",
    "RANGE_SELECTOR",
    "CaptureObject",
    "Cell",
    "EntryDescriptor",
    "ProfileGeneric",
    "RangeDescriptor",
    "Row",
    "RowCodec",
    "SortMethod",
    "read_selection",
]

RANGE_SELECTOR: Final = 1
ENTRY_SELECTOR: Final = 2


class SortMethod(IntEnum):
    """Order of the rows."""

    FIFO = 1
    """Oldest first."""
    LIFO = 2
    """Newest first."""
    LARGEST = 3
    SMALLEST = 4
    NEAREST_TO_ZERO = 5
    FARTHEST_FROM_ZERO = 6


CAPTURE_OBJECT: Final = record(CaptureObject, LONG_UNSIGNED, NAME, INTEGER, LONG_UNSIGNED)


@dataclass(frozen=True, slots=True)
class RangeDescriptor:
    """Rows whose restricting column lies between two values, both included."""

    restricting: CaptureObject
    first: Cell | Data
    last: Cell | Data
    columns: tuple[CaptureObject, ...] = ()
    """Empty for all."""


@dataclass(frozen=True, slots=True)
class EntryDescriptor:
    """Rows by their place in the buffer, columns by theirs; both from 1, both included."""

    first: int
    last: int
    """0 for the last there is."""
    first_column: int = 1
    last_column: int = 0
    """0 for the last there is."""


def _bound_to(bound: Cell | Data) -> Data:
    return octet_string(bound.encoded) if isinstance(bound, CosemDateTime) else ANY.to(bound)


_BOUND: Final[Codec[Cell | Data]] = Codec(lambda value: value, _bound_to)
_RANGE: Final = record(RangeDescriptor, CAPTURE_OBJECT, _BOUND, _BOUND, sequence(CAPTURE_OBJECT))
_ENTRY: Final = record(EntryDescriptor, DOUBLE_LONG_UNSIGNED, DOUBLE_LONG_UNSIGNED, LONG_UNSIGNED, LONG_UNSIGNED)


def read_selection(selection: Selection) -> RangeDescriptor | EntryDescriptor:
    """Return what rows a client asks for; the bounds of a range as plain values.

    Raises:
        DecodeError: Another selector, or other parameters than it has.
    """
    if selection.selector == RANGE_SELECTOR:
        return _RANGE.decode(selection.parameters)
    if selection.selector == ENTRY_SELECTOR:
        return _ENTRY.decode(selection.parameters)
    raise DecodeError(f"a profile has no access selector {selection.selector}")


class ProfileGeneric(CosemObject):
    """Values captured together, row by row; class 7.

    The buffer is best read with `rows`, which knows the columns; `buffer` gives what stands there.
    """

    CLASS_ID = 7
    VERSION = 1
    __slots__ = ()

    buffer: Attribute[tuple[Row, ...]] = Attribute(2, RowCodec())
    capture_objects: Attribute[tuple[CaptureObject, ...]] = Attribute(3, sequence(CAPTURE_OBJECT))
    capture_period: Attribute[int] = Attribute(4, DOUBLE_LONG_UNSIGNED)
    """Seconds; 0 for captures by events."""
    sort_method: Attribute[SortMethod] = Attribute(5, enumeration(SortMethod))
    sort_object: Attribute[CaptureObject | None] = Attribute(6, optional(CAPTURE_OBJECT))
    entries_in_use: Attribute[int] = Attribute(7, DOUBLE_LONG_UNSIGNED)
    profile_entries: Attribute[int] = Attribute(8, DOUBLE_LONG_UNSIGNED)
    reset: Method[int, None] = Method(1, INTEGER, NOTHING)
    capture: Method[int, None] = Method(2, INTEGER, NOTHING)

    def rows(
        self,
        columns: Sequence[CaptureObject],
        *,
        capture_period_s: int = 0,
        types: Sequence[Tag] = (),
        fills: bool = True,
    ) -> AttributeRef[tuple[Row, ...]]:
        """Return the buffer as rows of these columns; see `dlms.cosem.profile_rows.RowCodec` for the rest."""
        return AttributeRef(
            self.CLASS_ID, self.name, 2, RowCodec(tuple(columns), capture_period_s, tuple(types), fills)
        )

    def by_range(
        self,
        restricting: CaptureObject,
        first: Cell | Data,
        last: Cell | Data,
        columns: Sequence[CaptureObject] = (),
    ) -> Selection:
        """Return the selection of rows from `first` to `last` of a column, both included; of all columns, or of some.

        Date-times are written as octet-strings; give `Data` for meters that want the type date-time, or any number.
        """
        descriptor = RangeDescriptor(restricting, first, last, tuple(columns))
        return Selection(RANGE_SELECTOR, _RANGE.encode(descriptor))

    def by_entry(self, first: int = 1, last: int = 0, first_column: int = 1, last_column: int = 0) -> Selection:
        """Return the selection of rows by their number from 1, both included; 0 means up to the last."""
        return Selection(ENTRY_SELECTOR, _ENTRY.encode(EntryDescriptor(first, last, first_column, last_column)))
