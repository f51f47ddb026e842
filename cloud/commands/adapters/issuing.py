"""From an integrator's request to signed commands, exactly once, in the transaction that records the request."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.dispatch import take_known_receipts
from cloud.commands.adapters.statuses import queue_status, queue_statuses_again
from cloud.commands.core.scopes import Scope, judge
from cloud.database import insert, insert_into
from cloud.epoch import current_epoch
from cloud.headend.adapters.assignments import gateway_of
from cloud.headend.adapters.ingest import count_refusals
from cloud.headend.core.admission import AdmittedRequest, Refused
from wire import codec
from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.keys import SigningKey
from wire.messages import Command, Effect, Request, State, Status, effect_group, seal_message

_EPOCH_SHIFT = 32
LIVE_COMMANDS_PER_CLIENT_MAX = 10_000

_request, _command = schema.request.c, schema.command.c
_KNOWN = sa.select(_request.content_digest).where(
    _request.utility == sa.bindparam("of"),
    _request.client == sa.bindparam("by"),
    _request.id == sa.bindparam("named"),
)
_LIVE = sa.select(sa.func.count()).where(
    _command.utility == sa.bindparam("of"), _command.client == sa.bindparam("by"), _command.due_at_ms.is_not(None)
)
_SCOPE = sa.select(schema.client.c.effects, schema.client.c.meters).where(
    schema.client.c.utility == sa.bindparam("of"), schema.client.c.name == sa.bindparam("named")
)
_ISSUE = sa.insert(schema.command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command to be issued."""

    utility: str
    client: str
    request: bytes
    meter: str
    effect: Effect
    not_after_ms: int


def take_request(connection: sa.Connection, admitted: AdmittedRequest, key: SigningKey, *, now_ms: int) -> None:
    """Carry a request out once: record it, issue its commands, queue statuses.

    The same request again is answered by its statuses as they stand; another one under the same id is refused.
    """
    utility, client, request = admitted.utility, admitted.client, admitted.request
    content = hashlib.sha256(codec.encode(request)).digest()
    if _answer_known(connection, admitted, content, now_ms):
        return
    reason = judge(request, _scope(connection, utility, client), now_ms=now_ms)
    if reason is None and _live_count(connection, utility, client) + len(request.meters) > LIVE_COMMANDS_PER_CLIENT_MAX:
        reason = Reason.QUOTA_EXCEEDED
    if reason is not None:
        _refuse(connection, utility, client, request, reason, now_ms)
        return
    row = {
        "utility": utility,
        "client": client,
        "id": request.id,
        "content_digest": content,
        "received_at_ms": now_ms,
        "sealed": admitted.sealed,
    }
    recorded = connection.execute(insert(connection, schema.request).on_conflict_do_nothing().values(row))
    if recorded.rowcount == 0:
        # Another handler got it too, and was first.
        _answer_known(connection, admitted, content, now_ms)
        return
    for meter in dict.fromkeys(request.meters):
        order = Order(
            utility=utility,
            client=client,
            request=request.id,
            meter=meter,
            effect=request.effect,
            not_after_ms=request.not_after_ms,
        )
        issue(connection, order, key, now_ms=now_ms)


def _answer_known(connection: sa.Connection, admitted: AdmittedRequest, content: bytes, now_ms: int) -> bool:
    """Answer a request whose id was used before; tell whether it was."""
    utility, client, request = admitted.utility, admitted.client, admitted.request
    known = connection.execute(_KNOWN, {"of": utility, "by": client, "named": request.id}).scalar()
    if known is None:
        return False
    if bytes(known) == content:
        queue_statuses_again(connection, utility, client, request.id, now_ms=now_ms)
    else:
        _refuse(connection, utility, client, request, Reason.REPLAYED, now_ms)
    return True


def issue(connection: sa.Connection, order: Order, key: SigningKey, *, now_ms: int) -> bytes:
    """Give an order its id and version, sign it for the gateway that serves the meter, and queue it; return its id."""
    command_id = hashlib.sha256(codec.encode([order.utility, order.client, order.request, order.meter])).digest()[:16]
    gateway = gateway_of(connection, order.utility, order.meter, now_ms=now_ms)
    state, detail = (State.ACCEPTED, "") if gateway else (State.REFUSED, Reason.UNKNOWN_METER.value)
    version = _next_version(connection, order) if gateway else 0
    sealed = b""
    if gateway:
        command = Command(
            id=command_id,
            meter=order.meter,
            version=version,
            issued_at_ms=now_ms,
            not_after_ms=order.not_after_ms,
            issuer=order.client,
            effect=order.effect,
        )
        sealed = seal_message(command, Address(order.utility, Direction.DOWN, Kind.COMMAND, gateway), key)
    row: dict[str, Any] = {
        "utility": order.utility,
        "id": command_id,
        "client": order.client,
        "request": order.request,
        "gateway": gateway,
        "meter": order.meter,
        "effect": effect_group(order.effect),
        "version": version,
        "issued_at_ms": now_ms,
        "not_after_ms": order.not_after_ms,
        "sealed": sealed,
        "state": state.value,
        "state_at_ms": now_ms,
        "detail": detail,
        "due_at_ms": 0 if gateway else None,
    }
    connection.execute(_ISSUE, row)
    status = Status(
        request=order.request,
        command=command_id,
        meter=order.meter,
        state=state,
        at_ms=now_ms,
        detail=detail,
        relay_closed=None,
    )
    queue_status(connection, order.utility, order.client, status)
    take_known_receipts(connection, order.utility, gateway, command_id, now_ms=now_ms)
    return command_id


def _next_version(connection: sa.Connection, order: Order) -> int:
    """Return a version above all given out for this meter and effect, also before the database was last set back."""
    least = current_epoch(connection) << _EPOCH_SHIFT
    row = {"utility": order.utility, "meter": order.meter, "effect": effect_group(order.effect), "version": least}
    return int(connection.execute(_next_version_statement(connection.dialect.name), row).scalar_one())


@cache
def _next_version_statement(dialect: str) -> sa.Executable:
    """Return the statement that counts up; in one, so that no two handlers give out the same version."""
    statement = insert_into(dialect, schema.effect_version)
    following, least = schema.effect_version.c.version + 1, statement.excluded.version
    version = sa.case((following > least, following), else_=least)
    keys = [column.name for column in schema.effect_version.primary_key.columns]
    return statement.on_conflict_do_update(index_elements=keys, set_={"version": version}).returning(
        schema.effect_version.c.version
    )


def _scope(connection: sa.Connection, utility: str, client: str) -> Scope | None:
    row = connection.execute(_SCOPE, {"of": utility, "named": client}).one_or_none()
    return None if row is None else Scope.from_text(row.effects, row.meters)


def _live_count(connection: sa.Connection, utility: str, client: str) -> int:
    return int(connection.execute(_LIVE, {"of": utility, "by": client}).scalar_one())


def _refuse(
    connection: sa.Connection, utility: str, client: str, request: Request, reason: Reason, now_ms: int
) -> None:
    count_refusals(connection, utility, [Refused(utility=utility, reason=reason, party=client)])
    status = Status(
        request=request.id,
        command=b"",
        meter="",
        state=State.REFUSED,
        at_ms=now_ms,
        detail=reason.value,
        relay_closed=None,
    )
    queue_status(connection, utility, client, status)
