"""The brokers we start: alive when given, restarted when they die, gone when we are."""

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from functools import partial
from pathlib import Path

import psutil
import pytest

from cloud.broker.choose import run_broker
from cloud.broker.embedded import run_embedded
from cloud.broker.mosquitto import Mosquitto, MosquittoConfig
from tests.rig.brokers import mosquitto
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.sessions import connected_session, until
from wire.runtime.errors import ConfigError

ROOT = Path(__file__).parents[3]
PARENT = """
import asyncio, pathlib, random, sys
from cloud.broker.mosquitto import Mosquitto, MosquittoConfig

async def main() -> None:
    config = MosquittoConfig(state_dir=pathlib.Path(sys.argv[1]), port=int(sys.argv[2]))
    async with Mosquitto(config, rng=random.Random(0)) as child:
        print("child", child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def has_changed(child: Mosquitto, pid: int) -> bool:
    return child.pid != pid


@pytest.mark.usefixtures("no_blocking_calls")
async def test_mosquitto_accepts_when_given_and_is_gone_afterwards(tmp_path: Path) -> None:
    async with run_broker(MosquittoConfig(state_dir=tmp_path), rng=random.Random()) as running:
        assert (running.program, running.protocol) == ("mosquitto", "5")
        assert running.statement
        async with connected_session(running.port):
            pass
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(LOOPBACK, running.port)


async def test_a_killed_mosquitto_returns_on_its_port_each_time(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as child:
        for _ in range(3):
            os.kill(child.pid, signal.SIGKILL)
            await until(partial(has_changed, child, child.pid))
            async with connected_session(child.running.port):
                pass


async def test_state_survives_an_orderly_stop(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "taker", subscriptions=("t",)),
    ):
        pass
    async with mosquitto(tmp_path) as broker, connected_session(broker.running.port, "sender") as sender:
        await sender.session.publish("t", b"for the absent")
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "taker", subscriptions=("t",)) as taker,
    ):
        assert [message.payload for message in await taker.receive(1)] == [b"for the absent"]


async def test_mosquitto_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, tmp_path, str(free_port()), stdout=PIPE, stderr=DEVNULL, cwd=ROOT
    )
    assert parent.stdout is not None
    words = b""
    while not words.startswith(b"child "):
        words = await parent.stdout.readline()
        assert words, "the parent ended"
    child_pid = int(words.split()[1])
    assert not is_gone(child_pid)
    parent.kill()
    await parent.wait()
    await until(lambda: is_gone(child_pid))


async def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "first") as first:
        second = Mosquitto(
            MosquittoConfig(state_dir=tmp_path / "second", port=first.running.port), rng=random.Random(0)
        )
        with pytest.raises(ConfigError, match="cannot listen"):
            await second.__aenter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "broker.example"])
async def test_the_embedded_broker_refuses_to_be_reached_from_outside(host: str) -> None:
    with pytest.raises(ConfigError, match="install mosquitto"):
        async with run_embedded(host=host, rng=random.Random(0)):
            pass


async def test_the_embedded_broker_says_what_it_is(tmp_path: Path) -> None:
    async with run_embedded(rng=random.Random()) as running:
        assert (running.program, running.protocol) == ("amqtt", "3.1.1")
        assert "forgets messages in flight" in running.statement


async def test_without_mosquitto_the_embedded_broker_takes_over_where_it_can(tmp_path: Path) -> None:
    config = MosquittoConfig(state_dir=tmp_path)
    async with run_broker(config, rng=random.Random(), find=lambda: None) as running:
        assert running.program == "amqtt"
        async with connected_session(running.port, protocol=running.protocol):
            pass
    guarded = MosquittoConfig(state_dir=tmp_path, acl=("topic read t",))
    with pytest.raises(ConfigError, match="apt install mosquitto"):
        async with run_broker(guarded, rng=random.Random(), find=lambda: None):
            pass
