"""What requesters are told: every change of state, under their own topics only, in the order it happened.

A status stands in the outbox, in the transaction that changed the state, until the broker has it. Whoever made the
transaction tells it at once; what is left in the outbox after a crash, or a broker that was away, is told from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cloud import schema
from cloud.effects import Publish
from cloud.prepared import Prepared
from wire import codec
from wire.address import Address, Direction, Kind
from wire.keys import SigningKey
from wire.messages import State, Status, seal_message
from wire.topics import TopicTree

STATUSES_PER_ROUND_MAX = 500
_outbox, _command = schema.status_outbox.c, schema.command.c
_QUEUE = Prepared(
    sa.insert(schema.status_outbox).returning(_outbox.id),
    columns=("utility", "client", "encoded"),
)
_FORGET = Prepared(sa.delete(schema.status_outbox).where(_outbox.id == sa.bindparam("told")))
_QUEUED = Prepared(
    sa.select(_outbox.id, _outbox.client, _outbox.encoded)
    .where(_outbox.utility == sa.bindparam("of"))
    .order_by(_outbox.id)
    .limit(STATUSES_PER_ROUND_MAX)
)
_OF_REQUEST = Prepared(
    sa.select(
        _command.id, _command.meter, _command.state, _command.state_at_ms, _command.detail, _command.relay_closed
    ).where(
        _command.utility == sa.bindparam("of"),
        _command.client == sa.bindparam("by"),
        _command.request == sa.bindparam("named"),
    )
)


@dataclass(frozen=True, slots=True)
class Queued:
    """A status in the outbox."""

    number: int
    """Under which it is forgotten once told."""
    client: str
    status: Status


class Outbox:
    """What one transaction has to tell.

    Args:
        connection: In the transaction.
        utility: Whose.
    """

    def __init__(self, connection: sa.Connection, utility: str) -> None:
        self.connection = connection
        self._utility = utility
        self.queued: list[Queued] = []

    def put(self, client: str, status: Status) -> None:
        """Tell a client, once the transaction is committed."""
        row = {"utility": self._utility, "client": client, "encoded": codec.encode(status)}
        self.queued.append(Queued(int(_QUEUE.scalar(self.connection, row)), client, status))

    def put_again(self, client: str, request: bytes, *, now_ms: int) -> None:
        """Tell a client how all commands of a request stand."""
        rows = _OF_REQUEST.all(self.connection, {"of": self._utility, "by": client, "named": request})
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
            self.put(client, status)


def queued_statuses(connection: sa.Connection, utility: str) -> list[Queued]:
    """Return what stands in the outbox, oldest first."""
    return [
        Queued(int(row.id), row.client, codec.decode_as(bytes(row.encoded), Status))
        for row in _QUEUED.all(connection, {"of": utility})
    ]


def forget_statuses(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Take out of the outbox what the broker has."""
    _FORGET.run_each(connection, [{"told": number} for number in numbers])


def sealed_status(queued: Queued, tree: TopicTree, key: SigningKey) -> Publish:
    """Return a status signed for its client."""
    address = Address(tree.utility, Direction.CLIENT_DOWN, Kind.STATUS, queued.client)
    return Publish(topic=tree.client(queued.client, Kind.STATUS), sealed=seal_message(queued.status, address, key))
