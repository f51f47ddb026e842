"""Ingest: from the broker to the commit, against a bare loop over the same batches."""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from cloud import schema
from cloud.database import current_tx, open_database
from tests.bench.batches import write_batches
from tests.bench.installation import (
    UTILITY,
    Keys,
    bench_process,
    cloud_process,
    make_keys,
    prepare_database,
    working_folder,
)
from tests.bench.measure import Spent, compared, cpu_s, in_turns
from tests.bench.report import Aim, Line, Section
from tests.rig.brokers import mosquitto
from tests.rig.postgres import PostgresServer
from tests.rig.processes import ManagedProcess

GATEWAYS = 25
BATCHES = 400
"""In a round, for each case."""
ROUNDS = 5
GROUP = 64
"""The head-end's own bound on a group commit."""
HELD = 2_000
"""Batches in each database at the start; ten times as many in those called full."""
SEALED_BYTES = 4_100
ENGINES = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all cases share."""

    folder: Path
    keys: Keys
    port: int
    files: Sequence[Path]
    registry: Path
    """The gateways' public keys."""


@dataclass(frozen=True, slots=True)
class _Headend:
    """A head-end with a topic tree and a database of its own."""

    bench: _Bench
    root: str
    process: ManagedProcess

    async def round(self, number: int) -> Spent:
        """Publish a file and wait for the last acknowledgement."""
        publisher = bench_process(
            "publisher",
            *(str(self.bench.port), self.root, self.bench.keys.trusted, self.bench.files[number]),
            name=f"publisher-{self.root}-{number}",
            folder=self.bench.folder,
        )
        before_s = cpu_s(self.process.pid)
        answer = publisher.start_ready(seconds_max=60)
        publisher.terminate()
        return Spent(wall_s=answer["wall_s"], cpu_s=cpu_s(self.process.pid) - before_s)


async def bench_ingest() -> list[Section]:
    """Compare the head-end with a bare loop that checks and stores the same batches.

    Ours is the real process (`rooms = ["headend"]`) behind a real Mosquitto: a publisher of its own sends batches of
    25 gateways that were signed beforehand, and the round ends with the last signed acknowledgement. The baseline is
    one process that verifies, decodes, validates and inserts the same bytes by the same functions of `wire` into the
    same tables, with the same bound on a group commit, through the plain database driver: the least that ingest can
    cost. Compared is the processor time of the process, since both cores of the machine are shared; the database's
    own processor time is no part of it. A full database holds ten times as many batches from the start.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(working_folder())
        keys = make_keys(folder, gateways=GATEWAYS)
        broker = await stack.enter_async_context(mosquitto(folder / "broker"))
        files = write_batches(folder, keys.gateways, files=ROUNDS + 1, per_file=BATCHES)
        registry = folder / "registry"
        registry.mkdir()
        for key in keys.gateways:
            name = f"{key.public.party}.pub"
            (registry / name).write_bytes((keys.folder / name).read_bytes())
        bench = _Bench(folder, keys, broker.running.port, files, registry)
        server = PostgresServer()
        stack.callback(server.close)
        server.start()
        return [await _engine(stack, bench, engine, server) for engine in ENGINES]


async def _engine(stack: AsyncExitStack, bench: _Bench, engine: str, server: PostgresServer) -> Section:
    cases: dict[str, Callable[[int], Awaitable[Spent]]] = {}
    urls = {}
    for case, held in (("bare", HELD), ("headend", HELD), ("full", HELD * 10)):
        name = f"{engine}-{case}".lower()
        url = f"sqlite:///{bench.folder / name}.db"
        if engine == "PostgreSQL":
            url = server.url(server.create_database())
        await prepare_database(url, bench.keys)
        await _fill(url, held)
        urls[case] = url
    headends = {case: _start(stack, bench, f"{engine}-{case}".lower(), urls[case]) for case in ("headend", "full")}
    cases["bare"] = lambda number: _bare(bench, urls["bare"], number)
    cases |= {case: headend.round for case, headend in headends.items()}
    found = await in_turns(ROUNDS, cases)
    return _section(engine, found, {case: headend.process for case, headend in headends.items()})


def _start(stack: AsyncExitStack, bench: _Bench, root: str, url: str) -> _Headend:
    process = cloud_process(
        bench.folder, root, database=url, keys=bench.keys, rooms=["headend"], port=bench.port, topic_root=root
    )
    stack.callback(process.close)
    process.start_ready()
    return _Headend(bench, root, process)


async def _bare(bench: _Bench, url: str, number: int) -> Spent:
    process = bench_process(
        "bare_ingest",
        *(url, bench.registry, bench.files[number], str(GROUP)),
        name=f"bare-{number}",
        folder=bench.folder,
    )
    answer = process.start_ready(seconds_max=60)
    process.terminate()
    return Spent(wall_s=answer["wall_s"], cpu_s=answer["cpu_s"])


async def _fill(url: str, count: int) -> None:
    """Put batches of other gateways into a database, without their content."""

    def insert(connection: sa.Connection) -> None:
        tx = current_tx(connection)
        for start in range(0, count, 1_000):
            rows = [
                {
                    "tx": tx,
                    "utility": UTILITY,
                    "digest": os.urandom(32),
                    "gateway": f"other-{number % GATEWAYS}",
                    "lane": "bulk",
                    "received_at_ms": 0,
                    "sealed": os.urandom(SEALED_BYTES),
                }
                for number in range(start, min(start + 1_000, count))
            ]
            connection.execute(sa.insert(schema.message), rows)

    async with open_database(url) as database:
        await database.transact(insert)


def _section(engine: str, found: dict[str, list[Spent]], processes: dict[str, ManagedProcess]) -> Section:
    cpu_us = {case: [spent.cpu_s / BATCHES * 1e6 for spent in rounds] for case, rounds in found.items()}
    rate = {case: median(BATCHES / spent.wall_s for spent in rounds) for case, rounds in found.items()}
    ours = compared(cpu_us["bare"], cpu_us["headend"])
    full = compared(cpu_us["headend"], cpu_us["full"])
    full_wall = compared([spent.wall_s for spent in found["headend"]], [spent.wall_s for spent in found["full"]])
    usage = processes["headend"].usage()
    return Section(
        title=f"Ingest of 250 x 8 batches through MQTT to the commit, {engine}",
        compared="Batches a second of the process's own processor time; full: ten times as many batches held before.",
        lines=[
            Line(
                what="batches per CPU second",
                measured=1e6 / median(cpu_us["headend"]),
                unit="/s",
                against="bare loop",
                baseline=1e6 / median(cpu_us["bare"]),
                ratio=ours.ratio,
                spread=ours.spread,
                aim=Aim(bound=0.7, at_least=True),
            ),
            Line(
                what="batches per CPU second, full database",
                measured=1e6 / median(cpu_us["full"]),
                unit="/s",
                against=f"with {HELD} batches held",
                baseline=1e6 / median(cpu_us["headend"]),
                ratio=full.ratio,
                spread=full.spread,
                aim=Aim(bound=0.95, at_least=True),
            ),
            Line(
                what="batches per second, full database",
                measured=rate["full"],
                unit="/s",
                against=f"with {HELD} batches held",
                baseline=rate["headend"],
                ratio=full_wall.ratio,
                spread=full_wall.spread,
            ),
            Line(
                what="processor time of a batch",
                measured=median(cpu_us["headend"]),
                unit="µs",
                against="bare loop",
                baseline=median(cpu_us["bare"]),
            ),
            Line(what="resident memory, highest", measured=usage.rss_bytes_max / 2**20, unit="MiB"),
        ],
    )
