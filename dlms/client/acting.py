"""ACTION on the client's side: normal, long parameters and long answers in blocks (Green Book 9.4.6.5).

Decides how long parameters are cut, and what a returned value is in answers that vendors write in more than one way.
"""

from typing import Final

from dlms.apdu.action import RESPONSE
from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.results import ActionResult, result_name
from dlms.apdu.services import (
    ActionOutcome,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseNext,
    Apdu,
    MethodDescriptor,
)
from dlms.axdr.values import end_of
from dlms.client.channel import Channel, Exchange, check_invoke, unexpected
from dlms.client.writing import cut, cuts_itself
from dlms.errors import ActionRefusedError, DecodeError, ProtocolError
from dlms.obis import obis_text

_HEAD_BYTES: Final = 13
"""Tag, choice, invoke id, descriptor, flag of the parameters."""
_LONGER_LENGTH_BYTES: Final = 2
_NORMAL: Final = 1


def invoke(channel: Channel, method: MethodDescriptor, parameters: bytes | None) -> Exchange[bytes | None]:
    """Invoke a method and return what it returns, as A-XDR.

    Raises:
        ActionRefusedError: The server says no.
        ProtocolError: Blocks are not in order, or the answer is to another request.
    """
    invoke_id = channel.next_invoke()
    too_long = parameters is not None and _HEAD_BYTES + len(parameters) > channel.plain_bytes_max
    if parameters is not None and too_long and cuts_itself(channel, Conformance.BLOCK_TRANSFER_WITH_ACTION):
        answer = yield from _send_blocks(channel, invoke_id, method, parameters)
    else:
        answer = yield from channel.ask(ActionRequest(invoke_id, method, parameters))
    if isinstance(answer, ActionResponse):
        check_invoke(invoke_id, answer.invoke)
        return _returned(answer.outcome, method)
    return _whole(invoke_id, method, (yield from _blocks(channel, invoke_id, method, answer)))


def _send_blocks(channel: Channel, invoke_id: int, method: MethodDescriptor, parameters: bytes) -> Exchange[Apdu]:
    """Send parameters in blocks, and return what answers the last one."""
    head = len(encode_apdu(ActionRequestFirstBlock(invoke_id, method, False, 1, b""))) + _LONGER_LENGTH_BYTES
    for number, is_last, part in cut(parameters, channel.plain_bytes_max, head):
        if number == 1:
            answer = yield from channel.ask(ActionRequestFirstBlock(invoke_id, method, is_last, number, part))
        else:
            answer = yield from channel.ask(ActionRequestBlock(invoke_id, is_last, number, part))
        if is_last:
            return answer
        if isinstance(answer, ActionResponse) and answer.outcome.result:
            return answer
        if not isinstance(answer, ActionResponseNext):
            raise unexpected(answer, "ACTION in blocks")
        check_invoke(invoke_id, answer.invoke)
        if answer.block != number:
            raise ProtocolError(f"block {number} was sent, block {answer.block} confirmed")
    raise AssertionError("cut() ends with a last block")


def _blocks(channel: Channel, invoke_id: int, method: MethodDescriptor, answer: Apdu) -> Exchange[bytes]:
    """Return what comes in blocks from `answer` on."""
    parts: list[bytes] = []
    length = 0
    number = 0
    while True:
        if isinstance(answer, ActionResponse) and parts and answer.outcome.result:
            check_invoke(invoke_id, answer.invoke)
            raise refusal_of(answer.outcome.result, method)
        if not isinstance(answer, ActionResponseBlock):
            raise unexpected(answer, "ACTION")
        check_invoke(invoke_id, answer.invoke)
        number += 1
        if answer.block != number:
            raise ProtocolError(f"block {answer.block} came where {number} was due")
        length += len(answer.part)
        if length > channel.settings.transfer_bytes_max:
            raise ProtocolError(f"more than {channel.settings.transfer_bytes_max} bytes came in blocks")
        parts.append(answer.part)
        if answer.is_last:
            return b"".join(parts)
        if not answer.part:
            raise ProtocolError("an empty block came though more follow")
        answer = yield from channel.ask(ActionRequestNext(invoke_id, number))


def _whole(invoke_id: int, method: MethodDescriptor, raw: bytes) -> bytes | None:
    """Return what stands in the blocks of an answer.

    The standard can be read, and is, in three ways: the Data alone, with the choice of Get-Data-Result before it, or
    a whole Action-Response-With-Optional-Data. Only one of them fills the bytes to the end.
    """
    for head in (b"", b"\x00", b"\x01\x00"):
        if raw.startswith(head) and _is_data(raw, len(head)):
            return raw[len(head) :]
    response = decode_apdu(bytes((RESPONSE, _NORMAL, invoke_id)) + raw)
    if not isinstance(response, ActionResponse):
        raise unexpected(response, "ACTION")
    return _returned(response.outcome, method)


def _is_data(raw: bytes, offset: int) -> bool:
    try:
        return end_of(raw, offset) == len(raw)
    except DecodeError:
        return False


def _returned(outcome: ActionOutcome, method: MethodDescriptor) -> bytes | None:
    if outcome.result:
        raise refusal_of(outcome.result, method)
    if outcome.returned is None:
        return None
    if outcome.returned.data is None and outcome.returned.result:
        raise refusal_of(outcome.returned.result, method)
    return outcome.returned.data


def refusal_of(result: int, method: MethodDescriptor) -> ActionRefusedError:
    """Return the error for an Action-Result."""
    where = f"method {method.method} of {obis_text(method.name)} (class {method.class_id})"
    return ActionRefusedError(f"{where}: {result_name(result, ActionResult)}", result=result)
