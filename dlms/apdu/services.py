"""The xDLMS services with logical name referencing, as values: GET, SET, ACTION in all block forms, notifications.

What the bytes look like is `dlms.apdu.codec`'s business; which of them may follow which, that of the two sides.
`Data` travels here as its A-XDR bytes, uninterpreted. The invoke-id-and-priority byte is kept whole: bit 7 priority,
bit 6 confirmed, bits 0-3 the id (Green Book 9.5).
"""

from dataclasses import dataclass

from dlms.apdu.proposal import InitiateRequest, InitiateResponse


@dataclass(frozen=True, slots=True)
class AttributeDescriptor:
    """One attribute of one object."""

    class_id: int
    name: bytes
    """Logical name, 6 bytes."""
    attribute: int


@dataclass(frozen=True, slots=True)
class MethodDescriptor:
    """One method of one object."""

    class_id: int
    name: bytes
    method: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Selective access: the access selector and its parameters as A-XDR."""

    selector: int
    parameters: bytes


@dataclass(frozen=True, slots=True)
class SelectedAttribute:
    """An attribute, perhaps only a part of it."""

    descriptor: AttributeDescriptor
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class DataResult:
    """Get-Data-Result: A-XDR data, or None and why not."""

    data: bytes | None
    result: int = 0


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """Action-Response-With-Optional-Data."""

    result: int
    returned: DataResult | None = None


# ---- GET: request tag 192, response tag 196 --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetRequest:
    """GET-Request-Normal."""

    invoke: int
    attribute: SelectedAttribute


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """GET-Request-Next: `block` is the number of the block that arrived last."""

    invoke: int
    block: int


@dataclass(frozen=True, slots=True)
class GetRequestList:
    """GET-Request-With-List."""

    invoke: int
    attributes: tuple[SelectedAttribute, ...]


@dataclass(frozen=True, slots=True)
class GetResponse:
    """GET-Response-Normal."""

    invoke: int
    outcome: DataResult


@dataclass(frozen=True, slots=True)
class GetResponseBlock:
    """GET-Response-With-Datablock: raw bytes, or why the transfer ended."""

    invoke: int
    is_last: bool
    block: int
    outcome: DataResult


@dataclass(frozen=True, slots=True)
class GetResponseList:
    """GET-Response-With-List."""

    invoke: int
    outcomes: tuple[DataResult, ...]


# ---- SET: request tag 193, response tag 197 --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetRequest:
    """SET-Request-Normal."""

    invoke: int
    attribute: SelectedAttribute
    value: bytes


@dataclass(frozen=True, slots=True)
class SetRequestFirstBlock:
    """SET-Request-With-First-Datablock."""

    invoke: int
    attribute: SelectedAttribute
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class SetRequestBlock:
    """SET-Request-With-Datablock."""

    invoke: int
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class SetRequestList:
    """SET-Request-With-List."""

    invoke: int
    attributes: tuple[SelectedAttribute, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetRequestListFirstBlock:
    """SET-Request-With-List-And-First-Datablock."""

    invoke: int
    attributes: tuple[SelectedAttribute, ...]
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class SetResponse:
    """SET-Response-Normal."""

    invoke: int
    result: int


@dataclass(frozen=True, slots=True)
class SetResponseBlock:
    """SET-Response-Datablock: go on after this block."""

    invoke: int
    block: int


@dataclass(frozen=True, slots=True)
class SetResponseLastBlock:
    """SET-Response-Last-Datablock."""

    invoke: int
    result: int
    block: int


@dataclass(frozen=True, slots=True)
class SetResponseLastBlockList:
    """SET-Response-Last-Datablock-With-List."""

    invoke: int
    results: tuple[int, ...]
    block: int


@dataclass(frozen=True, slots=True)
class SetResponseList:
    """SET-Response-With-List."""

    invoke: int
    results: tuple[int, ...]


# ---- ACTION: request tag 195, response tag 199 -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """ACTION-Request-Normal."""

    invoke: int
    method: MethodDescriptor
    parameters: bytes | None


@dataclass(frozen=True, slots=True)
class ActionRequestNext:
    """ACTION-Request-Next-Pblock."""

    invoke: int
    block: int


@dataclass(frozen=True, slots=True)
class ActionRequestList:
    """ACTION-Request-With-List."""

    invoke: int
    methods: tuple[MethodDescriptor, ...]
    parameters: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class ActionRequestFirstBlock:
    """ACTION-Request-With-First-Pblock."""

    invoke: int
    method: MethodDescriptor
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class ActionRequestListFirstBlock:
    """ACTION-Request-With-List-And-First-Pblock."""

    invoke: int
    methods: tuple[MethodDescriptor, ...]
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class ActionRequestBlock:
    """ACTION-Request-With-Pblock."""

    invoke: int
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class ActionResponse:
    """ACTION-Response-Normal."""

    invoke: int
    outcome: ActionOutcome


@dataclass(frozen=True, slots=True)
class ActionResponseBlock:
    """ACTION-Response-With-Pblock."""

    invoke: int
    is_last: bool
    block: int
    part: bytes


@dataclass(frozen=True, slots=True)
class ActionResponseList:
    """ACTION-Response-With-List."""

    invoke: int
    outcomes: tuple[ActionOutcome, ...]


@dataclass(frozen=True, slots=True)
class ActionResponseNext:
    """ACTION-Response-Next-Pblock: go on after this block."""

    invoke: int
    block: int


# ---- what a server says by itself, and how it refuses ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataNotification:
    """DATA-NOTIFICATION, tag 15: a push."""

    long_invoke: int
    """Long-invoke-id-and-priority, 32 bits."""
    sent_at: bytes
    """COSEM date-time, 12 bytes, or empty."""
    body: bytes


@dataclass(frozen=True, slots=True)
class EventNotification:
    """EVENT-NOTIFICATION-Request, tag 194."""

    sent_at: bytes | None
    attribute: AttributeDescriptor
    value: bytes


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """EXCEPTION-Response, tag 216."""

    state_error: int
    service_error: int
    invocation_counter: int | None = None


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """Confirmed service error, tag 14: of which service, of what kind, and the code."""

    service: int
    """1 initiateError, 5 read, 6 write."""
    kind: int
    code: int


@dataclass(frozen=True, slots=True)
class GeneralBlockTransfer:
    """One block of GENERAL-BLOCK-TRANSFER, tag 224."""

    is_last: bool
    is_streaming: bool
    window: int
    block: int
    block_acknowledged: int
    part: bytes


Request = (
    GetRequest
    | GetRequestNext
    | GetRequestList
    | SetRequest
    | SetRequestFirstBlock
    | SetRequestBlock
    | SetRequestList
    | SetRequestListFirstBlock
    | ActionRequest
    | ActionRequestNext
    | ActionRequestList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
Response = (
    GetResponse
    | GetResponseBlock
    | GetResponseList
    | SetResponse
    | SetResponseBlock
    | SetResponseLastBlock
    | SetResponseLastBlockList
    | SetResponseList
    | ActionResponse
    | ActionResponseBlock
    | ActionResponseList
    | ActionResponseNext
    | ExceptionResponse
    | ConfirmedServiceError
)
Notification = DataNotification | EventNotification
Apdu = Request | Response | Notification | GeneralBlockTransfer | InitiateRequest | InitiateResponse
