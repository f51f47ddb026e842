"""Rows of one length in a ring, found by time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.core.is15959.rows import I16, TIME, TRUTH, U8, U16, U32, Layout, Ring
from dlms.axdr.values import decode_value


def test_row_is_a_structure_of_its_cells() -> None:
    layout = Layout((TIME, U8, U16, U32, I16, TRUTH))
    row = layout.row((bytes(12), 1, 2, 3, -4, True))
    assert len(row) == layout.size
    assert decode_value(row) == (bytes(12), 1, 2, 3, -4, True)
    assert [decode_value(row[a:b]) for a, b in zip(layout.places, layout.places[1:], strict=False)] == [
        bytes(12), 1, 2, 3, -4, True,
    ]  # fmt: skip


def test_oldest_row_makes_room() -> None:
    ring = Ring(1, 3)
    for number in range(5):
        ring.append(number, bytes((number,)))
    assert len(ring) == 3
    assert ring.joined(range(3)) == b"\x02\x03\x04"
    assert [ring.time(index) for index in range(3)] == [2, 3, 4]
    assert ring.row(0) == b"\x02"


@given(
    times=st.lists(st.integers(0, 50), max_size=40),
    capacity=st.integers(1, 12),
    first=st.none() | st.integers(-5, 55),
    last=st.none() | st.integers(-5, 55),
)
def test_rows_between_two_times_are_those_a_search_finds(
    times: list[int], capacity: int, first: int | None, last: int | None
) -> None:
    ring = Ring(1, capacity)
    for time in times:
        ring.append(time, bytes((time,)))
    kept = times[-capacity:]
    expected = [t for t in kept if (first is None or t >= first) and (last is None or t <= last)]
    assert list(ring.joined(ring.between(first, last))) == expected


@given(st.lists(st.integers(0, 200), max_size=60).map(sorted), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_any_stretch_is_joined_in_order(times: list[int], capacity: int, begin: int, length: int) -> None:
    ring = Ring(2, capacity)
    for number, time in enumerate(times):
        ring.append(time, number.to_bytes(2, "big"))
    chosen = range(min(begin, len(ring)), min(begin + length, len(ring)))
    assert ring.joined(chosen) == b"".join(ring.row(index) for index in chosen)


def test_cleared_ring_begins_anew() -> None:
    ring = Ring(1, 2)
    for time in (5, 3, 4):
        ring.append(time, b"x")
    ring.clear()
    assert len(ring) == 0
    ring.append(1, b"a")
    assert ring.joined(ring.between(None, None)) == b"a"


def test_value_too_large_for_its_cell_is_an_error() -> None:
    with pytest.raises(Exception, match="format requires"):
        Layout((U8,)).row((256,))
