"""Where pushes come in: a TCP and a UDP port, both with the wrapper (IEC 62056-47); nothing is ever answered.

Decides who gets in: so many connections, so many bytes and packets a second from one address; who sends more is cut
off or left unheard. When all places are taken, the one goes that has been of no use for longest. A port that cannot be
opened is tried again.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from dlms.errors import DecodeError
from dlms.link.wrapper import WrapperReader, unpack
from gateway.adapters.dlms.push import APDU_BYTES_MAX, PushStream
from wire.runtime.clock import Clock

READ_BYTES: Final = 4_096
DATAGRAMS_WAITING_MAX: Final = 256
PEERS_MAX: Final = 4_096
"""Addresses whose rate is remembered; an address that is forgotten begins anew."""


class Take(Protocol):
    """Takes an APDU of a stream from an address; False if it was of no use."""

    def __call__(self, apdu: bytes, stream: PushStream, *, peer: str) -> Awaitable[bool]: ...


_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """How wide it is open."""

    host: str
    port: int
    tcp: bool = True
    udp: bool = True
    connections_max: int = 256
    connections_per_peer_max: int = 32
    idle_s: float = 120.0
    """How long a connection may say nothing."""
    retry_s: float = 5.0
    """After which a port that could not be opened is tried again."""
    packets_per_s: int = 10
    packets_at_once: int = 60
    bytes_per_s: int = 10_000
    bytes_at_once: int = 100_000


@dataclass(slots=True)
class _Rate:
    """What one address may still send."""

    packets: float
    bytes: float
    at_ms: int


@dataclass(eq=False, slots=True)
class _Guest:
    """A connection."""

    peer: str
    stream: PushStream = field(default_factory=PushStream)


class PushDoor:
    """Listens for pushes.

    Args:
        settings: Where, and how wide.
        take: Takes what comes.
        clock: For rates.
    """

    def __init__(self, settings: DoorSettings, *, take: Take, clock: Clock) -> None:
        self._settings = settings
        self._take = take
        self._clock = clock
        self._rates: OrderedDict[str, _Rate] = OrderedDict()
        self._guests: OrderedDict[_Guest, asyncio.Task[None]] = OrderedDict()
        """Who has been of use last stands last."""
        self._datagrams: asyncio.Queue[tuple[bytes, str, int]] = asyncio.Queue(DATAGRAMS_WAITING_MAX)
        self._streams: OrderedDict[tuple[str, int], PushStream] = OrderedDict()
        self.turned_away: Counter[str] = Counter()
        """By reason: `crowded`, `flooding`, `garbled`, `silent`."""
        self.port = settings.port
        """Where it listens; another than asked for if that was 0."""
        self.is_open = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        was_told = False
        while True:
            try:
                await self._listen()
            except OSError as error:
                if not was_told:
                    place = f"{self._settings.host}:{self._settings.port}"
                    remedy = "give push.listen an address of this machine and a free port"
                    _log.warning("push.closed", listen=place, problem=str(error), remedy=remedy)
                was_told = True
            await asyncio.sleep(self._settings.retry_s)

    async def _listen(self) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        server: asyncio.Server | None = None
        datagrams: asyncio.DatagramTransport | None = None
        try:
            if settings.tcp:
                server = await asyncio.start_server(
                    self._on_connection, settings.host, settings.port, limit=2 * READ_BYTES
                )
                self.port = server.sockets[0].getsockname()[1]
            if settings.udp:
                datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._on_datagram), local_addr=(settings.host, self.port)
                )
                self.port = datagrams.get_extra_info("sockname")[1]
            _log.info("push.listening", host=settings.host, port=self.port, tcp=settings.tcp, udp=settings.udp)
            self.is_open.set()
            while True:
                await self._take_datagram()
        finally:
            self.is_open.clear()
            if datagrams is not None:
                datagrams.close()
            if server is not None:
                server.close()
            tasks = list(self._guests.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- TCP ---------------------------------------------------------------------------------------------------------

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("?",))[0])
        if sum(guest.peer == peer for guest in self._guests) >= self._settings.connections_per_peer_max:
            self.turned_away["crowded"] += 1
            writer.transport.abort()
            return
        if len(self._guests) >= self._settings.connections_max:
            self.turned_away["crowded"] += 1
            self._guests.popitem(last=False)[1].cancel()
        guest = _Guest(peer)
        self._guests[guest] = asyncio.create_task(self._serve(reader, writer, guest))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, guest: _Guest) -> None:
        try:
            await self._attend(reader, guest)
        except TimeoutError:
            self.turned_away["silent"] += 1
        except DecodeError:
            self.turned_away["garbled"] += 1
        except OSError:
            pass  # the peer has gone
        finally:
            self._guests.pop(guest, None)
            writer.transport.abort()

    async def _attend(self, reader: asyncio.StreamReader, guest: _Guest) -> None:
        packets = WrapperReader(apdu_bytes_max=APDU_BYTES_MAX)
        while True:
            async with asyncio.timeout(self._settings.idle_s):
                data = await reader.read(READ_BYTES)
            if not data:
                return
            found = packets.feed(data)
            if not self._admits(guest.peer, packets=len(found), size=len(data)):
                return
            for packet in found:
                if await self._take(packet.apdu, guest.stream, peer=guest.peer) and guest in self._guests:
                    self._guests.move_to_end(guest)

    # ---- UDP ---------------------------------------------------------------------------------------------------------

    def _on_datagram(self, data: bytes, address: tuple[Any, ...]) -> None:
        peer = str(address[0])
        if not self._admits(peer, packets=1, size=len(data)):
            return
        try:
            apdu = unpack(data).apdu
        except DecodeError:
            self.turned_away["garbled"] += 1
            return
        if len(apdu) > APDU_BYTES_MAX or self._datagrams.full():
            self.turned_away["crowded" if self._datagrams.full() else "garbled"] += 1
            return
        self._datagrams.put_nowait((apdu, peer, int(address[1])))

    async def _take_datagram(self) -> None:
        apdu, peer, port = await self._datagrams.get()
        stream = self._streams.pop((peer, port), None) or PushStream()
        self._streams[peer, port] = stream
        if len(self._streams) > DATAGRAMS_WAITING_MAX:
            self._streams.popitem(last=False)
        await self._take(apdu, stream, peer=peer)

    # ---- rates -------------------------------------------------------------------------------------------------------

    def _admits(self, peer: str, *, packets: int, size: int) -> bool:
        """Take from what an address may send; False if that is more than it has left."""
        now_ms, settings = self._clock.monotonic_ms(), self._settings
        rate = self._rates.pop(peer, None) or _Rate(settings.packets_at_once, settings.bytes_at_once, now_ms)
        passed_s = (now_ms - rate.at_ms) / 1_000
        rate.packets = min(rate.packets + passed_s * settings.packets_per_s, settings.packets_at_once) - packets
        rate.bytes = min(rate.bytes + passed_s * settings.bytes_per_s, settings.bytes_at_once) - size
        rate.at_ms = now_ms
        self._rates[peer] = rate
        if len(self._rates) > PEERS_MAX:
            self._rates.popitem(last=False)
        if rate.packets >= 0 and rate.bytes >= 0:
            return True
        # What was turned away costs nothing, or whoever repeats too fast would be shut out for ever.
        rate.packets, rate.bytes = max(rate.packets, 0), max(rate.bytes, 0)
        self.turned_away["flooding"] += 1
        return False


class _Datagrams(asyncio.DatagramProtocol):
    """Hands each datagram on; errors of sending are nobody's, since nothing is sent."""

    def __init__(self, on_datagram: Callable[[bytes, tuple[Any, ...]], None]) -> None:
        self._on_datagram = on_datagram

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._on_datagram(data, addr)
