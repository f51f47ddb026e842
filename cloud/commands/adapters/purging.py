"""Commands and requests long over are forgotten, so that the tables do not grow for ever.

A request whose deadline is over is refused as expired without a look at what was asked before, so nothing runs twice
for having been forgotten. What was signed, and the gateways' receipts in their batches, stay as evidence.
"""

import asyncio
from functools import partial
from random import Random

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import Database
from wire.runtime.backoff import Backoff
from wire.runtime.clock import Clock
from wire.runtime.errors import UnavailableError

COMMANDS_PER_TURN = 1_000
PURGE_EVERY_S = 3_600.0
_command = schema.command.c
OVER = (
    sa.select(_command.id, _command.client, _command.request)
    .where(_command.utility == sa.bindparam("of"), _command.not_after_ms < sa.bindparam("before_ms"))
    .where(_command.due_at_ms.is_(None))
    .order_by(_command.not_after_ms)
    .limit(COMMANDS_PER_TURN)
)
_log = structlog.get_logger()


def purge(connection: sa.Connection, utility: str, *, before_ms: int) -> int:
    """Forget commands whose deadline lies before an instant, and requests that none is left of; return how many.

    Args:
        connection: In a transaction.
        utility: Whose.
        before_ms: UTC, well in the past.
    """
    rows = connection.execute(OVER, {"of": utility, "before_ms": before_ms}).all()
    if not rows:
        return 0
    table = schema.request.c
    connection.execute(
        sa.delete(schema.command).where(_command.utility == utility, _command.id.in_([row.id for row in rows]))
    )
    has_commands = sa.exists().where(
        _command.utility == table.utility, _command.client == table.client, _command.request == table.id
    )
    for client, request in sorted({(row.client, bytes(row.request)) for row in rows}):
        connection.execute(
            sa.delete(schema.request)
            .where(table.utility == utility, table.client == client, table.id == request)
            .where(~has_commands)
        )
    return len(rows)


async def keep_purging(database: Database, utility: str, *, kept_ms: int, clock: Clock, rng: Random) -> None:
    """Forget what is over, some at a time, each hour."""
    backoff = Backoff(rng=rng, delay_ms=1_000, delay_ms_max=600_000)
    while True:
        try:
            before_ms = clock.wall_ms() - kept_ms
            count = await database.transact(partial(purge, utility=utility, before_ms=before_ms))
        except UnavailableError:
            await asyncio.sleep(backoff.next_delay_ms() / 1_000)
            continue
        backoff.reset()
        if count:
            _log.info("commands.purged", commands=count)
        await asyncio.sleep(1.0 if count == COMMANDS_PER_TURN else PURGE_EVERY_S)
