"""Negotiation: what SNRM and UA say, and what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.errors import DecodeError
from dlms.link.parameters import DEFAULTS, UTMOST, LinkParameters, decode_parameters

any_parameters = st.builds(
    LinkParameters,
    transmit_bytes_max=st.integers(1, 2030),
    receive_bytes_max=st.integers(1, 2030),
    transmit_window=st.integers(1, 7),
    receive_window=st.integers(1, 7),
)


@given(any_parameters)
def test_parameters_written_and_read_are_the_same(parameters: LinkParameters) -> None:
    assert decode_parameters(parameters.encode()) == parameters


def test_the_defaults_have_the_bytes_that_meters_send() -> None:
    assert DEFAULTS.encode().hex() == "818012050180060180070400000001080400000001"


def test_the_greatest_sizes_take_two_bytes() -> None:
    assert UTMOST.encode().hex() == "818014" + "050207ee" + "060207ee" + "070400000007" + "080400000007"


def test_no_information_field_means_the_defaults() -> None:
    assert decode_parameters(b"") == DEFAULTS


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("818000", DEFAULTS),
        ("818003050140", LinkParameters(transmit_bytes_max=64)),
        (
            "81800e050200f0060200f0070103080102",
            LinkParameters(transmit_bytes_max=240, receive_bytes_max=240, transmit_window=3, receive_window=2),
        ),
        ("8180070502ffff070109", LinkParameters(transmit_bytes_max=2030, transmit_window=7)),
        ("81800a0a020102050140060140", LinkParameters(transmit_bytes_max=64, receive_bytes_max=64)),
        ("818003050140" + "820001", LinkParameters(transmit_bytes_max=64)),
    ],
)
def test_what_is_missing_stays_and_what_is_unknown_is_skipped(info: str, expected: LinkParameters) -> None:
    assert decode_parameters(bytes.fromhex(info)) == expected


@pytest.mark.parametrize(
    "info", ["81", "8180", "808000", "81810005", "818003050240", "818003050100", "818006070400000000"]
)
def test_what_is_cut_off_or_zero_is_an_error(info: str) -> None:
    with pytest.raises(DecodeError):
        decode_parameters(bytes.fromhex(info))


@given(st.binary(max_size=40))
def test_any_bytes_are_parameters_or_an_error(info: bytes) -> None:
    try:
        parameters = decode_parameters(b"\x81\x80" + info)
    except DecodeError:
        return
    assert decode_parameters(parameters.encode()) == parameters


@given(any_parameters, any_parameters)
def test_both_sides_come_to_the_same_agreement(proposal: LinkParameters, limits: LinkParameters) -> None:
    granted = limits.agreed_with(decode_parameters(proposal.encode()))
    agreed = proposal.agreed_with(decode_parameters(granted.encode()))
    assert agreed.transmit_bytes_max == granted.receive_bytes_max <= proposal.transmit_bytes_max
    assert agreed.receive_bytes_max == granted.transmit_bytes_max <= proposal.receive_bytes_max
    assert agreed.transmit_window == granted.receive_window <= limits.receive_window
    assert agreed.receive_window == granted.transmit_window <= limits.transmit_window


@pytest.mark.parametrize("name", list(LinkParameters.__dataclass_fields__))
@pytest.mark.parametrize("value", [0, 2031])
def test_parameters_beyond_the_standard_are_not_built(name: str, value: int) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        LinkParameters(**{name: value})
