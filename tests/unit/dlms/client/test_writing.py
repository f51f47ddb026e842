import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    Apdu,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseLastBlockList,
    SetResponseList,
)
from dlms.axdr.data import long_unsigned
from dlms.client.writing import BLOCK_HEAD_BYTES, cut
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import OCTETS
from dlms.errors import AccessRefusedError, ProtocolError
from dlms.obis import obis
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from tests.unit.dlms.client.meter import ALL, CLOCK, KEYS, Meter, drive, fed, octets, opened

CLOCK_TIME = AttributeRef(CLOCK.class_id, CLOCK.name, CLOCK.attribute, OCTETS)
FIRST = 0xC1


def texts(count: int) -> list[AttributeRef[bytes]]:
    return [AttributeRef(1, obis(f"0.0.96.1.{index}.255"), 2, OCTETS) for index in range(count)]


def test_a_value_is_written_as_its_attribute_has_it() -> None:
    meter = Meter()
    drive(opened(meter).set(CLOCK_TIME, b"twelve bytes"), meter.reply)
    assert meter.attributes[CLOCK] == b"\x09\x0ctwelve bytes"


def test_typed_data_is_written_as_it_is() -> None:
    meter = Meter()
    drive(opened(meter).set(CLOCK_TIME, long_unsigned(7)), meter.reply)
    assert meter.attributes[CLOCK] == b"\x12\x00\x07"


@pytest.mark.parametrize("form", CipherForm)
@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(length=st.integers(0, 2500), pdu=st.integers(70, 600), general=st.booleans())
def test_a_long_value_goes_in_requests_the_server_takes(
    keys: Keys | None, form: CipherForm, *, length: int, pdu: int, general: bool
) -> None:
    conformance = ALL | (Conformance.GENERAL_BLOCK_TRANSFER if general else Conformance(0))
    meter = Meter(
        keys=keys, form=form if keys else CipherForm.SERVICE_GLOBAL, pdu_bytes_max=pdu, conformance=conformance
    )
    client = opened(meter, conformance=conformance)
    drive(client.set_raw(CLOCK, octets(length)), meter.reply)
    assert meter.attributes[CLOCK] == octets(length)
    assert all(sent <= pdu for sent in meter.lengths[1:])
    if not general and len(meter.requests) > 1:
        assert isinstance(meter.requests[0], SetRequestFirstBlock)
        assert all(isinstance(request, SetRequestBlock) for request in meter.requests[1:])


@hypothesis.given(value=st.binary(max_size=400), room=st.integers(30, 200))
def test_blocks_are_numbered_and_only_the_last_is_last(value: bytes, room: int) -> None:
    blocks = list(cut(value, room, 25))
    assert b"".join(part for _, _, part in blocks) == value
    assert [number for number, _, _ in blocks] == list(range(1, len(blocks) + 1))
    assert [is_last for _, is_last, _ in blocks] == [False] * (len(blocks) - 1) + [True]
    assert all(part for _, _, part in blocks) or not value
    assert all(len(part) <= room - BLOCK_HEAD_BYTES for _, _, part in blocks)


def test_a_server_with_no_room_for_a_block_is_told_before_anything_is_sent() -> None:
    meter = Meter(pdu_bytes_max=20)
    client = opened(meter)
    with pytest.raises(ProtocolError, match="less than the head"):
        next(client.set_raw(CLOCK, octets(50)))
    assert client.is_open


def test_without_block_transfer_a_long_value_is_refused_before_anything_is_sent() -> None:
    meter = Meter(pdu_bytes_max=100, conformance=ALL & ~Conformance.BLOCK_TRANSFER_WITH_SET)
    client = opened(meter)
    with pytest.raises(ProtocolError, match="granted no block transfer"):
        next(client.set_raw(CLOCK, octets(200)))
    drive(client.set_raw(CLOCK, octets(20)), meter.reply)
    assert meter.attributes[CLOCK] == octets(20)


@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(lengths=st.lists(st.integers(0, 300), max_size=25), pdu=st.integers(80, 400))
def test_a_list_is_written_in_requests_that_fit_and_what_is_too_long_in_blocks(
    keys: Keys | None, lengths: list[int], pdu: int
) -> None:
    refs = texts(len(lengths))
    meter = Meter(keys=keys, pdu_bytes_max=pdu)
    pairs = [(ref, bytes(length)) for ref, length in zip(refs, lengths, strict=True)]
    assert drive(opened(meter).set_many(pairs), meter.reply) == [None] * len(refs)
    assert [meter.attributes[ref.descriptor] for ref in refs] == [ref.encode(value) for ref, value in pairs]
    assert all(sent <= pdu for sent in meter.lengths[1:])


