"""Lengths read what any peer may write, and write the shortest form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr.length import decode_length, encode_length
from dlms.errors import DecodeError


@pytest.mark.parametrize(
    ("length", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8180"), (255, "81ff"), (256, "820100"), (0xFFFF_FFFF, "84ffffffff")],
)
def test_a_length_has_the_shortest_form(length: int, encoded: str) -> None:
    assert encode_length(length).hex() == encoded
    assert decode_length(bytes.fromhex(encoded), 0) == (length, len(encoded) // 2)


def test_a_longer_form_than_needed_is_read() -> None:
    assert decode_length(bytes.fromhex("aa82000599"), 1) == (5, 4)


@pytest.mark.parametrize("encoded", ["", "80", "81", "8201", "850000000001", "ff"])
def test_what_is_no_length_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_length(bytes.fromhex(encoded), 0)


@pytest.mark.parametrize("length", [-1, -200, 2**32])
def test_what_no_length_can_be_is_not_written(length: int) -> None:
    with pytest.raises(ValueError, match="no length"):
        encode_length(length)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=5))
def test_every_length_comes_back(length: int, rest: bytes) -> None:
    encoded = encode_length(length)
    assert decode_length(encoded + rest, 0) == (length, len(encoded))
