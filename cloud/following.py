"""How rooms follow the head-end: read committed messages in an order in which none can appear late, one at a time.

Work is done in steps: a step reads, writes what it made and moves its cursor in one transaction, and says whether there
was anything to do. `keep_following` runs the steps; what a step does is the room's business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import upsert, visible_below
from cloud.prepared import Prepared
from wire import codec
from wire.errors import MalformedError
from wire.facts import UpFact
from wire.messages import Batch, Message, facts_of
from wire.runtime.backoff import Backoff
from wire.runtime.errors import UnavailableError

IDLE_SECONDS = 1.0
"""Longest wait for a notice: other processes give none."""
GATHER_SECONDS = 0.3
"""After a notice, what is committed so soon after is read in one step, and those whose commits matter more go first."""
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


_POSITION = Prepared(
    sa.select(schema.cursor.c.tx, schema.cursor.c.message).where(schema.cursor.c.name == sa.bindparam("of"))
)
_COLUMNS = [schema.message.c[name] for name in ("id", "tx", "utility", "gateway", "received_at_ms", "sealed")]


def next_of(
    table: sa.Table, columns: Sequence[sa.ColumnElement[Any]], *conditions: sa.ColumnElement[bool]
) -> sa.CompoundSelect[Any]:
    """Return a query for the rows behind a cursor before which none can appear any more, by (tx, id).

    Its parameters are those of `next_after`, and `count_max`. Two ranges, since SQLite would bound a comparison of
    pairs by `tx` alone, which is 0 for all of its rows, and walk over all that was read before.

    Args:
        table: With `tx` and `id`, and an index on them.
        columns: What is asked for, these two among them.
        conditions: What else must hold.
    """
    after_tx = sa.bindparam("after_tx", type_=sa.BigInteger)
    is_settled = table.c.tx < sa.bindparam("visible_below", type_=sa.BigInteger)
    count_max = sa.bindparam("count_max", type_=sa.Integer)
    ranges = (
        sa.and_(table.c.tx == after_tx, table.c.id > sa.bindparam("after_message", type_=sa.BigInteger)),
        table.c.tx > after_tx,
    )
    parts = [
        sa.select(*columns)
        .where(is_next, is_settled, *conditions)
        .order_by(table.c.tx, table.c.id)
        .limit(count_max)
        .subquery()
        for is_next in ranges
    ]
    return sa.union_all(*(sa.select(part) for part in parts)).order_by("tx", "id").limit(count_max)


_NEXT = Prepared(next_of(schema.message, _COLUMNS, schema.message.c.quarantine_reason.is_(None)))


def take_turn(connection: sa.Connection, name: str) -> None:
    """Wait until no other transaction works for the follower `name`; the turn ends with this transaction.

    On SQLite a transaction has the database to itself as it is.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"follower {name}"})


def position_of(connection: sa.Connection, name: str) -> tuple[int, int]:
    """Return how far the follower `name` has read, as (tx, id) of a message; no other process moves it meanwhile."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"cursor {name}"})
    at = _POSITION.first(connection, {"of": name})
    return (at.tx, at.message) if at else (0, 0)


def next_after(connection: sa.Connection, name: str) -> dict[str, int]:
    """Return the parameters of `next_of` for the cursor `name`.

    Takes the follower's turn first, so that two processes never work from one cursor.
    """
    take_turn(connection, name)
    tx, message = position_of(connection, name)
    return {"after_tx": tx, "after_message": message, "visible_below": visible_below(connection)}


def next_messages(connection: sa.Connection, name: str, *, count_max: int, behind: str | None = None) -> list[Followed]:
    """Return the messages after the cursor `name`, oldest first, quarantined ones left out.

    Args:
        connection: In a transaction.
        name: The follower.
        count_max: How many at most.
        behind: Another follower, beyond whose cursor nothing is returned.
    """
    rows = _NEXT.all(connection, next_after(connection, name) | {"count_max": count_max})
    found = [Followed(*row) for row in rows]
    if behind is None or not found:
        return found
    last = position_of(connection, behind)
    return [message for message in found if (message.tx, message.id) <= last]


def messages_by_id(connection: sa.Connection, ids: Iterable[int]) -> list[Followed]:
    """Return messages by id, quarantined ones left out."""
    table = schema.message.c
    query = sa.select(*_COLUMNS).where(table.id.in_(list(ids))).where(table.quarantine_reason.is_(None))
    return [Followed(*row) for row in connection.execute(query.order_by(table.id))]


def facts_in(message: Followed) -> list[UpFact]:
    """Return the facts of a committed message, whose signature the head-end checked before it committed it.

    Raises:
        WireError: It holds none, which the head-end should have seen.
    """
    match codec.decode_strict(message.sealed[1:]):
        case [bytes(), dict(), bytes() as payload, bytes()]:
            batch = codec.decode_message(payload, Message)
        case _:
            raise MalformedError("not the four parts of a COSE_Sign1")
    if not isinstance(batch, Batch):
        raise MalformedError(f"a {type(batch).__name__} stands among the batches")
    return facts_of(batch)


def advance(connection: sa.Connection, name: str, *, tx: int, message: int) -> None:
    """Set the cursor `name` behind a message, in the transaction that holds what was made of it."""
    upsert(connection, schema.cursor, [{"name": name, "tx": tx, "message": message}])


def advance_from(connection: sa.Connection, name: str, position: tuple[int, int], *, tx: int, message: int) -> None:
    """Set the cursor `name` behind what was read from a position on; it stays where another process moved it since."""
    if position_of(connection, name) == position:
        advance(connection, name, tx=tx, message=message)


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
    await asyncio.sleep(GATHER_SECONDS)
