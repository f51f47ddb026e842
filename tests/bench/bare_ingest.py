"""The baseline of ingest: one loop, one connection, nothing around it; a process of its own.

    python -m tests.bench.bare_ingest DATABASE_URL TRUSTED_KEYS BATCHES_FILE GROUP

It checks and stores the same batches as the head-end does: signature, decoding, every bound, the signed bytes in
the same table with the same indexes, GROUP batches a commit. It has no broker, no acknowledgements,
no presence of gateways, and drives the database's own driver. Prints what the loop cost.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

import asyncpg

from tests.bench.batches import Sealed, batch_address, read_batches
from tests.bench.installation import UTILITY
from wire.address import Kind
from wire.keys import KeyRegistry, PinnedKeys, Purpose
from wire.messages import Batch, facts_of, message_of
from wire.readings import Readings, to_table
from wire.runtime.keyring import load_public_keys
from wire.signing import open_sealed

Checked = tuple[str, bytes, bytes]
"""Gateway, digest, signed bytes."""
_MESSAGE = (
    "INSERT INTO message (tx, utility, digest, gateway, lane, received_at_ms, sealed)"
    " VALUES (0, ?, ?, ?, 'bulk', ?, ?) ON CONFLICT DO NOTHING RETURNING id"
)
_MESSAGES_PG = (
    "INSERT INTO message (tx, utility, digest, gateway, lane, received_at_ms, sealed)"
    " SELECT pg_current_xact_id()::text::bigint, $1, item.digest, item.gateway, 'bulk', $2, item.sealed"
    " FROM unnest($3::bytea[], $4::text[], $5::bytea[]) AS item (digest, gateway, sealed)"
    " ON CONFLICT DO NOTHING RETURNING id, digest"
)


def checked(batch: Sealed, keys: KeyRegistry) -> Checked:
    """Verify, decode and validate one batch."""
    opened = open_sealed(batch.bytes, batch_address(batch.gateway), keys, Purpose.GATEWAY)
    message = message_of(opened, Kind.BATCH)
    assert isinstance(message, Batch)
    for fact in facts_of(message):
        if isinstance(fact, Readings):
            to_table(fact)
    return batch.gateway, opened.digest, batch.bytes


def groups(batches: Sequence[Sealed], keys: KeyRegistry, size: int) -> Iterator[list[Checked]]:
    """Check batches, a group at a time."""
    for start in range(0, len(batches), size):
        yield [checked(batch, keys) for batch in batches[start : start + size]]


def into_sqlite(path: str, work: Iterator[list[Checked]]) -> None:
    """Store groups in SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for group in work:
        connection.execute("BEGIN IMMEDIATE")
        for gateway, digest, sealed in group:
            connection.execute(_MESSAGE, (UTILITY, digest, gateway, 0, sealed)).fetchone()
        connection.execute("COMMIT")
    connection.close()


async def into_postgresql(url: str, work: Iterator[list[Checked]]) -> None:
    """Store groups in PostgreSQL."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    for group in work:
        gateways, digests, sealed = (list(column) for column in zip(*group, strict=True))
        async with connection.transaction():
            await connection.fetch(_MESSAGES_PG, UTILITY, 0, digests, gateways, sealed)
    await connection.close()


def main(url: str, keys_folder: Path, file: Path, size: int) -> None:
    """Store a file's batches and print what it cost."""
    batches = read_batches(file)
    work = groups(batches, PinnedKeys(load_public_keys(keys_folder)), size)
    run: Callable[[], object]
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        run = lambda: into_sqlite(path, work)  # noqa: E731
    else:
        run = lambda: asyncio.run(into_postgresql(url, work))  # noqa: E731
    wall_s, cpu_s = perf_counter(), process_time()
    run()
    cost = {"wall_s": perf_counter() - wall_s, "cpu_s": process_time() - cpu_s}
    print(json.dumps({"ready": True} | cost), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
