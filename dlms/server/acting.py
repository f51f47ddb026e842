"""ACTION on the server's side: normal, with list, parameters and answers in blocks (Green Book 9.4.6.5).

Decides when parameters are whole and how a long answer is cut; what a method does is the device's decision.
A long answer is carried as Action-Response-With-Optional-Data, or as the sequence of them that a list has.
"""

from dlms.apdu.conformance import Conformance
from dlms.apdu.results import ActionResult, ServiceError, StateError
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
    DataResult,
    MethodDescriptor,
)
from dlms.axdr.length import encode_length
from dlms.errors import ActionRefusedError, DecodeError, DlmsError
from dlms.server.incoming import Incoming, split_values
from dlms.server.terms import Refused, Terms

ActionRequests = (
    ActionRequest
    | ActionRequestNext
    | ActionRequestList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
ActionResponses = ActionResponse | ActionResponseBlock | ActionResponseList | ActionResponseNext
_References = MethodDescriptor | tuple[MethodDescriptor, ...]
_HEAD_BYTES = 3
_NULL_DATA = b"\x00"


class Acting:
    """The ACTION requests of one association, with what is on its way in or out."""

    __slots__ = ("_block", "_incoming", "_invoke", "_pending", "_sent")

    def __init__(self) -> None:
        self._incoming: Incoming[_References] | None = None
        self._pending = b""
        self._sent = 0
        self._block = 0
        self._invoke = 0

    def handle(self, request: ActionRequests, terms: Terms) -> ActionResponses:
        """Answer an ACTION request.

        Raises:
            Refused: The service was not granted.
        """
        if not terms.grants(_needed(request)):
            raise Refused(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
        match request:
            case ActionRequest():
                self._forget()
                return self.answer(request.invoke, _invoke(request.method, request.parameters, terms), terms)
            case ActionRequestList():
                self._forget()
                return self._answer_list(request.invoke, _invoke_all(request.methods, request.parameters, terms), terms)
            case ActionRequestFirstBlock():
                return self._begin(request, request.method, terms)
            case ActionRequestListFirstBlock():
                return self._begin(request, request.methods, terms)
            case ActionRequestBlock():
                return self._continue(request, terms)
            case ActionRequestNext():
                return self._next(request, terms)

    def _begin(
        self, request: ActionRequestFirstBlock | ActionRequestListFirstBlock, target: _References, terms: Terms
    ) -> ActionResponses:
        self._forget()
        self._incoming = Incoming(target, invoke=request.invoke, limit_bytes=terms.transfer_bytes_max)
        return self._add(self._incoming, request, terms)

    def _continue(self, request: ActionRequestBlock, terms: Terms) -> ActionResponses:
        incoming = self._incoming
        if incoming is None or not incoming.is_of(request.invoke):
            return _refusal(request.invoke, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        return self._add(incoming, request, terms)

    def _add(
        self,
        incoming: Incoming[_References],
        request: ActionRequestFirstBlock | ActionRequestListFirstBlock | ActionRequestBlock,
        terms: Terms,
    ) -> ActionResponses:
        if not incoming.add(request.block, request.part):
            self._incoming = None
            return _refusal(request.invoke, ActionResult.LONG_ACTION_ABORTED)
        if not request.is_last:
            return ActionResponseNext(request.invoke, request.block)
        self._incoming = None
        target = incoming.target
        if isinstance(target, MethodDescriptor):
            return self.answer(request.invoke, _invoke(target, incoming.joined() or None, terms), terms)
        try:
            values = split_values(incoming.joined(), len(target))
        except DecodeError:
            return self._answer_list(request.invoke, (ActionOutcome(ActionResult.TYPE_UNMATCHED),) * len(target), terms)
        parameters = tuple([None if value == _NULL_DATA else value for value in values])
        return self._answer_list(request.invoke, _invoke_all(target, parameters, terms), terms)

    def answer(self, invoke: int, outcome: ActionOutcome, terms: Terms) -> ActionResponses:
        """Say what came of a method, in blocks where it is long and they were granted."""
        returned = outcome.returned
        if returned is None or returned.data is None:
            return ActionResponse(invoke, outcome)
        if terms.fits(_HEAD_BYTES + 3 + len(returned.data), Conformance.BLOCK_TRANSFER_WITH_ACTION):
            return ActionResponse(invoke, outcome)
        if not terms.grants(Conformance.BLOCK_TRANSFER_WITH_ACTION):
            return _refusal(invoke, ActionResult.OTHER_REASON)
        return self._send_first(invoke, _encode_outcome(outcome), terms)

    def _answer_list(self, invoke: int, outcomes: tuple[ActionOutcome, ...], terms: Terms) -> ActionResponses:
        body = encode_length(len(outcomes)) + b"".join(map(_encode_outcome, outcomes))
        if terms.fits(_HEAD_BYTES + len(body), Conformance.BLOCK_TRANSFER_WITH_ACTION):
            return ActionResponseList(invoke, outcomes)
        if not terms.grants(Conformance.BLOCK_TRANSFER_WITH_ACTION):
            return ActionResponseList(invoke, (ActionOutcome(ActionResult.OTHER_REASON),) * len(outcomes))
        return self._send_first(invoke, body, terms)

    def _send_first(self, invoke: int, body: bytes, terms: Terms) -> ActionResponseBlock:
        self._pending, self._invoke = body, invoke
        return self._send(terms)

    def _next(self, request: ActionRequestNext, terms: Terms) -> ActionResponses:
        if not self._pending or request.invoke & 0x0F != self._invoke & 0x0F:
            return _refusal(request.invoke, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        if request.block != self._block:
            self._forget()
            return _refusal(request.invoke, ActionResult.LONG_ACTION_ABORTED)
        return self._send(terms)

    def _send(self, terms: Terms) -> ActionResponseBlock:
        start = self._sent
        self._sent = min(start + terms.block_bytes(), len(self._pending))
        self._block += 1
        is_last = self._sent == len(self._pending)
        response = ActionResponseBlock(self._invoke, is_last, self._block, self._pending[start : self._sent])
        if is_last:
            self._forget()
        return response

    def _forget(self) -> None:
        self._incoming = None
        self._pending, self._sent, self._block = b"", 0, 0


def _needed(request: ActionRequests) -> int:
    """Return the services that a request needs."""
    match request:
        case ActionRequest():
            return Conformance.ACTION
        case ActionRequestList():
            return Conformance.ACTION | Conformance.MULTIPLE_REFERENCES
        case ActionRequestListFirstBlock():
            return Conformance.ACTION | Conformance.MULTIPLE_REFERENCES | Conformance.BLOCK_TRANSFER_WITH_ACTION
        case ActionRequestFirstBlock() | ActionRequestBlock() | ActionRequestNext():
            return Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION


def _invoke(method: MethodDescriptor, parameters: bytes | None, terms: Terms) -> ActionOutcome:
    """Let the device carry a method out."""
    try:
        returned = terms.device.invoke(method, parameters, terms.access)
    except ActionRefusedError as refusal:
        return ActionOutcome(refusal.result)
    except DlmsError:
        return ActionOutcome(ActionResult.TYPE_UNMATCHED)
    return ActionOutcome(ActionResult.SUCCESS, None if returned is None else DataResult(returned))


def _invoke_all(
    methods: tuple[MethodDescriptor, ...], parameters: tuple[bytes | None, ...], terms: Terms
) -> tuple[ActionOutcome, ...]:
    """Carry a list out one by one; a list with too few or too many parameters is refused as a whole."""
    if len(methods) != len(parameters):
        return (ActionOutcome(ActionResult.TYPE_UNMATCHED),) * len(methods)
    return tuple([_invoke(method, value, terms) for method, value in zip(methods, parameters, strict=True)])


def _refusal(invoke: int, result: ActionResult) -> ActionResponse:
    return ActionResponse(invoke, ActionOutcome(result))


def _encode_outcome(outcome: ActionOutcome) -> bytes:
    """Return Action-Response-With-Optional-Data."""
    returned = outcome.returned
    if returned is None:
        return bytes((outcome.result, 0))
    if returned.data is None:
        return bytes((outcome.result, 1, 1, returned.result))
    return bytes((outcome.result, 1, 0)) + returned.data
