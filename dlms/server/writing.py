"""SET on the server's side: normal, with list, and values that come in blocks (Green Book 9.4.6.4).

Decides when a value is whole; whether it is taken is the device's decision.
"""

from dlms.apdu.conformance import Conformance
from dlms.apdu.results import DataAccessResult, ServiceError, StateError
from dlms.apdu.services import (
    SelectedAttribute,
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
from dlms.errors import DecodeError
from dlms.server.incoming import Incoming, split_values
from dlms.server.terms import Refused, Terms

SetRequests = SetRequest | SetRequestFirstBlock | SetRequestBlock | SetRequestList | SetRequestListFirstBlock
SetResponses = SetResponse | SetResponseBlock | SetResponseLastBlock | SetResponseLastBlockList | SetResponseList
_References = SelectedAttribute | tuple[SelectedAttribute, ...]


class Writing:
    """The SET requests of one association, with the long value that is on its way."""

    __slots__ = ("_incoming",)

    def __init__(self) -> None:
        self._incoming: Incoming[_References] | None = None

    def handle(self, request: SetRequests, terms: Terms) -> SetResponses:
        """Answer a SET request.

        Raises:
            Refused: The service was not granted.
        """
        if not terms.grants(_needed(request)):
            raise Refused(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
        match request:
            case SetRequest():
                self._incoming = None
                return SetResponse(request.invoke, terms.write(request.attribute, request.value))
            case SetRequestList():
                self._incoming = None
                return SetResponseList(request.invoke, _write_all(request.attributes, request.values, terms))
            case SetRequestFirstBlock():
                return self._begin(request, request.attribute, terms)
            case SetRequestListFirstBlock():
                return self._begin(request, request.attributes, terms)
            case SetRequestBlock():
                return self._continue(request, terms)

    def _begin(
        self, request: SetRequestFirstBlock | SetRequestListFirstBlock, target: _References, terms: Terms
    ) -> SetResponses:
        self._incoming = Incoming(target, invoke=request.invoke, limit_bytes=terms.transfer_bytes_max)
        return self._add(self._incoming, request, terms)

    def _continue(self, request: SetRequestBlock, terms: Terms) -> SetResponses:
        incoming = self._incoming
        if incoming is None or not incoming.is_of(request.invoke):
            return SetResponseLastBlock(request.invoke, DataAccessResult.NO_LONG_SET_IN_PROGRESS, request.block)
        return self._add(incoming, request, terms)

    def _add(
        self,
        incoming: Incoming[_References],
        request: SetRequestFirstBlock | SetRequestListFirstBlock | SetRequestBlock,
        terms: Terms,
    ) -> SetResponses:
        if not incoming.add(request.block, request.part):
            self._incoming = None
            return _last(request.invoke, request.block, incoming.target, [DataAccessResult.LONG_SET_ABORTED])
        if not request.is_last:
            return SetResponseBlock(request.invoke, request.block)
        self._incoming = None
        return _last(request.invoke, request.block, incoming.target, _write_whole(incoming, terms))


def _needed(request: SetRequests) -> int:
    """Return the services that a request needs."""
    match request:
        case SetRequest():
            return Conformance.SET
        case SetRequestList():
            return Conformance.SET | Conformance.MULTIPLE_REFERENCES
        case SetRequestListFirstBlock():
            return Conformance.SET | Conformance.MULTIPLE_REFERENCES | Conformance.BLOCK_TRANSFER_WITH_SET
        case SetRequestFirstBlock() | SetRequestBlock():
            return Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET


def _write_whole(incoming: Incoming[_References], terms: Terms) -> list[int]:
    """Write what came in blocks."""
    target = incoming.target
    if isinstance(target, SelectedAttribute):
        return [terms.write(target, incoming.joined())]
    try:
        values = split_values(incoming.joined(), len(target))
    except DecodeError:
        return [DataAccessResult.TYPE_UNMATCHED] * len(target)
    return list(_write_all(target, tuple(values), terms))


def _write_all(attributes: tuple[SelectedAttribute, ...], values: tuple[bytes, ...], terms: Terms) -> tuple[int, ...]:
    """Write a list one by one; a list with too few or too many values is refused as a whole."""
    if len(attributes) != len(values):
        return (DataAccessResult.TYPE_UNMATCHED,) * len(attributes)
    return tuple([terms.write(attribute, value) for attribute, value in zip(attributes, values, strict=True)])


def _last(invoke: int, block: int, target: _References, results: list[int]) -> SetResponses:
    """Return the answer that ends a transfer; one result then stands for all of a list."""
    if isinstance(target, SelectedAttribute):
        return SetResponseLastBlock(invoke, results[0], block)
    whole = results if len(results) == len(target) else results[:1] * len(target)
    return SetResponseLastBlockList(invoke, tuple(whole), block)
