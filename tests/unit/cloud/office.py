"""The cloud's database with one gateway and its meter, and the head-end's functions as the shells call them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from cloud import schema
from cloud.database import sqlite_engine, upsert
from cloud.headend.adapters.ingest import Ingested, ingest
from cloud.headend.adapters.sessions import open_session
from cloud.headend.core.admission import AdmittedBatch, AdmittedHello
from wire.address import Address, Direction, Kind
from wire.facts import FactsHeld, Receipt, Stage, UpFact
from wire.keys import Purpose, SigningKey
from wire.messages import Batch, Hello, Welcome, make_batch, seal_message
from wire.signing import digest_of
from wire.topics import Lane, TopicTree

T = TypeVar("T")
UTILITY = "hillside"
GATEWAY = "gw-1"
METER = "m-1"
CLIENT = "client-1"
NOW_MS = 1_790_000_000_000
TREE = TopicTree(UTILITY)
KEY = SigningKey(bytes([1]) * 32, purpose=Purpose.GATEWAY, party=GATEWAY)
COMMAND_KEY = SigningKey(bytes([2]) * 32, purpose=Purpose.CLOUD_COMMAND, party="cloud")
CREDIT_KEY = SigningKey(bytes([3]) * 32, purpose=Purpose.CLOUD_CREDIT, party="cloud")


class Office:
    """A database of its own; every call is one transaction."""

    def __init__(self, folder: Path) -> None:
        self.engine = sqlite_engine(f"sqlite:///{folder / 'cloud.sqlite3'}")
        self._index = 0
        self.transact(self._settle)

    def _settle(self, connection: sa.Connection) -> None:
        schema.metadata.create_all(connection)
        scope = {"effects": "disconnect,reconnect", "meters": "*"}
        upsert(connection, schema.client, [{"utility": UTILITY, "name": CLIENT} | scope])
        row = {"utility": UTILITY, "meter": METER, "from_ms": 0, "gateway": GATEWAY, "until_ms": None}
        upsert(connection, schema.assignment, [row])

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def hello(
        self, boot: int, *, facts_held: bytes = bytes(16), journal: int = 1, store: int = 1, now_ms: int = NOW_MS
    ) -> Welcome:
        """A gateway says hello, in a run of its program."""
        hello = Hello(
            nonce=bytes([boot]) * 16,
            software="test",
            boot=bytes([boot]) * 8,
            store=bytes([store]) * 8,
            tick_ms=0,
            journal_index=journal,
            journal_digest=bytes([journal]) * 32,
            facts_held=facts_held,
            epoch=1,
            meters=[METER],
        )
        admitted = AdmittedHello(utility=UTILITY, gateway=GATEWAY, hello=hello)
        return self.transact(lambda connection: open_session(connection, admitted, now_ms=now_ms))

    def batch(self, facts: Sequence[UpFact]) -> AdmittedBatch:
        """Return a batch of the gateway."""
        self._index += 1
        batch: Batch = make_batch(facts, store=bytes([1]) * 8, index=self._index)
        sealed = seal_message(batch, Address(UTILITY, Direction.UP, Kind.BATCH, GATEWAY), KEY)
        return AdmittedBatch(
            utility=UTILITY,
            gateway=GATEWAY,
            lane=Lane.URGENT,
            digest=digest_of(sealed),
            sealed=sealed,
            facts=list(facts),
        )

    def take(self, *batches: AdmittedBatch, now_ms: int = NOW_MS) -> Ingested:
        """Commit a group of batches."""
        return self.transact(lambda connection: ingest(connection, UTILITY, list(batches), [], epoch=1, now_ms=now_ms))

    def count(self, table: sa.Table) -> int:
        """Return how many rows a table has."""
        return self.transact(
            lambda connection: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        )


def held(fact: bytes, boot: int) -> FactsHeld:
    """A gateway says in some run that it holds a fact."""
    return FactsHeld(facts=[fact], boot=bytes([boot]) * 8, tick_ms=5)


def receipt(command: bytes, stage: Stage) -> Receipt:
    """What a gateway says became of a command."""
    return Receipt(
        command=command,
        meter=METER,
        stage=stage,
        boot=bytes(8),
        tick_ms=5,
        detail="",
        relay_closed=None,
        values=[],
        journal_index=1,
        journal_digest=bytes(32),
    )
