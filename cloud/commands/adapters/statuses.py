"""What requesters are told: every change of state, under their own topics only, in the order it happened."""

from collections.abc import Sequence

import sqlalchemy as sa

from cloud import schema
from cloud.effects import Publish
from wire import codec
from wire.address import Address, Direction, Kind
from wire.keys import SigningKey
from wire.messages import State, Status, seal_message
from wire.topics import TopicTree

STATUSES_PER_ROUND_MAX = 500
_QUEUE = sa.insert(schema.status_outbox)
_FORGET = sa.delete(schema.status_outbox).where(schema.status_outbox.c.id == sa.bindparam("told"))
_QUEUED = (
    sa.select(schema.status_outbox.c.id, schema.status_outbox.c.client, schema.status_outbox.c.encoded)
    .where(schema.status_outbox.c.utility == sa.bindparam("of"))
    .order_by(schema.status_outbox.c.id)
    .limit(STATUSES_PER_ROUND_MAX)
)


def queue_status(connection: sa.Connection, utility: str, client: str, status: Status) -> None:
    """Tell a client, once the transaction is committed."""
    row = {"utility": utility, "client": client, "encoded": codec.encode(status)}
    connection.execute(_QUEUE, row)


def queue_statuses_again(connection: sa.Connection, utility: str, client: str, request: bytes, *, now_ms: int) -> None:
    """Tell a client how all commands of a request stand."""
    table = schema.command.c
    rows = connection.execute(
        sa.select(table.id, table.meter, table.state, table.state_at_ms, table.detail, table.relay_closed).where(
            table.utility == utility, table.client == client, table.request == request
        )
    )
    for row in rows:
        status = Status(
            request=request,
            command=bytes(row.id),
            meter=row.meter,
            state=State(row.state),
            at_ms=row.state_at_ms or now_ms,
            detail=row.detail,
            relay_closed=row.relay_closed,
        )
        queue_status(connection, utility, client, status)


def queued_statuses(connection: sa.Connection, tree: TopicTree, key: SigningKey) -> list[tuple[int, Publish]]:
    """Return what is to be told, signed, oldest first, by its id."""
    rows = connection.execute(_QUEUED, {"of": tree.utility})
    told = []
    for row in rows:
        status: Status = codec.decode_as(bytes(row.encoded), Status)
        address = Address(tree.utility, Direction.CLIENT_DOWN, Kind.STATUS, row.client)
        told.append(
            (
                int(row.id),
                Publish(topic=tree.client(row.client, Kind.STATUS), sealed=seal_message(status, address, key)),
            )
        )
    return told


def forget_statuses(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Take out of the queue what the broker has."""
    if ids:
        connection.execute(_FORGET, [{"told": number} for number in ids])
