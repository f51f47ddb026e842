"""Bit strings count from the left, and their unused bits say nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr.tags import BitString


def test_bit_zero_is_the_leftmost() -> None:
    bits = BitString.of(True, False, False, True, False, False, False, False, False, True)
    assert bits.data == b"\x90\x40"
    assert (bits[0], bits[1], bits[9]) == (True, False, True)
    assert bits.set_bits() == (0, 3, 9)
    assert (len(bits), int(bits)) == (10, 0b1001000001)


def test_unused_bits_do_not_tell_two_strings_apart() -> None:
    assert BitString(b"\xff", 3) == BitString(b"\xe0", 3)


def test_an_index_beyond_the_end_is_no_bit() -> None:
    with pytest.raises(IndexError):
        BitString.of(True)[1]


def test_bits_and_bytes_have_to_agree() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        BitString(b"\x00\x00", 8)


@given(st.lists(st.booleans(), max_size=200))
def test_bits_come_back_as_they_were_put_in(bits: list[bool]) -> None:
    string = BitString.of(*bits)
    assert [string[index] for index in range(len(string))] == bits
    assert BitString.from_int(int(string), len(bits)) == string
