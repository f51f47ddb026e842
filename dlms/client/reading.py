"""GET on the client's side: normal, with list, answers in blocks (Green Book 9.4.6.3).

Decides that what is put together came whole and in order. What the bytes mean is the caller's business.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from dlms.apdu.codec import decode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.get import RESPONSE
from dlms.apdu.results import result_name
from dlms.apdu.services import (
    Apdu,
    AttributeDescriptor,
    DataResult,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
)
from dlms.client.channel import Channel, Exchange, check_invoke, unexpected
from dlms.errors import AccessRefusedError, ProtocolError
from dlms.obis import obis_text

LIST_HEAD_BYTES = 5
"""Tag, choice, invoke id and a count of up to 255."""
_ATTRIBUTE_BYTES = 10
_WITH_LIST = 3


def read(channel: Channel, attribute: SelectedAttribute) -> Exchange[bytes]:
    """Read one attribute as A-XDR.

    Raises:
        AccessRefusedError: The server says no.
        ProtocolError: Blocks are not in order, the answer is to another request, or selective access is not granted.
    """
    check_selection(channel, attribute)
    invoke = channel.next_invoke()
    answer = yield from channel.ask(GetRequest(invoke, attribute))
    if isinstance(answer, GetResponse):
        check_invoke(invoke, answer.invoke)
        return data_of(answer.outcome, attribute.descriptor)
    blocks = yield from _blocks(channel, invoke, answer)
    if isinstance(blocks, DataResult):
        return data_of(blocks, attribute.descriptor)
    return blocks


def read_all(channel: Channel, attributes: Sequence[SelectedAttribute]) -> Exchange[list[DataResult]]:
    """Read several attributes, each with its own outcome, in as few requests as the server admits."""
    if len(attributes) < 2 or not channel.grants(Conformance.MULTIPLE_REFERENCES):
        outcomes = []
        for attribute in attributes:
            outcomes.append((yield from _read_outcome(channel, attribute)))  # noqa: PERF401 - no yield in one
        return outcomes
    for attribute in attributes:
        check_selection(channel, attribute)
    outcomes = []
    for together in chunks(channel, attributes, [attribute_bytes(attribute) for attribute in attributes]):
        outcomes += yield from _read_list(channel, tuple(together))
    return outcomes


def _read_outcome(channel: Channel, attribute: SelectedAttribute) -> Exchange[DataResult]:
    try:
        return DataResult((yield from read(channel, attribute)))
    except AccessRefusedError as refusal:
        return DataResult(None, refusal.result)


def _read_list(channel: Channel, attributes: tuple[SelectedAttribute, ...]) -> Exchange[tuple[DataResult, ...]]:
    if len(attributes) == 1:
        return ((yield from _read_outcome(channel, attributes[0])),)
    invoke = channel.next_invoke()
    answer = yield from channel.ask(GetRequestList(invoke, attributes))
    if isinstance(answer, GetResponseBlock):
        blocks = yield from _blocks(channel, invoke, answer)
        if isinstance(blocks, DataResult):
            return (blocks,) * len(attributes)
        answer = decode_apdu(bytes((RESPONSE, _WITH_LIST, invoke)) + blocks)
    if not isinstance(answer, GetResponseList):
        raise unexpected(answer, "GET with list")
    check_invoke(invoke, answer.invoke)
    if len(answer.outcomes) != len(attributes):
        raise ProtocolError(f"{len(attributes)} attributes were asked for, {len(answer.outcomes)} came")
    return answer.outcomes


def _blocks(channel: Channel, invoke: int, answer: Apdu) -> Exchange[bytes | DataResult]:
    """Return what comes in blocks from `answer` on, or the refusal that ends it."""
    parts: list[bytes] = []
    length = 0
    number = 0
    while True:
        if not isinstance(answer, GetResponseBlock):
            if isinstance(answer, GetResponse) and parts and answer.outcome.data is None:
                check_invoke(invoke, answer.invoke)
                return answer.outcome
            raise unexpected(answer, "GET")
        check_invoke(invoke, answer.invoke)
        part = answer.outcome.data
        if part is None:
            return answer.outcome
        number += 1
        if answer.block != number:
            raise ProtocolError(f"block {answer.block} came where {number} was due")
        length += len(part)
        parts.append(part)
        if length > channel.settings.transfer_bytes_max:
            raise ProtocolError(f"more than {channel.settings.transfer_bytes_max} bytes came in blocks")
        if answer.is_last:
            return b"".join(parts)
        if not part:
            raise ProtocolError("an empty block came though more follow")
        answer = yield from channel.ask(GetRequestNext(invoke, number))


def check_selection(channel: Channel, attribute: SelectedAttribute) -> None:
    """Refuse to ask a server for a part that would answer with the whole.

    Raises:
        ProtocolError: There is a selection, and selective access was not granted.
    """
    if attribute.selection is not None and not channel.grants(Conformance.SELECTIVE_ACCESS):
        raise ProtocolError("the server did not grant selective access")


def attribute_bytes(attribute: SelectedAttribute) -> int:
    """Return how long an attribute is in a request."""
    return _ATTRIBUTE_BYTES + (0 if attribute.selection is None else 1 + len(attribute.selection.parameters))


def chunks(
    channel: Channel, attributes: Sequence[SelectedAttribute], sizes: Sequence[int]
) -> Iterator[list[SelectedAttribute]]:
    """Yield the attributes in order, in groups that fit one request each; what fits none stands alone."""
    room = channel.plain_bytes_max - LIST_HEAD_BYTES
    remaining = iter(attributes)
    count = taken = 0
    for size in sizes:
        if count and (taken + size > room or count >= channel.settings.attributes_at_once_max):
            yield list(islice(remaining, count))
            count = taken = 0
        count += 1
        taken += size
    if count:
        yield list(islice(remaining, count))


def data_of(outcome: DataResult, descriptor: AttributeDescriptor) -> bytes:
    """Return the data of an outcome.

    Raises:
        AccessRefusedError: There is none.
    """
    if outcome.data is None:
        raise refusal_of(outcome.result, descriptor)
    return outcome.data


def refusal_of(result: int, descriptor: AttributeDescriptor) -> AccessRefusedError:
    """Return the error for a Data-Access-Result."""
    where = f"attribute {descriptor.attribute} of {obis_text(descriptor.name)} (class {descriptor.class_id})"
    return AccessRefusedError(f"{where}: {result_name(result)}", result=result)
