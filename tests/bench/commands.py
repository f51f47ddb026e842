"""A command, from an integrator's request to the proof, against the sum of its parts."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median, quantiles
from time import perf_counter, process_time

from tests.bench.command_parts import Part, command_parts
from tests.bench.installation import CLIENT, UTILITY, working_folder
from tests.bench.measure import Spent, compared, cpu_s, in_turns
from tests.bench.report import Aim, Line, Section
from tests.bench.sessions import connected_session
from tests.bench.village import METERS, Village, start_village
from tests.rig.processes import ManagedProcess
from wire.address import Address, Direction, Kind
from wire.keys import PinnedKeys
from wire.messages import (
    Disconnect,
    Reconnect,
    Request,
    State,
    Status,
    open_message,
    seal_message,
)
from wire.runtime.clock import SystemClock
from wire.runtime.mqtt import MqttSession
from wire.topics import TopicTree

ROUNDS = 5
COMMANDS = 20
"""In a round; and so many times each part."""
MEMORY_BYTES = 100_000_000
"""Of a gateway process."""
VALID_MS = 60_000
WARM_SECONDS_MAX = 60


class Integrator:
    """Requests effects and waits for the status that ends each."""

    def __init__(self, session: MqttSession, village: Village) -> None:
        self._session = session
        self._key = village.keys.client
        self._tree = TopicTree(UTILITY)
        self._trusted = PinnedKeys(key.public for key in village.keys.cloud)
        self._clock = SystemClock()

    async def run(self, meter: str, *, closed: bool) -> None:
        """Switch a meter's relay; return once the cloud says that it is proved."""
        now_ms = self._clock.wall_ms()
        request = Request(
            id=secrets.token_bytes(16),
            issued_at_ms=now_ms,
            not_after_ms=now_ms + VALID_MS,
            meters=[meter],
            effect=Reconnect() if closed else Disconnect(),
        )
        sealed = seal_message(request, Address(UTILITY, Direction.CLIENT_UP, Kind.REQUEST, CLIENT), self._key)
        self._session.try_publish(self._tree.client(CLIENT, Kind.REQUEST), sealed)
        while (state := await self._next_state(request.id)) is not State.EXECUTED:
            assert state in (State.ACCEPTED, State.SENT, State.DELIVERED), f"the command ended as {state}"

    async def _next_state(self, request: bytes) -> State:
        while True:
            (message,) = await self._session.next_batch(1)
            self._session.ack([message])
            status, _ = open_message(message.payload, self._tree.parse(message.topic), self._trusted)
            assert isinstance(status, Status)
            if status.request == request:
                return status.state


