import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    Apdu,
    AttributeDescriptor,
    DataResult,
    GetRequest,
    GetRequestList,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
    Selection,
    SetResponse,
)
from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.registers import Register
from dlms.errors import AccessRefusedError, DecodeError, ProtocolError
from dlms.obis import obis
from dlms.security.keys import Keys
from tests.unit.dlms.client.meter import ALL, CLOCK, KEYS, Meter, drive, fed, octets, opened, survives

ENERGY = Register("1.0.1.8.0.255")
FIRST = 0xC1
"""Invoke-id-and-priority of the first request of an open association without HLS."""


def registers(count: int) -> tuple[list[AttributeRef[Value]], dict[AttributeDescriptor, bytes]]:
    refs: list[AttributeRef[Value]] = [
        AttributeRef(3, obis(f"1.0.{index}.8.0.255"), 2, VALUE) for index in range(1, count + 1)
    ]
    return refs, {ref.descriptor: b"\x12" + index.to_bytes(2, "big") for index, ref in enumerate(refs)}


def test_an_attribute_is_read_as_what_it_means() -> None:
    meter = Meter({ENERGY.scaler_unit.descriptor: bytes.fromhex("02020FFD161E")})
    read = drive(opened(meter).get(ENERGY.scaler_unit), meter.reply)
    assert (read.scaler, read.unit) == (-3, 30)


def test_a_refusal_says_what_was_refused_and_breaks_nothing() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = opened(meter)
    with pytest.raises(AccessRefusedError, match=r"attribute 3 of 1\.0\.1\.8\.0\.255 \(class 3\): object undef") as no:
        drive(client.get(ENERGY.scaler_unit), meter.reply)
    assert no.value.result == 4
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_data_that_the_attribute_cannot_hold_breaks_nothing() -> None:
    meter = Meter({ENERGY.scaler_unit.descriptor: b"\x12\x00", CLOCK: octets(12)})
    client = opened(meter)
    with pytest.raises(DecodeError):
        drive(client.get(ENERGY.scaler_unit), meter.reply)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_a_selection_goes_with_the_request() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = opened(meter)
    selection = Selection(2, bytes.fromhex("0204060000000106000000001200011200 00".replace(" ", "")))
    drive(client.get_raw(CLOCK, selection), meter.reply)
    request = meter.requests[0]
    assert isinstance(request, GetRequest)
    assert request.attribute.selection == selection


def test_a_part_is_not_asked_of_a_server_that_would_answer_with_the_whole() -> None:
    meter = Meter({CLOCK: octets(12)}, conformance=ALL & ~Conformance.SELECTIVE_ACCESS)
    client = opened(meter)
    with pytest.raises(ProtocolError, match="selective access"):
        drive(client.get_raw(CLOCK, Selection(2, b"\x00")), meter.reply)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(length=st.integers(0, 3000), block=st.integers(1, 600))
def test_blocks_of_any_size_make_the_value_whole(keys: Keys | None, length: int, block: int) -> None:
    meter = Meter({CLOCK: octets(length)}, keys=keys, block_bytes=block)
    assert drive(opened(meter).get_raw(CLOCK), meter.reply) == octets(length)


@hypothesis.given(
    count=st.integers(0, 40), pdu=st.integers(60, 700), block=st.sampled_from([0, 7, 50]), at_once=st.integers(1, 20)
)
@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_list_is_asked_for_in_requests_that_fit(
    keys: Keys | None, count: int, pdu: int, block: int, at_once: int
) -> None:
    refs, values = registers(count)
    meter = Meter(values, keys=keys, pdu_bytes_max=pdu, block_bytes=block)
    client = opened(meter, attributes_at_once_max=at_once)
    assert drive(client.get_many(refs), meter.reply) == list(range(count))
    assert max(meter.lengths[1:], default=0) <= pdu
    lists = [request for request in meter.requests if isinstance(request, GetRequestList)]
    assert all(2 <= len(request.attributes) <= at_once for request in lists)


