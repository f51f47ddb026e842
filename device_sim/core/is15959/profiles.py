"""Profiles (class 7): columns, captured rows, and the part of them that a client selects (Blue Book 4.3.6).

Decides how a buffer is read; when a row is captured, the meter decides. Selecting by time is a bisection and a slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.quantities import CLOCK
from device_sim.core.is15959.rows import Layout, Ring
from dlms.apdu.results import DataAccessResult
from dlms.axdr.data import Data, structure
from dlms.axdr.data import encode as encode_data
from dlms.axdr.length import encode_length
from dlms.cosem.profile_generic import EntryDescriptor, RangeDescriptor, read_selection
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.units import SCALER_UNIT
from dlms.errors import AccessRefusedError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_sim.core.is15959.clock import MeterClock
    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.is15959.quantities import Quantity
    from dlms.apdu.services import Selection

_ARRAY: Final = b"\x01"
_STRUCTURE: Final = b"\x02"
SCALER_UNIT_ATTRIBUTE: Final = 3


class Table:
    """The columns of a profile, the same for all meters of this kind."""

    def __init__(self, quantities: Sequence[Quantity], *, time: Quantity = CLOCK) -> None:
        """Take the columns; `time` is the one that rows can be selected by."""
        self.quantities = tuple(quantities)
        self.captures = tuple(quantity.capture for quantity in quantities)
        self.layout = Layout([quantity.kind for quantity in quantities])
        self._time = time.capture

    def capture(self, meter: Is15959Meter) -> bytes:
        """Return a row as the meter stands."""
        return self.layout.row([quantity.read(meter) for quantity in self.quantities])

    def scalers(self) -> tuple[tuple[CaptureObject, ...], bytes]:
        """Return the columns of the scaler profile that belongs to this one, and its buffer."""
        scaled = [quantity for quantity in self.quantities if quantity.scaler_unit is not None]
        captures = tuple(
            CaptureObject(quantity.capture.class_id, quantity.capture.name, SCALER_UNIT_ATTRIBUTE)
            for quantity in scaled
        )
        units: list[Data] = [SCALER_UNIT.to(quantity.scaler_unit) for quantity in scaled if quantity.scaler_unit]
        return captures, _ARRAY + b"\x01" + encode_data(structure(*units))

    def is_time(self, capture: CaptureObject) -> bool:
        """Say whether rows can be selected by this column."""
        return (capture.class_id, capture.name, capture.attribute) == (
            self._time.class_id,
            self._time.name,
            self._time.attribute,
        )

    def places(self, columns: Sequence[CaptureObject]) -> list[int]:
        """Return where columns stand.

        Raises:
            AccessRefusedError: One is none of this profile.
        """
        try:
            return [self.captures.index(column) for column in columns]
        except ValueError:
            raise AccessRefusedError("no such column", result=DataAccessResult.SCOPE_OF_ACCESS_VIOLATED) from None


def read_ring(table: Table, ring: Ring, selection: Selection | None, clock: MeterClock) -> bytes:
    """Return a buffer, or the part selected.

    Raises:
        AccessRefusedError: It cannot be selected by that.
        DecodeError: The selection does not hold.
    """
    count = len(ring)
    if selection is None:
        return _whole(ring, range(count))
    wanted = read_selection(selection)
    if isinstance(wanted, RangeDescriptor):
        chosen = _by_range(table, ring, wanted, clock)
        columns = table.places(wanted.columns)
    else:
        chosen = range(*_span(wanted.first, wanted.last, count))
        columns = _entry_columns(table, wanted)
    if not columns or columns == list(range(table.layout.columns)):
        return _whole(ring, chosen)
    return _cut(table.layout, [ring.row(index) for index in chosen], columns)


def read_rows(table: Table, rows: Sequence[bytes], selection: Selection | None) -> bytes:
    """Return a buffer of rows made for this request; these have no time to select by.

    Raises:
        AccessRefusedError: It cannot be selected by that.
        DecodeError: The selection does not hold.
    """
    columns = list(range(table.layout.columns))
    if selection is not None:
        wanted = read_selection(selection)
        if isinstance(wanted, RangeDescriptor):
            columns = table.places(wanted.columns) or columns
        else:
            rows = rows[slice(*_span(wanted.first, wanted.last, len(rows)))]
            columns = _entry_columns(table, wanted)
    return _cut(table.layout, rows, columns)


def _whole(ring: Ring, chosen: range | list[int]) -> bytes:
    return b"".join((_ARRAY, encode_length(len(chosen)), ring.joined(chosen)))


def _cut(layout: Layout, rows: Sequence[bytes], columns: list[int]) -> bytes:
    """Return some columns of some rows."""
    head = _STRUCTURE + encode_length(len(columns))
    spans = [slice(layout.places[column], layout.places[column + 1]) for column in columns]
    cells = [head + b"".join([row[span] for span in spans]) for row in rows]
    return b"".join((_ARRAY, encode_length(len(cells)), *cells))


def _by_range(table: Table, ring: Ring, wanted: RangeDescriptor, clock: MeterClock) -> range | list[int]:
    if not table.is_time(wanted.restricting):
        raise AccessRefusedError("not the time column", result=DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    first, last = wanted.first, wanted.last
    if not isinstance(first, bytes) or not isinstance(last, bytes):
        raise DecodeError("the bounds of a range are no date-times")
    return ring.between(clock.bound(first), clock.bound(last))


def _entry_columns(table: Table, wanted: EntryDescriptor) -> list[int]:
    return list(range(*_span(wanted.first_column, wanted.last_column, table.layout.columns)))


def _span(first: int, last: int, count: int) -> tuple[int, int]:
    """Return where a selection counted from 1 begins and ends; 0 for the last means all that follow."""
    return max(0, first - 1), min(count, last or count)
