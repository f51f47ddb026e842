from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.acse import Aare, Aarq, Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import CONFORMANCE_MASK
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
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
    AttributeDescriptor,
    ConfirmedServiceError,
    DataNotification,
    DataResult,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    MethodDescriptor,
    SelectedAttribute,
    Selection,
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
from dlms.axdr.length import encode_length
from dlms.errors import DecodeError, DlmsError

BYTE = st.integers(0, 0xFF)
UINT16 = st.integers(0, 0xFFFF)
UINT32 = st.integers(0, 0xFFFF_FFFF)
INT8 = st.integers(-0x80, 0x7F)
NAME = st.binary(min_size=6, max_size=6)
PART = st.one_of(st.binary(max_size=20), st.binary(min_size=120, max_size=300))
DATE_TIME = st.one_of(st.just(b""), st.binary(min_size=12, max_size=12))


def _constructed(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    items = st.lists(children, max_size=4)
    return st.builds(
        lambda tag, parts: bytes((tag,)) + encode_length(len(parts)) + b"".join(parts), st.sampled_from([1, 2]), items
    )


DATA = st.recursive(
    st.one_of(
        st.sampled_from([b"\x03\x01", b"\x11\xff", b"\x16\x00"]),
        st.builds(lambda number: b"\x06" + number, st.binary(min_size=4, max_size=4)),
        st.builds(lambda text: b"\x09" + encode_length(len(text)) + text, PART),
    ),
    _constructed,
    max_leaves=6,
)
ATTRIBUTE = st.builds(AttributeDescriptor, UINT16, NAME, INT8)
SELECTED = st.builds(SelectedAttribute, ATTRIBUTE, st.one_of(st.none(), st.builds(Selection, BYTE, DATA)))
SELECTED_LIST = st.lists(SELECTED, max_size=4).map(tuple)
METHOD = st.builds(MethodDescriptor, UINT16, NAME, INT8)
METHOD_LIST = st.lists(METHOD, max_size=4).map(tuple)
RESULT = st.one_of(st.builds(DataResult, DATA), st.builds(DataResult, st.none(), BYTE))
BLOCK_RESULT = st.one_of(st.builds(DataResult, PART), st.builds(DataResult, st.none(), BYTE))
OUTCOME = st.builds(ActionOutcome, BYTE, st.one_of(st.none(), RESULT))
RESULTS = st.lists(BYTE, max_size=200).map(tuple)
LAST = st.booleans()
CONFORMANCE = st.integers(0, CONFORMANCE_MASK)

BY_TYPE: dict[type[Any], st.SearchStrategy[Any]] = {
    GetRequest: st.builds(GetRequest, BYTE, SELECTED),
    GetRequestNext: st.builds(GetRequestNext, BYTE, UINT32),
    GetRequestList: st.builds(GetRequestList, BYTE, SELECTED_LIST),
    GetResponse: st.builds(GetResponse, BYTE, RESULT),
    GetResponseBlock: st.builds(GetResponseBlock, BYTE, LAST, UINT32, BLOCK_RESULT),
    GetResponseList: st.builds(GetResponseList, BYTE, st.lists(RESULT, max_size=4).map(tuple)),
    SetRequest: st.builds(SetRequest, BYTE, SELECTED, DATA),
    SetRequestFirstBlock: st.builds(SetRequestFirstBlock, BYTE, SELECTED, LAST, UINT32, PART),
    SetRequestBlock: st.builds(SetRequestBlock, BYTE, LAST, UINT32, PART),
    SetRequestList: st.builds(SetRequestList, BYTE, SELECTED_LIST, st.lists(DATA, max_size=4).map(tuple)),
    SetRequestListFirstBlock: st.builds(SetRequestListFirstBlock, BYTE, SELECTED_LIST, LAST, UINT32, PART),
    SetResponse: st.builds(SetResponse, BYTE, BYTE),
    SetResponseBlock: st.builds(SetResponseBlock, BYTE, UINT32),
    SetResponseLastBlock: st.builds(SetResponseLastBlock, BYTE, BYTE, UINT32),
    SetResponseLastBlockList: st.builds(SetResponseLastBlockList, BYTE, RESULTS, UINT32),
    SetResponseList: st.builds(SetResponseList, BYTE, RESULTS),
    ActionRequest: st.builds(ActionRequest, BYTE, METHOD, st.one_of(st.none(), DATA)),
    ActionRequestNext: st.builds(ActionRequestNext, BYTE, UINT32),
    ActionRequestList: st.builds(
        ActionRequestList, BYTE, METHOD_LIST, st.lists(st.one_of(st.none(), DATA), max_size=4).map(tuple)
    ),
    ActionRequestFirstBlock: st.builds(ActionRequestFirstBlock, BYTE, METHOD, LAST, UINT32, PART),
    ActionRequestListFirstBlock: st.builds(ActionRequestListFirstBlock, BYTE, METHOD_LIST, LAST, UINT32, PART),
    ActionRequestBlock: st.builds(ActionRequestBlock, BYTE, LAST, UINT32, PART),
    ActionResponse: st.builds(ActionResponse, BYTE, OUTCOME),
    ActionResponseBlock: st.builds(ActionResponseBlock, BYTE, LAST, UINT32, PART),
    ActionResponseList: st.builds(ActionResponseList, BYTE, st.lists(OUTCOME, max_size=4).map(tuple)),
    ActionResponseNext: st.builds(ActionResponseNext, BYTE, UINT32),
    DataNotification: st.builds(DataNotification, UINT32, DATE_TIME, DATA),
    EventNotification: st.builds(EventNotification, st.one_of(st.none(), DATE_TIME), ATTRIBUTE, DATA),
    ExceptionResponse: st.builds(ExceptionResponse, BYTE, BYTE, st.one_of(st.none(), UINT32)),
    ConfirmedServiceError: st.builds(ConfirmedServiceError, BYTE, BYTE, BYTE),
    GeneralBlockTransfer: st.builds(GeneralBlockTransfer, LAST, LAST, st.integers(0, 63), UINT16, UINT16, PART),
    InitiateRequest: st.builds(
        InitiateRequest,
        CONFORMANCE,
        UINT16,
        st.one_of(st.none(), st.binary(max_size=40)),
        st.booleans(),
        st.one_of(st.none(), INT8),
        BYTE,
    ),
    InitiateResponse: st.builds(InitiateResponse, CONFORMANCE, UINT16, st.one_of(st.none(), INT8), BYTE, UINT16),
}
APDU: st.SearchStrategy[Apdu] = st.one_of(list(BY_TYPE.values()))

USER_INFORMATION = st.one_of(st.just(b""), PART.map(lambda part: b"\x01" + part))
TITLE = st.one_of(st.just(b""), st.binary(min_size=7, max_size=7).map(lambda rest: b"W" + rest))
REASON = st.one_of(st.none(), st.integers(0, 30))
ACSE = st.one_of(
    st.builds(Aarq, BYTE, USER_INFORMATION, BYTE, PART, TITLE, st.one_of(st.none(), BYTE)),
    st.builds(
        Aare,
        BYTE,
        st.integers(0, 2),
        st.integers(1, 2),
        BYTE,
        USER_INFORMATION,
        st.one_of(st.none(), BYTE),
        PART,
        TITLE,
    ),
    st.builds(Rlrq, REASON, USER_INFORMATION),
    st.builds(Rlre, REASON, USER_INFORMATION),
)


def test_every_service_is_covered_here() -> None:
    assert set(BY_TYPE) == set(Apdu.__args__)


@pytest.mark.parametrize("kind", BY_TYPE)
@hypothesis.given(drawn=st.data())
@hypothesis.settings(max_examples=50)
def test_an_apdu_comes_back(kind: type[Apdu], drawn: st.DataObject) -> None:
    apdu = drawn.draw(BY_TYPE[kind])
    assert decode_apdu(encode_apdu(apdu)) == apdu


@hypothesis.given(apdu=ACSE)
def test_an_acse_apdu_comes_back(apdu: Aarq | Aare | Rlrq | Rlre) -> None:
    assert decode_acse(encode_acse(apdu)) == apdu


# Some meters leave the last byte of an ACTION response out, so that one is taken for the whole on purpose.
@pytest.mark.parametrize("kind", [kind for kind in BY_TYPE if kind is not ActionResponse])
@hypothesis.given(drawn=st.data())
@hypothesis.settings(max_examples=50)
def test_what_is_cut_short_is_never_taken_for_the_whole(kind: type[Apdu], drawn: st.DataObject) -> None:
    apdu = drawn.draw(BY_TYPE[kind])
    encoded = encode_apdu(apdu)
    cut = encoded[: drawn.draw(st.integers(0, len(encoded) - 1))]
    try:
        assert decode_apdu(cut) != apdu
    except DecodeError:
        return


@hypothesis.given(encoded=st.binary(max_size=80))
@hypothesis.settings(max_examples=500)
def test_any_bytes_are_an_apdu_or_a_dlms_error(encoded: bytes) -> None:
    for decode in (decode_apdu, decode_acse):
        try:
            decode(encoded)
        except DlmsError:
            continue


@hypothesis.given(
    head=st.sampled_from([bytes((tag, choice)) for tag in (192, 193, 195, 196, 197, 199) for choice in range(1, 7)]),
    tail=st.binary(max_size=60),
)
@hypothesis.settings(max_examples=500)
def test_any_bytes_behind_a_known_choice_are_an_apdu_or_a_dlms_error(head: bytes, tail: bytes) -> None:
    try:
        decode_apdu(head + tail)
    except DlmsError:
        return


@hypothesis.given(apdu=APDU, place=st.integers(0, 400), byte=BYTE)
@hypothesis.settings(max_examples=300)
def test_a_damaged_apdu_is_an_apdu_or_a_dlms_error(apdu: Apdu, place: int, byte: int) -> None:
    damaged = bytearray(encode_apdu(apdu))
    damaged[place % len(damaged)] = byte
    try:
        decode_apdu(bytes(damaged))
    except DlmsError:
        return


@hypothesis.given(apdu=ACSE, place=st.integers(0, 400), byte=BYTE)
def test_a_damaged_acse_apdu_is_one_or_a_dlms_error(apdu: Aarq | Aare | Rlrq | Rlre, place: int, byte: int) -> None:
    damaged = bytearray(encode_acse(apdu))
    damaged[place % len(damaged)] = byte
    try:
        decode_acse(bytes(damaged))
    except DlmsError:
        return


@pytest.mark.parametrize(
    "encoded", ["", "00", "ff", "c8 00", "d0 00", "db 00", "dc 00", "21 00", "28 00", "60 00", "05 00"]
)
def test_tags_that_are_not_of_plain_services_are_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "apdu",
    [
        GetRequest(0x1C1, SelectedAttribute(AttributeDescriptor(1, bytes(6), 2))),
        GetRequest(0xC1, SelectedAttribute(AttributeDescriptor(1, bytes(5), 2))),
        GetRequest(0xC1, SelectedAttribute(AttributeDescriptor(1, bytes(7), 2))),
        GetRequest(0xC1, SelectedAttribute(AttributeDescriptor(0x1_0000, bytes(6), 2))),
        ActionRequest(0xC1, MethodDescriptor(1, bytes(5), 2), None),
        GetRequestNext(0xC1, 0x1_0000_0000),
        SetResponse(0xC1, -1),
        DataNotification(1, bytes(11), b"\x00"),
        GeneralBlockTransfer(
            is_last=True, is_streaming=False, window=64, block=1, block_acknowledged=0, part=b""
        ),
        InitiateResponse(1 << 24, 500),
    ],
)  # fmt: skip
def test_fields_out_of_range_are_the_callers_mistake(apdu: Apdu) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode_apdu(apdu)
