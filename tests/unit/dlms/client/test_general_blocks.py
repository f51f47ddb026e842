import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import Apdu, DataResult, ExceptionResponse, GeneralBlockTransfer, GetResponse, SetResponse
from dlms.client.association import ClientAssociation
from dlms.errors import DlmsError, ProtocolError, ServiceRefusedError
from dlms.security.keys import Keys
from tests.unit.dlms.client.meter import ALL, CLOCK, KEYS, Meter, drive, fed, octets, opened, survives

WITH_BLOCKS = ALL | Conformance.GENERAL_BLOCK_TRANSFER
FIRST = 0xC1


def general(meter: Meter, **changes: object) -> ClientAssociation:
    return opened(meter, conformance=WITH_BLOCKS, **changes)


def block(
    number: int, part: bytes = b"abc", *, is_last: bool = False, streaming: bool = False, taken: int = 0
) -> bytes:
    return encode_apdu(GeneralBlockTransfer(is_last, streaming, 1, number, taken, part))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(length=st.integers(0, 1500), size=st.integers(5, 300))
def test_an_answer_in_general_blocks_becomes_whole(
    keys: Keys | None, *, streaming: bool, length: int, size: int
) -> None:
    meter = Meter(
        {CLOCK: octets(length)}, keys=keys, conformance=WITH_BLOCKS, general_block_bytes=size, streaming=streaming
    )
    assert drive(general(meter).get_raw(CLOCK), meter.reply) == octets(length)


@pytest.mark.parametrize("keys", [None, KEYS])
@hypothesis.given(length=st.integers(0, 900), pdu=st.integers(60, 300), size=st.integers(5, 100))
def test_requests_and_answers_go_in_general_blocks_both_ways(
    keys: Keys | None, length: int, pdu: int, size: int
) -> None:
    meter = Meter(keys=keys, conformance=WITH_BLOCKS, pdu_bytes_max=pdu, general_block_bytes=size)
    client = general(meter)
    drive(client.set_raw(CLOCK, octets(length)), meter.reply)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(length)
    assert all(sent <= pdu for sent in meter.lengths[1:])


def test_acknowledgements_count_our_blocks_and_theirs() -> None:
    exchange = general(Meter(conformance=WITH_BLOCKS, pdu_bytes_max=100)).set_raw(CLOCK, octets(150))
    assert next(exchange)[:6].hex() == "e00100010000"
    assert exchange.send(block(1, b"", taken=1))[:6].hex() == "e08100020000"
    whole = encode_apdu(SetResponse(FIRST, 0))
    assert exchange.send(block(1, whole[:2], taken=2)).hex() == "e0810003000100"
    with pytest.raises(StopIteration):
        exchange.send(block(2, whole[2:], is_last=True))


def test_a_server_may_go_on_counting_after_its_acknowledgements() -> None:
    client = general(Meter(conformance=WITH_BLOCKS, pdu_bytes_max=100))
    whole = encode_apdu(SetResponse(FIRST, 0))
    acknowledgements = [block(number, b"", taken=number) for number in (1, 2)]
    fed(client.set_raw(CLOCK, octets(220)), *acknowledgements, block(3, whole[:2]), block(4, whole[2:], is_last=True))
    with pytest.raises(ProtocolError, match="block 2 came where 1 was due"):
        fed(client.get_raw(CLOCK), block(2, whole, is_last=True))


def test_a_stream_is_fetched_without_sending() -> None:
    exchange = general(Meter(conformance=WITH_BLOCKS), general_block_window=5).get_raw(CLOCK)
    next(exchange)
    whole = encode_apdu(GetResponse(FIRST, DataResult(octets(4))))
    assert exchange.send(block(1, whole[:2], streaming=True)) == b""
    assert exchange.send(block(2, whole[2:3])).hex() == "e0850001000200"
    with pytest.raises(StopIteration) as end:
        exchange.send(block(3, whole[3:], is_last=True))
    assert end.value.value == octets(4)


@pytest.mark.parametrize(
    "answers",
    [
        [block(2)],
        [block(0)],
        [block(1), block(1)],
        [block(1), block(3)],
        [block(1, b"")],
        [block(1), encode_apdu(GetResponse(FIRST, DataResult(b"\x00")))],
        [block(1), b""],
        [block(1), b"\xe0"],
        [block(1, b"", is_last=True)],
        [block(1, block(1, is_last=True), is_last=True)],
    ],
)
def test_general_blocks_out_of_order_break_the_association_off(answers: list[bytes]) -> None:
    client = general(Meter(conformance=WITH_BLOCKS))
    with pytest.raises(DlmsError):
        fed(client.get_raw(CLOCK), *answers)
    assert not client.is_open


def test_an_answer_in_general_blocks_is_bounded() -> None:
    client = general(Meter(conformance=WITH_BLOCKS), transfer_bytes_max=7)
    with pytest.raises(ProtocolError, match="more than 7 bytes"):
        fed(client.get_raw(CLOCK), block(1), block(2), block(3))


@pytest.mark.parametrize("keys", [None, KEYS])
def test_general_blocks_that_were_not_granted_are_refused(keys: Keys | None) -> None:
    with pytest.raises(DlmsError):
        fed(opened(Meter(keys=keys)).get_raw(CLOCK), block(1, is_last=True))


@pytest.mark.parametrize(
    "answer",
    [
        block(1, b"", taken=0),
        block(1, b"", taken=2),
        block(1, b"data", taken=1),
        encode_apdu(SetResponse(FIRST, 0)),
        b"",
        b"\xe0\x00",
    ],
)
def test_a_block_that_was_not_taken_is_not_followed_by_another(answer: bytes) -> None:
    client = general(Meter(conformance=WITH_BLOCKS, pdu_bytes_max=100))
    with pytest.raises(DlmsError):
        fed(client.set_raw(CLOCK, octets(300)), answer)
    assert not client.is_open


def test_a_refusal_between_blocks_is_a_refusal() -> None:
    client = general(Meter(conformance=WITH_BLOCKS, pdu_bytes_max=100))
    refusal: Apdu = ExceptionResponse(1, 4)
    with pytest.raises(ServiceRefusedError, match="pdu too long"):
        fed(client.set_raw(CLOCK, octets(300)), encode_apdu(refusal))
    assert client.is_open


@hypothesis.given(
    answers=st.lists(
        st.one_of(st.binary(max_size=30), st.binary(max_size=30).map(b"\xe0".__add__), st.integers(0, 4).map(block)),
        min_size=1,
        max_size=5,
    )
)
def test_any_bytes_for_a_block_give_data_or_a_typed_error(answers: list[bytes]) -> None:
    survives(general(Meter(conformance=WITH_BLOCKS)).get_raw(CLOCK), answers)
