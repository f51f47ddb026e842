"""Messages: one struct each, every field bounded; arrays on the wire, the type's name first.

Who sends what stands in `docs/protocol.md`; `wire/contract.cddl` says the same for machines.
"""

import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from wire import codec, limits
from wire.address import Address, Kind
from wire.errors import LimitExceededError, MalformedError
from wire.facts import Counter, Detail, Digest, Id16, MeterOrGateway, TimeMs, UpFact
from wire.keys import KeyRegistry, Purpose, SigningKey
from wire.readings import BootId, MeterId, Obis, TickMs
from wire.signing import Opened, open_sealed, seal

Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX, pattern=r"^[A-Za-z0-9-]+\Z")]
StoreId = Annotated[bytes, Meta(min_length=8, max_length=8)]
Epoch = Annotated[int, Meta(ge=1, le=2**31)]
Version = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Hello(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="hello", kw_only=True):
    """A gateway opens a session; sent on every connection, answered by a `Welcome` that echoes the nonce."""

    nonce: Id16
    software: Annotated[str, Meta(max_length=limits.SOFTWARE_CHARS_MAX)]
    boot: BootId
    store: StoreId
    """Names the disk's store since it was made."""
    tick_ms: TickMs
    journal_index: Counter
    """Head of the command journal: how many entries it has."""
    journal_digest: Digest
    facts_held: Id16
    """Exclusive or of the ids of all facts of the cloud on this disk: by it the cloud sees that some were lost."""
    epoch: Annotated[int, Meta(ge=0, le=2**31)]
    """The highest epoch of the cloud this gateway knows; 0 before its first welcome."""
    meters: Annotated[list[MeterId], Meta(max_length=limits.METERS_PER_GATEWAY_MAX)]


class Floor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """No command of this effect on this meter with a version up to this may run any more."""

    meter: MeterOrGateway
    effect: Annotated[str, Meta(pattern=r"^(relay|limit|read|ping)\Z")]
    version: Version


class Restore(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The cloud was set back to a backup: in `epoch` it knows nothing acknowledged before beyond `position`."""

    epoch: Epoch
    position: Counter


class Welcome(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="welcome", kw_only=True):
    """The cloud answers a hello; from then on the gateway knows the time and may run commands."""

    nonce: Id16
    cloud_utc_ms: TimeMs
    epoch: Epoch
    window: Annotated[int, Meta(ge=1, le=limits.WINDOW_MAX)]
    """Batches the gateway may have in flight."""
    restores: Annotated[list[Restore], Meta(max_length=limits.RESTORES_MAX)]
    floors: Annotated[list[Floor], Meta(max_length=limits.FLOORS_MAX)]


class Batch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="batch", kw_only=True):
    """Facts of one gateway, immutable once signed."""

    store: StoreId
    index: Counter
    """Counts the batches of a store; for people, nothing relies on it."""
    deflated: bool
    """Whether `body` is a zlib stream (RFC 1950)."""
    body: Annotated[bytes, Meta(min_length=1, max_length=limits.MESSAGE_BYTES_MAX)]
    """CBOR array of facts."""


class Quarantined(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A batch the cloud keeps aside, and why."""

    digest: Digest
    reason: Annotated[str, Meta(max_length=32, pattern=r"^[a-z-]+\Z")]


class Ack(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="ack", kw_only=True):
    """What the cloud's database holds, by digest of the signed batch."""

    epoch: Epoch
    position: Counter
    """The cloud's commit counter after these; see `Restore`."""
    committed: Annotated[list[Digest], Meta(max_length=limits.DIGESTS_PER_ACK_MAX)]
    quarantined: Annotated[list[Quarantined], Meta(max_length=limits.DIGESTS_PER_ACK_MAX)]


class Facts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="facts", kw_only=True):
    """Facts of the cloud for a gateway, each an encoded `DownFact`; repeated until the gateway says it holds them."""

    facts: Annotated[
        list[Annotated[bytes, Meta(min_length=1, max_length=limits.DOWN_FACT_BYTES_MAX)]],
        Meta(min_length=1, max_length=limits.FACTS_PER_DOWN_MESSAGE_MAX),
    ]


class Disconnect(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="disconnect"):
    """Place the utility's hold on the relay (IEC 61968-9 control 3.31.0.23)."""


class Reconnect(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="reconnect"):
    """Lift the utility's hold; the relay closes only if no other hold stands (IEC 61968-9 control 3.31.0.18)."""


class Limit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="limit"):
    """Set the power above which the relay opens; None takes the limit away."""

    power_w: Annotated[int, Meta(ge=0, le=10**9)] | None


class Read(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="read"):
    """Read these channels of the meter now; none named means all."""

    channels: Annotated[list[Obis], Meta(max_length=limits.CHANNELS_PER_BLOCK_MAX)]


class Ping(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="ping"):
    """Ask whether gateway or meter answers."""


Effect = Disconnect | Reconnect | Limit | Read | Ping


def effect_group(effect: Effect) -> str:
    """Return the name under which commands of one meter overtake one another."""
    match effect:
        case Disconnect() | Reconnect():
            return "relay"
        case Limit():
            return "limit"
        case Read():
            return "read"
        case Ping():
            return "ping"


def effect_name(effect: Effect) -> str:
    """Return what an effect is called, as it stands in a message."""
    name = type(effect).__struct_config__.tag
    assert isinstance(name, str), "every effect has a tag of its own"
    return name


