"""SET: one value, lists, and values in blocks."""

import pytest

from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    AttributeDescriptor,
    ExceptionResponse,
    SelectedAttribute,
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
from dlms.axdr.data import encode, octet_string
from dlms.obis import obis
from tests.unit.dlms.server.shelf import MakeRig

MISSING = SelectedAttribute(AttributeDescriptor(1, obis("0.0.96.1.0.255"), 2))
LONG = encode(octet_string(bytes(range(200))))


def test_value_is_written_and_refusals_are_told(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x11\x01")
    assert rig.peer.ask(SetRequest(0xC1, attribute, b"\x11\x02")) == SetResponse(0xC1, 0)
    assert rig.device.values[attribute.descriptor] == b"\x11\x02"
    assert rig.peer.ask(SetRequest(0xC1, MISSING, b"\x11\x02")) == SetResponse(0xC1, 4)


def test_value_that_does_not_decode_is_unmatched(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.ask(SetRequest(0xC1, rig.put(b"\x11\x01"), b"\x11")) == SetResponse(0xC1, 12)


def test_list_writes_each_value(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x11\x01")
    request = SetRequestList(0xC1, (attribute, MISSING), (b"\x11\x09", b"\x00"))
    assert rig.peer.ask(request) == SetResponseList(0xC1, (0, 4))
    assert rig.device.values[attribute.descriptor] == b"\x11\x09"


def test_list_with_too_few_values_writes_none(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x11\x01")
    request = SetRequestList(0xC1, (attribute, attribute), (b"\x11\x09",))
    assert rig.peer.ask(request) == SetResponseList(0xC1, (12, 12))
    assert rig.device.values[attribute.descriptor] == b"\x11\x01"


@pytest.mark.parametrize("ciphered", [False, True])
def test_value_in_blocks_is_written_when_it_is_whole(make_rig: MakeRig, *, ciphered: bool) -> None:
    rig = make_rig(ciphered=ciphered)
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    ask = rig.peer.ask
    assert ask(SetRequestFirstBlock(0xC1, attribute, False, 1, LONG[:80])) == SetResponseBlock(0xC1, 1)
    assert ask(SetRequestBlock(0xC1, False, 2, LONG[80:160])) == SetResponseBlock(0xC1, 2)
    assert rig.device.values[attribute.descriptor] == b"\x00"
    assert ask(SetRequestBlock(0xC1, True, 3, LONG[160:])) == SetResponseLastBlock(0xC1, 0, 3)
    assert rig.device.values[attribute.descriptor] == LONG


def test_first_block_may_be_the_last(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    reply = rig.peer.ask(SetRequestFirstBlock(0xC1, attribute, True, 1, LONG))
    assert reply == SetResponseLastBlock(0xC1, 0, 1)
    assert rig.device.values[attribute.descriptor] == LONG


@pytest.mark.parametrize("block", [1, 3])
def test_block_out_of_order_aborts_and_writes_nothing(make_rig: MakeRig, block: int) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    rig.peer.ask(SetRequestFirstBlock(0xC1, attribute, False, 1, LONG[:80]))
    assert rig.peer.ask(SetRequestBlock(0xC1, True, block, LONG[80:])) == SetResponseLastBlock(0xC1, 17, block)
    assert rig.peer.ask(SetRequestBlock(0xC1, True, 2, LONG[80:])) == SetResponseLastBlock(0xC1, 18, 2)
    assert rig.device.values[attribute.descriptor] == b"\x00"


def test_block_of_another_request_is_not_in_progress(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    rig.peer.ask(SetRequestFirstBlock(0xC1, rig.put(b"\x00"), False, 1, LONG[:80]))
    assert rig.peer.ask(SetRequestBlock(0xC2, True, 2, LONG[80:])) == SetResponseLastBlock(0xC2, 18, 2)


def test_value_longer_than_a_transfer_is_aborted(make_rig: MakeRig) -> None:
    rig = make_rig(transfer_bytes_max=100)
    rig.peer.associate()
    rig.peer.ask(SetRequestFirstBlock(0xC1, rig.put(b"\x00"), False, 1, LONG[:80]))
    assert rig.peer.ask(SetRequestBlock(0xC1, False, 2, LONG[80:])) == SetResponseLastBlock(0xC1, 17, 2)


def test_list_in_blocks_answers_each_reference(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute, body = rig.put(b"\x00"), b"\x02" + LONG + b"\x11\x01"
    first = SetRequestListFirstBlock(0xC1, (attribute, MISSING), False, 1, body[:100])
    assert rig.peer.ask(first) == SetResponseBlock(0xC1, 1)
    reply = rig.peer.ask(SetRequestBlock(0xC1, True, 2, body[100:]))
    assert reply == SetResponseLastBlockList(0xC1, (0, 4), 2)
    assert rig.device.values[attribute.descriptor] == LONG


@pytest.mark.parametrize("body", [b"\x01\x00", b"\x02\x00", b"\x02\x00\x00\x00", b"", b"\xff"])
def test_list_in_blocks_that_does_not_match_writes_none(make_rig: MakeRig, body: bytes) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x11\x05")
    reply = rig.peer.ask(SetRequestListFirstBlock(0xC1, (attribute, attribute), True, 1, body))
    assert reply == SetResponseLastBlockList(0xC1, (12, 12), 1)
    assert rig.device.values[attribute.descriptor] == b"\x11\x05"


def test_list_in_blocks_that_aborts_says_so_for_each_reference(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    rig.peer.ask(SetRequestListFirstBlock(0xC1, (MISSING, MISSING), False, 1, b"\x02"))
    assert rig.peer.ask(SetRequestBlock(0xC1, True, 7, b"")) == SetResponseLastBlockList(0xC1, (17, 17), 7)


def test_blocks_and_lists_need_to_be_granted(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=int(Conformance.SET))
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    for request in (
        SetRequestFirstBlock(0xC1, attribute, True, 1, b"\x00"),
        SetRequestList(0xC1, (attribute,), (b"\x00",)),
    ):
        assert rig.peer.ask(request) == ExceptionResponse(1, 2)
