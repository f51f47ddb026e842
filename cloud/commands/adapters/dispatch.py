"""Commands on their way: sent and sent again until a receipt, and what receipts make of them."""

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.statuses import queue_status
from cloud.commands.core.lifecycle import FINAL, after_receipt, after_timer, next_due_ms
from cloud.effects import Publish
from cloud.following import advance, is_next
from wire import codec
from wire.address import Kind
from wire.facts import Receipt
from wire.messages import State, Status
from wire.topics import TopicTree

CURSOR = "commands"
COMMANDS_PER_ROUND_MAX = 1_000
RECEIPTS_PER_ROUND_MAX = 4_000
"""Well above what one batch can hold (`wire.limits.FACTS_PER_BATCH_MAX`)."""


def due_commands(connection: sa.Connection, tree: TopicTree, *, now_ms: int, timer_ms: int) -> list[Publish]:
    """Return the commands to send now; what is over without a receipt changes its state.

    Args:
        connection: In a transaction.
        tree: The utility's topics.
        now_ms: UTC, which deadlines are judged by.
        timer_ms: Real Unix time, which repeating goes by; the same as `now_ms` but in accelerated installations.
    """
    table = schema.command.c
    rows = connection.execute(
        sa.select(schema.command)
        .where(table.utility == tree.utility, table.due_at_ms <= timer_ms)
        .order_by(table.due_at_ms)
        .limit(COMMANDS_PER_ROUND_MAX)
        .with_for_update(skip_locked=True)
    ).all()
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
        connection.execute(
            sa.update(schema.command)
            .where(table.utility == row.utility, table.id == row.id)
            .values(
                sent_at_ms=row.sent_at_ms if was_sent else now_ms,
                attempt_count=row.attempt_count + 1,
                due_at_ms=next_due_ms(state, attempt_count=row.attempt_count, timer_ms=timer_ms),
            )
        )
        if state is not before:
            _change(connection, row, state, "", None, now_ms)
    return sent


def follow_receipts(connection: sa.Connection, utility: str, *, now_ms: int) -> int:
    """Read the receipts committed since last time; return how many there were."""
    receipt, message = schema.receipt.c, schema.message.c
    rows = connection.execute(
        sa.select(receipt.gateway, receipt.encoded, message.tx, message.id)
        .join_from(schema.receipt, schema.message, receipt.message == message.id)
        .where(receipt.utility == utility)
        .where(is_next(connection, CURSOR))
        .order_by(message.tx, message.id)
        .limit(RECEIPTS_PER_ROUND_MAX)
    ).all()
    # A round that is full ends before its last message, all receipts of which must be read together.
    last = (rows[-1].tx, rows[-1].id) if rows else (0, 0)
    if len(rows) == RECEIPTS_PER_ROUND_MAX and (rows[0].tx, rows[0].id) != last:
        rows = [row for row in rows if (row.tx, row.id) != last]
    for row in rows:
        _on_receipt(connection, utility, row.gateway, codec.decode_as(bytes(row.encoded), Receipt), now_ms)
    if rows:
        advance(connection, CURSOR, tx=rows[-1].tx, message=rows[-1].id)
    return len(rows)


def _on_receipt(connection: sa.Connection, utility: str, gateway: str, receipt: Receipt, now_ms: int) -> None:
    table = schema.command.c
    row = connection.execute(
        sa.select(schema.command)
        .where(table.utility == utility, table.id == receipt.command, table.gateway == gateway)
        .with_for_update()
    ).one_or_none()
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
    table = schema.command.c
    values: dict[str, object] = {
        "state": state.value,
        "state_at_ms": now_ms,
        "detail": detail,
        "relay_closed": relay_closed,
    }
    if state in FINAL:
        values["due_at_ms"] = None
    connection.execute(sa.update(schema.command).where(table.utility == row.utility, table.id == row.id).values(values))
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
