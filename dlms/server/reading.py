"""GET on the server's side: normal, with list, and the blocks of a long answer (Green Book 9.4.6.3).

Decides how an answer is cut and which block may be asked for next; what is read is the device's decision.
"""

from typing import Final

from dlms.apdu.conformance import Conformance
from dlms.apdu.results import DataAccessResult, ServiceError, StateError
from dlms.apdu.services import (
    DataResult,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
)
from dlms.axdr.length import encode_length
from dlms.server.terms import Refused, Terms

GetResponses = GetResponse | GetResponseBlock | GetResponseList
_NORMAL_HEAD_BYTES: Final = 4
_LIST_HEAD_BYTES: Final = 3


class Reading:
    """The GET requests of one association, with the long answer that is on its way."""

    __slots__ = ("_block", "_invoke", "_pending", "_sent")

    def __init__(self) -> None:
        self._pending = b""
        self._sent = 0
        self._block = 0
        self._invoke = 0

    def handle(self, request: GetRequest | GetRequestNext | GetRequestList, terms: Terms) -> GetResponses:
        """Answer a GET request.

        Raises:
            Refused: The service was not granted.
        """
        if not terms.grants(Conformance.GET):
            raise Refused(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
        match request:
            case GetRequest():
                return self._normal(request, terms)
            case GetRequestNext():
                return self._next(request, terms)
            case GetRequestList():
                return self._list(request, terms)

    def _normal(self, request: GetRequest, terms: Terms) -> GetResponses:
        self._forget()
        outcome = terms.read(request.attribute)
        data = outcome.data
        if data is None or terms.fits(len(data) + _NORMAL_HEAD_BYTES, Conformance.BLOCK_TRANSFER_WITH_GET):
            return GetResponse(request.invoke, outcome)
        if not terms.grants(Conformance.BLOCK_TRANSFER_WITH_GET):
            return GetResponse(request.invoke, DataResult(None, DataAccessResult.OTHER_REASON))
        return self._begin(request.invoke, data, terms)

    def _list(self, request: GetRequestList, terms: Terms) -> GetResponses:
        self._forget()
        if not terms.grants(Conformance.MULTIPLE_REFERENCES):
            raise Refused(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
        outcomes: list[DataResult] = []
        total_bytes = 0
        for attribute in request.attributes:
            outcome = terms.read(attribute)
            total_bytes += 2 if outcome.data is None else 1 + len(outcome.data)
            if total_bytes > terms.transfer_bytes_max:
                outcome = DataResult(None, DataAccessResult.TEMPORARY_FAILURE)
            outcomes.append(outcome)
        body = _list_body(outcomes)
        if terms.fits(len(body) + _LIST_HEAD_BYTES, Conformance.BLOCK_TRANSFER_WITH_GET):
            return GetResponseList(request.invoke, tuple(outcomes))
        if not terms.grants(Conformance.BLOCK_TRANSFER_WITH_GET):
            refusal = DataResult(None, DataAccessResult.OTHER_REASON)
            return GetResponseList(request.invoke, (refusal,) * len(outcomes))
        return self._begin(request.invoke, body, terms)

    def _begin(self, invoke: int, data: bytes, terms: Terms) -> GetResponseBlock:
        self._pending, self._invoke = data, invoke
        return self._send(terms)

    def _next(self, request: GetRequestNext, terms: Terms) -> GetResponseBlock:
        """Send the block after the one that the client has; anything else ends the transfer."""
        if not self._pending or request.invoke & 0x0F != self._invoke & 0x0F:
            return _abort(request, DataAccessResult.NO_LONG_GET_IN_PROGRESS)
        if request.block != self._block:
            self._forget()
            return _abort(request, DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._send(terms)

    def _send(self, terms: Terms) -> GetResponseBlock:
        start = self._sent
        self._sent = min(start + terms.block_bytes(), len(self._pending))
        self._block += 1
        is_last = self._sent == len(self._pending)
        response = GetResponseBlock(self._invoke, is_last, self._block, DataResult(self._pending[start : self._sent]))
        if is_last:
            self._forget()
        return response

    def _forget(self) -> None:
        self._pending, self._sent, self._block = b"", 0, 0


def _abort(request: GetRequestNext, result: DataAccessResult) -> GetResponseBlock:
    return GetResponseBlock(request.invoke, True, request.block, DataResult(None, result))


def _list_body(outcomes: list[DataResult]) -> bytes:
    """Return SEQUENCE OF Get-Data-Result, which is what the blocks of a long list carry."""
    parts = [bytes((1, outcome.result)) if outcome.data is None else b"\x00" + outcome.data for outcome in outcomes]
    return encode_length(len(parts)) + b"".join(parts)
