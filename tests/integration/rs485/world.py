"""A gateway on one RS-485 line: the real schedule, driver, station and disk, on the event loop's own time."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from device_sim.core.faults import Faults
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate, Secrets
from device_sim.core.load import HouseholdLoad
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply
from gateway.adapters.bus import BusWorker, Visits
from gateway.adapters.dlms.access import DlmsMeter, make_meter
from gateway.adapters.dlms.carriers import Carrier
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts, LineSettings
from gateway.adapters.dlms.entries import DlmsEntry, RoleEntry
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import (
    BusEvent,
    Captured,
    ClockSeen,
    Identified,
    Logged,
    MeterLost,
    Mirrored,
    Task,
    TaskRefused,
    VisitEvent,
    VisitMeter,
)
from gateway.core.collection import CollectionSettings
from gateway.core.dlms_profiles import DlmsProfile
from tests.unit.gateway.box import GATEWAY, GATEWAY_KEY, UTC_MS, UTILITY, Box
from wire.address import Address, Direction, Kind
from wire.keys import PinnedKeys
from wire.messages import Batch, facts_of, open_message
from wire.readings import Profile, captured

HOUR_MS: Final = 3_600_000
BEGUN_MS: Final = UTC_MS
"""UTC at tick 0."""
PERIOD_MS: Final = 900_000
FIRST_ADDRESS: Final = 17
SECRETS: Final = Secrets()


class LoopClock:
    """The event loop's time as a site clock, from a tick of one's choice on."""

    def __init__(self, *, first_tick_ms: int = 0) -> None:
        self._first_tick_ms = first_tick_ms
        self._begun_ms: int | None = None

    def monotonic_ms(self) -> int:
        now_ms = round(asyncio.get_running_loop().time() * 1_000)
        if self._begun_ms is None:
            self._begun_ms = now_ms
        return now_ms - self._begun_ms + self._first_tick_ms

    def tick_ms(self) -> int:
        return self.monotonic_ms()

    def wall_ms(self) -> int:
        return BEGUN_MS + self.monotonic_ms()


class BoxShelf:
    """What the driver keeps, on the gateway's disk."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def kept(self, name: str) -> bytes | None:
        with self._box.store.transaction():
            return self._box.store.value(name) or None

    async def keep(self, name: str, value: bytes) -> None:
        with self._box.store.transaction():
            self._box.store.set_value(name, value)


@dataclass(slots=True)
class Found:
    """What a run of the line shows."""

    visit_s: dict[str, float] = field(default_factory=dict)
    """Time of the line that the visits to each meter took."""
    visits: Counter[str] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    elapsed_s: float = 0.0

    def share(self, meter: str) -> float:
        """Return the part of the line's time that was spent on a meter."""
        return self.visit_s.get(meter, 0.0) / self.elapsed_s


class _Timed(DlmsDriver):
    """The driver, with a watch in its hand."""

    found: Found

    async def visit(self, meter_id: str, tasks: tuple[Task, ...]) -> AsyncGenerator[VisitEvent, None]:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        events = super().visit(meter_id, tasks)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            self.found.visits[meter_id] += 1
            self.found.visit_s[meter_id] = self.found.visit_s.get(meter_id, 0.0) + loop.time() - begun_s


def make_meters(count: int, *, history_h: int) -> dict[str, Is15959Meter]:
    """Return meters by name, each with a household and a past."""
    profile = standard_profile()
    feeder = Feeder(profile=profile, seed=1)
    begun_ms = BEGUN_MS - history_h * HOUR_MS
    meters = {}
    for number in range(1, count + 1):
        name = f"m-{number}"
        load = HouseholdLoad(
            profile=profile, seed=1, household=name, annual_kwh=1800, phase_count=1, power_max_w=10_000
        )
        supply = Supply(load=load, feeder=feeder, utc_offset_min=330, cable_ohm=0.4, started_ms=begun_ms)
        told = MeterSettings(
            nameplate=Nameplate(serial=f"{number:08}", device_number=number), secrets=SECRETS, capture_period_s=900
        )
        faults = Faults((), rng=Random(1))
        meters[name] = Is15959Meter(told, supply=supply, faults=faults, now_ms=begun_ms)
    for hour in range(1, history_h + 1):
        for meter in meters.values():
            meter.advance(begun_ms + hour * HOUR_MS)
    return meters


