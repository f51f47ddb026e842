"""The parts of a command's round trip, each with nothing around it."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.adapters.modbus import ModbusDriver, ModbusRelay, TcpLine
from gateway.adapters.profile_files import load_profiles
from gateway.core.profiles import RelayProfile
from tests.bench.installation import CLIENT, UTILITY, bench_process
from tests.bench.sessions import connected_session
from tests.bench.village import BOARD_UNIT, RELAY_PROFILE, Village
from wire.address import Address, Direction, Kind
from wire.facts import Receipt, Stage
from wire.keys import PinnedKeys, SigningKey
from wire.messages import Command, Disconnect, Message, Request, State, Status, make_batch, open_message, seal_message
from wire.runtime.clock import SystemClock

COMMIT_BYTES = 600
PING_BYTES = 300
"""About what a command or a status takes."""
Part = Callable[[], Awaitable[None]]


async def command_parts(stack: AsyncExitStack, village: Village, folder: Path) -> dict[str, Part]:
    """Return what does each part once, by name."""
    return {
        "two MQTT round trips": await _round_trips(stack, village.port, folder),
        "two durable commits": _commits(stack, folder),
        "signatures": _signatures(village),
        "Modbus write and read-back": _write_and_read_back(stack, village),
    }


async def _round_trips(stack: AsyncExitStack, port: int, folder: Path) -> Part:
    echo = bench_process("echo", str(port), "echo/in", "echo/out", name="echo", folder=folder)
    stack.callback(echo.close)
    echo.start_ready()
    session = await connected_session(stack, port, "caller", "echo/out")
    payload = os.urandom(PING_BYTES)
    # The other side says that it is connected before its subscription counts.
    await asyncio.sleep(0.5)

    async def round_trips() -> None:
        for _ in range(2):
            session.try_publish("echo/in", payload)
            session.ack(await session.next_batch(1))

    return round_trips


def _commits(stack: AsyncExitStack, folder: Path) -> Part:
    connection = sqlite3.connect(folder / "commits.db", isolation_level=None)
    stack.callback(connection.close)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, content BLOB NOT NULL)")

    async def commits() -> None:
        for _ in range(2):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO row (content) VALUES (?)", (os.urandom(COMMIT_BYTES),))
            connection.execute("COMMIT")

    return commits


def _signatures(village: Village) -> Part:
    keys = village.keys
    ack, command_key, _ = keys.cloud
    gateway = keys.gateways[0].public.party
    meter, now_ms = village.relay_meters[0], SystemClock().wall_ms()
    request = Request(id=bytes(16), issued_at_ms=now_ms, not_after_ms=now_ms, meters=[meter], effect=Disconnect())
    command = Command(
        id=bytes(16),
        meter=meter,
        version=1,
        issued_at_ms=now_ms,
        not_after_ms=now_ms,
        issuer=CLIENT,
        effect=Disconnect(),
    )
    receipt = Receipt(
        command=bytes(16),
        meter=meter,
        stage=Stage.EXECUTED,
        boot=bytes(8),
        tick_ms=1,
        detail="",
        relay_closed=False,
        values=[],
        journal_index=1,
        journal_digest=bytes(32),
    )
    status = Status(
        request=bytes(16),
        command=bytes(16),
        meter=meter,
        state=State.EXECUTED,
        at_ms=now_ms,
        detail="",
        relay_closed=False,
    )
    letters: list[tuple[Message, Direction, Kind, str, SigningKey]] = [
        (request, Direction.CLIENT_UP, Kind.REQUEST, CLIENT, keys.client),
        (command, Direction.DOWN, Kind.COMMAND, gateway, command_key),
        (make_batch([receipt], store=bytes(8), index=1), Direction.UP, Kind.BATCH, gateway, keys.gateways[0]),
        (status, Direction.CLIENT_DOWN, Kind.STATUS, CLIENT, ack),
    ]
    registry = PinnedKeys(key.public for *_, key in letters)

    async def signatures() -> None:
        for message, direction, kind, party, key in letters:
            address = Address(UTILITY, direction, kind, party)
            open_message(seal_message(message, address, key), address, registry)

    return signatures


def _write_and_read_back(stack: AsyncExitStack, village: Village) -> Part:
    profile = load_profiles(None)[RELAY_PROFILE]
    assert isinstance(profile, RelayProfile)
    host, port = village.spare_address
    relay = ModbusRelay(unit=BOARD_UNIT, profile=profile, output=0)
    line = TcpLine(host=host, port=port, framing="rtu")
    driver = ModbusDriver(line, meters={}, relays={"spare": relay}, clock=SystemClock())
    stack.callback(driver.reset)
    closed = False

    async def write_and_read_back() -> None:
        nonlocal closed
        closed = not closed
        assert await driver.switch("spare", closed=closed) is closed

    return write_and_read_back
