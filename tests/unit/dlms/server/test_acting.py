"""ACTION: one method, lists, parameters and answers in blocks."""

import pytest

from dlms.apdu.conformance import Conformance
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
    DataResult,
    ExceptionResponse,
    MethodDescriptor,
)
from dlms.axdr.data import encode, octet_string
from dlms.obis import obis
from tests.unit.dlms.server.shelf import MakeRig, Rig

RELAY = obis("0.0.96.3.10.255")
OPEN = MethodDescriptor(70, RELAY, 1)
MISSING = MethodDescriptor(70, RELAY, 10)
LONG = encode(octet_string(bytes(range(200))))
DONE = ActionResponse(0xC1, ActionOutcome(0))


def refused(result: int) -> ActionResponse:
    return ActionResponse(0xC1, ActionOutcome(result))


def collect(rig: Rig, reply: object) -> bytes:
    body = b""
    while True:
        assert isinstance(reply, ActionResponseBlock)
        body += reply.part
        if reply.is_last:
            return body
        reply = rig.peer.ask(ActionRequestNext(0xC1, reply.block))


def test_method_is_carried_out_and_refusals_are_told(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.ask(ActionRequest(0xC1, OPEN, b"\x0f\x00")) == DONE
    assert rig.peer.ask(ActionRequest(0xC1, OPEN, None)) == DONE
    assert rig.device.invoked == [(OPEN, b"\x0f\x00"), (OPEN, None)]
    assert rig.peer.ask(ActionRequest(0xC1, MISSING, None)) == refused(4)
    assert rig.peer.ask(ActionRequest(0xC1, OPEN, b"\x0f")) == refused(12)


def test_returned_value_is_passed_on(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    rig.device.returned = b"\x11\x01"
    reply = rig.peer.ask(ActionRequest(0xC1, OPEN, None))
    assert reply == ActionResponse(0xC1, ActionOutcome(0, DataResult(b"\x11\x01")))


def test_long_returned_value_comes_in_blocks(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=64)
    rig.device.returned = LONG
    assert collect(rig, rig.peer.ask(ActionRequest(0xC1, OPEN, None))) == b"\x00\x01\x00" + LONG


def test_long_returned_value_without_blocks_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=int(Conformance.ACTION))
    rig.peer.associate(pdu_bytes_max=64)
    rig.device.returned = LONG
    assert rig.peer.ask(ActionRequest(0xC1, OPEN, None)) == refused(250)


def test_wrong_block_asked_for_ends_the_transfer(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=64)
    rig.device.returned = LONG
    rig.peer.ask(ActionRequest(0xC1, OPEN, None))
    assert rig.peer.ask(ActionRequestNext(0xC1, 9)) == refused(15)
    assert rig.peer.ask(ActionRequestNext(0xC1, 1)) == refused(16)


def test_parameters_in_blocks_are_used_when_they_are_whole(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    ask = rig.peer.ask
    assert ask(ActionRequestFirstBlock(0xC1, OPEN, False, 1, LONG[:80])) == ActionResponseNext(0xC1, 1)
    assert ask(ActionRequestBlock(0xC1, False, 2, LONG[80:160])) == ActionResponseNext(0xC1, 2)
    assert rig.device.invoked == []
    assert ask(ActionRequestBlock(0xC1, True, 3, LONG[160:])) == DONE
    assert rig.device.invoked == [(OPEN, LONG)]


@pytest.mark.parametrize("block", [1, 3])
def test_block_out_of_order_aborts_and_does_nothing(make_rig: MakeRig, block: int) -> None:
    rig = make_rig()
    rig.peer.associate()
    rig.peer.ask(ActionRequestFirstBlock(0xC1, OPEN, False, 1, LONG[:80]))
    assert rig.peer.ask(ActionRequestBlock(0xC1, True, block, LONG[80:])) == refused(15)
    assert rig.peer.ask(ActionRequestBlock(0xC1, True, 2, LONG[80:])) == refused(16)
    assert rig.device.invoked == []


def test_parameters_longer_than_a_transfer_are_aborted(make_rig: MakeRig) -> None:
    rig = make_rig(transfer_bytes_max=100)
    rig.peer.associate()
    rig.peer.ask(ActionRequestFirstBlock(0xC1, OPEN, False, 1, LONG[:80]))
    assert rig.peer.ask(ActionRequestBlock(0xC1, True, 2, LONG[80:])) == refused(15)


def test_list_answers_each_method(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    reply = rig.peer.ask(ActionRequestList(0xC1, (OPEN, MISSING), (b"\x0f\x00", None)))
    assert reply == ActionResponseList(0xC1, (ActionOutcome(0), ActionOutcome(4)))
    reply = rig.peer.ask(ActionRequestList(0xC1, (OPEN, OPEN), (None,)))
    assert reply == ActionResponseList(0xC1, (ActionOutcome(12), ActionOutcome(12)))
    assert rig.device.invoked == [(OPEN, b"\x0f\x00")]


def test_long_list_of_answers_comes_in_blocks(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=64)
    rig.device.returned = LONG
    reply = rig.peer.ask(ActionRequestList(0xC1, (OPEN, MISSING), (None, None)))
    assert collect(rig, reply) == b"\x02\x00\x01\x00" + LONG + b"\x04\x00"


def test_list_in_blocks_carries_all_parameters(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    body = b"\x02" + LONG + b"\x00"
    first = ActionRequestListFirstBlock(0xC1, (OPEN, OPEN), False, 1, body[:100])
    assert rig.peer.ask(first) == ActionResponseNext(0xC1, 1)
    reply = rig.peer.ask(ActionRequestBlock(0xC1, True, 2, body[100:]))
    assert reply == ActionResponseList(0xC1, (ActionOutcome(0), ActionOutcome(0)))
    assert rig.device.invoked == [(OPEN, LONG), (OPEN, None)]


def test_list_in_blocks_that_does_not_match_does_nothing(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    reply = rig.peer.ask(ActionRequestListFirstBlock(0xC1, (OPEN, OPEN), True, 1, b"\x01\x00"))
    assert reply == ActionResponseList(0xC1, (ActionOutcome(12), ActionOutcome(12)))
    assert rig.device.invoked == []


def test_blocks_and_lists_need_to_be_granted(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=int(Conformance.ACTION))
    rig.peer.associate()
    for request in (
        ActionRequestFirstBlock(0xC1, OPEN, True, 1, b"\x00"),
        ActionRequestList(0xC1, (OPEN,), (None,)),
        ActionRequestNext(0xC1, 1),
    ):
        assert rig.peer.ask(request) == ExceptionResponse(1, 2)
