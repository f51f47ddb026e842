"""Commands on their way: sent and sent again until a receipt, and what receipts make of them."""

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.statuses import queue_status
from cloud.commands.core.lifecycle import FINAL, after_receipt, after_timer, next_due_ms
from cloud.effects import Publish
from cloud.following import IS_NEXT, advance, next_after
from wire import codec
from wire.address import Kind
from wire.facts import Receipt
from wire.messages import State, Status
from wire.topics import TopicTree

CURSOR = "commands"
"""Followed by the utility's name: each has a dispatcher of its own."""
MESSAGES_BEHIND_MAX = 256
"""How many messages without receipts are passed over before the cursor moves; reading on from it costs that much."""
COMMANDS_PER_ROUND_MAX = 1_000
RECEIPTS_PER_ROUND_MAX = 4_000
"""A round ends with the message that reaches it."""
MESSAGES_PER_ROUND_MAX = 256
"""Also how many messages without receipts are looked through again and again before the cursor moves on."""

_command, _receipt, _message = schema.command.c, schema.receipt.c, schema.message.c
_DUE = (
    sa.select(schema.command)
    .where(_command.utility == sa.bindparam("of"), _command.due_at_ms <= sa.bindparam("timer_ms"))
    .order_by(_command.due_at_ms)
    .limit(COMMANDS_PER_ROUND_MAX)
    .with_for_update(skip_locked=True)
)
_NEXT = (
    sa.select(_message.tx, _message.id).where(IS_NEXT).order_by(_message.tx, _message.id).limit(MESSAGES_PER_ROUND_MAX)
)
# Of all utilities: asked for one of them, SQLite would read every receipt it ever had.
_RECEIPTS = sa.select(_receipt.utility, _receipt.gateway, _receipt.message, _receipt.encoded).where(
    _receipt.message.in_(sa.bindparam("those", expanding=True))
)
_KNOWN = (
    sa.select(_receipt.encoded)
    .where(_receipt.utility == sa.bindparam("of"), _receipt.gateway == sa.bindparam("from_gateway"))
    .where(_receipt.command == sa.bindparam("on_command"))
    .order_by(_receipt.message)
)
_ADDRESSED = (
    sa.select(schema.command)
    .where(_command.utility == sa.bindparam("of"), _command.id == sa.bindparam("named"))
    .where(_command.gateway == sa.bindparam("served_by"))
    .with_for_update()
)
_UPDATE = sa.update(schema.command).where(_command.utility == sa.bindparam("of"), _command.id == sa.bindparam("named"))


def due_commands(connection: sa.Connection, tree: TopicTree, *, now_ms: int, timer_ms: int) -> list[Publish]:
    """Return the commands to send now; what is over without a receipt changes its state.

    Args:
        connection: In a transaction.
        tree: The utility's topics.
        now_ms: UTC, which deadlines are judged by.
        timer_ms: Real Unix time, which repeating goes by; the same as `now_ms` but in accelerated installations.
    """
    rows = connection.execute(_DUE, {"of": tree.utility, "timer_ms": timer_ms}).all()
    sent: list[Publish] = []
    for row in rows:
        before = State(row.state)
        was_sent = row.sent_at_ms is not None
        state = after_timer(before, was_sent=was_sent, not_after_ms=row.not_after_ms, now_ms=now_ms)
        if state is State.EXPIRED:
            _change(connection, row, state, "never sent before the deadline", None, now_ms)
            continue
        if state is before and before is State.ACCEPTED:
            state = State.SENT
        sent.append(Publish(topic=tree.down(row.gateway, Kind.COMMAND), sealed=bytes(row.sealed)))
        _update(
            connection,
            row,
            {
                "sent_at_ms": row.sent_at_ms if was_sent else now_ms,
                "attempt_count": row.attempt_count + 1,
                "due_at_ms": next_due_ms(
                    state,
                    attempt_count=row.attempt_count,
                    overdue_ms=now_ms - row.not_after_ms,
                    timer_ms=timer_ms,
                ),
            },
        )
        if state is not before:
            _change(connection, row, state, "", None, now_ms)
    return sent


def follow_receipts(connection: sa.Connection, utility: str, *, now_ms: int) -> bool:
    """Read the receipts committed since last time; tell whether more may wait."""
    cursor = f"{CURSOR} {utility}"
    messages = connection.execute(_NEXT, next_after(connection, cursor)).all()
    if not messages:
        return False
    by_message: dict[int, list[tuple[str, bytes]]] = {}
    for row in connection.execute(_RECEIPTS, {"those": [message.id for message in messages]}):
        if row.utility == utility:
            by_message.setdefault(row.message, []).append((row.gateway, bytes(row.encoded)))
    read_count = 0
    for message in messages:
        receipts = by_message.get(message.id, [])
        for gateway, encoded in receipts:
            _on_receipt(connection, utility, gateway, codec.decode_as(encoded, Receipt), now_ms)
        read_count += len(receipts)
        if read_count >= RECEIPTS_PER_ROUND_MAX:
            break
    may_be_more = message is not messages[-1] or len(messages) == MESSAGES_PER_ROUND_MAX
    if by_message or may_be_more:
        advance(connection, cursor, tx=message.tx, message=message.id)
    return may_be_more


def take_known_receipts(connection: sa.Connection, utility: str, gateway: str, command: bytes, *, now_ms: int) -> None:
    """Let receipts count that came before their command: it was issued once already, in what a backup did not hold."""
    rows = connection.execute(_KNOWN, {"of": utility, "from_gateway": gateway, "on_command": command}).all()
    for row in rows:
        _on_receipt(connection, utility, gateway, codec.decode_as(bytes(row.encoded), Receipt), now_ms)


def _on_receipt(connection: sa.Connection, utility: str, gateway: str, receipt: Receipt, now_ms: int) -> None:
    row = connection.execute(_ADDRESSED, {"of": utility, "named": receipt.command, "served_by": gateway}).one_or_none()
    if row is None:
        return  # issued after the backup this database was set back to; the receipt itself is kept
    before = State(row.state)
    state = after_receipt(before, receipt.stage)
    if state is not before:
        _change(connection, row, state, receipt.detail, receipt.relay_closed, now_ms)


def _change(
    connection: sa.Connection,
    row: sa.Row,  # type: ignore[type-arg]
    state: State,
    detail: str,
    relay_closed: bool | None,  # noqa: FBT001
    now_ms: int,
) -> None:
    values: dict[str, object] = {
        "state": state.value,
        "state_at_ms": now_ms,
        "detail": detail,
        "relay_closed": relay_closed,
    }
    if state in FINAL:
        values["due_at_ms"] = None
    _update(connection, row, values)
    status = Status(
        request=bytes(row.request),
        command=bytes(row.id),
        meter=row.meter,
        state=state,
        at_ms=now_ms,
        detail=detail,
        relay_closed=relay_closed,
    )
    queue_status(connection, row.utility, row.client, status)


def _update(connection: sa.Connection, row: sa.Row, values: dict[str, object]) -> None:  # type: ignore[type-arg]
    connection.execute(_UPDATE, values | {"of": row.utility, "named": row.id})
