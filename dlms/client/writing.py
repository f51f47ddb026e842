"""SET on the client's side: normal, with list, long values in blocks (Green Book 9.4.6.4).

Decides how a long value is cut and that every block was taken before the next goes out. A list is cut into lists that
fit; a value that fits no request goes alone, in blocks.
"""

from collections.abc import Iterator, Sequence

from dlms.apdu.codec import encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import (
    Apdu,
    SelectedAttribute,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseList,
)
from dlms.client.channel import Channel, Exchange, check_invoke, unexpected
from dlms.client.reading import attribute_bytes, check_selection, chunks, refusal_of
from dlms.errors import ProtocolError

BLOCK_HEAD_BYTES = 11
"""Tag, choice, invoke id, last-block flag, block number, and up to 3 bytes of length."""
_LONGER_LENGTH_BYTES = 2
"""Of a part of up to 65535 bytes, more than of an empty one."""
_REQUEST_HEAD_BYTES = 3


def write(channel: Channel, attribute: SelectedAttribute, value: bytes) -> Exchange[None]:
    """Write one attribute.

    Raises:
        AccessRefusedError: The server says no.
        ProtocolError: It does not take the blocks in order, or the answer is to another request.
    """
    result = yield from _write_result(channel, attribute, value)
    if result:
        raise refusal_of(result, attribute.descriptor)


def write_all(
    channel: Channel, attributes: Sequence[SelectedAttribute], values: Sequence[bytes]
) -> Exchange[list[int]]:
    """Write several attributes, and return each one's Data-Access-Result."""
    results: list[int] = []
    if len(attributes) < 2 or not channel.grants(Conformance.MULTIPLE_REFERENCES):
        for attribute, value in zip(attributes, values, strict=True):
            results.append((yield from _write_result(channel, attribute, value)))
        return results
    for attribute in attributes:
        check_selection(channel, attribute)
    sizes = [attribute_bytes(attribute) + len(value) for attribute, value in zip(attributes, values, strict=True)]
    for together in chunks(channel, attributes, sizes):
        theirs = tuple(values[len(results) : len(results) + len(together)])
        if len(together) == 1:
            results.append((yield from _write_result(channel, together[0], theirs[0])))
        else:
            results += yield from _write_list(channel, tuple(together), theirs)
    return results


def _write_list(
    channel: Channel, attributes: tuple[SelectedAttribute, ...], values: tuple[bytes, ...]
) -> Exchange[tuple[int, ...]]:
    invoke = channel.next_invoke()
    answer = yield from channel.ask(SetRequestList(invoke, attributes, values))
    if not isinstance(answer, SetResponseList):
        raise unexpected(answer, "SET with list")
    check_invoke(invoke, answer.invoke)
    if len(answer.results) != len(attributes):
        raise ProtocolError(f"{len(attributes)} attributes were set, {len(answer.results)} results came")
    return answer.results


def _write_result(channel: Channel, attribute: SelectedAttribute, value: bytes) -> Exchange[int]:
    check_selection(channel, attribute)
    invoke = channel.next_invoke()
    length = _REQUEST_HEAD_BYTES + attribute_bytes(attribute) + len(value)
    if length > channel.plain_bytes_max and cuts_itself(channel, Conformance.BLOCK_TRANSFER_WITH_SET):
        return (yield from _write_blocks(channel, invoke, attribute, value))
    answer = yield from channel.ask(SetRequest(invoke, attribute, value))
    if not isinstance(answer, SetResponse):
        raise unexpected(answer, "SET")
    check_invoke(invoke, answer.invoke)
    return answer.result


def _write_blocks(channel: Channel, invoke: int, attribute: SelectedAttribute, value: bytes) -> Exchange[int]:
    head = len(encode_apdu(SetRequestFirstBlock(invoke, attribute, False, 1, b""))) + _LONGER_LENGTH_BYTES
    for number, is_last, part in cut(value, channel.plain_bytes_max, head):
        if number == 1:
            answer = yield from channel.ask(SetRequestFirstBlock(invoke, attribute, is_last, number, part))
        else:
            answer = yield from channel.ask(SetRequestBlock(invoke, is_last, number, part))
        result = _block_result(answer, invoke, number)
        if result is not None and (result or is_last):
            return result
        if (result is None) is is_last:
            raise unexpected(answer, "SET in blocks")
    raise AssertionError("cut() ends with a last block")


def _block_result(answer: Apdu, invoke: int, number: int) -> int | None:
    """Return the result that an answer to a block brings, None if it asks for the next one."""
    if isinstance(answer, (SetResponseBlock, SetResponseLastBlock, SetResponse)):
        check_invoke(invoke, answer.invoke)
        if not isinstance(answer, SetResponse) and answer.block != number:
            raise ProtocolError(f"block {number} was sent, block {answer.block} confirmed")
        return None if isinstance(answer, SetResponseBlock) else answer.result
    raise unexpected(answer, "SET in blocks")


def cuts_itself(channel: Channel, service: Conformance) -> bool:
    """Say whether a long request goes in blocks of its own service; general blocks go first where they are granted."""
    return channel.grants(service) and not channel.grants(Conformance.GENERAL_BLOCK_TRANSFER)


def cut(value: bytes, plain_bytes_max: int, first_head_bytes: int) -> Iterator[tuple[int, bool, bytes]]:
    """Yield block number, whether it is the last, and its part of a value.

    Args:
        value: What is to be sent.
        plain_bytes_max: Of one request.
        first_head_bytes: What the first request has besides its part; the others have `BLOCK_HEAD_BYTES`.

    Raises:
        ProtocolError: Nothing fits.
    """
    first = min(plain_bytes_max, 0xFFFF) - first_head_bytes
    if first < 1:
        raise ProtocolError(f"the server takes requests of {plain_bytes_max} bytes, less than the head of a block")
    others = min(plain_bytes_max, 0xFFFF) - BLOCK_HEAD_BYTES
    number, start, end = 1, 0, first
    while True:
        is_last = end >= len(value)
        yield number, is_last, value[start:end]
        if is_last:
            return
        number, start, end = number + 1, end, end + others
