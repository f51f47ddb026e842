import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.services import (
    ActionOutcome,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestListFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseList,
    ActionResponseNext,
    Apdu,
    DataResult,
    MethodDescriptor,
)
from dlms.errors import DecodeError
from dlms.obis import obis

RECONNECT = MethodDescriptor(70, obis("0.0.96.3.10.255"), 2)
TRANSFER = MethodDescriptor(18, obis("0.0.44.0.0.255"), 2)
REPLY_TO_HLS = MethodDescriptor(15, obis("0.0.40.0.0.255"), 1)
# Pass 3 and 4 of GMAC as a Kaifa meter exchanged them, from a public test of another codec.
PASS_3 = bytes.fromhex("0911 10012345677d52391c407e3a45210f000e")
PASS_4 = bytes.fromhex("0911 101a9190bc0a587217bcd2bcd4fddb7143")

EXAMPLES: dict[str, Apdu] = {
    "C3 01 C1 000F 0000280000FF 01 01" + PASS_3.hex(): ActionRequest(0xC1, REPLY_TO_HLS, PASS_3),
    "C7 01 C1 00 01 00" + PASS_4.hex(): ActionResponse(0xC1, ActionOutcome(0, DataResult(PASS_4))),
    "C3 01 C1 0046 000060030AFF 02 00": ActionRequest(0xC1, RECONNECT, None),
    "C3 01 C1 0046 000060030AFF 02 01 0F00": ActionRequest(0xC1, RECONNECT, b"\x0f\x00"),
    "C7 01 C1 00 00": ActionResponse(0xC1, ActionOutcome(0)),
    "C7 01 C1 03 00": ActionResponse(0xC1, ActionOutcome(3)),
    "C7 01 C1 00 01 01 0B": ActionResponse(0xC1, ActionOutcome(0, DataResult(None, 11))),
    "C3 02 C1 00000007": ActionRequestNext(0xC1, 7),
    "C3 03 C1 02 0046 000060030AFF 02 0012 00002C0000FF 02 02 0F00 00": ActionRequestList(
        0xC1, (RECONNECT, TRANSFER), (b"\x0f\x00", None)
    ),
    "C3 04 C1 0012 00002C0000FF 02 00 00000001 03 020206": ActionRequestFirstBlock(
        0xC1, TRANSFER, is_last=False, block=1, part=bytes.fromhex("020206")
    ),
    "C3 05 C1 01 0012 00002C0000FF 02 00 00000001 03 010202": ActionRequestListFirstBlock(
        0xC1, (TRANSFER,), is_last=False, block=1, part=bytes.fromhex("010202")
    ),
    "C3 06 C1 01 00000002 02 ABCD": ActionRequestBlock(0xC1, is_last=True, block=2, part=b"\xab\xcd"),
    "C7 02 C1 00 00000001 02 ABCD": ActionResponseBlock(0xC1, is_last=False, block=1, part=b"\xab\xcd"),
    "C7 03 C1 03 00 00 03 00 00 01 00 1205DC": ActionResponseList(
        0xC1, (ActionOutcome(0), ActionOutcome(3), ActionOutcome(0, DataResult(bytes.fromhex("1205DC"))))
    ),
    "C7 04 C1 00000002": ActionResponseNext(0xC1, 2),
}


@pytest.mark.parametrize("encoded", EXAMPLES)
def test_examples_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == EXAMPLES[encoded]
    assert encode_apdu(EXAMPLES[encoded]) == bytes.fromhex(encoded)


def test_a_response_without_the_flag_of_its_optional_part_is_understood() -> None:
    assert decode_apdu(bytes.fromhex("C701C1 00")) == ActionResponse(0xC1, ActionOutcome(0))


@pytest.mark.parametrize("choice", ["", "01"], ids=["no choice", "wrong choice"])
def test_returned_data_with_its_choice_forgotten_or_wrong_is_understood(choice: str) -> None:
    response = decode_apdu(bytes.fromhex("C701C1 00 01" + choice) + PASS_4)
    assert response == ActionResponse(0xC1, ActionOutcome(0, DataResult(PASS_4)))


@pytest.mark.parametrize(
    "encoded",
    [
        "C3", "C301C1", "C307C1 00", "C301C1 0046 000060030AFF 02", "C301C1 0046 000060030AFF 02 01",
        "C301C1 0046 000060030AFF 02 00 00", "C302C1 00", "C303C1 01 0046 000060030AFF 02 02 00",
        "C304C1 0012 00002C0000FF 02 00 00000001 03 01", "C306C1 01 00000002 02 ABCD 00",
        "C7", "C701C1", "C701C1 00 01", "C701C1 00 01 00", "C701C1 00 01 01", "C701C1 00 01 01 0B 00",
        "C701C1 00 00 00",
        "C701C1 00 01 09 10 00", "C702C1 00 00000001 02 AB", "C703C1 02 00 00", "C703C1 01 00", "C703C1 01 00 01 02",
        "C704C1 000002", "C705C1 00",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
