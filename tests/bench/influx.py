"""The copy in InfluxDB: how fast it is written, what it costs the ingest, and what an absent InfluxDB does to that."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median

from cloud.database import open_database
from cloud.meterdata.adapters.placement import known_of
from cloud.monitoring.adapters.delivery import LINES_PER_WRITE_MAX
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.feeder import MESSAGES_PER_STEP_MAX, Taken, lines_of, read, take
from cloud.tally import Tally
from tests.bench.batches import METERS
from tests.bench.influx_away import FILES, bench_away
from tests.bench.influx_clouds import GATEWAYS, TAKEN_IN, Bench, start_cloud, write_files
from tests.bench.installation import bench_process, make_keys, working_folder
from tests.bench.measure import Spent, compared, cpu_s, in_turns
from tests.bench.network import commit, make_database, reports
from tests.bench.report import Aim, Line, Section
from tests.rig.brokers import mosquitto
from tests.rig.influx import InfluxServer
from tests.rig.ports import free_port

ROUNDS = 4
FED = 3 * MESSAGES_PER_STEP_MAX
"""Batches that a round feeds, in whole steps: a step that went beyond would take from the rounds after it."""
LONGER, SHORTER = f"{MESSAGES_PER_STEP_MAX} batches a step", "one batch a step"


async def bench_influx() -> list[Section]:
    """Compare the feeder with a bare loop, and the ingest with and without it.

    *Writing*: the feeder, in a process of its own with the real InfluxDB 1.6, takes batches that are committed and
    projected, and writes their points; the bare loop posts the same lines, made beforehand, in requests of the same
    size, uncompressed as the feeder's, to another database of the same server. Compared is time on the clock, of
    which most is the server's on the same two cores.

    *What monitoring adds*: processor time of the feeder's process for a batch, as many at a time as it takes when it
    has to catch up, and one at a time as on a quiet evening; against the processor time that a process with the rooms
    head-end and meter data takes for such a batch from the broker to its meter days, and against the head-end alone.

    *Ingest with InfluxDB away* is `bench_away`.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(working_folder())
        keys = make_keys(folder, gateways=GATEWAYS)
        servers = [InfluxServer(), InfluxServer()]
        for server in servers:
            stack.callback(server.close)
            server.start()
        broker = await stack.enter_async_context(mosquitto(folder / "broker"))
        bench = Bench(folder, keys, broker.running.port, write_files(folder, keys, count=FILES), *servers)
        return [*await _feeding(bench), *await bench_away(stack, bench)]


async def _feeding(bench: Bench) -> list[Section]:
    database = await _filled(bench)
    files = await _line_files(bench, database)
    cases: dict[str, Callable[[int], Awaitable[Spent]]] = {}
    cases["bare"] = partial(_post, bench, bench.influx.create_database(), files)
    for meters in ("meters", "gateways"):
        for group in (MESSAGES_PER_STEP_MAX, 1):
            own = bench.folder / f"feed-{meters}-{group}.db"
            shutil.copy(database, own)
            cases[f"{meters} {group}"] = partial(_feed, bench, own, bench.influx.create_database(), meters, group)
    found = await in_turns(ROUNDS, cases)
    ingests = await _ingest_costs(bench)
    return [_writing_section(found), _cost_section(found, ingests)]


