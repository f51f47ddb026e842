"""The fast way gives what the exact way gives, refuses the same, and is not led into work without end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr import data as axdr
from dlms.axdr.data import Data, decode, encode
from dlms.axdr.values import Delta, decode_value, end_of, value_at
from dlms.errors import DecodeError, DlmsError
from tests.unit.dlms.axdr.trees import like_rows, trees


def _profile(rows: int) -> Data:
    return axdr.array(
        *(
            axdr.structure(
                axdr.octet_string(bytes((7, 0xE8, 5, 1, 3, row // 4 % 24, row % 4 * 15, 0, 255, 128, 0, 0))),
                axdr.double_long_unsigned(row * 1000),
                axdr.long_unsigned(row),
                axdr.boolean(row % 2 == 0),
                axdr.NULL_DATA,
                axdr.float32(row / 2),
            )
            for row in range(rows)
        )
    )


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 6, 96, 300])
def test_rows_laid_out_alike_read_as_they_do_one_by_one(rows: int) -> None:
    profile = _profile(rows)
    assert decode_value(encode(profile)) == profile.plain()


def test_a_row_of_another_layout_among_many_alike_reads_as_it_is() -> None:
    rows = _profile(60).value
    assert isinstance(rows, tuple)
    for place in range(0, 60, 7):
        changed = axdr.structure(axdr.NULL_DATA, *(axdr.unsigned(place) for _ in range(5)))
        mixed = axdr.array(*rows[:place], changed, *rows[place:])
        assert decode_value(encode(mixed)) == mixed.plain()


def test_arrays_of_numbers_and_of_nothing_read_as_lists() -> None:
    assert decode_value(encode(axdr.array(*map(axdr.long_unsigned, range(500))))) == list(range(500))
    assert decode_value(encode(axdr.array(*[axdr.NULL_DATA] * 30))) == [None] * 30
    assert decode_value(encode(axdr.array(*[axdr.structure()] * 30))) == [()] * 30
    assert decode_value(encode(axdr.array(*[axdr.structure(axdr.NULL_DATA)] * 30))) == [(None,)] * 30


def test_deltas_stay_recognisable() -> None:
    value = decode_value(bytes.fromhex("0201 1c05"))
    assert value == (5,)
    assert isinstance(value, tuple)
    assert type(value[0]) is Delta


def test_a_value_is_read_from_the_midst_of_others() -> None:
    assert value_at(bytes.fromhex("ffff 1105 1106"), 2) == (5, 4)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "11",
        "1100 00",
        "06000000",
        "0905aabb",
        "0a81",
        "0410ff",
        "07",
        "08",
        "0b00",
        "22",
        "fe",
        "0102 1101",
        "0284ffffffff",
        "0184ffffffff00",
        "0101" * 40 + "00",
        "0980",
        "19aabb",
    ],
)
def test_what_is_no_value_is_refused_by_every_way(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    for read in (decode_value, decode):
        with pytest.raises(DecodeError):
            read(data)


@pytest.mark.parametrize(
    "encoded", ["", "11", "06000000", "0905aabb", "0410ff", "08", "0102 1101", "0184ffffffff00", "13"]
)
def test_stepping_over_a_value_finds_that_it_is_not_whole(encoded: str) -> None:
    with pytest.raises(DecodeError):
        end_of(bytes.fromhex(encoded), 0)


def test_a_hundred_thousand_levels_are_refused_without_recursion() -> None:
    for encoded in (b"\x01\x01" * 100_000, b"\x02\x01" * 100_000, b"\x13" + b"\x02\x01" * 100_000):
        for read in (decode_value, decode):
            with pytest.raises(DecodeError):
                read(encoded)
        with pytest.raises(DecodeError):
            end_of(encoded, 0)


@given(trees, st.binary(max_size=4))
def test_any_tree_reads_as_its_plain_value(data: Data, rest: bytes) -> None:
    encoded = encode(data)
    assert decode_value(encoded) == data.plain()
    assert value_at(encoded + rest, 0) == (data.plain(), len(encoded))
    assert end_of(encoded + rest, 0) == len(encoded)


@given(like_rows())
def test_any_array_of_similar_rows_reads_as_its_plain_value(data: Data) -> None:
    assert decode_value(encode(data)) == data.plain()


@given(like_rows(), st.data())
def test_a_damaged_array_is_a_value_or_an_error(data: Data, draw: st.DataObject) -> None:
    encoded = bytearray(encode(data))
    for _ in range(draw.draw(st.integers(1, 3))):
        encoded[draw.draw(st.integers(0, len(encoded) - 1))] = draw.draw(st.integers(0, 255))
    damaged = bytes(encoded[: draw.draw(st.integers(0, len(encoded)))])
    _agree(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(encoded: bytes) -> None:
    _agree(encoded)


def _agree(encoded: bytes) -> None:
    """Read in every way: those that look at contents agree, and where there is a value, its end is known."""
    try:
        exact = decode(encoded)
    except DlmsError as error:
        is_text = "UTF-8" in str(error)
        exact = None
    else:
        is_text = False
    try:
        value = decode_value(encoded)
    except DlmsError:
        assert exact is None
        return
    assert end_of(encoded, 0) == len(encoded)
    if not is_text:
        assert exact is not None
        assert repr(exact.plain()) == repr(value)
