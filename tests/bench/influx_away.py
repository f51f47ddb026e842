"""What an InfluxDB that is gone or hangs does to the ingest: the wait for acknowledgements, the way into meter days."""

import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from statistics import median, quantiles
from time import perf_counter

from cloud.meterdata.adapters.clocks import POINTS_FOLLOWER
from tests.bench.influx_clouds import TAKEN_IN, Bench, Cloud, start_cloud
from tests.bench.measure import compared, in_turns
from tests.bench.report import Aim, Line, Section
from tests.rig.ports import LOOPBACK, free_port

ROOMS = ("headend", "meterdata", "monitoring")
BURSTS = 4
PACED = 6
"""Rounds of each kind that count."""
FILES = 2 * (BURSTS + 1) + PACED + 1
PACE_MS = 150
WITHOUT, ANSWERING, GONE, HANGING = "without", "answering", "gone", "hanging"


async def bench_away(stack: AsyncExitStack, bench: Bench) -> list[Section]:
    """Compare four whole clouds: without InfluxDB, with one that answers, one that is gone, one that hangs (SIGSTOP).

    *A burst*: each cloud gets a file of batches to work on and at once a second one; compared is the time until all of
    it is in its meter days.

    *At a pace*: a batch about every 150 ms for some seconds; compared is the time from the publish of a batch to its
    signed acknowledgement, by the median of a round and by its 95th percentile. By then two InfluxDB have been away for
    minutes, and their clouds hold what could not be written. No aim is set for the one that answers: it takes the same
    two cores for itself.
    """
    clouds = await _start(stack, bench)
    bursts = await in_turns(BURSTS, {name: partial(_burst, cloud) for name, cloud in clouds.items()})
    paced = await in_turns(PACED, {name: partial(_paced, cloud) for name, cloud in clouds.items()})
    return [_days_section(bursts), _acks_section(paced)]


async def _start(stack: AsyncExitStack, bench: Bench) -> dict[str, Cloud]:
    tables = {
        WITHOUT: "",
        ANSWERING: _table(bench.influx.v1_url, bench.influx.create_database()),
        GONE: _table(f"http://{LOOPBACK}:{free_port()}", "gone"),
        HANGING: _table(bench.stopped.v1_url, bench.stopped.create_database()),
    }
    bench.stopped.process.signal(signal.SIGSTOP)
    stack.callback(bench.stopped.process.signal, signal.SIGCONT)
    return {name: await start_cloud(stack, bench, name, rooms=ROOMS, more=table) for name, table in tables.items()}


def _table(url: str, copy: str) -> str:
    return f'[influx]\nurl = "{url}"\ndatabase = "{copy}"\ndialect = "v1"\ndetail_days = 3650\n'


async def _burst(cloud: Cloud, number: int) -> float:
    """Give a cloud work, and more while it works; return the seconds until all of it is in its meter days."""
    begun_s = perf_counter()
    for part in range(2):
        await cloud.publish(2 * number + part)
    await cloud.projected()
    taken_s = perf_counter() - begun_s
    await _quiet(cloud)
    return taken_s


async def _paced(cloud: Cloud, number: int) -> Sequence[float]:
    """Give a cloud a batch now and then; return the milliseconds that each waited for its acknowledgement."""
    answer = await cloud.publish(2 * (BURSTS + 1) + number, pace_ms=PACE_MS)
    await _quiet(cloud)
    waits_ms: list[float] = answer["acknowledged_ms"]
    return waits_ms


async def _quiet(cloud: Cloud) -> None:
    """Wait until a cloud has done what it can, so that the next one has the machine for itself."""
    await cloud.projected()
    if cloud.name == ANSWERING:
        await cloud.projected(follower=POINTS_FOLLOWER)


def _days_section(found: Mapping[str, Sequence[float]]) -> Section:
    rate = {name: median(2 * TAKEN_IN / taken_s for taken_s in rounds) for name, rounds in found.items()}
    lines = []
    for name in (ANSWERING, GONE, HANGING):
        ratio = compared(found[WITHOUT], found[name])
        lines.append(
            Line(
                what=f"in their meter days, InfluxDB {name}",
                measured=rate[name],
                unit="/s",
                against="without InfluxDB",
                baseline=rate[WITHOUT],
                ratio=ratio.ratio,
                spread=ratio.spread,
                aim=Aim(bound=0.95, at_least=True),
            )
        )
    return Section(
        title="Ingest with InfluxDB answering, gone and hanging",
        compared="Batches a second on the clock, while followers work on the batches before; SQLite.",
        lines=lines,
    )


def _acks_section(found: Mapping[str, Sequence[Sequence[float]]]) -> Section:
    medians = {name: [median(waits_ms) for waits_ms in rounds] for name, rounds in found.items()}
    slowest = {name: [_slow(waits_ms) for waits_ms in rounds] for name, rounds in found.items()}
    no_slower = Aim(bound=1.1, at_least=False)
    return Section(
        title="Wait for acknowledgements with InfluxDB answering, gone and hanging",
        compared=f"From publish to signed acknowledgement, a batch about every {PACE_MS} ms; SQLite. No aim where "
        "InfluxDB answers: it works on the same cores.",
        lines=[
            _wait_line(f"{what}, InfluxDB {name}", of[name], of[WITHOUT], aim if name != ANSWERING else None)
            for what, of, aim in (("median", medians, no_slower), ("95th percentile", slowest, None))
            for name in (ANSWERING, GONE, HANGING)
        ],
    )


def _slow(waits_ms: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return quantiles(waits_ms, n=20, method="inclusive")[-1]


def _wait_line(what: str, ours_ms: Sequence[float], without_ms: Sequence[float], aim: Aim | None) -> Line:
    ratio = compared(ours_ms, without_ms)
    return Line(
        what=what,
        measured=median(ours_ms),
        unit="ms",
        against="without InfluxDB",
        baseline=median(without_ms),
        ratio=ratio.ratio,
        spread=ratio.spread,
        aim=aim,
    )
