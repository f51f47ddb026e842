"""SET: request tag 193, response tag 197 (Green Book 9.5, Set-Request and Set-Response)."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import Reader, encode_block, encode_selected, encode_selected_list
from dlms.apdu.services import (
    Apdu,
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
from dlms.errors import DecodeError

REQUEST: Final = 193
RESPONSE: Final = 197
_NUMBER: Final = struct.Struct(">I")
_SetRequest = SetRequest | SetRequestFirstBlock | SetRequestBlock | SetRequestList | SetRequestListFirstBlock
_SetResponse = SetResponse | SetResponseBlock | SetResponseLastBlock | SetResponseLastBlockList | SetResponseList


def _encode_request(apdu: SetRequest) -> bytes:
    return bytes((REQUEST, 1, apdu.invoke)) + encode_selected(apdu.attribute) + apdu.value


def _encode_request_first_block(apdu: SetRequestFirstBlock) -> bytes:
    head = bytes((REQUEST, 2, apdu.invoke)) + encode_selected(apdu.attribute)
    return head + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_request_block(apdu: SetRequestBlock) -> bytes:
    return bytes((REQUEST, 3, apdu.invoke)) + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_request_list(apdu: SetRequestList) -> bytes:
    head = bytes((REQUEST, 4, apdu.invoke)) + encode_selected_list(apdu.attributes)
    return head + encode_length(len(apdu.values)) + b"".join(apdu.values)


def _encode_request_list_first_block(apdu: SetRequestListFirstBlock) -> bytes:
    head = bytes((REQUEST, 5, apdu.invoke)) + encode_selected_list(apdu.attributes)
    return head + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_response(apdu: SetResponse) -> bytes:
    return bytes((RESPONSE, 1, apdu.invoke, apdu.result))


def _encode_response_block(apdu: SetResponseBlock) -> bytes:
    return bytes((RESPONSE, 2, apdu.invoke)) + _NUMBER.pack(apdu.block)


def _encode_response_last_block(apdu: SetResponseLastBlock) -> bytes:
    return bytes((RESPONSE, 3, apdu.invoke, apdu.result)) + _NUMBER.pack(apdu.block)


def _encode_response_last_block_list(apdu: SetResponseLastBlockList) -> bytes:
    return bytes((RESPONSE, 4, apdu.invoke)) + _encode_results(apdu.results) + _NUMBER.pack(apdu.block)


def _encode_response_list(apdu: SetResponseList) -> bytes:
    return bytes((RESPONSE, 5, apdu.invoke)) + _encode_results(apdu.results)


def _encode_results(results: tuple[int, ...]) -> bytes:
    return encode_length(len(results)) + bytes(results)


def _decode_request(encoded: bytes) -> _SetRequest:
    choice, invoke, reader = encoded[1], encoded[2], Reader(encoded, 3)
    match choice:
        case 1:
            return SetRequest(invoke, reader.selected(), reader.rest())
        case 2:
            return SetRequestFirstBlock(invoke, reader.selected(), *reader.block())
        case 3:
            return SetRequestBlock(invoke, *reader.block())
        case 4:
            attributes = reader.selected_list()
            values = tuple([reader.value() for _ in range(reader.count())])
            reader.finish()
            return SetRequestList(invoke, attributes, values)
        case 5:
            return SetRequestListFirstBlock(invoke, reader.selected_list(), *reader.block())
        case _:
            raise DecodeError(f"choice {choice} is no SET request")


def _decode_response(encoded: bytes) -> _SetResponse:
    choice, reader = encoded[1], Reader(encoded, 3)
    response = _read_response(choice, encoded[2], reader)
    reader.finish()
    return response


def _read_response(choice: int, invoke: int, reader: Reader) -> _SetResponse:
    match choice:
        case 1:
            return SetResponse(invoke, reader.byte())
        case 2:
            return SetResponseBlock(invoke, reader.uint32())
        case 3:
            return SetResponseLastBlock(invoke, reader.byte(), reader.uint32())
        case 4:
            return SetResponseLastBlockList(invoke, tuple(reader.octets()), reader.uint32())
        case 5:
            return SetResponseList(invoke, tuple(reader.octets()))
        case _:
            raise DecodeError(f"choice {choice} is no SET response")


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    SetRequest: _encode_request,
    SetRequestFirstBlock: _encode_request_first_block,
    SetRequestBlock: _encode_request_block,
    SetRequestList: _encode_request_list,
    SetRequestListFirstBlock: _encode_request_list_first_block,
    SetResponse: _encode_response,
    SetResponseBlock: _encode_response_block,
    SetResponseLastBlock: _encode_response_last_block,
    SetResponseLastBlockList: _encode_response_last_block_list,
    SetResponseList: _encode_response_list,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {REQUEST: _decode_request, RESPONSE: _decode_response}