@pytest.mark.parametrize("conformance", [ALL, ALL & ~Conformance.MULTIPLE_REFERENCES])
def test_in_a_list_each_attribute_has_its_own_outcome(conformance: Conformance) -> None:
    refs, values = registers(5)
    del values[refs[3].descriptor]
    meter = Meter(values, conformance=conformance)
    read = drive(opened(meter).get_many(refs), meter.reply)
    assert [*read[:3], read[4]] == [0, 1, 2, 4]
    assert isinstance(read[3], AccessRefusedError)
    assert len(meter.requests) == (1 if conformance is ALL else 5)


def test_a_list_refused_as_a_whole_refuses_each() -> None:
    refs, _ = registers(2)
    read = fed(opened(Meter()).get_many(refs), encode_apdu(GetResponseBlock(FIRST, True, 1, DataResult(None, 2))))
    assert [refusal.result for refusal in read] == [2, 2]


def block(number: int, *, is_last: bool = False, part: bytes | None = b"abc", invoke: int = FIRST) -> Apdu:
    return GetResponseBlock(invoke, is_last, number, DataResult(part, 0 if part is not None else 15))


@pytest.mark.parametrize(
    "answers",
    [
        [block(2)],
        [block(0)],
        [block(1), block(1)],
        [block(1), block(3)],
        [block(1), block(2), block(1, is_last=True)],
        [block(1, part=b"")],
        [block(1, invoke=0xC2)],
        [block(1), block(2, invoke=0xC0)],
        [block(1), GetResponse(FIRST, DataResult(b"\x00"))],
        [block(1), SetResponse(FIRST, 0)],
        [GetResponse(0xC2, DataResult(b"\x00"))],
        [GetResponseList(FIRST, (DataResult(b"\x00"),))],
        [SetResponse(FIRST, 0)],
        [GetRequest(FIRST, SelectedAttribute(CLOCK))],
    ],
    ids=str,
)
def test_an_answer_out_of_order_breaks_the_association_off(answers: list[Apdu]) -> None:
    client = opened(Meter())
    exchange = client.get_raw(CLOCK)
    with pytest.raises(ProtocolError):
        fed(exchange, *map(encode_apdu, answers))
    assert not client.is_open
    with pytest.raises(ProtocolError, match="broken off"):
        next(client.get_raw(CLOCK))


@pytest.mark.parametrize("end", [block(2, part=None), GetResponse(FIRST, DataResult(None, 15))])
def test_a_long_answer_that_the_server_ends_is_a_refusal(end: Apdu) -> None:
    client = opened(Meter())
    with pytest.raises(AccessRefusedError, match="long get aborted"):
        fed(client.get_raw(CLOCK), encode_apdu(block(1)), encode_apdu(end))
    assert client.is_open


def test_a_long_answer_is_bounded() -> None:
    client = opened(Meter(), transfer_bytes_max=10)
    answers = [encode_apdu(block(number)) for number in range(1, 5)]
    with pytest.raises(ProtocolError, match="more than 10 bytes"):
        fed(client.get_raw(CLOCK), *answers)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_has_as_many_answers_as_questions(count: int) -> None:
    refs, _ = registers(2)
    answer = GetResponseList(FIRST, (DataResult(b"\x00"),) * count)
    with pytest.raises(ProtocolError, match="2 attributes"):
        fed(opened(Meter()).get_many(refs), encode_apdu(answer))


def test_a_server_that_drops_the_priority_is_understood() -> None:
    meter = Meter({CLOCK: octets(40)}, block_bytes=16, invoke_mask=0x0F)
    client = opened(meter)
    for _ in range(20):
        assert drive(client.get_raw(CLOCK), meter.reply) == octets(40)
    assert {request.invoke for request in meter.requests if isinstance(request, GetRequest)} == set(range(0xC0, 0xD0))


@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(
    answers=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                bytes.__add__,
                st.sampled_from([b"\xc4\x01\xc1", b"\xc4\x02\xc1", b"\xc4\x03\xc1", b"\xd8", b"\xcc"]),
                st.binary(max_size=40),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_bytes_for_an_answer_give_data_or_a_typed_error(keys: Keys | None, answers: list[bytes]) -> None:
    survives(opened(Meter(keys=keys)).get_raw(CLOCK), answers)
