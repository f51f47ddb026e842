"""Gateways with 250 meters each as the cloud gets to know them: signed batches, and databases that hold them.

Every meter is its gateway's own, so that its readings are placed; the values are those of the simulated households.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import sqlalchemy as sa

from cloud import schema
from cloud.database import open_database
from cloud.following import advance, facts_in, next_messages
from cloud.headend.adapters.ingest import ingest
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, learn_clocks, record_spans
from cloud.meterdata.core.placing import stated_in
from tests.bench.batches import METERS, Sealed, batch_address
from tests.bench.installation import UTILITY, Keys, gateway_names, prepare_database
from wire.facts import ClockFact, TimeSource, UpFact
from wire.messages import facts_of, make_batch, seal_message
from wire.readings import to_block
from wire.signing import digest_of
from wire.topics import Lane

BOOT = bytes.fromhex("3c81d2a09f4b7e55")
NOW_MS = 1_780_400_000_000
MESSAGES_PER_STEP = 500


def reports(keys: Keys, *, slots: int) -> Iterator[tuple[Sealed, list[UpFact]]]:
    """Make a batch of each gateway for each slot, slot by slot; the first of a gateway tells its clock.

    Args:
        keys: Of the gateways.
        slots: How many times all meters are read.
    """
    from tests.bench.households import BOOT_TICK_MS, START_MS, households  # noqa: PLC0415 - slow to load

    source = households(METERS)
    utc_ms = START_MS - BOOT_TICK_MS
    clock = ClockFact(boot=BOOT, tick_ms=0, utc_ms=utc_ms, error_ms=20, source=TimeSource.WELCOME)
    for slot in range(slots):
        block = to_block(BOOT, source.channels, source.snapshot(slot))
        for key in keys.gateways:
            name = key.public.party
            of_gateway = msgspec.structs.replace(block, meters=meters_of(name))
            facts: list[UpFact] = [of_gateway] if slot else [clock, of_gateway]
            batch = make_batch(facts, store=bytes(8), index=slot)
            yield Sealed(name, seal_message(batch, batch_address(name), key)), facts_of(batch)


def meters_of(gateway: str) -> list[str]:
    """Return the meters of a gateway, in order."""
    return [f"EM-{gateway}-{number:03}" for number in range(METERS)]


async def make_database(path: Path, keys: Keys) -> str:
    """Make a SQLite database that knows gateways and meters; return its URL."""
    url = f"sqlite:///{path}"
    await prepare_database(url, keys)
    rows = [
        {"utility": UTILITY, "meter": meter, "from_ms": 0, "gateway": gateway, "until_ms": None}
        for gateway in gateway_names(len(keys.gateways))
        for meter in meters_of(gateway)
    ]
    async with open_database(url) as database:
        await database.transact(lambda connection: connection.execute(sa.insert(schema.assignment), rows))
    return url


async def commit(url: str, made: Iterable[tuple[Sealed, Sequence[UpFact]]]) -> None:
    """Commit batches as the head-end does, and let the projector know the clocks but place nothing."""
    batches = [
        AdmittedBatch(
            utility=UTILITY,
            gateway=item.gateway,
            lane=Lane.BULK,
            digest=digest_of(item.bytes),
            sealed=item.bytes,
            facts=list(facts),
        )
        for item, facts in made
    ]

    def learn(connection: sa.Connection) -> bool:
        messages = next_messages(connection, DAYS_FOLLOWER, count_max=MESSAGES_PER_STEP)
        stated = [(message, stated_in(facts_in(message))) for message in messages]
        learn_clocks(connection, stated)
        record_spans(connection, stated)
        if messages:
            advance(connection, DAYS_FOLLOWER, tx=messages[-1].tx, message=messages[-1].id)
        return bool(messages)

    async with open_database(url) as database:
        for first in range(0, len(batches), MESSAGES_PER_STEP):
            await database.transact(partial(_ingest, batches=batches[first : first + MESSAGES_PER_STEP]))
        while await database.transact(learn):
            pass
        # Nothing is to be read again: what is fed is what is new.
        await database.transact(lambda connection: connection.execute(sa.delete(schema.reread)))


def _ingest(connection: sa.Connection, *, batches: Sequence[AdmittedBatch]) -> None:
    ingest(connection, UTILITY, batches, (), epoch=1, now_ms=NOW_MS)


def waiting_count(path: Path, follower: str) -> int:
    """Return how many messages a follower has not read yet."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM message WHERE id > coalesce((SELECT message FROM cursor WHERE name = ?), 0)"
        return int(connection.execute(query, (follower,)).fetchone()[0])
