"""GET: request tag 192, response tag 196 (Green Book 9.5, Get-Request and Get-Response)."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import (
    DATA,
    REFUSAL,
    Reader,
    checked_name,
    decode_last_outcome,
    encode_octets,
    encode_outcome,
    encode_selected_list,
    encode_selection,
)
from dlms.apdu.services import (
    Apdu,
    DataResult,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
    Selection,
)
from dlms.axdr.length import decode_length, encode_length
from dlms.errors import DecodeError

REQUEST: Final = 192
RESPONSE: Final = 196
_NORMAL: Final = 1
_NEXT_OR_BLOCK: Final = 2
_WITH_LIST: Final = 3
_REQUEST_HEAD: Final = struct.Struct(">BBBH6sb")
_NEXT: Final = struct.Struct(">BBBI")
_BLOCK_HEAD: Final = struct.Struct(">BBBBIB")
_SHORT_LENGTH_MAX: Final = 0x7F


def _encode_request(apdu: GetRequest) -> bytes:
    descriptor = apdu.attribute.descriptor
    head = _REQUEST_HEAD.pack(
        REQUEST, _NORMAL, apdu.invoke, descriptor.class_id, checked_name(descriptor.name), descriptor.attribute
    )
    return head + encode_selection(apdu.attribute.selection)


def _encode_request_next(apdu: GetRequestNext) -> bytes:
    return _NEXT.pack(REQUEST, _NEXT_OR_BLOCK, apdu.invoke, apdu.block)


def _encode_request_list(apdu: GetRequestList) -> bytes:
    return bytes((REQUEST, _WITH_LIST, apdu.invoke)) + encode_selected_list(apdu.attributes)


def _encode_response(apdu: GetResponse) -> bytes:
    return bytes((RESPONSE, _NORMAL, apdu.invoke)) + encode_outcome(apdu.outcome)


def _encode_response_block(apdu: GetResponseBlock) -> bytes:
    part = apdu.outcome.data
    choice = REFUSAL if part is None else DATA
    head = _BLOCK_HEAD.pack(RESPONSE, _NEXT_OR_BLOCK, apdu.invoke, apdu.is_last, apdu.block, choice)
    return head + (bytes((apdu.outcome.result,)) if part is None else encode_octets(part))


def _encode_response_list(apdu: GetResponseList) -> bytes:
    head = bytes((RESPONSE, _WITH_LIST, apdu.invoke))
    return head + encode_length(len(apdu.outcomes)) + b"".join(map(encode_outcome, apdu.outcomes))


def _decode_request(encoded: bytes) -> GetRequest | GetRequestNext | GetRequestList:
    choice, invoke, reader = encoded[1], encoded[2], Reader(encoded, 3)
    if choice == _NORMAL:
        descriptor = reader.attribute()
        selection = Selection(reader.byte(), reader.rest()) if reader.flag() else None
        reader.finish()
        return GetRequest(invoke, SelectedAttribute(descriptor, selection))
    if choice == _NEXT_OR_BLOCK:
        block = reader.uint32()
        reader.finish()
        return GetRequestNext(invoke, block)
    if choice == _WITH_LIST:
        attributes = reader.selected_list()
        reader.finish()
        return GetRequestList(invoke, attributes)
    raise DecodeError(f"choice {choice} is no GET request")


def _decode_response(encoded: bytes) -> GetResponse | GetResponseBlock | GetResponseList:
    choice = encoded[1]
    if choice == _NORMAL:
        return GetResponse(encoded[2], decode_last_outcome(encoded, 3))
    if choice == _NEXT_OR_BLOCK:
        return _decode_response_block(encoded)
    if choice == _WITH_LIST:
        reader = Reader(encoded, 3)
        outcomes = tuple([reader.outcome() for _ in range(reader.count())])
        reader.finish()
        return GetResponseList(encoded[2], outcomes)
    raise DecodeError(f"choice {choice} is no GET response")


def _decode_response_block(encoded: bytes) -> GetResponseBlock:
    """Return DataBlock-G; a profile comes in dozens of these, so there is no reader in the way."""
    _, _, invoke, is_last, block, choice = _BLOCK_HEAD.unpack_from(encoded)
    if choice == REFUSAL:
        return GetResponseBlock(invoke, is_last != 0, block, decode_last_outcome(encoded, _BLOCK_HEAD.size - 1))
    if choice != DATA:
        raise DecodeError(f"choice {choice} is no data block of a GET response")
    length, start = encoded[_BLOCK_HEAD.size], _BLOCK_HEAD.size + 1
    if length > _SHORT_LENGTH_MAX:
        length, start = decode_length(encoded, _BLOCK_HEAD.size)
    part = encoded[start:]
    if len(part) != length:
        raise DecodeError(f"a block of {length} bytes is announced and {len(part)} follow")
    return GetResponseBlock(invoke, is_last != 0, block, DataResult(part))


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    GetRequest: _encode_request,
    GetRequestNext: _encode_request_next,
    GetRequestList: _encode_request_list,
    GetResponse: _encode_response,
    GetResponseBlock: _encode_response_block,
    GetResponseList: _encode_response_list,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {REQUEST: _decode_request, RESPONSE: _decode_response}
