"""A gateway's port for pushes over a real store, and meters that push to it by real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.push import PUSH_CLIENT_SAP
from device_sim.core.is15959.settings import Secrets
from dlms.link.wrapper import pack
from dlms.security.counters import PeerCounterPolicy
from dlms.security.keys import Keys
from dlms.security.suite0 import PROTECTED
from gateway.adapters.dlms.push import PushReader
from gateway.adapters.dlms.push_door import DoorSettings, PushDoor
from gateway.adapters.dlms.push_meters import PushBook, PushMeter
from gateway.adapters.dlms.push_senders import PushSenders
from gateway.core.acquisition import Pushed
from gateway.core.effects import Effect
from gateway.core.pushes import Sender
from tests.integration.gateway.dlms.gateway_side import the_profile
from tests.integration.gateway.dlms.site import MemoryShelf, SiteClock, make_sim_meter
from tests.rig.sessions import until
from tests.unit.gateway.box import METER, UTC_MS, WITHOUT_RELAY, Box
from wire import codec
from wire.facts import MeterEvent

LOOPBACK = "127.0.0.1"
SECRETS = Secrets()
KEYS = Keys(SECRETS.push_encryption, SECRETS.authentication)
MAGNET, COVER, SWITCHED, GASP, BREATH = 81, 83, 84, 85, 86


class BoxClock(SiteClock):
    """The box's clock, in the test's hand."""

    def __init__(self) -> None:
        super().__init__()
        self.box: Box | None = None

    def monotonic_ms(self) -> int:
        assert self.box is not None
        return self.box.now_ms

    def tick_ms(self) -> int:
        return self.monotonic_ms()

    def wall_ms(self) -> int:
        return UTC_MS + self.monotonic_ms()


def plain(meter: str = METER, *names: str) -> PushMeter:
    told = names or ("WPS00000001",)
    return PushMeter(id=meter, profile=the_profile(), names=tuple(name.encode() for name in told))


def ciphered(meter: str = METER, **changes: Any) -> PushMeter:
    given = {"keys": KEYS, "required": PROTECTED, "policy": PeerCounterPolicy.STRICT, **changes}
    return PushMeter(id=meter, profile=the_profile(), **given)


@dataclass
class Hall:
    """The gateway's side; what gets through goes into the box."""

    box: Box
    clock: BoxClock
    meters: Sequence[PushMeter]
    book: PushBook
    settings: Mapping[str, Any] = field(default_factory=dict)
    pushed: list[Pushed] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make what does not outlast the process."""
        senders = PushSenders(self.meters, book=self.book, ask=self._ask, now_ms=self.clock.monotonic_ms)
        self.reader = PushReader(senders, book=self.book, sink=self._take, clock=self.clock)
        settings = DoorSettings(host=LOOPBACK, port=0, **self.settings)
        self.door = PushDoor(settings, take=self.reader.take, clock=self.clock)

    async def _ask(self) -> dict[str, Sender]:
        self.asked += 1
        await asyncio.sleep(0)
        with self.box.store.transaction():
            return self.box.station.pushes.senders([meter.id for meter in self.meters])

    async def _take(self, event: Pushed) -> None:
        await asyncio.sleep(0)
        self.pushed.append(event)
        self.effects += self.box.do(lambda station, now: station.on_pushed(event, now))

    @property
    def done(self) -> int:
        """How many pushes were looked at or turned away."""
        return self.reader.taken + self.reader.refused.total() + self.door.turned_away.total()

    def told(self, meter: str = METER) -> list[int]:
        """Return the numbers of the events that were told of a meter, in the order of their instants."""
        self.box.drain()
        facts = {codec.encode(fact): fact for fact in self.box.sent if isinstance(fact, MeterEvent)}
        return [
            fact.number
            for fact in sorted(facts.values(), key=lambda fact: (fact.captured_s, fact.number))
            if fact.meter == meter
        ]

    async def send(self, *apdus: bytes, way: str = "tcp") -> None:
        """Bring APDUs, one connection each, and wait until they were looked at."""
        for apdu in apdus:
            before = self.done
            await self.send_bytes(pack(1, PUSH_CLIENT_SAP, apdu), way=way)
            await until(lambda before=before: self.done > before)  # type: ignore[misc]

    async def send_bytes(self, data: bytes, *, way: str = "tcp") -> None:
        if way == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(data, (LOOPBACK, self.door.port))
            return
        _, writer = await asyncio.open_connection(LOOPBACK, self.door.port)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def opened(hall: Hall) -> AsyncIterator[None]:
    """Let a hall's door stand open."""
    task = asyncio.create_task(hall.door.run())
    try:
        async with asyncio.timeout(10):
            await hall.door.is_open.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@asynccontextmanager
async def hall_of(
    folder: Path, *meters: PushMeter, shelf: MemoryShelf | None = None, **settings: Any
) -> AsyncIterator[Hall]:
    """Open a door for meters."""
    profile = the_profile()
    box = Box(folder, visited={METER: profile, WITHOUT_RELAY: profile})
    clock = BoxClock()
    clock.box = box
    book = PushBook(shelf or MemoryShelf(), [meter.id for meter in meters])
    hall = Hall(box, clock, meters, book, settings)
    try:
        async with opened(hall):
            yield hall
    finally:
        box.store.close()


def sim_meter(hall: Hall, number: int = 1, **settings: Any) -> Is15959Meter:
    """Return a meter whose clock is right."""
    meter = make_sim_meter(hall.clock, number, days=0.01, **settings)
    meter.take_pushes()
    return meter


def apdus(meter: Is15959Meter) -> list[bytes]:
    """Return what a meter wants sent."""
    return [push.apdu for push in meter.take_pushes()]
