"""Real meters of the simulation behind real sockets and pseudo-terminals, and faults of their line on request."""

import asyncio
import os
import secrets
import tty
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from device_sim.core.faults import Faults
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate, Secrets
from device_sim.core.load import HouseholdLoad
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply
from dlms.link.address import StationAddress
from dlms.link.events import Peer, PeerConnected, PeerDisconnected, PeerReceived, SendBytes, ServerEvent, ServerLink
from dlms.link.parameters import UTMOST, LinkParameters
from dlms.link.server import HdlcServerLine, HdlcServerSettings
from dlms.link.wrapper import WrapperServer, WrapperSettings
from dlms.server.association import ServerAssociation
from dlms.server.device import LogicalDevice

NOON_MS = 1_780_315_200_000
"""2026-06-01 12:00 UTC, 17:30 in India."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ANSWER_MS = 250
Fault = Callable[[bytes], list[tuple[int, bytes]]]
"""From what a station sends to what is sent instead, each piece after so many milliseconds."""


class SiteClock:
    """A clock that runs with real time and can be put forward."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def monotonic_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000)

    def tick_ms(self) -> int:
        return self.monotonic_ms() + self.ahead_ms

    def wall_ms(self) -> int:
        return self.tick_ms() + UTC_LESS_TICK_MS


UTC_LESS_TICK_MS = NOON_MS


class MemoryShelf:
    """What outlasts a driver, and what it was asked to keep, in order."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.log: list[tuple[str, bytes]] = []

    async def kept(self, name: str) -> bytes | None:
        return self.values.get(name)

    async def keep(self, name: str, value: bytes) -> None:
        await asyncio.sleep(0)
        self.values[name] = value
        self.log.append((name, value))


def make_sim_meter(clock: SiteClock, number: int = 1, *, days: float = 2, **settings: Any) -> Is15959Meter:
    """Return a meter with so many days of history."""
    now_ms = clock.wall_ms()
    started_ms = now_ms - round(days * DAY_MS)
    profile = standard_profile()
    load = HouseholdLoad(
        profile=profile, seed=1, household=f"m-{number}", annual_kwh=1800, phase_count=1, power_max_w=10_000
    )
    supply = Supply(
        load=load, feeder=Feeder(profile=profile, seed=1), utc_offset_min=330, cable_ohm=0.4, started_ms=started_ms
    )
    told = MeterSettings(
        nameplate=Nameplate(serial=f"{number:08}", device_number=number), **{"secrets": Secrets(), **settings}
    )
    meter = Is15959Meter(told, supply=supply, faults=Faults((), rng=Random(1)), now_ms=started_ms)
    meter.advance(now_ms)
    return meter


@dataclass
class Line:
    """Meters by physical address behind one carrier; over the wrapper there is one, at address 1."""

    clock: SiteClock
    meters: Mapping[int, LogicalDevice]
    link: ServerLink
    dead: set[int] = field(default_factory=set)
    """Addresses that hear nothing."""
    faults: list[Fault | None] = field(default_factory=list)
    """For the next things that stations send; None for as it is."""
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    """Client and APDU, as they came."""
    sessions: int = 0
    associations: dict[Peer, ServerAssociation] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def received(self, data: bytes, write: Callable[[bytes], None]) -> None:
        now_ms = self.clock.monotonic_ms()
        self._do(self.link.receive(data, now_ms=now_ms), write)

    def reset(self) -> None:
        self.link.reset()
        self.associations.clear()

    def _do(self, events: tuple[ServerEvent, ...], write: Callable[[bytes], None]) -> None:
        for event in events:
            match event:
                case SendBytes(data=data, station=station):
                    if station is None or station.lower not in self.dead:
                        self._send(data, write)
                case PeerConnected(peer=peer):
                    self.sessions += 1
                    self._forget(peer)
                case PeerDisconnected(peer=peer):
                    self._forget(peer)
                case PeerReceived(peer=peer, apdu=apdu):
                    self._serve(peer, apdu, write)

    def _forget(self, peer: Peer) -> None:
        for each in [each for each in self.associations if each[:3] == peer[:3]]:
            del self.associations[each]

    def _serve(self, peer: Peer, apdu: bytes, write: Callable[[bytes], None]) -> None:
        now_ms = self.clock.monotonic_ms()
        self.asked.append((peer.client, apdu))
        meter = self.meters[peer.physical or 1]
        if isinstance(meter, Is15959Meter):
            meter.advance(self.clock.wall_ms())
        if peer not in self.associations:
            self.associations[peer] = ServerAssociation(meter, peer.client, challenge=lambda: secrets.token_bytes(16))
        answer = self.associations[peer].handle(apdu)
        done = (
            self.link.pass_turn(peer, now_ms=now_ms) if answer is None else self.link.send(peer, answer, now_ms=now_ms)
        )
        self._do(done, write)

    def _send(self, data: bytes, write: Callable[[bytes], None]) -> None:
        fault = self.faults.pop(0) if self.faults else None
        for delay_ms, piece in [(0, data)] if fault is None else fault(data):
            if not delay_ms:
                write(piece)
                continue
            task = asyncio.create_task(self._send_late(delay_ms, piece, write))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    @staticmethod
    async def _send_late(delay_ms: int, piece: bytes, write: Callable[[bytes], None]) -> None:
        await asyncio.sleep(delay_ms / 1_000)
        write(piece)


def hdlc_line(clock: SiteClock, meters: Mapping[int, LogicalDevice], limits: LinkParameters = UTMOST) -> Line:
    stations = [StationAddress(1, address) for address in meters]
    return Line(clock, meters, HdlcServerLine(stations, HdlcServerSettings(limits=limits)))


def wrapper_line(clock: SiteClock, meter: LogicalDevice, *, is_datagrams: bool = False) -> Line:
    return Line(clock, {1: meter}, WrapperServer(WrapperSettings(is_datagrams=is_datagrams)))


class _Stream(asyncio.Protocol):
    def __init__(self, line: Line, streams: set[asyncio.Transport]) -> None:
        self._line = line
        self._streams = streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._streams.add(transport)
        self._line.reset()

    def data_received(self, data: bytes) -> None:
        self._line.received(data, self._write)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._streams.discard(self._transport)


@dataclass
class Listening:
    """A line behind a TCP port."""

    port: int
    streams: set[asyncio.Transport]

    def hang_up(self) -> None:
        for stream in list(self.streams):
            stream.abort()


@asynccontextmanager
async def over_tcp(line: Line, port: int = 0) -> AsyncIterator[Listening]:
    streams: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Stream(line, streams), "127.0.0.1", port)
    listening = Listening(server.sockets[0].getsockname()[1], streams)
    try:
        yield listening
    finally:
        server.close()
        listening.hang_up()
        await _end(line)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, line: Line) -> None:
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport does not say that it is one.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._line.received(data, lambda piece: self._transport.sendto(piece, addr))


@asynccontextmanager
async def over_udp(line: Line) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(line), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.abort()
        await _end(line)


@asynccontextmanager
async def over_pty(line: Line) -> AsyncIterator[str]:
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    os.set_blocking(near, False)
    loop = asyncio.get_running_loop()
    loop.add_reader(near, lambda: line.received(os.read(near, 4_096), lambda data: _ignore(os.write(near, data))))
    try:
        yield os.ttyname(far)
    finally:
        loop.remove_reader(near)
        os.close(near)
        os.close(far)
        await _end(line)


def _ignore(_count: int) -> None:
    pass


async def _end(line: Line) -> None:
    for task in list(line.tasks):
        task.cancel()
    await asyncio.sleep(0)
