import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.services import Apdu, AttributeDescriptor, DataNotification, EventNotification
from dlms.errors import DecodeError
from dlms.obis import obis

SENT_AT = bytes.fromhex("07E4 02 0A 01 0E 2D 28 00 8000 00")
BODY = bytes.fromhex("0201 0600000D5A")
ESW = AttributeDescriptor(1, obis("0.0.94.91.18.255"), 2)

EXAMPLES: dict[str, Apdu] = {
    "0F 40000000 00 0201 0600000D5A": DataNotification(0x4000_0000, b"", BODY),
    "0F 00000001 0C" + SENT_AT.hex() + BODY.hex(): DataNotification(1, SENT_AT, BODY),
    "C2 00 0001 00005E5B12FF 02 0408 80": EventNotification(None, ESW, bytes.fromhex("040880")),
    "C2 01 0C" + SENT_AT.hex() + "0001 00005E5B12FF 02 0408 80": EventNotification(
        SENT_AT, ESW, bytes.fromhex("040880")
    ),
}


@pytest.mark.parametrize("encoded", EXAMPLES)
def test_examples_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == EXAMPLES[encoded]
    assert encode_apdu(EXAMPLES[encoded]) == bytes.fromhex(encoded)


# Pushes as they left the customer ports of meters in Norway, from the public tests of several readers of them.
CAPTURED: dict[str, DataNotification] = {
    "0F40000000 00 0101 0203 09060100010700FF 0600001D3A 02020F00161B": DataNotification(
        0x4000_0000, b"", bytes.fromhex("0101 0203 09060100010700FF 0600001D3A 02020F00161B")
    ),
    "0F40000000 090C 07E4020F06010830FF800000 0201 0600001FC7": DataNotification(
        0x4000_0000, bytes.fromhex("07E4020F06010830FF800000"), bytes.fromhex("0201 0600001FC7")
    ),
    "0F00000000 0C 07E6011801123A32FF800000 0219 0A0E4B616D73747275705F5630303031": DataNotification(
        0, bytes.fromhex("07E6011801123A32FF800000"), bytes.fromhex("0219 0A0E4B616D73747275705F5630303031")
    ),
}


@pytest.mark.parametrize("encoded", CAPTURED, ids=["Aidon", "Kaifa", "Kamstrup"])
def test_captured_pushes_are_understood(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == CAPTURED[encoded]


@pytest.mark.parametrize("prefix", ["090C", "19", "810C"], ids=["octet-string", "date-time", "long length"])
def test_a_date_time_that_a_vendor_tagged_as_data_is_the_same(prefix: str) -> None:
    tagged = bytes.fromhex(prefix) + SENT_AT
    assert decode_apdu(bytes.fromhex("0F 40000000") + tagged + BODY) == DataNotification(0x4000_0000, SENT_AT, BODY)
    event = decode_apdu(bytes.fromhex("C2 01") + tagged + bytes.fromhex("0001 00005E5B12FF 02 040880"))
    assert event == EventNotification(SENT_AT, ESW, bytes.fromhex("040880"))


def test_an_empty_date_time_may_be_tagged_too() -> None:
    assert decode_apdu(bytes.fromhex("0F 40000000 0900") + BODY) == DataNotification(0x4000_0000, b"", BODY)


@pytest.mark.parametrize(
    "encoded",
    [
        "0F", "0F 400000", "0F 40000000", "0F 40000000 00", "0F 40000000 0C 07E4", "0F 40000000 05 07E4020A01 00",
        "0F 40000000 0905 07E4020A01 00", "0F 40000000 0C 07E4020A010E2D2800800000", "C2", "C2 00", "C2 01 00",
        "C2 00 0001 00005E5B12FF", "C2 00 0001 00005E5B12FF 02", "C2 01 07 07E4020A010E2D 0001 00005E5B12FF 02 00",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
