import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.results import DataAccessResult
from dlms.apdu.services import (
    Apdu,
    AttributeDescriptor,
    DataResult,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
    Selection,
)
from dlms.errors import DecodeError
from dlms.obis import obis

# The objects and values of the Green Book's examples of data transfer, clause 14.
FIRST = AttributeDescriptor(1, obis("0.0.128.0.0.255"), 2)
SECOND = AttributeDescriptor(1, obis("0.0.128.1.0.255"), 2)
LONG = bytes.fromhex("0932" + "".join(f"{number:02d}" for number in range(1, 51)))
SHORT = bytes.fromhex("0A03303030")

GREEN_BOOK: dict[str, Apdu] = {
    "C0 01 81 0001 0000800000FF 02 00": GetRequest(0x81, SelectedAttribute(FIRST)),
    "C4 01 81 00" + LONG.hex(): GetResponse(0x81, DataResult(LONG)),
    "C0 03 81 02 0001 0000800000FF 02 00 0001 0000800100FF 02 00": GetRequestList(
        0x81, (SelectedAttribute(FIRST), SelectedAttribute(SECOND))
    ),
    "C4 03 81 02 00" + LONG.hex() + "00" + SHORT.hex(): GetResponseList(0x81, (DataResult(LONG), DataResult(SHORT))),
    "C4 02 81 00 00000001 00 1E" + LONG[:30].hex(): GetResponseBlock(
        0x81, is_last=False, block=1, outcome=DataResult(LONG[:30])
    ),
    "C0 02 81 00000001": GetRequestNext(0x81, 1),
    "C4 02 81 01 00000002 00 16" + LONG[30:].hex(): GetResponseBlock(
        0x81, is_last=True, block=2, outcome=DataResult(LONG[30:])
    ),
}


@pytest.mark.parametrize("encoded", GREEN_BOOK)
def test_green_book_examples_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == GREEN_BOOK[encoded]
    assert encode_apdu(GREEN_BOOK[encoded]) == bytes.fromhex(encoded)


def test_a_selection_stands_behind_its_flag_and_selector() -> None:
    by_entry = bytes.fromhex("0204 0600000001 0600000005 120001 120000")
    request = GetRequest(
        0xC1, SelectedAttribute(AttributeDescriptor(7, obis("1.0.99.1.0.255"), 2), Selection(2, by_entry))
    )
    encoded = bytes.fromhex("C001C1 0007 0100630100FF 02 01 02") + by_entry
    assert encode_apdu(request) == encoded
    assert decode_apdu(encoded) == request


def test_attribute_numbers_of_vendors_are_negative() -> None:
    request = GetRequest(0xC1, SelectedAttribute(AttributeDescriptor(1, bytes(6), -1)))
    assert encode_apdu(request)[11] == 0xFF
    assert decode_apdu(encode_apdu(request)) == request


def test_a_refusal_is_no_data() -> None:
    refused = decode_apdu(bytes.fromhex("C401C1 01 03"))
    assert refused == GetResponse(0xC1, DataResult(None, DataAccessResult.READ_WRITE_DENIED))


def test_a_list_mixes_data_and_refusals() -> None:
    mixed = decode_apdu(bytes.fromhex("C403C1 03 00 1205DC 01 04 00 0201 0600000001"))
    outcomes = DataResult(bytes.fromhex("1205DC")), DataResult(None, 4), DataResult(bytes.fromhex("0201 0600000001"))
    assert mixed == GetResponseList(0xC1, outcomes)


def test_a_block_may_say_why_the_transfer_ended() -> None:
    ended = decode_apdu(bytes.fromhex("C402C1 01 00000003 01 0F"))
    assert ended == GetResponseBlock(0xC1, is_last=True, block=3, outcome=DataResult(None, 15))


def test_a_block_of_more_than_127_bytes_has_a_long_length() -> None:
    block = GetResponseBlock(0xC1, is_last=False, block=1, outcome=DataResult(bytes(500)))
    assert encode_apdu(block)[8:12] == bytes.fromhex("00 8201F4")
    assert decode_apdu(encode_apdu(block)) == block


def test_last_block_is_true_whatever_bit_says_so() -> None:
    block = decode_apdu(bytes.fromhex("C402C1 FF 00000001 00 00"))
    assert block == GetResponseBlock(0xC1, is_last=True, block=1, outcome=DataResult(b""))


@pytest.mark.parametrize(
    "encoded",
    [
        "C0", "C001C1", "C000C1 0001 0000800000FF 02 00", "C004C1 00000001", "C001C1 0001 0000800000FF 02",
        "C001C1 0001 0000800000FF 02 00 00", "C001C1 0001 0000800000FF 02 01 02", "C002C1 000001", "C002C1 00000001 00",
        "C003C1 02 0001 0000800000FF 02 00", "C003C1 84FFFFFFFF 0001 0000800000FF 02 00",
        "C4", "C401", "C401C1", "C401C1 00", "C401C1 01", "C401C1 01 03 00", "C401C1 02 03", "C404C1 00",
        "C402C1 00 00000001 00", "C402C1 00 00000001 00 05 01", "C402C1 00 00000001 00 01 0102",
        "C402C1 00 00000001 02 00", "C402C1 00 00000001 01", "C402C1 00 00000001 00 8201", "C402C1 00 00000001 00 80",
        "C403C1 02 00 1205DC", "C403C1 01 02 00", "C403C1 01 00 1205", "C403C1 01 00 1205DC 00", "C403C1 FF",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
