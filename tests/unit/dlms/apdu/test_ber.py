import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu import ber
from dlms.errors import DecodeError


@hypothesis.given(number=st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back_and_are_minimal(number: int) -> None:
    content = ber.encode_integer(number)
    assert ber.decode_integer(content) == number
    assert len(content) == 1 or content[:1] + bytes((content[1] & 0x80,)) not in {b"\x00\x00", b"\xff\x80"}


@pytest.mark.parametrize(("number", "content"), [(0, "00"), (127, "7f"), (128, "0080"), (-1, "ff"), (-128, "80")])
def test_integers_have_the_form_of_the_standard(number: int, content: str) -> None:
    assert ber.encode_integer(number).hex() == content


@hypothesis.given(fields=st.dictionaries(st.sampled_from([0x80, 0xA1, 0xBE, 0x04]), st.binary(max_size=300)))
def test_fields_come_back_by_their_tag(fields: dict[int, bytes]) -> None:
    encoded = b"".join(ber.encode_field(tag, content) for tag, content in fields.items())
    assert ber.read_fields(encoded) == fields


def test_lengths_may_be_longer_than_they_need_to_be() -> None:
    assert ber.unwrap(bytes.fromhex("04 83000002 ABCD"), ber.OCTET_STRING) == b"\xab\xcd"


def test_a_tag_of_several_bytes_is_passed_over_as_one() -> None:
    assert ber.read_fields(bytes.fromhex("BF8F1F 02 0000 A1 01 07"))[0xA1] == b"\x07"


@pytest.mark.parametrize("encoded", ["A1", "A1 02 00", "A1 80 00 00", "A1 85 0000000000", "BF", "BF8F", "A1 00 A1 00"])
def test_what_is_no_field_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        ber.read_fields(bytes.fromhex(encoded))


@pytest.mark.parametrize("content", [b"", bytes(9)])
def test_integers_of_no_or_too_many_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(DecodeError):
        ber.decode_integer(content)


@pytest.mark.parametrize("encoded", ["", "06 00", "04 00 00"])
def test_another_field_or_more_than_one_is_not_unwrapped(encoded: str) -> None:
    with pytest.raises(DecodeError):
        ber.unwrap(bytes.fromhex(encoded), ber.OCTET_STRING)
