"""Commands on their way: sent and sent again until a receipt, and what receipts make of them."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.statuses import Outbox, Queued
from cloud.commands.core.lifecycle import FINAL, after_receipt, after_timer, next_due_ms
from cloud.effects import Publish
from cloud.following import advance, next_after, next_of
from cloud.prepared import Prepared
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
_DUE = Prepared(
    sa.select(schema.command)
    .where(_command.utility == sa.bindparam("of"), _command.due_at_ms <= sa.bindparam("timer_ms"))
    .order_by(_command.due_at_ms)
    .limit(COMMANDS_PER_ROUND_MAX)
    .with_for_update(skip_locked=True)
)
_NEXT = Prepared(next_of(schema.message, [_message.tx, _message.id]))
# Of all utilities: asked for one of them, SQLite would read every receipt it ever had.
_RECEIPTS = sa.select(_receipt.utility, _receipt.gateway, _receipt.message, _receipt.encoded).where(
    _receipt.message.in_(sa.bindparam("those", expanding=True))
)
_KNOWN = Prepared(
    sa.select(_receipt.encoded)
    .where(_receipt.utility == sa.bindparam("of"), _receipt.gateway == sa.bindparam("from_gateway"))
    .where(_receipt.command == sa.bindparam("on_command"))
    .order_by(_receipt.message)
)
_ADDRESSED = Prepared(
    sa.select(schema.command)
    .where(_command.utility == sa.bindparam("of"), _command.id == sa.bindparam("named"))
    .where(_command.gateway == sa.bindparam("served_by"))
    .with_for_update()
)
_LIFE = ("state", "state_at_ms", "detail", "relay_closed", "sent_at_ms", "due_at_ms", "attempt_count")
"""Columns that change during a command's life."""
_UPDATE = Prepared(
    sa.update(schema.command).where(_command.utility == sa.bindparam("of"), _command.id == sa.bindparam("named")),
    columns=_LIFE,
)


def due_commands(connection: sa.Connection, tree: TopicTree, *, now_ms: int, timer_ms: int) -> list[Publish]:
    """Return the commands to send now; what is over without a receipt changes its state.

    Args:
        connection: In a transaction.
        tree: The utility's topics.
        now_ms: UTC, which deadlines are judged by.
        timer_ms: Real Unix time, which repeating goes by; the same as `now_ms` but in accelerated installations.
    """
    outbox = Outbox(connection, tree.utility)
    sent: list[Publish] = []
    for row in _DUE.all(connection, {"of": tree.utility, "timer_ms": timer_ms}):
        before = State(row.state)
        was_sent = row.sent_at_ms is not None
        state = after_timer(before, was_sent=was_sent, not_after_ms=row.not_after_ms, now_ms=now_ms)
        if state is State.EXPIRED:
            _update(connection, row, _changed(outbox, row, state, "never sent before the deadline", None, now_ms))
            continue
        if state is before and before is State.ACCEPTED:
            state = State.SENT
        sent.append(Publish(topic=tree.down(row.gateway, Kind.COMMAND), sealed=bytes(row.sealed)))
        changes: dict[str, object] = {} if state is before else _changed(outbox, row, state, "", None, now_ms)
        changes |= {
            "sent_at_ms": row.sent_at_ms if was_sent else now_ms,
            "attempt_count": row.attempt_count + 1,
            "due_at_ms": next_due_ms(
                state, attempt_count=row.attempt_count, overdue_ms=now_ms - row.not_after_ms, timer_ms=timer_ms
            ),
        }
        _update(connection, row, changes)
    return sent


def follow_receipts(connection: sa.Connection, utility: str, *, now_ms: int) -> bool:
    """Read the receipts committed since last time; tell whether more may wait.

    Most were taken when they were committed (`take_receipts`), and taken again they change nothing; this road is for
    those that another process committed.
    """
    cursor = f"{CURSOR} {utility}"
    messages = _NEXT.all(connection, next_after(connection, cursor) | {"count_max": MESSAGES_PER_ROUND_MAX})
    if not messages:
        return False
    by_message: dict[int, list[tuple[str, bytes]]] = {}
    for row in connection.execute(_RECEIPTS, {"those": [message.id for message in messages]}):
        if row.utility == utility:
            by_message.setdefault(row.message, []).append((row.gateway, bytes(row.encoded)))
    receipts: list[tuple[str, Receipt]] = []
    for message in messages:
        found = by_message.get(message.id, [])
        receipts += [(gateway, codec.decode_as(encoded, Receipt)) for gateway, encoded in found]
        if len(receipts) >= RECEIPTS_PER_ROUND_MAX:
            break
    take_receipts(connection, utility, receipts, now_ms=now_ms)
    may_be_more = message is not messages[-1] or len(messages) == MESSAGES_PER_ROUND_MAX
    if by_message or may_be_more:
        advance(connection, cursor, tx=message.tx, message=message.id)
    return may_be_more


def take_receipts(
    connection: sa.Connection, utility: str, receipts: Iterable[tuple[str, Receipt]], *, now_ms: int
) -> list[Queued]:
    """Let receipts change their commands, and return what is to be told; one that was taken before changes nothing.

    Args:
        connection: In a transaction.
        utility: Whose commands.
        receipts: With the gateways they are of; those of one command in the order in which they came.
        now_ms: UTC.
    """
    outbox = Outbox(connection, utility)
    # In one order for all who take several, so that no two wait for each other's commands.
    ordered = sorted(receipts, key=lambda item: item[1].command)
    for (gateway, command), group in groupby(ordered, key=lambda item: (item[0], item[1].command)):
        row = _ADDRESSED.first(connection, {"of": utility, "named": command, "served_by": gateway})
        if row is None:
            continue  # issued after the backup this database was set back to; the receipt itself is kept
        before = State(row.state)
        changes: dict[str, object] = {}
        for _, receipt in group:
            state = after_receipt(before, receipt.stage)
            if state is not before:
                changes = _changed(outbox, row, state, receipt.detail, receipt.relay_closed, now_ms)
            before = state
        if changes:
            _update(connection, row, changes)
    return outbox.queued


def known_receipts(connection: sa.Connection, utility: str, gateway: str, command: bytes) -> list[tuple[str, Receipt]]:
    """Return receipts that came before their command: it was issued once already, in what a backup did not hold."""
    rows = _KNOWN.all(connection, {"of": utility, "from_gateway": gateway, "on_command": command})
    return [(gateway, codec.decode_as(bytes(row.encoded), Receipt)) for row in rows]


def _changed(
    outbox: Outbox,
    row: Any,
    state: State,
    detail: str,
    relay_closed: bool | None,  # noqa: FBT001 - what a relay showed, not a switch
    now_ms: int,
) -> dict[str, object]:
    """Tell the requester of a command's new state, and return what changes in its row."""
    status = Status(
        request=bytes(row.request),
        command=bytes(row.id),
        meter=row.meter,
        state=state,
        at_ms=now_ms,
        detail=detail,
        relay_closed=relay_closed,
    )
    outbox.put(row.client, status)
    changes: dict[str, object] = {
        "state": state.value,
        "state_at_ms": now_ms,
        "detail": detail,
        "relay_closed": relay_closed,
    }
    return changes | {"due_at_ms": None} if state in FINAL else changes


def _update(connection: sa.Connection, row: Any, changes: Mapping[str, object]) -> None:
    unchanged = {name: getattr(row, name) for name in _LIFE}
    _UPDATE.run(connection, {**unchanged, **changes, "of": row.utility, "named": row.id})