async def _filled(bench: Bench) -> Path:
    """Return a database with the batches of all rounds."""
    path = bench.folder / "filled.db"
    url = await make_database(path, bench.keys)
    await commit(url, reports(bench.keys, slots=(ROUNDS + 1) * FED // GATEWAYS))
    return path


async def _line_files(bench: Bench, database: Path) -> Sequence[Path]:
    """Write what the feeder would write, a file for each round."""
    failures = Failures(Tally())
    async with open_database(f"sqlite:///{database}") as opened:
        taken: Taken = await opened.transact(partial(take, messages_max=(ROUNDS + 1) * FED))
        messages = read(taken.new, meters=True, failures=failures)
        known = await opened.transact(partial(known_of, messages=messages))
    paths = []
    for number in range(ROUNDS + 1):
        part = messages[number * FED : (number + 1) * FED]
        path = bench.folder / f"lines-{number}"
        path.write_text("\n".join(lines_of(taken, part, known, meters=True, failures=failures)))
        paths.append(path)
    assert not failures.count, "each of these messages can be written"
    return paths


async def _post(bench: Bench, copy: str, files: Sequence[Path], number: int) -> Spent:
    return await _run("bare_post", bench, bench.influx.v1_url, copy, files[number], str(LINES_PER_WRITE_MAX))


async def _feed(bench: Bench, database: Path, copy: str, meters: str, group: int, _number: int) -> Spent:
    url = f"sqlite:///{database}"
    return await _run("feed", bench, url, bench.influx.v1_url, copy, meters, str(group), str(FED))


async def _run(program: str, bench: Bench, *arguments: str | Path) -> Spent:
    process = bench_process(program, *arguments, name=f"{program}-{free_port()}", folder=bench.folder)
    answer = await asyncio.to_thread(process.start_ready, seconds_max=60)
    process.terminate()
    return Spent(wall_s=answer["wall_s"], cpu_s=answer["cpu_s"])


async def _ingest_costs(bench: Bench) -> dict[str, float]:
    """Return the processor seconds of a batch at the head-end alone, and in one process with meter data."""
    costs = {}
    for name, rooms in (("headend", ["headend"]), ("both", ["headend", "meterdata"])):
        async with AsyncExitStack() as stack:
            cloud = await start_cloud(stack, bench, f"cost-{name}", rooms=rooms)
            spent = []
            for number in range(ROUNDS):
                before_s = cpu_s(cloud.process.pid)
                await cloud.publish(number)
                if "meterdata" in rooms:
                    await cloud.projected()
                spent.append((cpu_s(cloud.process.pid) - before_s) / TAKEN_IN)
            # The first round is a warm-up, as everywhere.
            costs[name] = median(spent[1:])
    return costs


def _writing_section(found: dict[str, list[Spent]]) -> Section:
    ours, bare = found[f"meters {MESSAGES_PER_STEP_MAX}"], found["bare"]
    ratio = compared([spent.wall_s for spent in bare], [spent.wall_s for spent in ours])
    rate = {name: median(FED * METERS / spent.wall_s for spent in rounds) for name, rounds in found.items()}
    return Section(
        title="From the commit to InfluxDB",
        compared="Lines of 8 fields a second on the clock, InfluxDB 1.6 on the same machine; uncompressed both.",
        lines=[
            Line(
                what="lines written, catching up",
                measured=rate[f"meters {MESSAGES_PER_STEP_MAX}"],
                unit="/s",
                against="bare loop over the same lines",
                baseline=rate["bare"],
                ratio=ratio.ratio,
                spread=ratio.spread,
                aim=Aim(bound=0.8, at_least=True),
            )
        ],
    )


def _cost_section(found: dict[str, list[Spent]], ingests: dict[str, float]) -> Section:
    lines = []
    for meters, what in (("meters", "with series of meters"), ("gateways", "of gateways only")):
        for group, how in ((MESSAGES_PER_STEP_MAX, LONGER), (1, SHORTER)):
            added_s = median(spent.cpu_s for spent in found[f"{meters} {group}"]) / FED
            for name, against in (("both", "head-end and meter data"), ("headend", "head-end alone")):
                lines.append(
                    Line(
                        what=f"{what}, {how}",
                        measured=added_s * 1e3,
                        unit="ms",
                        against=against,
                        baseline=ingests[name] * 1e3,
                        ratio=added_s / ingests[name],
                        aim=Aim(bound=1 / 3, at_least=False) if name == "both" else None,
                    )
                )
    return Section(
        title="What monitoring adds to a batch of 250 x 8",
        compared="Processor time of the feeder for a batch against that of the ingest, SQLite.",
        lines=lines,
    )
