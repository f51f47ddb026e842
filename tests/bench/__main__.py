"""Runs the benchmarks and prints what they found; `make bench` is the way in.

    python -m tests.bench [NAME…]

BENCH_JSON names a file that gets the same as JSON.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from tests.bench.commands import bench_commands
from tests.bench.dlms import bench_dlms
from tests.bench.encoding import bench_bytes_per_value
from tests.bench.gateway_store import bench_gateway_store
from tests.bench.influx import bench_influx
from tests.bench.influx_size import bench_influx_size
from tests.bench.ingest import bench_ingest
from tests.bench.report import Section, machine, show, write_json
from wire.runtime.clock import SystemClock
from wire.runtime.logging import set_up_logging

BENCHES: dict[str, Callable[[], Awaitable[list[Section]]]] = {
    "encoding": bench_bytes_per_value,
    "store": bench_gateway_store,
    "commands": bench_commands,
    "ingest": bench_ingest,
    "dlms": bench_dlms,
    "influx": bench_influx,
    "influx_size": bench_influx_size,
}


async def main(wanted: list[str]) -> None:
    """Run what is wanted, all of it if nothing is named."""
    # Where nobody watches, lines are as long as they need to be.
    console = Console(width=None if sys.stdout.isatty() else 120)
    set_up_logging(clock=SystemClock(), level="error")
    console.print(machine())
    sections: list[Section] = []

    def keep(found: list[Section]) -> None:
        for section in found:
            show(section, console)
        sections.extend(found)

    for name, bench in BENCHES.items():
        if not wanted or name in wanted:
            keep(await bench())
    path = os.environ.get("BENCH_JSON", "")
    if path:
        write_json(sections, Path(path))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
