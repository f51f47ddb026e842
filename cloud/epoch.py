"""The epoch of the database: it rises each time the database is set back to a backup, and never falls.

A gateway that hears of a higher epoch sends again what was acknowledged beyond the backup. Versions of commands start
with the epoch, so that a database set back cannot give out a version twice.
"""

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.prepared import Prepared
from wire.limits import RESTORES_MAX
from wire.messages import Restore

EPOCH_MAX = 2**31 - 1
"""Of a welcome, of a database's integer, and of the versions that start with the epoch."""
_EPOCH = "epoch"
_EPOCH_QUERY = Prepared(sa.select(schema.setting.c.value).where(schema.setting.c.name == _EPOCH))
POSITION_MARGIN_POSTGRESQL = 10_000
"""Ids are given out before they commit: a backup may lack ids this far below its highest."""


def current_epoch(connection: sa.Connection) -> int:
    """Return the epoch, 1 for a database that was never set back."""
    value = _EPOCH_QUERY.scalar(connection, {})
    return int(value) if value is not None else 1


def raise_epoch(connection: sa.Connection, *, beyond: int = 0) -> int:
    """Begin a new epoch in a database that was set back to a backup; return it.

    Args:
        connection: Of the restored database.
        beyond: The highest epoch ever announced, where it is known: a backup may be older than a former restore.
    """
    epoch = max(current_epoch(connection), beyond) + 1
    highest = connection.execute(sa.select(sa.func.max(schema.message.c.id))).scalar() or 0
    margin = POSITION_MARGIN_POSTGRESQL if connection.dialect.name == "postgresql" else 0
    upsert(connection, schema.setting, [{"name": _EPOCH, "value": str(epoch)}])
    upsert(connection, schema.restore, [{"epoch": epoch, "position": max(highest - margin, 0)}])
    _renumber(connection)
    connection.execute(sa.update(schema.down_fact).values(held_at_ms=None, due_at_ms=0, attempt_count=0))
    return epoch


def restores(connection: sa.Connection) -> list[Restore]:
    """Return the restores as a welcome tells them; the oldest are folded together where there are too many."""
    rows = connection.execute(sa.select(schema.restore).order_by(schema.restore.c.epoch)).all()
    told = [Restore(row.epoch, row.position) for row in rows]
    while len(told) > RESTORES_MAX:
        first, second, *rest = told
        told = [Restore(second.epoch, min(first.position, second.position)), *rest]
    return told


def _renumber(connection: sa.Connection) -> None:
    """Order the messages by id alone: in a new server the transaction numbers start again, lower."""
    for cursor in connection.execute(sa.select(schema.cursor)).all():
        message = schema.message.c
        after = sa.tuple_(message.tx, message.id) > (cursor.tx, cursor.message)
        next_id = connection.execute(sa.select(sa.func.min(message.id)).where(after)).scalar()
        behind = next_id - 1 if next_id is not None else cursor.message
        upsert(connection, schema.cursor, [{"name": cursor.name, "tx": 0, "message": behind}])
    connection.execute(sa.update(schema.message).values(tx=0))
