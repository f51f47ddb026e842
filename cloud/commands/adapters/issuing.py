"""From an integrator's request to signed commands, exactly once, in the transaction that records the request."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.dispatch import known_receipts, take_receipts
from cloud.commands.adapters.statuses import Outbox, Queued
from cloud.commands.core.lifecycle import next_due_ms
from cloud.commands.core.scopes import Scope, judge
from cloud.database import insert_into
from cloud.epoch import current_epoch
from cloud.headend.adapters.assignments import gateway_of
from cloud.headend.adapters.ingest import count_refusals
from cloud.headend.core.admission import AdmittedRequest, Refused
from cloud.prepared import Prepared
from wire import codec
from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.keys import SigningKey
from wire.messages import Command, Effect, State, Status, effect_group, effect_name, seal_message

_EPOCH_SHIFT = 32
LIVE_COMMANDS_PER_CLIENT_MAX = 10_000

_request, _command, _client = schema.request.c, schema.command.c, schema.client.c
_KNOWN_DIGEST = (
    sa.select(_request.content_digest)
    .where(_request.utility == sa.bindparam("of"), _request.client == sa.bindparam("by"))
    .where(_request.id == sa.bindparam("named"))
)
_LIVE = (
    sa.select(sa.func.count())
    .select_from(schema.command)
    .where(_command.utility == sa.bindparam("of"), _command.client == sa.bindparam("by"))
    .where(_command.due_at_ms.is_not(None))
)
_SCOPED = sa.and_(_client.utility == sa.bindparam("of"), _client.name == sa.bindparam("by"))
_KNOWN = Prepared(_KNOWN_DIGEST)
_STANDING = Prepared(
    sa.select(
        _KNOWN_DIGEST.scalar_subquery().label("known_digest"),
        _LIVE.scalar_subquery().label("live_count"),
        sa.select(_client.effects).where(_SCOPED).scalar_subquery().label("effects"),
        sa.select(_client.meters).where(_SCOPED).scalar_subquery().label("meters"),
    )
)
"""All that is to be known before a request is taken, in one statement."""
_RECORD = Prepared(
    lambda dialect: insert_into(dialect, schema.request).on_conflict_do_nothing(),
    columns=("utility", "client", "id", "content_digest", "received_at_ms", "sealed"),
)
_ISSUE = Prepared(
    sa.insert(schema.command),
    columns=(
        "utility", "id", "client", "request", "gateway", "meter", "asked", "effect", "version", "issued_at_ms",
        "not_after_ms", "sealed", "state", "state_at_ms", "detail", "sent_at_ms", "due_at_ms", "attempt_count",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command to be issued."""

    utility: str
    client: str
    request: bytes
    meter: str
    effect: Effect
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A signed command for a gateway."""

    gateway: str
    sealed: bytes


@dataclass(slots=True, kw_only=True)
class Taken:
    """What came of a request."""

    letters: list[Letter] = field(default_factory=list)
    """To be sent once the transaction is committed: it says that they were."""
    queued: list[Queued] = field(default_factory=list)
    """What the requester is to be told."""


def take_request(
    connection: sa.Connection, admitted: AdmittedRequest, key: SigningKey, *, now_ms: int, timer_ms: int | None = None
) -> Taken:
    """Carry a request out once: record it, issue its commands, queue statuses.

    The same request again is answered by its statuses as they stand; another one under the same id is refused.

    Args:
        connection: In a transaction.
        admitted: The request.
        key: Signs commands.
        now_ms: UTC.
        timer_ms: Real Unix time, by which commands sent now are repeated; None if nothing can be sent now, and
            whoever looks for what is due sends them (`due_commands`).
    """
    utility, client, request = admitted.utility, admitted.client, admitted.request
    outbox = Outbox(connection, utility)
    taken = Taken(queued=outbox.queued)
    content = hashlib.sha256(codec.encode(request)).digest()
    standing = _STANDING.first(connection, {"of": utility, "by": client, "named": request.id})
    if standing.known_digest is not None:
        _answer_known(outbox, admitted, bytes(standing.known_digest), content, now_ms)
        return taken
    scope = None if standing.effects is None else Scope.from_text(standing.effects, standing.meters)
    reason = judge(request, scope, now_ms=now_ms)
    if reason is None and standing.live_count + len(request.meters) > LIVE_COMMANDS_PER_CLIENT_MAX:
        reason = Reason.QUOTA_EXCEEDED
    if reason is not None:
        _refuse(outbox, admitted, reason, now_ms)
        return taken
    row = {
        "utility": utility,
        "client": client,
        "id": request.id,
        "content_digest": content,
        "received_at_ms": now_ms,
        "sealed": admitted.sealed,
    }
    if _RECORD.run(connection, row) == 0:
        # Another handler got it too, and was first.
        known = _KNOWN.scalar(connection, {"of": utility, "by": client, "named": request.id})
        _answer_known(outbox, admitted, bytes(known), content, now_ms)
        return taken
    for meter in dict.fromkeys(request.meters):
        order = Order(
            utility=utility,
            client=client,
            request=request.id,
            meter=meter,
            effect=request.effect,
            not_after_ms=request.not_after_ms,
        )
        letter = _issue(outbox, order, key, now_ms=now_ms, timer_ms=timer_ms)
        if letter is not None:
            taken.letters.append(letter)
    return taken


def _answer_known(outbox: Outbox, admitted: AdmittedRequest, known: bytes, content: bytes, now_ms: int) -> None:
    """Answer a request whose id was used before."""
    if known == content:
        outbox.put_again(admitted.client, admitted.request.id, now_ms=now_ms)
    else:
        _refuse(outbox, admitted, Reason.REPLAYED, now_ms)


def _issue(outbox: Outbox, order: Order, key: SigningKey, *, now_ms: int, timer_ms: int | None) -> Letter | None:
    """Give an order its id and version, sign it for the gateway that serves the meter; return what to send now."""
    connection = outbox.connection
    command_id = hashlib.sha256(codec.encode([order.utility, order.client, order.request, order.meter])).digest()[:16]
    gateway = gateway_of(connection, order.utility, order.meter, now_ms=now_ms)
    row: dict[str, Any] = {
        "utility": order.utility,
        "id": command_id,
        "client": order.client,
        "request": order.request,
        "gateway": gateway,
        "meter": order.meter,
        "asked": effect_name(order.effect),
        "effect": effect_group(order.effect),
        "version": 0,
        "issued_at_ms": now_ms,
        "not_after_ms": order.not_after_ms,
        "sealed": b"",
        "state": State.REFUSED.value,
        "state_at_ms": now_ms,
        "detail": Reason.UNKNOWN_METER.value,
        "sent_at_ms": None,
        "due_at_ms": None,
        "attempt_count": 0,
    }
    if not gateway:
        _ISSUE.run(connection, row)
        _tell(outbox, order, command_id, State.REFUSED, now_ms, detail=Reason.UNKNOWN_METER.value)
        return None
    version = _next_version(connection, order)
    sealed = _sealed(order, command_id, version, gateway, key, now_ms)
    receipts = known_receipts(connection, order.utility, gateway, command_id)
    row |= {"version": version, "sealed": sealed, "state": State.ACCEPTED.value, "detail": "", "due_at_ms": 0}
    _tell(outbox, order, command_id, State.ACCEPTED, now_ms)
    if receipts or timer_ms is None:
        _ISSUE.run(connection, row)
        outbox.queued += take_receipts(connection, order.utility, receipts, now_ms=now_ms)
        return None
    overdue_ms = now_ms - order.not_after_ms
    due_at_ms = next_due_ms(State.SENT, attempt_count=0, overdue_ms=overdue_ms, timer_ms=timer_ms)
    row |= {"state": State.SENT.value, "sent_at_ms": now_ms, "due_at_ms": due_at_ms, "attempt_count": 1}
    _ISSUE.run(connection, row)
    _tell(outbox, order, command_id, State.SENT, now_ms)
    return Letter(gateway, sealed)


def _sealed(order: Order, command_id: bytes, version: int, gateway: str, key: SigningKey, now_ms: int) -> bytes:
    command = Command(
        id=command_id,
        meter=order.meter,
        version=version,
        issued_at_ms=now_ms,
        not_after_ms=order.not_after_ms,
        issuer=order.client,
        effect=order.effect,
    )
    return seal_message(command, Address(order.utility, Direction.DOWN, Kind.COMMAND, gateway), key)


def _tell(outbox: Outbox, order: Order, command_id: bytes, state: State, now_ms: int, *, detail: str = "") -> None:
    status = Status(
        request=order.request,
        command=command_id,
        meter=order.meter,
        state=state,
        at_ms=now_ms,
        detail=detail,
        relay_closed=None,
    )
    outbox.put(order.client, status)


def _next_version(connection: sa.Connection, order: Order) -> int:
    """Return a version above all given out for this meter and effect, also before the database was last set back."""
    least = current_epoch(connection) << _EPOCH_SHIFT
    row = {"utility": order.utility, "meter": order.meter, "effect": effect_group(order.effect), "version": least}
    return int(_COUNT_UP.scalar(connection, row))


def _count_up(dialect: str) -> sa.Executable:
    """Return the statement that counts up; in one, so that no two handlers give out the same version."""
    statement = insert_into(dialect, schema.effect_version)
    following, least = schema.effect_version.c.version + 1, statement.excluded.version
    version = sa.case((following > least, following), else_=least)
    keys = [column.name for column in schema.effect_version.primary_key.columns]
    return statement.on_conflict_do_update(index_elements=keys, set_={"version": version}).returning(
        schema.effect_version.c.version
    )


_COUNT_UP = Prepared(_count_up, columns=("utility", "meter", "effect", "version"))


def _refuse(outbox: Outbox, admitted: AdmittedRequest, reason: Reason, now_ms: int) -> None:
    utility, client = admitted.utility, admitted.client
    count_refusals(outbox.connection, utility, [Refused(utility=utility, reason=reason, party=client)])
    status = Status(
        request=admitted.request.id,
        command=b"",
        meter="",
        state=State.REFUSED,
        at_ms=now_ms,
        detail=reason.value,
        relay_closed=None,
    )
    outbox.put(client, status)
