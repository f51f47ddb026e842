"""ACTION: request tag 195, response tag 199 (Green Book 9.5, Action-Request and Action-Response)."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import (
    DATA,
    REFUSAL,
    Reader,
    decode_last_outcome,
    encode_block,
    encode_method,
    encode_method_list,
    encode_outcome,
)
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
    DataResult,
)
from dlms.axdr.length import encode_length
from dlms.axdr.values import end_of
from dlms.errors import DecodeError

REQUEST: Final = 195
RESPONSE: Final = 199
_NUMBER: Final = struct.Struct(">I")
_NULL_DATA: Final = b"\x00"
_ActionRequest = (
    ActionRequest
    | ActionRequestNext
    | ActionRequestList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
_ActionResponse = ActionResponse | ActionResponseBlock | ActionResponseList | ActionResponseNext


def _encode_request(apdu: ActionRequest) -> bytes:
    head = bytes((REQUEST, 1, apdu.invoke)) + encode_method(apdu.method)
    return head + (b"\x00" if apdu.parameters is None else b"\x01" + apdu.parameters)


def _encode_request_next(apdu: ActionRequestNext) -> bytes:
    return bytes((REQUEST, 2, apdu.invoke)) + _NUMBER.pack(apdu.block)


def _encode_request_list(apdu: ActionRequestList) -> bytes:
    """Parameters are not optional in a list: null-data stands for none."""
    head = bytes((REQUEST, 3, apdu.invoke)) + encode_method_list(apdu.methods)
    values = [_NULL_DATA if value is None else value for value in apdu.parameters]
    return head + encode_length(len(values)) + b"".join(values)


def _encode_request_first_block(apdu: ActionRequestFirstBlock) -> bytes:
    head = bytes((REQUEST, 4, apdu.invoke)) + encode_method(apdu.method)
    return head + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_request_list_first_block(apdu: ActionRequestListFirstBlock) -> bytes:
    head = bytes((REQUEST, 5, apdu.invoke)) + encode_method_list(apdu.methods)
    return head + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_request_block(apdu: ActionRequestBlock) -> bytes:
    return bytes((REQUEST, 6, apdu.invoke)) + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_outcome(outcome: ActionOutcome) -> bytes:
    if outcome.returned is None:
        return bytes((outcome.result, 0))
    return bytes((outcome.result, 1)) + encode_outcome(outcome.returned)


def _encode_response(apdu: ActionResponse) -> bytes:
    return bytes((RESPONSE, 1, apdu.invoke)) + _encode_outcome(apdu.outcome)


def _encode_response_block(apdu: ActionResponseBlock) -> bytes:
    return bytes((RESPONSE, 2, apdu.invoke)) + encode_block(apdu.block, apdu.part, is_last=apdu.is_last)


def _encode_response_list(apdu: ActionResponseList) -> bytes:
    head = bytes((RESPONSE, 3, apdu.invoke)) + encode_length(len(apdu.outcomes))
    return head + b"".join(map(_encode_outcome, apdu.outcomes))


def _encode_response_next(apdu: ActionResponseNext) -> bytes:
    return bytes((RESPONSE, 4, apdu.invoke)) + _NUMBER.pack(apdu.block)


def _decode_request(encoded: bytes) -> _ActionRequest:
    choice, reader = encoded[1], Reader(encoded, 3)
    request = _read_request(choice, encoded[2], reader)
    reader.finish()
    return request


def _read_request(choice: int, invoke: int, reader: Reader) -> _ActionRequest:
    match choice:
        case 1:
            return ActionRequest(invoke, reader.method(), reader.rest() if reader.flag() else None)
        case 2:
            return ActionRequestNext(invoke, reader.uint32())
        case 3:
            methods = reader.method_list()
            values = [reader.value() for _ in range(reader.count())]
            return ActionRequestList(invoke, methods, tuple([None if v == _NULL_DATA else v for v in values]))
        case 4:
            return ActionRequestFirstBlock(invoke, reader.method(), *reader.block())
        case 5:
            return ActionRequestListFirstBlock(invoke, reader.method_list(), *reader.block())
        case 6:
            return ActionRequestBlock(invoke, *reader.block())
        case _:
            raise DecodeError(f"choice {choice} is no ACTION request")


def _decode_response(encoded: bytes) -> _ActionResponse:
    choice, reader = encoded[1], Reader(encoded, 3)
    response = _read_response(choice, encoded[2], reader)
    reader.finish()
    return response


def _read_response(choice: int, invoke: int, reader: Reader) -> _ActionResponse:
    match choice:
        case 1:
            return ActionResponse(invoke, _read_only_outcome(reader))
        case 2:
            return ActionResponseBlock(invoke, *reader.block())
        case 3:
            return ActionResponseList(invoke, tuple([_read_outcome(reader) for _ in range(reader.count())]))
        case 4:
            return ActionResponseNext(invoke, reader.uint32())
        case _:
            raise DecodeError(f"choice {choice} is no ACTION response")


def _read_outcome(reader: Reader) -> ActionOutcome:
    """Return one outcome of a list."""
    return ActionOutcome(reader.byte(), reader.outcome() if reader.flag() else None)


def _read_only_outcome(reader: Reader) -> ActionOutcome:
    """Return the outcome that ends the APDU; some meters leave the flag of the optional part out."""
    result = reader.byte()
    if reader.at_end() or not reader.flag():
        return ActionOutcome(result)
    return ActionOutcome(result, _last_returned(reader.rest()))


def _last_returned(rest: bytes) -> DataResult:
    """Return a Get-Data-Result, or Data before which a meter forgot the choice or wrote the wrong one.

    A refusal is two bytes, so more of them after that choice can only be Data; so can a tag where the choice belongs.
    """
    if rest[0] == REFUSAL and len(rest) > 2 and end_of(rest, 1) == len(rest):
        return DataResult(rest[1:])
    if rest[0] not in {DATA, REFUSAL} and end_of(rest, 0) == len(rest):
        return DataResult(rest)
    return decode_last_outcome(rest, 0)


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    ActionRequest: _encode_request,
    ActionRequestNext: _encode_request_next,
    ActionRequestList: _encode_request_list,
    ActionRequestFirstBlock: _encode_request_first_block,
    ActionRequestListFirstBlock: _encode_request_list_first_block,
    ActionRequestBlock: _encode_request_block,
    ActionResponse: _encode_response,
    ActionResponseBlock: _encode_response_block,
    ActionResponseList: _encode_response_list,
    ActionResponseNext: _encode_response_next,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {REQUEST: _decode_request, RESPONSE: _decode_response}
