"""A line between one master and several stations, on virtual time, that treats frames as badly as a seed says."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dlms.errors import LinkError
from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import (
    Connected,
    Disconnected,
    Failed,
    Peer,
    PeerConnected,
    PeerDisconnected,
    PeerReceived,
    Received,
    SendBytes,
    ServerEvent,
)
from dlms.link.frame import encode_frame
from dlms.link.parameters import LinkParameters
from dlms.link.server import HdlcServerLine, HdlcServerSettings

CLIENT = 48
STEPS_MAX = 20_000
LATENCY_MS = 10

ClientEnd = Connected | Disconnected | Failed | Received


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What happens to frames; the shares are probabilities."""

    lost: float = 0.0
    flipped: float = 0.0
    doubled: float = 0.0
    cut: float = 0.0
    late: float = 0.0
    late_ms_max: int = 0
    foreign: float = 0.0
    is_ordered: bool = True
    """Whether a late frame holds up those behind it, as on a serial line or TCP, or is overtaken."""


QUIET = Noise()


def split_frames(data: bytes) -> Iterator[bytes]:
    """Cut what was sent at once into its frames, by their lengths."""
    while data:
        end = 2 + ((data[1] & 7) << 8 | data[2])
        yield data[:end]
        data = data[end:]


def pieces(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Cut bytes anywhere."""
    while data:
        end = rng.choice((1, 2, rng.randint(1, len(data)), len(data)))
        yield data[:end]
        data = data[end:]


@dataclass
class World:
    """The line, its clients by station, an application that answers, and the time."""

    rng: random.Random
    stations: list[StationAddress]
    settings: HdlcSettings
    noise: Noise = QUIET
    limits: LinkParameters = field(default_factory=LinkParameters)
    work_ms_max: int = 0
    answer_bytes_max: int = 600

    def __post_init__(self) -> None:
        self.now_ms = 0
        self.order = itertools.count()
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self.arrived_ms = {"up": 0, "down": 0}
        self.clients = {station: HdlcClient(CLIENT, station, self.settings) for station in self.stations}
        self.line = HdlcServerLine(self.stations, HdlcServerSettings(limits=self.limits, octet_gap_ms=300))
        self.ends: dict[StationAddress, list[ClientEnd]] = {station: [] for station in self.stations}
        self.sent: set[tuple[StationAddress, bytes]] = set()
        self.served: set[tuple[Peer, bytes]] = set()
        self.sessions: set[Peer] = set()

    # The channel.

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.now_ms + delay_ms, next(self.order), act))

    def carry(self, data: bytes, way: str) -> None:
        noise, rng = self.noise, self.rng
        for frame in split_frames(data):
            copies = 0 if rng.random() < noise.lost else 2 if rng.random() < noise.doubled else 1
            for _ in range(copies):
                self.deliver(self.spoilt(frame), way)
            if rng.random() < noise.foreign:
                self.deliver(self.foreign_frame(), way)

    def spoilt(self, frame: bytes) -> bytes:
        noise, rng = self.noise, self.rng
        spoilt = bytearray(frame)
        if rng.random() < noise.flipped:
            for _ in range(rng.randint(1, 3)):
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        if rng.random() < noise.cut:
            at = rng.randrange(len(spoilt))
            del spoilt[at : at + rng.randint(1, len(spoilt))]
        return bytes(spoilt)

    def foreign_frame(self) -> bytes:
        """Return what a station or a master that is not ours could say, in plausible numbers."""
        addresses = self.rng.choice((b"\x61\x02\x27", b"\x02\x27\x61", b"\x63\x02\x23"))
        control = self.rng.choice((0x10, 0x30, 0x52, 0x11, 0x31, 0x73, 0x1F, 0x97, 0x93, 0x53))
        return encode_frame(addresses, control, b"\xe6\xe7\x00wrong" if not control & 1 else b"")

    def deliver(self, data: bytes, way: str) -> None:
        noise, rng = self.noise, self.rng
        delay_ms = LATENCY_MS + rng.randint(0, 5)
        if rng.random() < noise.late:
            delay_ms += rng.randint(0, noise.late_ms_max)
        if noise.is_ordered:
            self.arrived_ms[way] = max(self.arrived_ms[way], self.now_ms + delay_ms)
            delay_ms = self.arrived_ms[way] - self.now_ms
        self.later(delay_ms, lambda: self.arrive(data, way))

    def arrive(self, data: bytes, way: str) -> None:
        for piece in pieces(data, self.rng):
            if way == "up":
                self.serve(self.line.receive(piece, now_ms=self.now_ms))
                continue
            for station, client in self.clients.items():
                self.tell(station, client.receive(piece, now_ms=self.now_ms))

    # The two ends.

    def tell(self, station: StationAddress, events: Iterable[SendBytes | ClientEnd]) -> None:
        for event in events:
            if isinstance(event, SendBytes):
                self.carry(event.data, "up")
            else:
                self.ends[station].append(event)

    def serve(self, events: Iterable[ServerEvent]) -> None:
        for event in events:
            match event:
                case SendBytes():
                    self.carry(event.data, "down")
                case PeerConnected():
                    self.sessions.add(event.peer)
                case PeerDisconnected():
                    self.sessions.remove(event.peer)
                case PeerReceived():
                    self.answer(event.peer, event.apdu)
                case Failed():
                    raise event.error

    def answer(self, peer: Peer, request: bytes) -> None:
        assert peer in self.sessions
        assert (StationAddress(peer.server, peer.physical), request) in self.sent
        assert (peer, request) not in self.served, "a request was carried out twice"
        self.served.add((peer, request))
        answer = self.answer_to(request)
        delay_ms = self.rng.randint(0, self.work_ms_max)
        self.later(delay_ms, lambda: self.serve(self.line.send(peer, answer, now_ms=self.now_ms)))

    def answer_to(self, request: bytes) -> bytes:
        """Return what belongs to this request and to no other; it is full of flags."""
        rng = random.Random(request)
        return b"answer to " + request[:24] + b"~" * rng.randint(0, self.answer_bytes_max) + rng.randbytes(5)

    # The run of time.

    def step(self) -> None:
        """Do what comes next, be it an arrival or a timer."""
        deadlines = [(client.next_deadline_ms(), station) for station, client in self.clients.items()]
        due = min(((at_ms, station.lower, station) for at_ms, station in deadlines if at_ms is not None), default=None)
        if self.agenda and (due is None or self.agenda[0][0] <= due[0]):
            at_ms, _, act = heapq.heappop(self.agenda)
            self.now_ms = max(self.now_ms, at_ms)
            act()
            return
        assert due is not None, "nobody will ever do anything again"
        self.now_ms = max(self.now_ms, due[0])
        station = due[2]
        self.tell(station, self.clients[station].on_timer(now_ms=self.now_ms))

    def until_end(self, station: StationAddress) -> ClientEnd:
        """Run until the client of this station has something to say that was asked for."""
        for _ in range(STEPS_MAX):
            while self.ends[station]:
                end = self.ends[station].pop(0)
                if not (isinstance(end, Received) and end.is_unsolicited):
                    return end
            self.step()
        raise AssertionError("the exchange does not end")

    def run_for(self, duration_ms: int) -> None:
        until_ms = self.now_ms + duration_ms
        self.later(duration_ms, lambda: None)
        while self.now_ms < until_ms:
            self.step()

    def connect(self, station: StationAddress) -> ClientEnd:
        if not self.noise.is_ordered:
            # Where frames overtake each other, none may be overtaken by a whole session.
            self.run_for(2 * (self.noise.late_ms_max + LATENCY_MS + 5))
        self.ends[station].clear()
        self.tell(station, self.clients[station].connect(now_ms=self.now_ms))
        return self.until_end(station)

    def disconnect(self, station: StationAddress) -> ClientEnd:
        self.ends[station].clear()
        self.tell(station, self.clients[station].disconnect(now_ms=self.now_ms))
        return self.until_end(station)

    def begin(self, station: StationAddress, request: bytes) -> None:
        self.sent.add((station, request))
        self.tell(station, self.clients[station].send(request, now_ms=self.now_ms))

    def exchange(self, station: StationAddress, request: bytes) -> bytes | LinkError:
        """Send a request and return its answer, or what went wrong, with or without being connected before."""
        if not self.clients[station].is_connected:
            end = self.connect(station)
            if isinstance(end, Failed):
                return end.error
            assert isinstance(end, Connected)
        self.begin(station, request)
        end = self.until_end(station)
        if isinstance(end, Failed):
            return end.error
        assert isinstance(end, Received)
        return end.apdu
