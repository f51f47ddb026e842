"""General block transfer, both ways."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    DataResult,
    GeneralBlockTransfer,
    GetRequest,
    GetResponse,
    SetRequest,
    SetResponse,
)
from dlms.axdr.data import encode, octet_string
from dlms.server.general_blocks import GeneralBlocks
from tests.unit.dlms.server.shelf import MakeRig, Rig

LONG = encode(octet_string(bytes(range(250)) * 4))
ONLY_GENERAL = int(Conformance.GET | Conformance.SET | Conformance.ACTION | Conformance.GENERAL_BLOCK_TRANSFER)


@dataclass
class Blocks:
    """A client that follows the general blocks of a server."""

    rig: Rig
    sent: int = 0
    received: int = 0
    parts: list[bytes] = field(default_factory=list)

    def send(self, part: bytes, *, is_last: bool = True, is_streaming: bool = False) -> GeneralBlockTransfer | None:
        self.sent += 1
        block = GeneralBlockTransfer(is_last, is_streaming, 1, self.sent, self.received, part)
        reply = self.rig.peer.association.handle(encode_apdu(block))
        if reply is None:
            return None
        answer = decode_apdu(reply)
        assert isinstance(answer, GeneralBlockTransfer)
        return answer

    def collect(self, first: GeneralBlockTransfer | None) -> bytes:
        block = first
        while True:
            assert block is not None
            assert block.block == self.received + 1
            self.received = block.block
            self.parts.append(block.part)
            if block.is_last:
                return b"".join(self.parts)
            block = self.send(b"")


@pytest.mark.parametrize("ciphered", [False, True])
def test_long_answer_leaves_in_general_blocks_where_the_service_has_none(make_rig: MakeRig, *, ciphered: bool) -> None:
    rig = make_rig(conformance=ONLY_GENERAL, ciphered=ciphered)
    rig.peer.associate(pdu_bytes_max=128)
    request = encode_apdu(GetRequest(0xC1, rig.put(LONG)))
    protector = rig.peer.protector
    if protector is not None:
        request = protector.protect(request, control=0x30, form=rig.peer.form)
    reply = rig.peer.association.handle(request)
    assert reply is not None
    assert len(reply) <= 128
    first = decode_apdu(reply)
    assert isinstance(first, GeneralBlockTransfer)
    whole = Blocks(rig).collect(first)
    plain = whole if protector is None else protector.unprotect(whole).apdu
    assert decode_apdu(plain) == GetResponse(0xC1, DataResult(LONG))


def test_request_in_general_blocks_is_put_together_and_answered_likewise(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    request, client = encode_apdu(SetRequest(0xC1, attribute, LONG)), Blocks(rig)
    acknowledged = client.send(request[:400], is_last=False)
    assert acknowledged == GeneralBlockTransfer(False, False, 1, 1, 1, b"")
    client.received = 1
    answer = client.collect(client.send(request[400:]))
    assert decode_apdu(answer) == SetResponse(0xC1, 0)
    assert rig.device.values[attribute.descriptor] == LONG


def test_streamed_window_is_answered_at_its_end(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    request, client = encode_apdu(SetRequest(0xC1, rig.put(b"\x00"), LONG)), Blocks(rig)
    assert client.send(request[:300], is_last=False, is_streaming=True) is None
    assert client.send(request[300:600], is_last=False, is_streaming=True) is None
    assert decode_apdu(client.collect(client.send(request[600:]))) == SetResponse(0xC1, 0)


def test_gap_in_a_window_is_acknowledged_up_to_the_gap_and_filled(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    attribute = rig.put(b"\x00")
    request, client = encode_apdu(SetRequest(0xC1, attribute, LONG)), Blocks(rig)
    assert client.send(request[:300], is_last=False, is_streaming=True) is None
    client.sent += 1
    reply = client.send(request[600:])
    assert reply is not None
    assert reply.block_acknowledged == 1
    client.sent, client.received = 1, 1
    assert client.send(request[300:600], is_last=False, is_streaming=True) is None
    assert decode_apdu(client.collect(client.send(request[600:]))) == SetResponse(0xC1, 0)
    assert rig.device.values[attribute.descriptor] == LONG


def test_block_that_was_lost_is_sent_again(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=ONLY_GENERAL)
    rig.peer.associate(pdu_bytes_max=128)
    reply = rig.peer.association.handle(encode_apdu(GetRequest(0xC1, rig.put(LONG))))
    assert reply is not None
    client = Blocks(rig, received=1)
    second = client.send(b"")
    again = client.send(b"")
    assert second is not None
    assert again is not None
    assert (second.block, second.part) == (again.block, again.part) == (2, second.part)


def test_general_blocks_that_were_not_granted_are_unknown(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=int(Conformance.GET))
    rig.peer.associate()
    block = encode_apdu(GeneralBlockTransfer(True, False, 1, 1, 0, b"\xc0"))
    assert rig.peer.association.handle(block) == bytes((216, 2, 2))


def test_answer_taken_in_full_needs_no_further_word() -> None:
    blocks = GeneralBlocks()
    blocks.answer(bytes(20), block_bytes_max=64)
    last = GeneralBlockTransfer(True, False, 1, 1, 1, b"")
    assert blocks.receive(last, lambda _: b"", block_bytes_max=64, transfer_bytes_max=100) is None


@given(
    st.lists(
        st.builds(
            GeneralBlockTransfer,
            st.booleans(),
            st.booleans(),
            st.integers(0, 63),
            st.integers(0, 6),
            st.integers(0, 6),
            st.binary(max_size=8),
        ),
        max_size=12,
    )
)
def test_any_order_of_blocks_is_followed(received: list[GeneralBlockTransfer]) -> None:
    blocks = GeneralBlocks()
    for block in received:
        reply = blocks.receive(block, lambda whole: whole * 9 or b"x", block_bytes_max=16, transfer_bytes_max=64)
        assert reply is None or len(encode_apdu(reply)) <= 16