class Command(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="command", kw_only=True):
    """A letter with one life."""

    id: Id16
    meter: MeterOrGateway
    version: Version
    """Per meter and effect group; what is older than one that has begun is superseded."""
    issued_at_ms: TimeMs
    not_after_ms: TimeMs
    """Judged by the gateway, just before it acts, by trusted time."""
    issuer: Name
    effect: Effect


class Request(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="request", kw_only=True):
    """An integrator asks for an effect on meters; the same id never runs twice."""

    id: Id16
    issued_at_ms: TimeMs
    not_after_ms: TimeMs
    meters: Annotated[list[MeterId], Meta(min_length=1, max_length=limits.METERS_PER_REQUEST_MAX)]
    effect: Effect


class State(StrEnum):
    """Where a requested command stands; see docs/protocol.md for the diagram."""

    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    EXECUTED = "executed"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The deadline is over and the gateway has not said what happened; a late receipt still has the last word."""


class Status(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="status", kw_only=True):
    """A requested command changed its state; sent to the requester under its own tree only."""

    request: Id16
    command: Annotated[bytes, Meta(max_length=16)]
    """Empty when the whole request was refused."""
    meter: MeterOrGateway
    state: State
    at_ms: TimeMs
    detail: Detail
    relay_closed: bool | None


Message = Hello | Welcome | Batch | Ack | Facts | Command | Request | Status

_PURPOSE = {
    Kind.HELLO: Purpose.GATEWAY,
    Kind.BATCH: Purpose.GATEWAY,
    Kind.WELCOME: Purpose.CLOUD_ACK,
    Kind.ACK: Purpose.CLOUD_ACK,
    Kind.FACTS: Purpose.CLOUD_CREDIT,
    Kind.COMMAND: Purpose.CLOUD_COMMAND,
    Kind.REQUEST: Purpose.INTEGRATOR,
    Kind.STATUS: Purpose.CLOUD_ACK,
}
_TYPE: dict[Kind, type[msgspec.Struct]] = {
    Kind.HELLO: Hello,
    Kind.BATCH: Batch,
    Kind.WELCOME: Welcome,
    Kind.ACK: Ack,
    Kind.FACTS: Facts,
    Kind.COMMAND: Command,
    Kind.REQUEST: Request,
    Kind.STATUS: Status,
}


def purpose_of(kind: Kind) -> Purpose:
    """Return the purpose a key must have to sign messages of this kind."""
    return _PURPOSE[kind]


def seal_message(message: Message, address: Address, key: SigningKey) -> bytes:
    """Return a message signed for its address."""
    assert type(message) is _TYPE[address.kind], f"a {type(message).__name__} is no {address.kind}"
    assert key.public.purpose is _PURPOSE[address.kind], f"a {key.public.purpose} key cannot sign a {address.kind}"
    return seal(codec.encode_message(message), address, key)


def open_message(sealed: bytes, address: Address, keys: KeyRegistry) -> tuple[Message, Opened]:
    """Return the message that came on the road of `address`, its signature and every bound checked.

    Raises:
        WireError: It does not hold; `reason` says why.
    """
    opened = open_sealed(sealed, address, keys, _PURPOSE[address.kind])
    return message_of(opened, address.kind), opened


def message_of(opened: Opened, kind: Kind) -> Message:
    """Return the message of a payload whose signature holds.

    Raises:
        WireError: It is no message of this kind.
    """
    message: Message = codec.decode_message(opened.payload, Message)
    if type(message) is not _TYPE[kind]:
        raise MalformedError(f"a {type(message).__name__} came as {kind}")
    return message


def make_batch(facts: Sequence[UpFact], *, store: bytes, index: int) -> Batch:
    """Return facts as a batch, its body compressed when that makes it smaller.

    Raises:
        LimitExceededError: More facts or bytes than a batch may hold; fewer facts will fit.
    """
    return make_batch_of([codec.encode(fact) for fact in facts], store=store, index=index)


def make_batch_of(facts: Sequence[bytes], *, store: bytes, index: int) -> Batch:
    """Return encoded facts as a batch, as `make_batch` does.

    Raises:
        LimitExceededError: As there.
    """
    plain = codec.encode_array(facts)
    if len(facts) > limits.FACTS_PER_BATCH_MAX or len(plain) > limits.BODY_BYTES_MAX:
        raise LimitExceededError(f"{len(facts)} facts of {len(plain)} bytes")
    compressed = zlib.compress(plain, level=9)
    deflated = len(compressed) < len(plain)
    return Batch(store=store, index=index, deflated=deflated, body=compressed if deflated else plain)


def facts_of(batch: Batch) -> list[UpFact]:
    """Return the facts of a batch.

    Raises:
        LimitExceededError: It inflates to too much.
        MalformedError: Its body is no list of facts.
    """
    body = codec.inflate(batch.body, bytes_max=limits.BODY_BYTES_MAX) if batch.deflated else batch.body
    items = codec.decode_strict(body)
    if not isinstance(items, list) or not 1 <= len(items) <= limits.FACTS_PER_BATCH_MAX:
        raise MalformedError(f"not a list of 1 to {limits.FACTS_PER_BATCH_MAX} facts")
    return [codec.convert(item, UpFact) for item in items]
