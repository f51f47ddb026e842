import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog

from gateway.adapters.bus import BusWorker, ExpiredError
from gateway.adapters.modbus import ModbusDriver, ModbusMeter, ModbusRelay, TcpLine
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import (
    BusEvent,
    LineFound,
    LineLost,
    MeterFound,
    MeterLost,
    MeterNeglected,
    ReadFailed,
    Reading,
    ReadMeter,
    ReadRelay,
    Sample,
    SwitchRelay,
)
from gateway.core.profiles import MeterProfile, RelayProfile
from gateway.ports import BusDriver, LineDownError, LineUsage, MeterRefusedError, MeterUnavailableError
from tests.integration.gateway.modbus_line import Bus, Device, tcp_bus
from tests.rig.sessions import until
from wire.readings import QUALITY_MISSING
from wire.runtime.clock import AcceleratedClock, Clock

PROFILES = load_profiles()
RATE = 3_600
PERIOD_MS = 900_000
"""A quarter of an hour takes 250 ms."""


@dataclass
class Events:
    """What a worker told."""

    all: list[BusEvent] = field(default_factory=list)

    async def sink(self, event: BusEvent) -> None:
        self.all.append(event)

    def readings(self, meter_id: str) -> list[Reading]:
        return [event for event in self.all if isinstance(event, Reading) and event.meter_id == meter_id]

    def has(self, kind: type[BusEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.all)


def site_clock() -> Clock:
    return AcceleratedClock(rate=RATE, real_origin_ms=0, wall_origin_ms=0)


def driver_for(port: int, clock: Clock, *units: int, timeout_ms: int = 200) -> ModbusDriver:
    meter, relay = PROFILES["eastron-sdm120"], PROFILES["relay-coils-8"]
    assert isinstance(meter, MeterProfile)
    assert isinstance(relay, RelayProfile)
    return ModbusDriver(
        TcpLine(host="127.0.0.1", port=port, framing="rtu"),
        meters={f"m{unit}": ModbusMeter(unit=unit, profile=meter) for unit in units},
        relays={"r": ModbusRelay(unit=9, profile=relay, output=0)},
        clock=clock,
        timeout_ms=timeout_ms,
        late_ms=20,
    )


@asynccontextmanager
async def running(driver: BusDriver, clock: Clock, events: Events, *meters: str) -> AsyncIterator[BusWorker]:
    worker = BusWorker(
        "b1",
        driver=driver,
        reads=[(ReadMeter(meter_id=meter), PERIOD_MS) for meter in meters],
        clock=clock,
        sink=events.sink,
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not task.done(), "a worker does not end by itself"
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def village(*units: int) -> AsyncIterator[tuple[Bus, Events, BusWorker]]:
    bus = Bus({unit: Device({0: 0x4366}) for unit in units} | {9: Device()}, rtu=True)
    clock, events = site_clock(), Events()
    async with tcp_bus(bus) as port:
        driver = driver_for(port, clock, *units)
        async with running(driver, clock, events, *(f"m{unit}" for unit in units)) as worker:
            yield bus, events, worker


async def test_each_meter_is_read_once_in_each_slot() -> None:
    async with village(1, 2, 3) as (_bus, events, _worker):
        await until(lambda: all(len(events.readings(f"m{unit}")) >= 4 for unit in (1, 2, 3)))
    for unit in (1, 2, 3):
        slots = [reading.slot_ms for reading in events.readings(f"m{unit}")]
        assert len(slots) == len(set(slots))
    reading = events.readings("m1")[0]
    assert reading.samples[0] == Sample(0, 2300)
    assert [sample.channel for sample in reading.samples] == list(range(11))
    assert reading.slot_ms is not None
    assert reading.slot_ms <= reading.tick_ms


async def test_a_dead_meter_is_told_lost_and_found_and_the_others_go_on() -> None:
    async with village(1, 2) as (bus, events, _worker):
        bus.devices[1].dead = True
        await until(lambda: events.has(ReadFailed))
        before = len(events.readings("m2"))
        await until(lambda: len(events.readings("m2")) >= before + 6)
        failed = next(event for event in events.all if isinstance(event, ReadFailed))
        assert (failed.meter_id, failed.reason) == ("m1", "unavailable")
        assert not events.readings("m1")
        assert sum(unit == 1 for unit, _ in bus.requests) <= 2, "back-off is real time"


async def test_a_meter_found_again_after_it_was_lost_is_told() -> None:
    async with village(1) as (bus, events, worker):
        bus.devices[1].dead = True
        await until(lambda: events.has(ReadFailed))
        for _ in range(2):
            with pytest.raises(MeterUnavailableError):
                await worker.submit(ReadMeter(meter_id="m1"))
        assert events.has(MeterLost)
        bus.devices[1].dead = False
        assert isinstance(await worker.submit(ReadMeter(meter_id="m1")), Reading)
        assert events.has(MeterFound)


async def test_a_dead_meter_shows_in_the_numbers_of_its_line_until_it_answers() -> None:
    async with village(1, 2) as (bus, events, worker):
        await until(lambda: bool(events.readings("m1") and events.readings("m2")))
        good = worker.numbers()
        assert (good.failures_count, good.meters_count, good.meters_lost_count) == (0, 2, 0)
        assert good.transactions_count == len(bus.requests)
        assert good.bytes_count > 16 * good.transactions_count
        bus.devices[1].dead = True
        while not events.has(MeterLost):
            with pytest.raises(MeterUnavailableError):
                await worker.submit(ReadMeter(meter_id="m1"))
        bad = worker.numbers()
        assert bad.failures_count >= 3
        assert bad.meters_lost_count == 1
        assert 50 <= bad.busy_percent <= 100, "mostly it waited for the dead one"
        bus.devices[1].dead = False
        await worker.submit(ReadMeter(meter_id="m1"))
        assert worker.numbers().meters_lost_count == 0


async def test_a_read_on_demand_gives_its_reading_to_the_asker_only() -> None:
    async with village(1) as (_bus, events, worker):
        reading = await worker.submit(ReadMeter(meter_id="m1", channels=(0, 7)))
        assert isinstance(reading, Reading)
        assert reading.slot_ms is None
        assert reading.samples == (Sample(0, 2300), Sample(7, 0))
        assert reading not in events.all


async def test_a_relay_is_switched_by_a_command() -> None:
    async with village(1) as (bus, _events, worker):
        assert await worker.submit(SwitchRelay(relay_id="r", closed=True)) is True
        assert bus.devices[9].coils == {0: True}
        assert await worker.submit(ReadRelay(relay_id="r")) is True


async def test_a_command_goes_between_the_transactions_of_a_read() -> None:
    clock, events = site_clock(), Events()
    bus = Bus({1: Device(), 9: Device()}, rtu=True, delay_ms=30)
    async with tcp_bus(bus) as port, running(driver_for(port, clock, 1, timeout_ms=500), clock, events) as worker:
        reading = worker.submit(ReadMeter(meter_id="m1"))
        await until(lambda: len(bus.requests) == 1)
        await worker.submit(SwitchRelay(relay_id="r", closed=True))
        await reading
    assert [unit for unit, _ in bus.requests] == [1, 9, 9, 1]


async def test_a_command_past_its_deadline_sends_nothing() -> None:
    async with village() as (bus, _events, worker):
        with pytest.raises(ExpiredError):
            await worker.submit(SwitchRelay(relay_id="r", closed=True), not_after_ms=site_clock().tick_ms() - 1)
        assert bus.requests == []


async def test_a_cancelled_command_sends_nothing() -> None:
    async with village() as (bus, _events, worker):
        worker.submit(SwitchRelay(relay_id="r", closed=True)).cancel()
        assert await worker.submit(ReadRelay(relay_id="r")) is False
        assert len(bus.requests) == 1


async def test_a_dead_relay_board_fails_the_command() -> None:
    async with village() as (bus, _events, worker):
        bus.devices[9].dead = True
        with pytest.raises(MeterUnavailableError):
            await worker.submit(SwitchRelay(relay_id="r", closed=True))


async def test_what_a_meter_refuses_is_missing_and_the_rest_is_read() -> None:
    clock, events = site_clock(), Events()
    bus = Bus({1: Device({0: 0x4366}, refused={0x48})}, rtu=True)
    async with tcp_bus(bus) as port, running(driver_for(port, clock, 1), clock, events, "m1") as worker:
        await until(lambda: bool(events.readings("m1")))
        reading = events.readings("m1")[0]
        assert reading.samples[0] == Sample(0, 2300)
        assert reading.samples[7] == Sample(7, None, QUALITY_MISSING)
        with pytest.raises(MeterRefusedError):
            await worker.submit(ReadMeter(meter_id="m1", channels=(7,)))


async def test_a_lost_line_blames_no_meter_and_is_told_once() -> None:
    clock, events = site_clock(), Events()
    bus = Bus({1: Device(), 2: Device(), 9: Device()}, rtu=True)
    async with tcp_bus(bus) as port:
        pass
    async with running(driver_for(port, clock, 1, 2), clock, events, "m1", "m2") as worker:
        await until(lambda: events.has(LineLost))
        with pytest.raises(LineDownError):
            await worker.submit(SwitchRelay(relay_id="r", closed=True))
        async with tcp_bus(bus, port):
            await until(lambda: bool(events.readings("m1") and events.readings("m2")))
            kinds = [type(event) for event in events.all]
            assert kinds[:2] == [LineLost, LineFound]
            assert set(kinds[2:]) == {Reading}


class Odd:
    """A driver with a fault of ours: it raises what no port declares, or never comes back."""

    def __init__(self) -> None:
        self.resets = 0
        self.usage = LineUsage()

    def parts(self, read: ReadMeter) -> tuple[tuple[int, ...], ...]:
        return ((0,), (1,)) if read.meter_id == "odd" else ((0,),)

    async def read(self, read: ReadMeter, part: int) -> tuple[Sample, ...]:
        if read.meter_id == "hung":
            await asyncio.Event().wait()
        if read.meter_id == "odd" and part == 1:
            raise ZeroDivisionError
        return (Sample(part, 1),)

    async def switch(self, relay_id: str, *, closed: bool) -> bool:
        return relay_id == "r" and closed

    async def relay_state(self, relay_id: str) -> bool:
        return relay_id == "r"

    def reset(self) -> None:
        self.resets += 1


async def test_a_fault_of_the_program_costs_one_job_and_not_the_worker() -> None:
    clock, events, driver = site_clock(), Events(), Odd()
    with structlog.testing.capture_logs() as logs:
        async with running(driver, clock, events, "odd", "even") as worker:
            await until(lambda: len(events.readings("even")) >= 3)
            with pytest.raises(ZeroDivisionError):
                await worker.submit(ReadMeter(meter_id="odd"))
    assert driver.resets >= 1
    assert {event.reason for event in events.all if isinstance(event, ReadFailed)} == {"fault"}
    assert {entry["event"] for entry in logs} == {"bus.step_failed"}


async def test_a_transaction_that_hangs_is_given_up_and_the_watchdog_speaks_meanwhile() -> None:
    clock, events, driver = site_clock(), Events(), Odd()
    worker = BusWorker(
        "b1",
        driver=driver,
        reads=[(ReadMeter(meter_id="hung"), PERIOD_MS)],
        clock=clock,
        sink=events.sink,
        step_limit_ms=1_500,
        watchdog_ms=50,
    )
    task = asyncio.create_task(worker.run())
    await until(lambda: events.has(ReadFailed))
    assert driver.resets == 1
    assert isinstance(events.all[0], MeterNeglected), "it was not tried anew for three periods"
    assert sum(isinstance(event, MeterNeglected) for event in events.all) == 1
    task.cancel()
    await asyncio.wait([task])


async def test_the_end_of_a_worker_cancels_what_waits() -> None:
    clock, events = site_clock(), Events()
    bus = Bus({9: Device(dead=True)}, rtu=True)
    async with tcp_bus(bus) as port:
        async with running(driver_for(port, clock, timeout_ms=5_000), clock, events) as worker:
            waiting = worker.submit(SwitchRelay(relay_id="r", closed=True))
            await until(lambda: len(bus.requests) == 1)
        assert waiting.cancelled()


async def test_a_full_sink_stops_the_bus_and_loses_nothing() -> None:
    bus = Bus({1: Device(), 2: Device(), 9: Device()}, rtu=True)
    clock = site_clock()
    queue: asyncio.Queue[BusEvent] = asyncio.Queue(maxsize=2)
    async with tcp_bus(bus) as port:
        worker = BusWorker(
            "b1",
            driver=driver_for(port, clock, 1, 2),
            reads=[(ReadMeter(meter_id=meter), PERIOD_MS) for meter in ("m1", "m2")],
            clock=clock,
            sink=queue.put,
        )
        task = asyncio.create_task(worker.run())
        await until(queue.full)
        stopped_ms = clock.tick_ms()
        await until(lambda: clock.tick_ms() > stopped_ms + 3 * PERIOD_MS)
        assert len(bus.requests) <= 2 * 3, "two transactions for each event taken and the one that waits"
        for _ in range(8):
            assert isinstance(await asyncio.wait_for(queue.get(), 5), Reading)
        assert worker.counts.slots_missed >= 1
        task.cancel()
        await asyncio.wait([task])
