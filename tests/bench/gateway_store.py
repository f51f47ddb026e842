"""The gateway's store: how fast it takes readings in, and how fast it gets rid of them again."""

from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.batches import METERS, write_snapshots
from tests.bench.installation import bench_process, working_folder
from tests.bench.measure import compared
from tests.bench.report import Aim, Line, Section

ROUNDS = 5
SNAPSHOTS = 96
"""A day's backlog."""
PERIOD_S = 900
CHANNELS = 8


async def bench_gateway_store() -> list[Section]:
    """Compare draining a day's backlog with taking it in, by one gateway process in the same round.

    A worker process with the real store, its thread and the station takes in 96 snapshots of 250 meters by 8 values
    as fast as it can, each row an event of its own as a bus delivers it: that is the fill, sealing and signing
    included. Then the session opens, and an acknowledger in the same process answers each batch at once with an
    acknowledgement that was signed before: that is the drain, in the window that the cloud grants, the checking of
    every acknowledgement included. Both ends of the comparison do all their commits on the same disk with
    synchronous=FULL. Network and cloud are left out, since the question is how long a gateway that was offline holds
    them up by itself. The rate that 250 meters need at 15-minute reads stands beside it.
    """
    with working_folder() as folder:
        rows = write_snapshots(folder / "snapshots.cbor", count=SNAPSHOTS)
        costs = [_round(folder, rows, number) for number in range(ROUNDS + 1)][1:]
    return [_section(costs)]


def _round(folder: Path, rows: Path, number: int) -> dict[str, Any]:
    worker = bench_process(
        "store_worker", folder / f"store-{number}.db", rows, name=f"store-worker-{number}", folder=folder
    )
    cost = worker.start_ready(seconds_max=120)
    worker.terminate()
    return cost


def _section(costs: list[dict[str, Any]]) -> Section:
    def rate(phase: str, clock: str) -> list[float]:
        return [SNAPSHOTS / cost[phase][clock] for cost in costs]

    values = METERS * CHANNELS
    drain, fill = rate("drain", "wall_s"), rate("fill", "wall_s")
    by_wall, by_cpu = compared(drain, fill), compared(rate("drain", "cpu_s"), rate("fill", "cpu_s"))
    needed = 1 / PERIOD_S
    return Section(
        title="Gateway store: batches of 250 x 8, a day's backlog",
        compared="Draining to an immediate acknowledger against taking in and sealing, both as fast as it goes.",
        lines=[
            Line(
                what="drained, against filled",
                measured=median(drain),
                unit="batches/s",
                against="filled as fast as it goes",
                baseline=median(fill),
                ratio=by_wall.ratio,
                spread=by_wall.spread,
                aim=Aim(bound=10, at_least=True),
            ),
            Line(
                what="the same by processor time",
                measured=median(rate("drain", "cpu_s")),
                unit="batches/CPU s",
                against="filled as fast as it goes",
                baseline=median(rate("fill", "cpu_s")),
                ratio=by_cpu.ratio,
                spread=by_cpu.spread,
            ),
            Line(
                what="drained, against what comes in",
                measured=median(drain),
                unit="batches/s",
                against="250 meters every 15 min",
                baseline=needed,
                ratio=median(drain) / needed,
                aim=Aim(bound=10, at_least=True),
            ),
            Line(
                what="filled, against what comes in",
                measured=median(fill) * values,
                unit="values/s",
                against="250 meters every 15 min",
                baseline=needed * values,
                ratio=median(fill) / needed,
            ),
            Line(
                what="processor time to take in a batch",
                measured=median(cost["fill"]["cpu_s"] for cost in costs) / SNAPSHOTS * 1e3,
                unit="ms",
            ),
            Line(
                what="processor time to drain a batch",
                measured=median(cost["drain"]["cpu_s"] for cost in costs) / SNAPSHOTS * 1e3,
                unit="ms",
            ),
            Line(
                what="resident memory added by a day's backlog",
                measured=median(cost["grown_bytes"] for cost in costs) / 2**20,
                unit="MiB",
            ),
        ],
    )
