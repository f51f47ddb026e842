"""A broker as a process of its own, so that a test can kill it and nothing else.

Decides only how it is started: the brokers are the ones that the cloud's handlers start beside themselves.
"""

import argparse
import asyncio
import json
import random
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from cloud.broker.embedded import run_embedded
from cloud.broker.mosquitto import MosquittoConfig, run_mosquitto
from cloud.broker.running import RunningBroker
from tests.rig.ports import LOOPBACK


def _broker(program: str, port: int, state_folder: Path) -> AbstractAsyncContextManager[RunningBroker]:
    rng = random.Random(0)
    if program == "amqtt":
        return run_embedded(host=LOOPBACK, port=port, rng=rng)
    return run_mosquitto(MosquittoConfig(state_dir=state_folder, host=LOOPBACK, port=port), rng=rng)


async def run(program: str, port: int, state_folder: Path) -> None:
    """Run the broker until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with _broker(program, port, state_folder) as running:
        print(json.dumps({"ready": True, "program": running.program, "port": running.port}), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=["mosquitto", "amqtt"])
    parser.add_argument("port", type=int)
    parser.add_argument("state_folder", type=Path)
    given = parser.parse_args()
    asyncio.run(run(given.program, given.port, given.state_folder))