class Gateway:
    """What asks."""

    def __init__(
        self, folder: Path, names: Iterable[str], carrier: Carrier, *, clock: LoopClock, settings: LineSettings
    ) -> None:
        make = load_profiles()["is15959-d1"]
        assert isinstance(make, DlmsProfile)
        secret = folder / "reader.secret"
        secret.write_bytes(SECRETS.reader_password)
        entries = {
            name: DlmsEntry(address=FIRST_ADDRESS + place, reading=RoleEntry(secret_file=str(secret)))
            for place, name in enumerate(names)
        }
        self._meters: Mapping[str, DlmsMeter] = {
            name: make_meter(name, entry, make, gateway=GATEWAY) for name, entry in entries.items()
        }
        self.found = Found()
        self.box = Box(
            folder,
            collection=CollectionSettings(seal_after_ms=60_000),
            visited=dict.fromkeys(self._meters, make),
        )
        shelf = BoxShelf(self.box)
        ports = DriverPorts(clock=clock, shelf=shelf, counters=CounterBook(shelf), fresh_bytes=Random(1).randbytes)
        self._driver = _Timed(carrier, settings, meters=self._meters, ports=ports)
        self._driver.found = self.found
        self._clock = clock

    async def run(self, hours: float) -> None:
        """Read for so long, a visit to each meter an hour."""
        begun_s = asyncio.get_running_loop().time()
        self._tell_time()
        self.box.open_session()
        worker = BusWorker(
            "rs485",
            driver=self._driver,
            reads=[(VisitMeter(meter_id=name), HOUR_MS) for name in self._meters],
            clock=self._clock,
            sink=self._take,
            visits=Visits(self._driver, self._due),
        )
        # Slots begin at whole hours of UTC, and the rows of an hour are there a little later.
        worker.align((BEGUN_MS - 60_000) % HOUR_MS)
        working = asyncio.create_task(worker.run())
        await asyncio.wait((working,), timeout=hours * 3_600)
        self.found.elapsed_s += asyncio.get_running_loop().time() - begun_s
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    def _tell_time(self) -> None:
        self.box.now_ms = self._clock.tick_ms()

    async def _due(self, meter: str) -> tuple[Task, ...]:
        self._tell_time()
        with self.box.store.transaction():
            return self.box.station.agenda.due(meter, self.box.now)

    async def _take(self, event: BusEvent) -> None:
        self._tell_time()
        match event:
            case TaskRefused():
                self.found.refused.append(repr(event))
            case MeterLost(meter_id=meter):
                self.found.lost.add(meter)
            case Captured() | Logged() | ClockSeen() | Identified() | Mirrored():
                self.box.do(lambda station, now: station.on_record(event, now))
            case _:
                pass

    def reported(self) -> dict[str, Counter[tuple[bytes, int]]]:
        """Return how often each captured row is in a batch on the disk: profile and instant, by meter."""
        box = self.box
        found: dict[str, Counter[tuple[bytes, int]]] = {}
        address = Address(UTILITY, Direction.UP, Kind.BATCH, GATEWAY)
        with box.store.transaction():
            box.station.collector.seal(box.now, everything=True)
            sealed = [box.store.sealed(batch.digest) for batch in box.store.next_batches(live_from=0, count_max=10**6)]
        for letter in sealed:
            message, _ = open_message(letter, address, PinnedKeys([GATEWAY_KEY.public]))
            assert isinstance(message, Batch)
            for fact in facts_of(message):
                if isinstance(fact, Profile):
                    rows = found.setdefault(fact.meter, Counter())
                    rows.update((fact.profile, instant_s) for instant_s in captured(fact)[0])
        return found