def test_without_lists_attributes_are_written_one_by_one() -> None:
    meter = Meter(conformance=ALL & ~Conformance.MULTIPLE_REFERENCES)
    drive(opened(meter).set_many([(ref, b"x") for ref in texts(3)]), meter.reply)
    assert [type(request) for request in meter.requests] == [SetRequest] * 3


def test_in_a_list_each_value_has_its_own_result() -> None:
    client = opened(Meter())
    pairs = [(ref, b"x") for ref in texts(3)]
    results = fed(client.set_many(pairs), encode_apdu(SetResponseList(FIRST, (0, 3, 0))))
    assert (results[0], results[2]) == (None, None)
    assert isinstance(results[1], AccessRefusedError)
    assert results[1].result == 3
    assert client.is_open


@pytest.mark.parametrize(
    "answer", [SetResponseList(FIRST, (0,)), SetResponseList(0xC2, (0, 0)), SetResponse(FIRST, 0)], ids=str
)
def test_a_list_is_not_written_unless_each_result_is_there(answer: Apdu) -> None:
    client = opened(Meter())
    with pytest.raises(ProtocolError):
        fed(client.set_many([(ref, b"x") for ref in texts(2)]), encode_apdu(answer))
    assert not client.is_open


def test_a_refusal_says_what_was_refused_and_breaks_nothing() -> None:
    client = opened(Meter())
    with pytest.raises(AccessRefusedError, match=r"attribute 2 of 0\.0\.1\.0\.0\.255 \(class 8\): read write denied"):
        fed(client.set_raw(CLOCK, octets(3)), encode_apdu(SetResponse(FIRST, 3)))
    assert client.is_open


BLOCKS = [
    [SetResponseBlock(FIRST, 2)],
    [SetResponseBlock(0xC5, 1)],
    [SetResponseLastBlock(FIRST, 0, 1)],
    [SetResponse(FIRST, 0)],
    [SetResponseBlock(FIRST, 1), SetResponseBlock(FIRST, 1)],
    [SetResponseBlock(FIRST, 1), SetResponseLastBlock(FIRST, 0, 2)],
    [SetResponseBlock(FIRST, 1), SetResponseBlock(FIRST, 2), SetResponseBlock(FIRST, 3)],
    [SetResponseBlock(FIRST, 1), SetResponseBlock(FIRST, 2), SetResponseLastBlock(FIRST, 0, 2)],
    [SetResponseBlock(FIRST, 1), SetResponseBlock(FIRST, 2), SetResponseLastBlockList(FIRST, (0,), 3)],
]


@pytest.mark.parametrize("answers", BLOCKS, ids=str)
def test_a_long_value_is_not_written_unless_every_block_was_taken(answers: list[Apdu]) -> None:
    client = opened(Meter(pdu_bytes_max=100))
    with pytest.raises(ProtocolError):
        fed(client.set_raw(CLOCK, octets(220)), *map(encode_apdu, answers))
    assert not client.is_open


@pytest.mark.parametrize("end", [SetResponseLastBlock(FIRST, 17, 2), SetResponse(FIRST, 17)])
def test_a_long_value_the_server_gives_up_is_a_refusal(end: Apdu) -> None:
    client = opened(Meter(pdu_bytes_max=100))
    with pytest.raises(AccessRefusedError, match="long set aborted"):
        fed(client.set_raw(CLOCK, octets(220)), encode_apdu(SetResponseBlock(FIRST, 1)), encode_apdu(end))
    assert client.is_open


def test_a_plain_answer_to_the_last_block_is_understood() -> None:
    answers: list[Apdu] = [SetResponseBlock(FIRST, 1), SetResponseBlock(FIRST, 2), SetResponse(FIRST, 0)]
    fed(opened(Meter(pdu_bytes_max=100)).set_raw(CLOCK, octets(220)), *map(encode_apdu, answers))


def test_a_list_of_one_is_no_list() -> None:
    meter = Meter()
    drive(opened(meter).set_many([(texts(1)[0], b"x")]), meter.reply)
    assert not any(isinstance(request, SetRequestList) for request in meter.requests)
