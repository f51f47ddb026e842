"""Rows of profiles: what a meter left out is filled in, and what a server writes reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr import data as axdr
from dlms.axdr.data import Data, Tag, encode
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.values import Value
from dlms.cosem.profile_rows import CaptureObject, RowCodec
from dlms.errors import DecodeError, DlmsError
from dlms.obis import obis

CLOCK = CaptureObject(8, obis("0.0.1.0.0.255"), 2)
VOLTAGE = CaptureObject(3, obis("1.0.12.27.0.255"), 2)
ENERGY = CaptureObject(3, obis("1.0.1.29.0.255"), 2)
PEAK_TIME = CaptureObject(4, obis("1.0.1.6.0.255"), 5)
START_MS = 1_714_564_800_000
PERIOD_S = 900
BLOCK = RowCodec((CLOCK, VOLTAGE, ENERGY), PERIOD_S, (Tag.OCTET_STRING, Tag.LONG_UNSIGNED, Tag.DOUBLE_LONG_UNSIGNED))


def _moment(row: int) -> CosemDateTime:
    return CosemDateTime.from_utc_ms(START_MS + row * PERIOD_S * 1000, -330)


def _time(row: int) -> Data:
    return axdr.octet_string(_moment(row).encoded)


def test_rows_have_times_and_numbers() -> None:
    rows = tuple((_moment(row), 2300 + row, row * 7) for row in range(96))
    encoded = BLOCK.encode(rows)
    tree = axdr.array(
        *(
            axdr.structure(_time(row), axdr.long_unsigned(2300 + row), axdr.double_long_unsigned(row * 7))
            for row in range(96)
        )
    )
    assert encoded == encode(tree)
    assert BLOCK.decode(encoded) == rows


def test_null_is_the_value_before_and_for_the_clock_one_period_later() -> None:
    buffer = axdr.array(
        axdr.structure(_time(0), axdr.long_unsigned(2300), axdr.double_long_unsigned(5)),
        axdr.structure(axdr.NULL_DATA, axdr.NULL_DATA, axdr.double_long_unsigned(6)),
        axdr.structure(axdr.NULL_DATA, axdr.long_unsigned(2310), axdr.NULL_DATA),
        axdr.structure(_time(10), axdr.NULL_DATA, axdr.NULL_DATA),
        axdr.structure(axdr.NULL_DATA, axdr.NULL_DATA, axdr.NULL_DATA),
    )
    assert BLOCK.decode(encode(buffer)) == (
        (_moment(0), 2300, 5),
        (_moment(1), 2300, 6),
        (_moment(2), 2310, 6),
        (_moment(10), 2310, 6),
        (_moment(11), 2310, 6),
    )


def test_a_day_with_the_clock_left_out_has_all_its_times() -> None:
    rows = [axdr.structure(_time(0), axdr.long_unsigned(1), axdr.double_long_unsigned(0))]
    rows += [axdr.structure(axdr.NULL_DATA, axdr.long_unsigned(1), axdr.double_long_unsigned(n)) for n in range(1, 96)]
    read = BLOCK.decode(encode(axdr.array(*rows)))
    assert read == tuple((_moment(row), 1, row) for row in range(96))


def test_the_newest_first_goes_back_by_the_period() -> None:
    newest = RowCodec((CLOCK,), -PERIOD_S)
    buffer = axdr.array(axdr.structure(_time(5)), axdr.structure(axdr.NULL_DATA), axdr.structure(axdr.NULL_DATA))
    assert newest.decode(encode(buffer)) == ((_moment(5),), (_moment(4),), (_moment(3),))


def test_null_in_the_first_row_has_nothing_to_stand_for() -> None:
    buffer = axdr.array(axdr.structure(axdr.NULL_DATA, axdr.NULL_DATA, axdr.unsigned(5)))
    assert BLOCK.decode(encode(buffer)) == ((None, None, 5),)


def test_null_stays_none_where_a_meter_means_no_value() -> None:
    as_it_is = RowCodec((CLOCK, VOLTAGE), PERIOD_S, fills=False)
    buffer = axdr.array(axdr.structure(_time(0), axdr.unsigned(1)), axdr.structure(axdr.NULL_DATA, axdr.NULL_DATA))
    assert as_it_is.decode(encode(buffer)) == ((_moment(0), 1), (None, None))


def test_a_delta_counts_from_the_value_before() -> None:
    buffer = axdr.array(
        axdr.structure(axdr.double_long_unsigned(1000)),
        axdr.structure(Data(Tag.DELTA_UNSIGNED, 200)),
        axdr.structure(Data(Tag.DELTA_INTEGER, -3)),
        axdr.structure(axdr.NULL_DATA),
    )
    assert RowCodec((ENERGY,)).decode(encode(buffer)) == ((1000,), (1200,), (1197,), (1197,))
    with pytest.raises(DecodeError, match="no number before"):
        RowCodec((ENERGY,)).decode(encode(axdr.array(axdr.structure(Data(Tag.DELTA_UNSIGNED, 1)))))


def test_the_time_of_a_peak_is_a_time_but_does_not_advance() -> None:
    peaks = RowCodec((PEAK_TIME,), PERIOD_S)
    buffer = axdr.array(axdr.structure(axdr.date_time(_moment(0).encoded)), axdr.structure(axdr.NULL_DATA))
    assert peaks.decode(encode(buffer)) == ((_moment(0),), (_moment(0),))


def test_a_clock_that_counts_seconds_stays_a_number() -> None:
    buffer = axdr.array(axdr.structure(axdr.double_long_unsigned(1_714_564_800)), axdr.structure(axdr.NULL_DATA))
    assert RowCodec((CLOCK,)).decode(encode(buffer)) == ((1_714_564_800,), (1_714_564_800,))


def test_rows_of_a_compact_array_read_alike() -> None:
    rows = [
        axdr.structure(_time(row), axdr.long_unsigned(2300 + row), axdr.double_long_unsigned(row)) for row in range(20)
    ]
    compact = encode(axdr.compact_array(*rows))
    assert len(compact) < len(encode(axdr.array(*rows)))
    assert BLOCK.decode(compact) == tuple((_moment(row), 2300 + row, row) for row in range(20))


def test_an_empty_buffer_has_no_rows() -> None:
    assert BLOCK.decode(b"\x01\x00") == BLOCK.decode(b"\x00") == ()
    assert BLOCK.encode([]) == b"\x01\x00"


@pytest.mark.parametrize(
    "buffer",
    [
        axdr.unsigned(1),
        axdr.array(axdr.unsigned(1)),
        axdr.array(axdr.structure(axdr.unsigned(1))),
        axdr.array(axdr.structure(*[axdr.unsigned(1)] * 3), axdr.structure(axdr.unsigned(1))),
        axdr.array(axdr.array(*[axdr.unsigned(1)] * 3)),
    ],
    ids=str,
)
def test_what_is_no_buffer_of_these_columns_is_refused(buffer: Data) -> None:
    with pytest.raises(DecodeError):
        BLOCK.decode(encode(buffer))


def test_without_columns_rows_are_as_they_stand() -> None:
    buffer = axdr.array(axdr.structure(_time(0), axdr.NULL_DATA), axdr.structure(axdr.unsigned(1)))
    assert RowCodec().decode(encode(buffer)) == ((_moment(0).encoded, None), (1,))


def test_a_server_writes_cells_in_their_types_and_data_as_it_is() -> None:
    codec = RowCodec(
        types=(Tag.DATE_TIME, Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.BOOLEAN, Tag.UNSIGNED, Tag.FLOAT32)
    )
    row = (_moment(0), b"x", "y", True, None, 0.5)
    expected = axdr.structure(
        axdr.date_time(_moment(0).encoded),
        axdr.octet_string(b"x"),
        axdr.visible_string("y"),
        axdr.boolean(True),
        axdr.NULL_DATA,
        axdr.float32(0.5),
    )
    assert codec.encode([row]) == encode(axdr.array(expected))
    assert RowCodec().encode([(axdr.enum(1), 2)]) == bytes.fromhex("0101 0202 1601 0600000002")


def test_a_cell_that_does_not_fit_its_type_is_not_written() -> None:
    with pytest.raises(ValueError, match="too large or too small for LONG_UNSIGNED"):
        BLOCK.encode([(_moment(0), 70_000, 0)])
    with pytest.raises(ValueError, match="2 cells for 3 types"):
        BLOCK.encode([(_moment(0), 1)])


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)), max_size=40), st.data())
def test_leaving_out_what_repeats_changes_nothing(values: list[tuple[int, int]], draw: st.DataObject) -> None:
    full = tuple((_moment(index), *pair) for index, pair in enumerate(values))
    tree = []
    for index, row in enumerate(full):
        cells = [_time(index), axdr.long_unsigned(row[1]), axdr.double_long_unsigned(row[2])]
        if index:
            same = [True, *(now == before for now, before in zip(row[1:], full[index - 1][1:], strict=True))]
            cells = [
                axdr.NULL_DATA if is_same and draw.draw(st.booleans()) else cell
                for is_same, cell in zip(same, cells, strict=True)
            ]
        tree.append(axdr.structure(*cells))
    assert BLOCK.decode(encode(axdr.array(*tree))) == full


CELLS: list[Data] = [
    axdr.NULL_DATA,
    axdr.unsigned(1),
    axdr.octet_string(b"\xff" * 12),
    axdr.octet_string(b"\x00" * 12),
    Data(Tag.DELTA_INTEGER, -1),
    axdr.visible_string("x"),
    axdr.array(),
]


@given(st.lists(st.tuples(*[st.sampled_from(CELLS)] * 3), max_size=12))
def test_any_cells_are_rows_or_an_error(rows: list[tuple[Data, ...]]) -> None:
    try:
        read = BLOCK.decode(encode(axdr.array(*(axdr.structure(*row) for row in rows))))
    except DlmsError:
        return
    assert len(read) == len(rows)


def test_a_cell_of_plain_nesting_is_written_as_it_reads() -> None:
    cell: Value = [1, (2, b"x")]
    codec = RowCodec(types=(Tag.OCTET_STRING,))
    assert RowCodec().decode(codec.encode([(cell,)])) == ((cell,),)
