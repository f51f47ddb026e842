"""How rooms follow the head-end: read committed messages in an order in which none can appear late, one reader at a time.

Work is done in steps: a step reads, writes what it made and moves its cursor in one transaction, and says whether there was
anything to do. `keep_following` runs the steps; what a step does is the room's business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import upsert, visible_below
from wire import codec
from wire.errors import MalformedError
from wire.facts import UpFact
from wire.messages import Batch, Message, facts_of
from wire.runtime.backoff import Backoff
from wire.runtime.errors import UnavailableError

IDLE_SECONDS = 1.0
"""Longest wait for a notice: other processes give none."""
RETRY_DELAY_MS = 500
RETRY_DELAY_MS_MAX = 60_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Followed:
    """A committed message as a follower sees it."""

    id: int
    tx: int
    utility: str
    gateway: str
    received_at_ms: int
    sealed: bytes


def position_of(connection: sa.Connection, name: str) -> tuple[int, int]:
    """Return how far the follower `name` has read, as (tx, id) of a message."""
    at = connection.execute(
        sa.select(schema.cursor.c.tx, schema.cursor.c.message).where(schema.cursor.c.name == name)
    ).one_or_none()
    return (at.tx, at.message) if at else (0, 0)


def is_next(connection: sa.Connection, name: str) -> sa.ColumnElement[bool]:
    """Return the condition under which a message is behind the cursor `name` and none can appear before it any more."""
    table = schema.message.c
    after = sa.tuple_(table.tx, table.id) > position_of(connection, name)
    return sa.and_(after, table.tx < visible_below(connection))


def next_messages(connection: sa.Connection, name: str, *, count_max: int) -> list[Followed]:
    """Return the messages after the cursor `name`, oldest first, quarantined ones left out."""
    table = schema.message.c
    rows = connection.execute(
        sa.select(table.id, table.tx, table.utility, table.gateway, table.received_at_ms, table.sealed)
        .where(is_next(connection, name))
        .where(table.quarantine_reason.is_(None))
        .order_by(table.tx, table.id)
        .limit(count_max)
    )
    return [Followed(row.id, row.tx, row.utility, row.gateway, row.received_at_ms, row.sealed) for row in rows]


def advance(connection: sa.Connection, name: str, *, tx: int, message: int) -> None:
    """Set the cursor `name` behind a message, in the transaction that holds what was made of it."""
    upsert(connection, schema.cursor, [{"name": name, "tx": tx, "message": message}])


async def keep_following(name: str, step: Callable[[], Awaitable[bool]], *, notice: asyncio.Event, rng: Random) -> None:
    """Run steps for ever: while there is work, on notice, or every second; back off while something is unavailable.

    Args:
        name: The follower, for the log.
        step: Does a bounded piece of work and tells whether there was any.
        notice: Set by whoever knows that there is work.
        rng: For the jitter of the back-off.
    """
    backoff = Backoff(rng=rng, delay_ms=RETRY_DELAY_MS, delay_ms_max=RETRY_DELAY_MS_MAX)
    lost = False
    while True:
        notice.clear()
        try:
            worked = await step()
        except UnavailableError as error:
            if not lost:
                _log.warning("follower.lost", follower=name, problem=str(error))
            lost = True
            await asyncio.sleep(backoff.next_delay_ms() / 1000)
            continue
        if lost:
            _log.info("follower.recovered", follower=name)
        lost = False
        backoff.reset()
        if not worked:
            await _heard(notice)


async def _heard(notice: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            await notice.wait()
    except TimeoutError:
        return


def _position(connection: sa.Connection, name: str) -> tuple[int, int]:
    at = connection.execute(
        sa.select(schema.cursor.c.tx, schema.cursor.c.message).where(schema.cursor.c.name == name)
    ).one_or_none()
    return (at.tx, at.message) if at else (0, 0)
