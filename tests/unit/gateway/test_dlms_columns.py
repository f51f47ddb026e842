"""Whatever rows a meter gives, they become channels and values that a fact can carry, or are left out."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import BitString
from dlms.cosem.profile_rows import Cell
from dlms.obis import obis
from gateway.adapters.dlms.columns import UNIT_SECOND, Column, captured_rows, log_entries, time_column
from gateway.adapters.dlms.times import MeterTime
from gateway.core.dlms_profiles import Deviation
from wire.limits import VALUE_MAX
from wire.readings import CAPTURED_S_MAX, Channel

INDIA = MeterTime.of(Deviation(minutes=-330), None)
CLOCK = Column(8, obis("0.0.1.0.0.255"), 2)
ENERGY = Column(3, obis("1.0.1.8.0.255"), 2, 0, 1, 30)
MAXIMUM = Column(4, obis("1.0.1.6.0.255"), 2, 0, 0, 27)
MAXIMUM_TIME = Column(4, obis("1.0.1.6.0.255"), 5)
CODE = Column(1, obis("0.0.96.11.0.255"), 2)
NOON_MS = 1_780_315_200_000
NEVER = CosemDateTime(bytes.fromhex("ffffffffffffffffff8000ff"))


def at(utc_ms: int) -> CosemDateTime:
    return INDIA.moment(utc_ms)


def test_columns_become_channels_without_the_instant() -> None:
    channels, rows = captured_rows(
        [CLOCK, ENERGY, MAXIMUM, MAXIMUM_TIME], [(at(NOON_MS), 12, 900, at(NOON_MS - 60_000))], INDIA
    )
    assert channels == (
        Channel(ENERGY.name, 1, 30),
        Channel(MAXIMUM.name, 0, 27),
        Channel(MAXIMUM.name, 0, UNIT_SECOND),
    )
    assert [(row.captured_s, list(row.values)) for row in rows] == [
        (NOON_MS // 1_000, [12, 900, NOON_MS // 1_000 - 60])
    ]


def test_a_row_without_an_instant_is_left_out() -> None:
    _, rows = captured_rows([CLOCK, ENERGY], [(NEVER, 1), (at(NOON_MS), 2)], INDIA)
    assert [list(row.values) for row in rows] == [[2]]


def test_what_is_no_number_is_left_out_and_floats_keep_three_places() -> None:
    text = Column(1, obis("0.0.96.1.0.255"), 2)
    bits = Column(1, obis("0.0.94.91.18.255"), 2)
    channels, rows = captured_rows(
        [CLOCK, text, ENERGY, bits],
        [(at(NOON_MS), b"abc", 1.2346, BitString.of(True, False)), (at(NOON_MS + 1_000), b"d", 2, None)],
        INDIA,
    )
    assert channels == (Channel(ENERGY.name, -2, 30), Channel(bits.name, 0, 255))
    assert [list(row.values) for row in rows] == [[1_235, 2], [2_000, None]]


def test_the_billing_date_says_when_a_bill_was_captured() -> None:
    date = Column(1, obis("0.0.0.1.2.255"), 2)
    assert time_column([ENERGY, date, MAXIMUM_TIME]) == 1
    _, rows = captured_rows([ENERGY, date], [(5, at(NOON_MS).encoded)], INDIA)
    assert rows[0].captured_s == NOON_MS // 1_000


def test_a_log_entry_has_its_code_and_what_was_measured() -> None:
    entries = log_entries([CLOCK, CODE, ENERGY], [(at(NOON_MS), 201, 7), (NEVER, 202, None)], INDIA, code=CODE.name)
    assert [(entry.captured_s, entry.number) for entry in entries] == [(NOON_MS // 1_000, 201), (0, 202)]
    assert [(value.obis, value.scaler, value.value) for value in entries[0].values] == [(ENERGY.name, 1, 7)]


def test_a_deviation_that_is_none_is_not_believed() -> None:
    odd = CosemDateTime(at(NOON_MS).encoded[:9] + b"\x7f\xff\x00")
    assert MeterTime.of(Deviation(minutes=-330), odd).minutes == -330


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.binary(max_size=13),
    st.text(max_size=3),
    st.builds(CosemDateTime, st.binary(min_size=12, max_size=12)),
    st.builds(BitString.from_int, st.integers(0, 255), st.just(8)),
    st.lists(st.integers(0, 3), max_size=2),
)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=6), st.permutations([CLOCK, ENERGY, CODE, MAXIMUM_TIME])
)
def test_any_rows_give_values_within_the_limits(rows: list[tuple[Cell, ...]], columns: list[Column]) -> None:
    channels, captured = captured_rows(columns, rows, INDIA)
    assert len(set(channels)) == len(channels)
    for row in captured:
        assert 0 <= row.captured_s <= CAPTURED_S_MAX
        assert len(row.values) == len(channels)
        assert all(value is None or abs(value) <= VALUE_MAX for value in row.values)
    for entry in log_entries(columns, rows, INDIA, code=CODE.name):
        assert 0 <= entry.captured_s <= CAPTURED_S_MAX
        assert all(value.value is None or abs(value.value) <= VALUE_MAX for value in entry.values)
        assert math.isfinite(entry.number)
