import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.services import (
    Apdu,
    AttributeDescriptor,
    SelectedAttribute,
    Selection,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetRequestListFirstBlock,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseLastBlockList,
    SetResponseList,
)
from dlms.errors import DecodeError
from dlms.obis import obis

FIRST = SelectedAttribute(AttributeDescriptor(1, obis("0.0.128.0.0.255"), 2))
SECOND = SelectedAttribute(AttributeDescriptor(1, obis("0.0.128.1.0.255"), 2))
LONG = bytes.fromhex("0932" + "".join(f"{number:02d}" for number in range(1, 51)))
SHORT = bytes.fromhex("0A03303030")
VALUES = b"\x02" + LONG + SHORT

# Green Book clause 14, examples of data transfer.
GREEN_BOOK: dict[str, Apdu] = {
    "C1 01 81 0001 0000800000FF 02 00" + LONG.hex(): SetRequest(0x81, FIRST, LONG),
    "C5 01 81 00": SetResponse(0x81, 0),
    "C1 02 81 0001 0000800000FF 02 00 00 00000001 1C" + LONG[:28].hex(): SetRequestFirstBlock(
        0x81, FIRST, is_last=False, block=1, part=LONG[:28]
    ),
    "C5 02 81 00000001": SetResponseBlock(0x81, 1),
    "C1 03 81 01 00000002 18" + LONG[28:].hex(): SetRequestBlock(0x81, is_last=True, block=2, part=LONG[28:]),
    "C5 03 81 00 00000002": SetResponseLastBlock(0x81, 0, 2),
    "C1 04 81 02 0001 0000800000FF 02 00 0001 0000800100FF 02 00 02" + LONG.hex() + SHORT.hex(): SetRequestList(
        0x81, (FIRST, SECOND), (LONG, SHORT)
    ),
    "C5 05 81 02 00 00": SetResponseList(0x81, (0, 0)),
    "C1 05 81 02 0001 0000800000FF 02 00 0001 0000800100FF 02 00 00 00000001 0A"
    + VALUES[:10].hex(): SetRequestListFirstBlock(0x81, (FIRST, SECOND), is_last=False, block=1, part=VALUES[:10]),
    "C5 04 81 02 00 00 00000003": SetResponseLastBlockList(0x81, (0, 0), 3),
}


@pytest.mark.parametrize("encoded", GREEN_BOOK)
def test_green_book_examples_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == GREEN_BOOK[encoded]
    assert encode_apdu(GREEN_BOOK[encoded]) == bytes.fromhex(encoded)


def test_a_selection_ends_where_the_value_begins() -> None:
    selected = SelectedAttribute(FIRST.descriptor, Selection(1, bytes.fromhex("0202 1101 0901AA")))
    request = SetRequest(0xC1, selected, bytes.fromhex("0101 1105"))
    assert decode_apdu(bytes.fromhex("C101C1 0001 0000800000FF 02 01 01 0202 1101 0901AA 0101 1105")) == request


def test_results_in_no_list_of_the_standard_come_through() -> None:
    assert decode_apdu(bytes.fromhex("C501C1 7B")) == SetResponse(0xC1, 0x7B)


@pytest.mark.parametrize(
    "encoded",
    [
        "C1", "C101C1", "C106C1 00", "C101C1 0001 0000800000FF 02", "C101C1 0001 0000800000FF 02 00",
        "C101C1 0001 0000800000FF 02 01 01 0203", "C102C1 0001 0000800000FF 02 00 00 00000001 05 01",
        "C103C1 00 00000001 01 01 01", "C104C1 01 0001 0000800000FF 02 00 02 1101", "C104C1 00 01 1101 00",
        "C5", "C501", "C501C1", "C501C1 00 00", "C502C1 0000", "C503C1 00 000000", "C504C1 02 00 00000000",
        "C505C1 03 00 00", "C505C1 01 00 00", "C506C1 00",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
