import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import Apdu
from dlms.errors import DecodeError

KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")

# Green Book 11 and 12, encoding examples; the one with a dedicated key is the plain text of the ciphered AARQ.
GREEN_BOOK: dict[str, Apdu] = {
    "01 00 00 00 06 5F1F0400 007E1F 04B0": InitiateRequest(0x00_7E1F, 1200),
    "01 0110" + KEY.hex() + "00 00 06 5F1F0400 007E1F 04B0": InitiateRequest(0x00_7E1F, 1200, dedicated_key=KEY),
    "01 00 00 00 06 5F1F0400 1C0320 FFFF": InitiateRequest(0x1C_0320, 0xFFFF),
    "08 00 06 5F1F0400 00501F 01F4 0007": InitiateResponse(0x00_501F, 500),
    "08 00 06 5F1F0400 1C0320 01F4 FA00": InitiateResponse(0x1C_0320, 500, vaa_name=0xFA00),
}


@pytest.mark.parametrize("encoded", GREEN_BOOK)
def test_green_book_examples_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == GREEN_BOOK[encoded]
    assert encode_apdu(GREEN_BOOK[encoded]) == bytes.fromhex(encoded)


def test_optional_parts_stand_behind_their_flags() -> None:
    request = InitiateRequest(0x10, 0, response_allowed=False, quality_of_service=-2, version=6)
    encoded = bytes.fromhex("01 00 0100 01FE 06 5F1F0400 000010 0000")
    assert encode_apdu(request) == encoded
    assert decode_apdu(encoded) == request
    assert decode_apdu(bytes.fromhex("01 00 01FF 00 06 5F1F0400 000010 0000")) == InitiateRequest(0x10, 0)
    response = InitiateResponse(0x10, 0x400, quality_of_service=0)
    assert decode_apdu(bytes.fromhex("08 0100 06 5F1F0400 000010 0400 0007")) == response


def test_the_short_tag_of_older_stacks_is_understood() -> None:
    assert decode_apdu(bytes.fromhex("08 00 06 5F0400 00501F 01F4 0007")) == InitiateResponse(0x00_501F, 500)
    assert decode_apdu(bytes.fromhex("01 00 00 00 06 5F0400 007E1F 04B0")) == InitiateRequest(0x00_7E1F, 1200)


def test_conformance_counts_bits_from_the_most_significant_one() -> None:
    response = decode_apdu(bytes.fromhex("08 00 06 5F1F0400 00501F 01F4 0007"))
    assert isinstance(response, InitiateResponse)
    assert Conformance(response.conformance) == (
        Conformance.PRIORITY_MANAGEMENT
        | Conformance.BLOCK_TRANSFER_WITH_GET
        | Conformance.GET
        | Conformance.SET
        | Conformance.SELECTIVE_ACCESS
        | Conformance.EVENT_NOTIFICATION
        | Conformance.ACTION
    )


def test_a_dedicated_key_is_in_no_repr() -> None:
    assert repr(KEY) not in repr(InitiateRequest(0x10, 0, dedicated_key=KEY))


@pytest.mark.parametrize(
    "encoded",
    [
        "01", "01 0110 0011", "01 00 00 00 06", "01 00 00 00 06 5F1F0400 007E1F 04",
        "01 00 00 00 06 5F1F0400 007E1F 04B0 00",
        "01 00 00 00 06 5F1F0401 007E1F 04B0", "01 00 00 00 06 5F1F0300 007E1F 04B0",
        "01 00 00 00 06 5E1F0400 007E1F 04B0",
        "01 00 00 00 06 5F20 0400 007E1F 04B0", "01 00 00 01", "08", "08 00 06 5F1F0400 00501F 01F4",
        "08 00 06 5F1F0400 00501F 01F4 0007 00",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
