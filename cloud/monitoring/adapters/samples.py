"""Samples: lines that nobody can compute later, kept in the database for some days and delivered from there.

They are read by a cursor like messages, so none is passed over that was committed late, and a server that was away for
days gets them all. They are packed and unpacked outside of transactions.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
import zstandard

from cloud import schema
from cloud.database import Database, current_tx
from cloud.following import advance_from, next_after, next_of, position_of
from cloud.monitoring.adapters.delivery import Outlet
from cloud.monitoring.adapters.failures import Failures
from cloud.prepared import Prepared

SAMPLES_FOLLOWER = "samples"
SAMPLES_PER_STEP_MAX = 16
LINES_PER_SAMPLE_MAX = 5_000
BODY_BYTES_MAX = 16_000_000
PRUNED_PER_STEP_MAX = 100
"""Of samples that may be some 100 kB each: on SQLite the head-end waits meanwhile."""


NEXT = Prepared(next_of(schema.sample, [schema.sample.c[name] for name in ("id", "tx", "body")]))


class Sample(NamedTuple):
    """Lines that were written down together."""

    id: int
    tx: int
    body: bytes

    def lines(self) -> list[str]:
        """Return them."""
        return zstandard.decompress(self.body, max_output_size=BODY_BYTES_MAX).decode().split("\n")


class Taken(NamedTuple):
    """Samples to be delivered."""

    samples: list[Sample]
    position: tuple[int, int]
    """Where the cursor stood."""


def packed(lines: Sequence[str]) -> list[bytes]:
    """Return lines as they are kept, in pieces of bounded size."""
    starts = range(0, len(lines), LINES_PER_SAMPLE_MAX)
    return [zstandard.compress("\n".join(lines[at : at + LINES_PER_SAMPLE_MAX]).encode()) for at in starts]


def keep_sample(connection: sa.Connection, utility: str, bodies: Sequence[bytes], *, at_ms: int) -> None:
    """Write packed lines down, to be delivered."""
    tx = current_tx(connection)
    rows = [{"tx": tx, "utility": utility, "at_ms": at_ms, "body": body} for body in bodies]
    if rows:
        connection.execute(sa.insert(schema.sample), rows)


def next_samples(connection: sa.Connection, *, count_max: int = SAMPLES_PER_STEP_MAX) -> Taken:
    """Return the samples after the cursor, oldest first; waits for its turn."""
    rows = NEXT.all(connection, next_after(connection, SAMPLES_FOLLOWER) | {"count_max": count_max})
    return Taken([Sample(*row) for row in rows], position_of(connection, SAMPLES_FOLLOWER))


def settle_samples(connection: sa.Connection, taken: Taken) -> None:
    """Record that samples were delivered; the cursor stays where another process moved it meanwhile."""
    last = taken.samples[-1]
    advance_from(connection, SAMPLES_FOLLOWER, taken.position, tx=last.tx, message=last.id)


def samples_between(connection: sa.Connection, utility: str, *, from_ms: int, until_ms: int) -> list[Sample]:
    """Return the samples kept of a period, oldest first."""
    table = schema.sample.c
    query = (
        sa.select(table.id, table.tx, table.body)
        .where(table.utility == utility, table.at_ms >= from_ms, table.at_ms < until_ms)
        .order_by(table.at_ms, table.id)
    )
    return [Sample(*row) for row in connection.execute(query)]


def lines_of_samples(samples: Sequence[Sample], *, failures: Failures) -> list[str]:
    """Return the lines of samples; one that cannot be read is left out."""
    lines: list[str] = []
    for sample in samples:
        with failures.withstood("sample", sample=sample.id):
            lines += sample.lines()
    return lines


def prune_samples(connection: sa.Connection, utility: str, *, before_ms: int) -> int:
    """Forget some of the samples of before an instant, delivered or not, and return how many."""
    table = schema.sample
    old = sa.select(table.c.id).where(table.c.utility == utility, table.c.at_ms < before_ms).limit(PRUNED_PER_STEP_MAX)
    return connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount


class SampleFollower:
    """Delivers samples, a piece a step.

    Args:
        database: Where they are kept.
        outlet: Where they go.
        failures: Withstands a sample that cannot be read, which is left out.
    """

    def __init__(self, database: Database, outlet: Outlet, *, failures: Failures) -> None:
        self._database = database
        self._outlet = outlet
        self._failures = failures

    async def step(self) -> bool:
        """Deliver a piece; tell whether there was one.

        Raises:
            UnavailableError: Database or InfluxDB.
        """
        taken = await self._database.transact(next_samples)
        if not taken.samples:
            return False
        await self._outlet.send(await asyncio.to_thread(lines_of_samples, taken.samples, failures=self._failures))
        await self._database.transact(partial(settle_samples, taken=taken))
        return True
