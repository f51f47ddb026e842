"""Whole clouds for the benchmarks of InfluxDB: each with a topic tree and a database of its own beside one broker."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cbor2

from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER
from tests.bench.installation import Keys, bench_process, cloud_process
from tests.bench.network import make_database, reports, waiting_count
from tests.rig.influx import InfluxServer
from tests.rig.processes import ManagedProcess

GATEWAYS = 20
TAKEN_IN = 40
"""Batches of a file; the projector takes far longer than the head-end to do them."""
PROJECTED_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share."""

    folder: Path
    keys: Keys
    port: int
    """Of the broker."""
    files: Sequence[Path]
    """Batches for publishers, `TAKEN_IN` in each."""
    influx: InfluxServer
    stopped: InfluxServer
    """Another one, which will hang."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that runs."""

    bench: Bench
    name: str
    process: ManagedProcess
    database: Path

    async def publish(self, number: int, *, pace_ms: int = 0) -> dict[str, Any]:
        """Publish a file, wait for the last acknowledgement, return what the publisher tells.

        Args:
            number: Of the file; each only once.
            pace_ms: About how long it waits before each batch.
        """
        publisher = bench_process(
            "publisher",
            *(str(self.bench.port), self.name, self.bench.keys.trusted, self.bench.files[number], str(pace_ms)),
            name=f"publisher-{self.name}-{number}",
            folder=self.bench.folder,
        )
        answer = await asyncio.to_thread(publisher.start_ready, seconds_max=120)
        publisher.terminate()
        return answer

    async def projected(self, *, follower: str = DAYS_FOLLOWER) -> None:
        """Wait until a follower has read everything."""
        async with asyncio.timeout(PROJECTED_WITHIN_S):
            while await asyncio.to_thread(waiting_count, self.database, follower):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)


async def start_cloud(stack: AsyncExitStack, bench: Bench, name: str, *, rooms: Sequence[str], more: str = "") -> Cloud:
    """Start a cloud that ends with the stack; `more` is more of its configuration."""
    database = bench.folder / f"{name}.db"
    url = await make_database(database, bench.keys)
    process = cloud_process(
        bench.folder, name, database=url, keys=bench.keys, rooms=rooms, port=bench.port, topic_root=name, more=more
    )
    stack.callback(process.close)
    await asyncio.to_thread(process.start_ready)
    return Cloud(bench, name, process, database)


def write_files(folder: Path, keys: Keys, *, count: int) -> Sequence[Path]:
    """Write files of batches for publishers, no batch twice."""
    paths = [folder / f"batches-{number}.cbor" for number in range(count)]
    made = (item for item, _ in reports(keys, slots=count * TAKEN_IN // len(keys.gateways)))
    for path in paths:
        path.write_bytes(cbor2.dumps([(item.gateway, item.bytes) for item in islice(made, TAKEN_IN)]))
    return paths
