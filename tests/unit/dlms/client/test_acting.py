import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    ActionOutcome,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseList,
    ActionResponseNext,
    Apdu,
    DataResult,
    MethodDescriptor,
)
from dlms.cosem.control import DisconnectControl
from dlms.errors import ActionRefusedError, ProtocolError
from dlms.obis import obis
from dlms.security.keys import Keys
from tests.unit.dlms.client.meter import ALL, KEYS, Meter, drive, fed, octets, opened, survives

RELAY = DisconnectControl("0.0.96.3.10.255")
TRANSFER = MethodDescriptor(18, obis("0.0.44.0.0.255"), 2)
FIRST = 0xC1


def echo(request: ActionRequest) -> ActionOutcome:
    return ActionOutcome(0, None if request.parameters is None else DataResult(request.parameters))


def test_a_method_is_invoked_with_what_its_class_says() -> None:
    meter = Meter()
    assert drive(opened(meter).invoke(RELAY.remote_disconnect, 0), meter.reply) is None
    assert meter.requests == [ActionRequest(FIRST, RELAY.remote_disconnect.descriptor, b"\x0f\x00")]


def test_a_refusal_says_what_was_refused_and_breaks_nothing() -> None:
    meter = Meter(methods=lambda _: ActionOutcome(3))
    client = opened(meter)
    with pytest.raises(
        ActionRefusedError, match=r"method 1 of 0\.0\.96\.3\.10\.255 \(class 70\): read write denied"
    ) as no:
        drive(client.invoke(RELAY.remote_disconnect, 0), meter.reply)
    assert no.value.result == 3
    assert client.is_open


@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(
    length=st.integers(0, 1500), pdu=st.integers(70, 600), block=st.integers(0, 300), general=st.booleans()
)
def test_long_parameters_and_long_answers_go_in_blocks(
    keys: Keys | None, *, length: int, pdu: int, block: int, general: bool
) -> None:
    conformance = ALL | (Conformance.GENERAL_BLOCK_TRANSFER if general else Conformance(0))
    meter = Meter(keys=keys, pdu_bytes_max=pdu, block_bytes=block, conformance=conformance, methods=echo)
    client = opened(meter, conformance=conformance)
    assert drive(client.invoke_raw(TRANSFER, octets(length)), meter.reply) == octets(length)
    assert all(sent <= pdu for sent in meter.lengths[1:])
    if not general and len(octets(length)) > pdu:
        assert isinstance(meter.requests[0], ActionRequestFirstBlock)
        assert isinstance(meter.requests[1], ActionRequestBlock)


def test_a_method_may_have_no_parameters() -> None:
    meter = Meter(methods=echo)
    assert drive(opened(meter).invoke_raw(TRANSFER, None), meter.reply) is None


@pytest.mark.parametrize("head", [b"", b"\x00", b"\x00\x01\x00", b"\x01\x00"], ids=["data", "choice", "whole", "flag"])
@pytest.mark.parametrize("data", [octets(9), octets(300), bytes.fromhex("02020FFD161E"), bytes.fromhex("01020F010F02")])
def test_all_ways_to_write_a_long_answer_are_understood(head: bytes, data: bytes) -> None:
    raw = head + data
    answers = [ActionResponseBlock(FIRST, False, 1, raw[:4]), ActionResponseBlock(FIRST, True, 2, raw[4:])]
    assert fed(opened(Meter()).invoke_raw(TRANSFER, None), *map(encode_apdu, answers)) == data


def test_a_refusal_in_blocks_is_a_refusal() -> None:
    answer = ActionResponseBlock(FIRST, True, 1, b"\x02\x01\x01\x0b")
    with pytest.raises(ActionRefusedError, match="temporary failure"):
        fed(opened(Meter()).invoke_raw(TRANSFER, None), encode_apdu(answer))


@pytest.mark.parametrize(
    ("outcome", "returned"),
    [
        (ActionOutcome(0), None),
        (ActionOutcome(0, DataResult(None, 0)), None),
        (ActionOutcome(0, DataResult(b"\x00")), b"\x00"),
    ],
)
def test_success_without_data_is_success(outcome: ActionOutcome, returned: bytes | None) -> None:
    answer = encode_apdu(ActionResponse(FIRST, outcome))
    assert fed(opened(Meter()).invoke_raw(TRANSFER, None), answer) == returned


def test_a_result_that_cannot_be_returned_is_a_refusal() -> None:
    answer = encode_apdu(ActionResponse(FIRST, ActionOutcome(0, DataResult(None, 11))))
    with pytest.raises(ActionRefusedError, match="object unavailable"):
        fed(opened(Meter()).invoke_raw(TRANSFER, None), answer)


def block(number: int, *, is_last: bool = False, part: bytes = b"\x09\x09", invoke: int = FIRST) -> Apdu:
    return ActionResponseBlock(invoke, is_last, number, part)


@pytest.mark.parametrize(
    "answers",
    [
        [block(2)],
        [block(1), block(1)],
        [block(1), block(3)],
        [block(1, part=b"")],
        [block(1, invoke=0xC2)],
        [block(1), ActionResponse(FIRST, ActionOutcome(0))],
        [ActionResponse(0xC2, ActionOutcome(0))],
        [ActionResponseNext(FIRST, 1)],
        [ActionResponseList(FIRST, (ActionOutcome(0),))],
    ],
    ids=str,
)
def test_an_answer_out_of_order_breaks_the_association_off(answers: list[Apdu]) -> None:
    client = opened(Meter())
    with pytest.raises(ProtocolError):
        fed(client.invoke_raw(TRANSFER, None), *map(encode_apdu, answers))
    assert not client.is_open


@pytest.mark.parametrize(
    "answer",
    [ActionResponseNext(FIRST, 2), ActionResponseNext(0xC2, 1), ActionResponse(FIRST, ActionOutcome(0)), block(1)],
    ids=str,
)
def test_long_parameters_are_not_sent_on_unless_each_block_was_taken(answer: Apdu) -> None:
    client = opened(Meter(pdu_bytes_max=100))
    with pytest.raises(ProtocolError):
        fed(client.invoke_raw(TRANSFER, octets(220)), encode_apdu(answer))
    assert not client.is_open


def test_parameters_and_answers_that_the_server_gives_up_are_refusals() -> None:
    client = opened(Meter(pdu_bytes_max=100))
    with pytest.raises(ActionRefusedError, match="long action aborted"):
        fed(client.invoke_raw(TRANSFER, octets(220)), encode_apdu(ActionResponse(FIRST, ActionOutcome(15))))
    end = ActionResponse(0xC2, ActionOutcome(15))
    with pytest.raises(ActionRefusedError, match="long action aborted"):
        fed(client.invoke_raw(TRANSFER, None), encode_apdu(block(1, invoke=0xC2)), encode_apdu(end))
    assert client.is_open


def test_a_long_answer_is_bounded() -> None:
    client = opened(Meter(), transfer_bytes_max=5)
    with pytest.raises(ProtocolError, match="more than 5 bytes"):
        fed(client.invoke_raw(TRANSFER, None), *(encode_apdu(block(number)) for number in (1, 2, 3)))


@hypothesis.given(
    answers=st.lists(
        st.builds(
            bytes.__add__,
            st.sampled_from([b"", b"\xc7\x01\xc1", b"\xc7\x02\xc1", b"\xc7\x04\xc1"]),
            st.binary(max_size=30),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_bytes_for_an_answer_give_data_or_a_typed_error(answers: list[bytes]) -> None:
    survives(opened(Meter(pdu_bytes_max=100)).invoke_raw(TRANSFER, octets(150)), answers)
