"""How a bus worker makes visits: what they bring is told as it comes, and what breaks off keeps what it had."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog

from gateway.adapters.bus import BusWorker, Visits
from gateway.core.acquisition import (
    BusEvent,
    ClockSeen,
    LineFound,
    LineLost,
    MeterFound,
    MeterLost,
    ReadFailed,
    Reading,
    ReadMeter,
    ReadValues,
    Sample,
    SwitchRelay,
    SyncClock,
    Task,
    VisitEvent,
    VisitMeter,
)
from gateway.core.schedule import Priority
from gateway.ports import GarbledError, LineDownError, LineUsage, MeterRefusedError, MeterUnavailableError
from tests.rig.sessions import until
from wire.runtime.clock import AcceleratedClock

PERIOD_MS = 900_000
RATE = 3_600
TASKS: tuple[Task, ...] = (
    ReadValues(),
    SyncClock(utc_less_tick_ms=0, may_set=False, offset_ms_max=10_000, period_s=0),
)


@dataclass
class Line:
    """A line in memory with meters that can be visited; what goes wrong at a meter is set by the test."""

    after_values: dict[str, BaseException] = field(default_factory=dict)
    """Raised at a meter once its values were given."""
    at_once: dict[str, BaseException] = field(default_factory=dict)
    hung: set[str] = field(default_factory=set)
    visits: list[tuple[str, tuple[Task, ...]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    resets: int = 0
    gate: asyncio.Event | None = None
    """Awaited after the values."""
    usage: LineUsage = field(default_factory=LineUsage)

    def parts(self, read: ReadMeter) -> tuple[tuple[int, ...], ...]:
        return ((read.channels or (0,)),)

    async def read(self, read: ReadMeter, part: int) -> tuple[Sample, ...]:
        self.calls.append(f"read {read.meter_id}")
        return (Sample(part, 1),)

    async def switch(self, relay_id: str, *, closed: bool) -> bool:
        self.calls.append(f"switch {relay_id}")
        return closed

    async def relay_state(self, relay_id: str) -> bool:
        return f"switch {relay_id}" in self.calls

    def reset(self) -> None:
        self.resets += 1

    async def visit(self, meter_id: str, tasks: tuple[Task, ...]) -> AsyncGenerator[VisitEvent, None]:
        self.visits.append((meter_id, tasks))
        self.calls.append(f"associate {meter_id}")
        if meter_id in self.at_once:
            raise self.at_once[meter_id]
        try:
            yield Reading(meter_id=meter_id, tick_ms=1, spread_ms=0, slot_ms=None, samples=(Sample(0, 1),))
            if self.gate is not None:
                await self.gate.wait()
            if meter_id in self.after_values:
                raise self.after_values[meter_id]
            if meter_id in self.hung:
                await asyncio.Event().wait()
            yield ClockSeen(meter_id=meter_id, tick_ms=2, offset_ms=5, was_set=False)
        finally:
            self.calls.append(f"release {meter_id}")


@dataclass
class Rig:
    """A worker and what it told."""

    line: Line
    worker: BusWorker
    events: list[BusEvent]

    def has(self, kind: type[BusEvent], count: int = 1) -> bool:
        return sum(isinstance(event, kind) for event in self.events) >= count


@asynccontextmanager
async def running(line: Line, *meters: str, step_limit_ms: int = 30_000) -> AsyncIterator[Rig]:
    clock = AcceleratedClock(rate=RATE, real_origin_ms=0, wall_origin_ms=0)
    events: list[BusEvent] = []

    async def sink(event: BusEvent) -> None:
        events.append(event)

    async def agenda(_meter: str) -> tuple[Task, ...]:
        return TASKS

    worker = BusWorker(
        "b1",
        driver=line,
        reads=[(VisitMeter(meter_id=meter), PERIOD_MS) for meter in meters],
        clock=clock,
        sink=sink,
        visits=Visits(line, agenda),
        step_limit_ms=step_limit_ms,
    )
    task = asyncio.create_task(worker.run())
    try:
        yield Rig(line, worker, events)
        assert not task.done(), "a worker does not end by itself"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_each_meter_is_visited_once_in_each_slot_for_what_is_due() -> None:
    async with running(Line(), "m1", "m2") as rig:
        await until(lambda: rig.has(ClockSeen, 6))
    slots = [(event.meter_id, event.slot_ms) for event in rig.events if isinstance(event, Reading)]
    assert len(slots) == len(set(slots))
    assert all(slot_ms is not None for _, slot_ms in slots)
    assert {tasks for _, tasks in rig.line.visits} == {TASKS}


async def test_what_a_visit_brings_is_told_while_it_goes_on() -> None:
    line = Line(gate=asyncio.Event())
    async with running(line, "m1") as rig:
        await until(lambda: rig.has(Reading))
        assert not rig.has(ClockSeen)
        assert "release m1" not in line.calls
        assert line.gate is not None
        line.gate.set()
        await until(lambda: rig.has(ClockSeen))


async def test_a_visit_that_breaks_off_after_it_brought_something_is_no_silence() -> None:
    line = Line(after_values={"m1": MeterUnavailableError("gone")})
    async with running(line, "m1") as rig:
        await until(lambda: rig.has(ReadFailed, 5))
        assert rig.has(Reading, 5)
        assert not rig.has(MeterLost)
    assert line.calls.count("release m1") == len(line.visits)


async def test_a_meter_that_answers_nothing_is_lost_and_found_by_visits() -> None:
    line = Line(at_once={"m1": MeterUnavailableError("silent")})
    async with running(line, "m1") as rig:
        for _ in range(3):
            with pytest.raises(MeterUnavailableError):
                await rig.worker.submit(VisitMeter(meter_id="m1"))
        assert rig.has(MeterLost)
        line.at_once.clear()
        assert await rig.worker.submit(VisitMeter(meter_id="m1")) is True
        assert rig.has(MeterFound)


async def test_a_meter_that_refuses_an_association_answers() -> None:
    line = Line(at_once={"m1": MeterRefusedError("wrong password", code=13)})
    async with running(line, "m1") as rig:
        await until(lambda: rig.has(ReadFailed, 4))
        assert {event.reason for event in rig.events if isinstance(event, ReadFailed)} == {"refused"}
        assert not rig.has(MeterLost)


async def test_each_event_of_a_visit_has_the_time_of_a_transaction_and_the_sink_any() -> None:
    clock = AcceleratedClock(rate=RATE, real_origin_ms=0, wall_origin_ms=0)
    line, told = Line(), asyncio.Event()
    release = asyncio.Event()

    async def slow_sink(_event: BusEvent) -> None:
        told.set()
        await release.wait()

    async def agenda(_meter: str) -> tuple[Task, ...]:
        return TASKS

    worker = BusWorker(
        "b1",
        driver=line,
        reads=[],
        clock=clock,
        sink=slow_sink,
        visits=Visits(line, agenda),
        step_limit_ms=50,
    )
    task = asyncio.create_task(worker.run())
    visit = worker.submit(VisitMeter(meter_id="m1"))
    await told.wait()
    await asyncio.sleep(0.15)
    release.set()
    assert await visit is True
    assert line.resets == 0
    task.cancel()
    await asyncio.wait([task])


async def test_a_visit_that_hangs_is_given_up_and_keeps_what_it_had() -> None:
    line = Line(hung={"m1"})
    async with running(line, "m1", step_limit_ms=50) as rig:
        await until(lambda: rig.has(ReadFailed))
        assert rig.has(Reading)
        assert line.resets >= 1
        assert "release m1" in line.calls


async def test_a_command_waits_for_the_visit_and_goes_before_the_next() -> None:
    line = Line(gate=asyncio.Event())
    async with running(line) as rig:
        visits = [rig.worker.submit(VisitMeter(meter_id=meter), priority=Priority.BACKFILL) for meter in ("m1", "m2")]
        await until(lambda: rig.has(Reading))
        switched = rig.worker.submit(SwitchRelay(relay_id="r", closed=True))
        assert line.gate is not None
        line.gate.set()
        assert await switched is True
        await asyncio.gather(*visits)
    assert line.calls == [
        "associate m1", "release m1", "switch r", "associate m2", "release m2",
    ]  # fmt: skip


async def test_a_line_that_breaks_in_a_visit_blames_no_meter() -> None:
    line = Line(after_values={"m1": LineDownError("unplugged", retry_in_ms=1)})
    async with running(line, "m1") as rig:
        await until(lambda: rig.has(LineLost))
        line.after_values.clear()
        await until(lambda: rig.has(ClockSeen))
        assert rig.has(LineFound)
        assert not rig.has(MeterLost)


async def test_a_fault_of_the_program_in_a_visit_costs_that_visit() -> None:
    line = Line(after_values={"m1": ZeroDivisionError()}, at_once={"m2": GarbledError("noise")})
    with structlog.testing.capture_logs() as logs:
        async with running(line, "m1", "m2", "m3") as rig:
            await until(lambda: rig.has(ReadFailed, 2) and rig.has(ClockSeen, 2))
    reasons = {(event.meter_id, event.reason) for event in rig.events if isinstance(event, ReadFailed)}
    assert reasons == {("m1", "fault"), ("m2", "garbled")}
    assert {entry["event"] for entry in logs} == {"bus.step_failed"}
