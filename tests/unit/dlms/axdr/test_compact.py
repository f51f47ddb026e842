"""Type descriptions, and that no compact array asks for more than it brings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr.compact import TypeDescription, decode_description, encode_description
from dlms.axdr.data import decode
from dlms.axdr.tags import Tag
from dlms.axdr.values import decode_value, end_of
from dlms.errors import DecodeError, DlmsError

NESTED = TypeDescription(
    Tag.STRUCTURE,
    (
        TypeDescription(Tag.DATE_TIME),
        TypeDescription(
            Tag.ARRAY,
            (TypeDescription(Tag.STRUCTURE, (TypeDescription(Tag.UNSIGNED), TypeDescription(Tag.NULL_DATA))),),
            3,
        ),
    ),
)


def test_a_nested_description_has_its_bytes() -> None:
    encoded = bytes.fromhex("0202 19 01 0003 0202 11 00")
    assert encode_description(NESTED) == encoded
    assert decode_description(encoded, 0) == (NESTED, len(encoded))


def test_a_description_knows_the_least_its_elements_take() -> None:
    assert NESTED.bytes_min == 12 + 3
    assert NESTED.values == 1 + 1 + 1 + 3 * 3


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "02",
        "0205",
        "01",
        "0100",
        "010003",
        "08",
        "1312",
        "0101ff" * 40,
        "0100ff" * 40 + "11",
        "0284ffffffff",
    ],
)
def test_what_is_no_description_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_description(bytes.fromhex(encoded), 0)


@pytest.mark.parametrize(
    "encoded",
    [
        "13 00 01 00",  # null-data takes no bytes: how many are in one byte?
        "13 01ffff01ffff00 01 00",
        "13 0202 01ffff00 11 04 00000000",  # one byte would stand for 65535 values
        "13 01ffff01ffff01ffff11 02 0000",
        "13 12 03 000000",
        "13 09 03 05aabb",
        "13 12 84ffffffff 00",
        "13 12",
        "13 1312 00",
    ],
)
def test_contents_that_do_not_fit_the_description_are_refused(encoded: str) -> None:
    for read in (decode_value, decode):
        with pytest.raises(DecodeError):
            read(bytes.fromhex(encoded))


def test_a_compact_array_inside_a_structure_is_stepped_over() -> None:
    encoded = bytes.fromhex("0202 13 0202 12 11 06 000101 000202 1107")
    assert decode_value(encoded) == ([(1, 1), (2, 2)], 7)
    assert end_of(encoded, 0) == len(encoded)
    assert end_of(encoded, 2) == len(encoded) - 2


@given(st.binary(max_size=40), st.binary(max_size=60))
def test_any_compact_array_is_a_value_or_an_error(description: bytes, contents: bytes) -> None:
    encoded = b"\x13" + description + bytes((len(contents),)) + contents
    try:
        value = decode_value(encoded)
    except DlmsError:
        return
    assert isinstance(value, list)
