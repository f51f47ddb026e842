"""The prepaid room by itself: accounts are closed and follow their meters, in short transactions, for ever."""

import asyncio
from random import Random

import structlog

from cloud.database import Database
from cloud.headend.adapters.down_facts import drop_superseded
from cloud.prepaid.adapters.closing import ACCOUNTS_PER_TURN, close_due
from cloud.prepaid.adapters.moving import follow_assignments, forward_points
from cloud.prepaid.core.closing import ClosingRules
from wire.runtime.backoff import Backoff
from wire.runtime.clock import Clock
from wire.runtime.errors import UnavailableError

TURN_EVERY_S = 10.0
PAUSE_S = 0.1
"""Between two turns of many accounts: what others want of the database goes first."""
TIDY_EVERY_MS = 60_000
_log = structlog.get_logger()


async def keep_accounts(database: Database, utility: str, *, rules: ClosingRules, clock: Clock, rng: Random) -> None:
    """Take turns for ever; wait longer while the database is away."""
    backoff = Backoff(rng=rng, delay_ms=500, delay_ms_max=60_000)
    tidy_due_ms = clock.monotonic_ms()
    while True:
        try:
            if clock.monotonic_ms() >= tidy_due_ms:
                await tidy(database, utility, clock=clock)
                tidy_due_ms = clock.monotonic_ms() + TIDY_EVERY_MS
            more = await close_some(database, utility, rules=rules, clock=clock)
        except UnavailableError as error:
            _log.warning("accounts.wait", problem=str(error))
            await asyncio.sleep(backoff.next_delay_ms() / 1_000)
            continue
        backoff.reset()
        await asyncio.sleep(PAUSE_S if more else TURN_EVERY_S)


async def close_some(database: Database, utility: str, *, rules: ClosingRules, clock: Clock) -> bool:
    """Close accounts that are due and tell whether there are more.

    Raises:
        UnavailableError: The database is away.
    """
    now_ms = clock.wall_ms()
    turn = await database.transact(lambda connection: close_due(connection, utility, rules=rules, now_ms=now_ms))
    if turn.made:
        _log.info("accounts.closed", accounts=turn.made)
    for account, problem in turn.problems:
        _log.warning("account.not_closed", account=account, problem=problem)
    return turn.looked == ACCOUNTS_PER_TURN


async def tidy(database: Database, utility: str, *, clock: Clock) -> None:
    """Let accounts follow their meters, and forget facts that boxes have dropped.

    Raises:
        UnavailableError: The database is away.
    """
    now_ms = clock.wall_ms()
    moved = await database.transact(lambda connection: follow_assignments(connection, utility, now_ms=now_ms))
    if moved:
        _log.info("accounts.moved", accounts=moved)
    await database.transact(lambda connection: forward_points(connection, utility, now_ms=now_ms))
    await database.transact(lambda connection: drop_superseded(connection, utility))
