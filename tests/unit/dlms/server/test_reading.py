"""GET: one value, lists, and answers in blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    AttributeDescriptor,
    DataResult,
    ExceptionResponse,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
    Selection,
)
from dlms.axdr.data import encode, octet_string
from dlms.obis import obis
from dlms.server.device import Access, AssociationRules
from dlms.server.reading import Reading
from dlms.server.terms import Terms
from tests.unit.dlms.server.shelf import ALL_SERVICES, GET_ONLY, MakeRig, Rig, Shelf

MISSING = SelectedAttribute(AttributeDescriptor(1, obis("0.0.96.1.0.255"), 2))
NO_GENERAL_BLOCKS = ALL_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER


def long_value(size: int = 1000) -> bytes:
    return encode(octet_string(bytes(index & 0xFF for index in range(size))))


def read_blocks(rig: Rig, first: object, *, pdu_bytes_max: int) -> bytes:
    data, reply = b"", first
    while True:
        assert isinstance(reply, GetResponseBlock)
        assert reply.outcome.data is not None
        assert len(encode_apdu(reply)) <= pdu_bytes_max
        data += reply.outcome.data
        if reply.is_last:
            return data
        reply = rig.peer.ask(GetRequestNext(reply.invoke, reply.block))


def test_value_and_refusal_carry_the_invoke_id(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.ask(GetRequest(0x42, rig.put(b"\x03\x01"))) == GetResponse(0x42, DataResult(b"\x03\x01"))
    assert rig.peer.ask(GetRequest(0xC7, MISSING)) == GetResponse(0xC7, DataResult(None, 4))


def test_selection_reaches_the_device(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    selection = Selection(2, b"\x02\x00")
    rig.peer.ask(GetRequest(0xC1, SelectedAttribute(rig.put(b"\x00").descriptor, selection)))
    assert rig.device.asked[-1] == (selection, Access(16, 0, 0))


@pytest.mark.parametrize("ciphered", [False, True])
def test_long_value_comes_in_blocks_that_fit(make_rig: MakeRig, *, ciphered: bool) -> None:
    rig = make_rig(ciphered=ciphered)
    rig.peer.associate(pdu_bytes_max=128)
    first = rig.peer.ask(GetRequest(0xC1, rig.put(long_value())))
    assert read_blocks(rig, first, pdu_bytes_max=128) == long_value()


def test_ciphered_blocks_fit_as_they_are_sent(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate(pdu_bytes_max=128)
    assert rig.peer.protector is not None
    request = encode_apdu(GetRequest(0xC1, rig.put(long_value())))
    reply = rig.peer.association.handle(rig.peer.protector.protect(request, control=0x30, form=rig.peer.form))
    assert reply is not None
    assert 120 < len(reply) <= 128


def test_value_that_just_fits_comes_whole(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=100)
    whole, longer = encode(octet_string(bytes(94))), encode(octet_string(bytes(95)))
    assert isinstance(rig.peer.ask(GetRequest(0xC1, rig.put(whole))), GetResponse)
    assert isinstance(rig.peer.ask(GetRequest(0xC1, rig.put(longer))), GetResponseBlock)


def test_wrong_block_number_ends_the_transfer(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=128)
    rig.peer.ask(GetRequest(0xC1, rig.put(long_value())))
    assert rig.peer.ask(GetRequestNext(0xC1, 2)) == GetResponseBlock(0xC1, True, 2, DataResult(None, 19))
    assert rig.peer.ask(GetRequestNext(0xC1, 1)) == GetResponseBlock(0xC1, True, 1, DataResult(None, 16))


def test_block_of_another_request_is_not_in_progress(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=128)
    rig.peer.ask(GetRequest(0xC1, rig.put(long_value())))
    assert rig.peer.ask(GetRequestNext(0xC2, 1)) == GetResponseBlock(0xC2, True, 1, DataResult(None, 16))


def test_new_request_ends_the_old_transfer(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=128)
    rig.peer.ask(GetRequest(0xC1, rig.put(long_value())))
    rig.peer.ask(GetRequest(0xC1, MISSING))
    assert rig.peer.ask(GetRequestNext(0xC1, 1)) == GetResponseBlock(0xC1, True, 1, DataResult(None, 16))


def test_long_value_without_any_blocks_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY)
    rig.peer.associate(pdu_bytes_max=128)
    assert rig.peer.ask(GetRequest(0xC1, rig.put(long_value()))) == GetResponse(0xC1, DataResult(None, 250))


def test_list_answers_each_reference(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    request = GetRequestList(0xC1, (rig.put(b"\x11\x07"), MISSING))
    assert rig.peer.ask(request) == GetResponseList(0xC1, (DataResult(b"\x11\x07"), DataResult(None, 4)))


def test_long_list_comes_in_blocks_as_a_sequence_of_results(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=128)
    first = rig.peer.ask(GetRequestList(0xC1, (rig.put(long_value()), MISSING)))
    assert read_blocks(rig, first, pdu_bytes_max=128) == b"\x02\x00" + long_value() + b"\x01\x04"


def test_lists_need_to_be_granted(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY)
    rig.peer.associate()
    assert rig.peer.ask(GetRequestList(0xC1, (MISSING,))) == ExceptionResponse(1, 2)


def test_list_without_blocks_that_is_too_long_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY | Conformance.MULTIPLE_REFERENCES)
    rig.peer.associate(pdu_bytes_max=128)
    reply = rig.peer.ask(GetRequestList(0xC1, (rig.put(long_value()), MISSING)))
    assert reply == GetResponseList(0xC1, (DataResult(None, 250), DataResult(None, 250)))


def test_list_of_more_than_a_transfer_holds_answers_what_it_can(make_rig: MakeRig) -> None:
    rig = make_rig(transfer_bytes_max=1500)
    rig.peer.associate(pdu_bytes_max=0)
    attribute = rig.put(long_value())
    reply = rig.peer.ask(GetRequestList(0xC1, (attribute, attribute)))
    assert reply == GetResponseList(0xC1, (DataResult(long_value()), DataResult(None, 2)))


@given(size=st.integers(0, 700), limit=st.integers(33, 300))
def test_blocks_put_together_are_the_value(size: int, limit: int) -> None:
    device = Shelf({16: AssociationRules()})
    attribute = SelectedAttribute(AttributeDescriptor(1, bytes(6), 2))
    device.values[attribute.descriptor] = value = long_value(size)
    terms = Terms(device, Access(16, 0, 0), NO_GENERAL_BLOCKS, limit, 65536)
    reading = Reading()
    response, data = reading.handle(GetRequest(1, attribute), terms), b""
    while isinstance(response, GetResponseBlock):
        assert len(encode_apdu(response)) <= limit
        assert response.outcome.data
        data += response.outcome.data
        if response.is_last:
            break
        response = reading.handle(GetRequestNext(1, response.block), terms)
    else:
        assert isinstance(response, GetResponse)
        data = response.outcome.data or b""
    assert data == value
