"""Check sequences: against published values and a plain bit-by-bit computation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.link import fcs
from tests.unit.dlms.link.bitwise import bitwise_fcs


def test_the_published_check_value_of_crc_16_x_25_comes_out() -> None:
    assert fcs.check_sequence(b"123456789") == bytes.fromhex("6e90")


@given(st.binary(max_size=300))
def test_it_agrees_with_counting_bit_by_bit(data: bytes) -> None:
    assert fcs.check_sequence(data) == bitwise_fcs(data)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_behind_a_correct_header_the_count_goes_on_from_a_constant(header: bytes, info: bytes) -> None:
    whole = header + bitwise_fcs(header) + info
    assert fcs.check_sequence(info, fcs.GOOD) == bitwise_fcs(whole)
    assert fcs.is_intact(whole + bitwise_fcs(whole))
    assert fcs.is_intact(info + bitwise_fcs(whole), fcs.GOOD)


@pytest.mark.parametrize("bit", range(9 * 8))
def test_one_wrong_bit_is_seen(bit: int) -> None:
    spoilt = bytearray(b"1234567" + bitwise_fcs(b"1234567"))
    spoilt[bit // 8] ^= 1 << bit % 8
    assert not fcs.is_intact(bytes(spoilt))