async def bench_commands() -> list[Section]:
    """Compare a command's round trip with the sum of its parts, each measured alone in the same rounds.

    An integrator asks for a disconnection or a reconnection, one at a time, and stops the clock at the status
    `executed`. In between lie real processes: Mosquitto, the cloud on SQLite, a gateway with 250 meters on 4 lines,
    and the simulated relay board. The parts, with nothing around them: two MQTT round trips through the same broker
    between two processes (four deliveries, as a command has); two durable commits of one row by plain `sqlite3` on
    the same disk (what must be on disk before the relay may move: the command at the cloud, the journal at the
    gateway); the four messages signed and verified; a coil written and read back on another line of the same
    simulator by the gateway's own driver. What remains is ours.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(working_folder())
        village = await start_village(stack, folder)
        await _all_meters_read(village)
        session = await connected_session(
            stack, village.port, "integrator", TopicTree(UTILITY).client(CLIENT, Kind.STATUS)
        )
        integrator = Integrator(session, village)
        parts = await command_parts(stack, village, folder)
        latencies_ms: list[float] = []
        cases: dict[str, Callable[[int], Awaitable[Spent]]] = {
            "command": lambda number: _commands(integrator, village, number, latencies_ms)
        }
        cases |= {name: _rounds_of(part) for name, part in parts.items()}
        processes = {"cloud": village.cloud, "gateway": village.gateway}
        before_s = {name: cpu_s(process.pid) for name, process in processes.items()}
        found = await in_turns(ROUNDS, cases)
        count = COMMANDS * (ROUNDS + 1)
        spent_ms = {name: (cpu_s(process.pid) - before_s[name]) * 1_000 / count for name, process in processes.items()}
        return [_section(found, latencies_ms[COMMANDS:], spent_ms), _memory(processes)]


async def _all_meters_read(village: Village) -> None:
    async with asyncio.timeout(WARM_SECONDS_MAX):
        while await village.meters_seen() < METERS:  # noqa: ASYNC110 - another process's database has no event
            await asyncio.sleep(0.5)


async def _commands(integrator: Integrator, village: Village, number: int, latencies_ms: list[float]) -> Spent:
    started_s = perf_counter()
    for index in range(COMMANDS):
        meter = village.relay_meters[index % len(village.relay_meters)]
        began_s = perf_counter()
        await integrator.run(meter, closed=bool((number + index // len(village.relay_meters)) % 2))
        latencies_ms.append((perf_counter() - began_s) * 1_000)
    return Spent(wall_s=(perf_counter() - started_s) / COMMANDS, cpu_s=0)


def _rounds_of(part: Part) -> Callable[[int], Awaitable[Spent]]:
    return lambda _: _repeated(part)


async def _repeated(part: Part) -> Spent:
    started_s, started_cpu_s = perf_counter(), process_time()
    for _ in range(COMMANDS):
        await part()
    return Spent(wall_s=(perf_counter() - started_s) / COMMANDS, cpu_s=(process_time() - started_cpu_s) / COMMANDS)


# ---- what it came to -------------------------------------------------------------------------------------------------


def _section(found: dict[str, list[Spent]], latencies_ms: list[float], spent_ms: dict[str, float]) -> Section:
    wall_ms = {name: [spent.wall_s * 1_000 for spent in rounds] for name, rounds in found.items()}
    ours = wall_ms.pop("command")
    sums = [sum(parts) for parts in zip(*wall_ms.values(), strict=True)]
    result = compared(ours, sums)
    return Section(
        title="Command round trip, from the request to the status executed",
        compared="Wall time of one command at a time against the sum of its parts measured alone.",
        lines=[
            Line(
                what="round trip",
                measured=median(ours),
                unit="ms",
                against="sum of its parts",
                baseline=median(sums),
                ratio=result.ratio,
                spread=result.spread,
                aim=Aim(bound=1.5, at_least=False),
            ),
            Line(what="99th percentile of single commands", measured=quantiles(latencies_ms, n=100)[98], unit="ms"),
            *(Line(what=f"part: {name}", measured=median(rounds), unit="ms") for name, rounds in wall_ms.items()),
            *(
                Line(what=f"processor time of the {name}, a command", measured=spent, unit="ms")
                for name, spent in spent_ms.items()
            ),
        ],
    )


def _memory(processes: dict[str, ManagedProcess]) -> Section:
    bounds = {"gateway": Aim(bound=1, at_least=False), "cloud": None}
    lines = []
    for name, process in processes.items():
        highest_mib = process.usage().rss_bytes_max / 2**20
        aim = bounds[name]
        lines.append(
            Line(
                what=f"{name}, resident at its highest",
                measured=highest_mib,
                unit="MiB",
                against="the budget of a Pi: 100 MB" if aim is not None else "",
                baseline=MEMORY_BYTES / 2**20 if aim is not None else None,
                ratio=highest_mib * 2**20 / MEMORY_BYTES if aim is not None else None,
                aim=aim,
            )
        )
    return Section(
        title="Memory after all meters were read and the commands ran",
        compared="Whole processes: a gateway with 250 meters on 4 lines; a cloud process with three rooms.",
        lines=lines,
    )
