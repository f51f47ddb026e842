"""Spans of boots to be read again, piece by piece: what is next, and how far a follower has come."""

from typing import NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.following import Followed, messages_by_id
from cloud.meterdata.core.meter_day import Source


class Reread(NamedTuple):
    """A piece of a span whose UTC changed."""

    id: int
    utility: str
    gateway: str
    boot: bytes
    tick_from_ms: int
    tick_until_ms: int
    offset_before_ms: int | None
    """UTC less tick, by which rows of the span may have been placed; None if none were."""
    messages: list[Followed]
    """Those of the next messages that hold ticks of the span."""
    last_message: int | None
    """How far the piece goes; None if the span is done."""

    def covers(self, boot: bytes, tick_ms: int) -> bool:
        """Tell whether something stamped so lies in the span."""
        return boot == self.boot and self.tick_from_ms <= tick_ms < self.tick_until_ms

    def covers_row(self, source: Source, tick_ms: int) -> bool:
        """Tell whether a row of the piece's messages is to be placed anew; one that a meter stamped always may be."""
        return source.by_meter or self.covers(source.boot, tick_ms)

    def offset_before(self, source: Source) -> int | None:
        """Return by which offset a row may have been placed before; None where it was not, or lies where it lay."""
        return None if source.by_meter else self.offset_before_ms


_OLDEST = (
    sa.select(schema.reread).where(schema.reread.c.follower == sa.bindparam("by")).order_by(schema.reread.c.id).limit(1)
)


def next_reread(connection: sa.Connection, follower: str, *, count_max: int) -> Reread | None:
    """Return the oldest piece of work of a follower, which holds its turn."""
    held = schema.boot_message.c
    job = connection.execute(_OLDEST, {"by": follower}).one_or_none()
    if job is None:
        return None
    ids = connection.execute(
        sa.select(held.message)
        .where(held.utility == job.utility, held.gateway == job.gateway, held.boot == job.boot)
        .where(held.message > job.after_message)
        .where(held.tick_max_ms >= job.tick_from_ms, held.tick_min_ms < job.tick_until_ms)
        .order_by(held.message)
        .limit(count_max)
    )
    found = list(ids.scalars())
    return Reread(
        job.id,
        job.utility,
        job.gateway,
        job.boot,
        job.tick_from_ms,
        job.tick_until_ms,
        job.offset_before_ms,
        messages_by_id(connection, found) if found else [],
        found[-1] if found else None,
    )


def settle_reread(connection: sa.Connection, reread: Reread) -> None:
    """Record that a piece is done; without messages the whole span is."""
    table = schema.reread
    if reread.last_message is None:
        connection.execute(sa.delete(table).where(table.c.id == reread.id))
    else:
        connection.execute(sa.update(table).where(table.c.id == reread.id).values(after_message=reread.last_message))
