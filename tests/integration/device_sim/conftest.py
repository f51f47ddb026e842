"""Villages that run inside the test's own loop, on a clock that the test sets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.framer import FramerType

from device_sim.app import Simulation, simulation
from device_sim.core.village import parse_village
from tests.rig.blocking import blocking_calls_fail
from wire.runtime.clock import Clock

NOON_MS = 1_780_315_200_000  # 2026-06-01 12:00 UTC
ANSWER_SECONDS_MAX = 10.0


@dataclass(slots=True)
class SetClock:
    """A site clock that stands until the test moves it."""

    now_ms: int = NOON_MS

    def monotonic_ms(self) -> int:
        return self.now_ms

    def tick_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms


StartVillage = Callable[..., Awaitable[Simulation]]
Connect = Callable[..., Awaitable[ModbusBaseClient]]
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest_asyncio.fixture
async def start_village(clock: SetClock) -> AsyncIterator[StartVillage]:
    """Run a village from its TOML text until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(text: str, *, on: Clock = clock) -> Simulation:
            started = await stack.enter_async_context(simulation(parse_village(text.encode()), clock=on))
            # Files are read and opened while a village is built; from then on nothing may hold up its lines.
            stack.enter_context(blocking_calls_fail())
            return started

        yield start


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect a plain pymodbus client to a line."""
    clients: list[ModbusBaseClient] = []

    async def connect_to(
        place: str, *, transport: str = "rtu-tcp", seconds_max: float = ANSWER_SECONDS_MAX
    ) -> ModbusBaseClient:
        client: ModbusBaseClient
        if transport == "pty":
            client = AsyncModbusSerialClient(place, baudrate=9600, timeout=seconds_max, retries=0)
        else:
            host, _, port = place.rpartition(":")
            framer = FramerType.RTU if transport == "rtu-tcp" else FramerType.SOCKET
            client = AsyncModbusTcpClient(host, port=int(port), framer=framer, timeout=seconds_max, retries=0)
        clients.append(client)
        assert await client.connect()
        return client

    yield connect_to
    for client in clients:
        client.close()


@pytest_asyncio.fixture
async def ask() -> AsyncIterator[Ask]:
    """Send one command to a control socket and return its reply."""

    async def ask_control(place: str, **command: Any) -> dict[str, Any]:
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(json.dumps(command).encode() + b"\n")
        reply: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return reply

    yield ask_control
