"""Addresses: their forms on the wire, and who is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.errors import DecodeError
from dlms.link.address import LONG_MAX, SHORT_MAX, StationAddress, decode_address, encode_client

parts = st.one_of(st.integers(0, SHORT_MAX), st.integers(0, LONG_MAX))


@pytest.mark.parametrize(
    ("address", "raw"),
    [
        (StationAddress(1), "03"),
        (StationAddress(1, 17), "0223"),
        (StationAddress(1, 17, is_wide=True), "00020023"),
        (StationAddress(1, 128), "00020201"),
        (StationAddress(0x1234, 0x3FFE), "4868fefd"),
        (StationAddress(SHORT_MAX, SHORT_MAX), "feff"),
        (StationAddress(LONG_MAX, LONG_MAX), "fefefeff"),
    ],
)
def test_an_address_is_written_in_as_many_bytes_as_it_needs(address: StationAddress, raw: str) -> None:
    assert address.encode().hex() == raw
    assert decode_address(bytes.fromhex(raw)) == address


@given(parts, parts, st.booleans())
def test_every_form_of_an_address_reads_as_the_same_station(upper: int, lower: int, is_wide: bool) -> None:  # noqa: FBT001
    address = StationAddress(upper, lower, is_wide)
    assert address.encode() in address.forms()
    assert {decode_address(form) for form in address.forms()} == {address}


@given(st.binary(max_size=6))
def test_any_bytes_are_an_address_or_an_error(raw: bytes) -> None:
    try:
        address = decode_address(raw)
    except DecodeError:
        return
    assert raw in address.forms()


@pytest.mark.parametrize("raw", ["", "02", "0202", "020203", "0302", "0203020302", "02030203"])
def test_bytes_that_end_in_the_wrong_place_are_no_address(raw: str) -> None:
    with pytest.raises(DecodeError):
        decode_address(bytes.fromhex(raw))


@pytest.mark.parametrize(
    ("destination", "is_meant"),
    [
        ("03", True),
        ("0223", True),
        ("00020023", True),
        ("ff", True),
        ("feff", True),
        ("02ff", True),
        ("fefefeff", True),
        ("05", False),
        ("0225", False),
        ("000200ff", False),
    ],
)
def test_a_station_is_meant_by_its_address_and_by_that_of_all(destination: str, *, is_meant: bool) -> None:
    assert StationAddress(1, 17).is_meant_by(bytes.fromhex(destination)) is is_meant


@pytest.mark.parametrize(
    ("upper", "lower", "is_wide"), [(-1, None, False), (1, LONG_MAX + 1, False), (128, None, False), (1, None, True)]
)
def test_an_address_that_cannot_be_written_is_not_built(upper: int, lower: int | None, *, is_wide: bool) -> None:
    with pytest.raises(ValueError, match="HDLC address"):
        StationAddress(upper, lower, is_wide)


def test_a_client_has_one_byte() -> None:
    assert [encode_client(client).hex() for client in (0, 1, 16, 127)] == ["01", "03", "21", "ff"]
    with pytest.raises(ValueError, match="128"):
        encode_client(128)
