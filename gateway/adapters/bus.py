"""The worker of one bus: the only one who talks to its line, from start to end of the process.

What comes next is the schedule's decision, how it is carried out the driver's; the worker joins the two, keeps the
parts of a reading together, resolves the futures of commands and reads on demand, and hands events to a sink. The
sink is awaited: a store that cannot take in stops the bus, whose missed slots are then skipped and counted, instead
of filling memory.

A visit is one transaction to the schedule, however long; each of its events goes to the sink when it comes and has a
limit of its own. A visit that brought something before it broke off counts as an answer of the meter.

No error of a device ends the worker, an unforeseen one included: that costs the job, is logged with its trace, and
drops the connection. A watchdog beside it reports meters that were not tried for three periods.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from gateway.core.acquisition import (
    BusEvent,
    LineFound,
    LineLost,
    MeterFound,
    MeterLost,
    MeterNeglected,
    MeterOperation,
    Operation,
    ReadFailed,
    Reading,
    ReadMeter,
    ReadRelay,
    Sample,
    SwitchRelay,
    Task,
    VisitMeter,
)
from gateway.core.numbers import LineNumbers
from gateway.core.schedule import BusSchedule, Change, Counts, Poll, Priority, Step
from gateway.ports import (
    BusDriver,
    BusError,
    LineDownError,
    MeterRefusedError,
    MeterUnavailableError,
    VisitDriver,
)
from wire.readings import QUALITY_MISSING
from wire.runtime.clock import AcceleratedClock, Clock

STEP_LIMIT_MS = 30_000
"""No transaction takes this long, and no event of a visit; one that does has hung."""
WATCHDOG_MS = 10_000

Outcome = Reading | bool
"""A meter that was read, or whether a relay is closed; True for a visit that is over."""

Agenda = Callable[[str], Awaitable[tuple[Task, ...]]]
"""Tells what is due at a meter; asked when a visit begins."""

_log = structlog.get_logger()


class ExpiredError(Exception):
    """Raised to the asker when a job was not begun by its deadline; nothing was sent."""


@dataclass(slots=True)
class _Asked:
    """A job somebody waits for."""

    future: asyncio.Future[Outcome]
    not_after_ms: int | None


@dataclass(slots=True)
class _Partial:
    """A reading of which not all parts are there."""

    samples: list[Sample] = field(default_factory=list)
    tick_ms: int | None = None
    refusal: MeterRefusedError | None = None


@dataclass(frozen=True, slots=True)
class Visits:
    """Who makes visits on a bus, and what they are for."""

    driver: VisitDriver
    agenda: Agenda


class BusWorker:
    """Runs one bus.

    Args:
        bus_id: Its name in events and logs.
        driver: The line.
        reads: What to read or visit periodically, with the period in site milliseconds.
        clock: Ticks stamp samples and drive the schedule; an accelerated clock's rate turns its deadlines into delays.
        sink: Takes each event; awaited.
        visits: For a line with meters that are visited; its driver is the same as `driver`.
        step_limit_ms: As `STEP_LIMIT_MS`.
        watchdog_ms: How often the watchdog looks.
    """

    def __init__(
        self,
        bus_id: str,
        *,
        driver: BusDriver,
        reads: Iterable[tuple[MeterOperation, int]],
        clock: Clock,
        sink: Callable[[BusEvent], Awaitable[None]],
        visits: Visits | None = None,
        step_limit_ms: int = STEP_LIMIT_MS,
        watchdog_ms: int = WATCHDOG_MS,
    ) -> None:
        self._bus_id = bus_id
        self._driver = driver
        self._clock = clock
        self._rate = clock.rate if isinstance(clock, AcceleratedClock) else 1
        self._sink = sink
        self._step_limit_s = step_limit_ms / 1000
        self._watchdog_s = watchdog_ms / 1000
        self._visits = visits
        self._visit_brought = False
        polls = [
            Poll(operation=operation, parts=self._parts(operation), period_ms=period_ms)
            for operation, period_ms in reads
        ]
        self._told = (clock.tick_ms(), 0)
        """When numbers were told last, and for how long the line had been in use by then."""
        self._schedule = BusSchedule(polls, rate=self._rate, now_ms=self._told[0])
        self._asked: dict[int, _Asked] = {}
        self._partial: dict[int, _Partial] = {}
        self._wake = asyncio.Event()
        self._line_lost = False

    def _parts(self, operation: Operation) -> int:
        return len(self._driver.parts(operation)) if isinstance(operation, ReadMeter) else 1

    @property
    def counts(self) -> Counts:
        """What the schedule has counted."""
        return self._schedule.counts

    def numbers(self) -> LineNumbers:
        """Return how the line is doing; the share of time begins anew with it."""
        usage, now_ms = self._driver.usage, self._clock.tick_ms()
        told_ms, told_busy_ms = self._told
        # A transaction that finds the line down is no use of it after all.
        busy_ms = max(self._schedule.busy_ms(now_ms), told_busy_ms)
        self._told = (now_ms, busy_ms)
        return LineNumbers(
            transactions_count=usage.transactions,
            failures_count=usage.failures,
            bytes_count=usage.sent_bytes + usage.received_bytes,
            busy_percent=min(100 * (busy_ms - told_busy_ms) // max(now_ms - told_ms, 1), 100),
            meters_count=self._schedule.meters_count,
            meters_lost_count=self._schedule.meters_lost_count,
        )

    def submit(
        self, operation: Operation, *, priority: Priority | None = None, not_after_ms: int | None = None
    ) -> asyncio.Future[Outcome]:
        """Queue a job and return what will hold its outcome; cancelling that withdraws a job not yet begun.

        Args:
            operation: What to do.
            priority: By default reads and visits of meters are on demand and everything about relays is a command.
            not_after_ms: Site tick after which it must not begin any more.

        Returns:
            A `Reading` for a meter, for a relay whether it is closed after the fact, True for a visit; or what the
            driver raised, or `ExpiredError`.

        Raises:
            BusBusyError: Too much waits already.
            KeyError: No such meter.
        """
        is_read = isinstance(operation, ReadMeter | VisitMeter)
        chosen = priority if priority is not None else Priority.DEMAND if is_read else Priority.COMMAND
        job_id = self._schedule.submit(operation, parts=self._parts(operation), priority=chosen)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[job_id] = _Asked(future, not_after_ms)
        self._wake.set()
        return future

    def align(self, align_ms: int) -> None:
        """Let capture slots begin where (tick + align_ms) is a multiple of the period."""
        self._schedule.align(align_ms)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(), name=f"bus-{self._bus_id}")
                group.create_task(self._watch(), name=f"watchdog-{self._bus_id}")
        finally:
            self._driver.reset()
            for asked in self._asked.values():
                asked.future.cancel()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            step = self._schedule.take(self._clock.tick_ms())
            if step is None:
                await self._sleep()
            elif self._withdrawn(step):
                self._partial.pop(step.job_id, None)
                self._schedule.drop(step, now_ms=self._clock.tick_ms())
            else:
                await self._carry_out(step)

    async def _sleep(self) -> None:
        deadline_ms = self._schedule.next_deadline_ms()
        if deadline_ms is None:
            await self._wake.wait()
            return
        delay_s = max(deadline_ms - self._clock.tick_ms(), 0) / self._rate / 1000
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watchdog_s)
            tick_ms = self._clock.tick_ms()
            for meter_id in self._schedule.newly_neglected(tick_ms):
                await self._sink(MeterNeglected(meter_id=meter_id, tick_ms=tick_ms))

    def _withdrawn(self, step: Step) -> bool:
        """Say whether nobody wants this job's effect any more; asked right before each of its transactions."""
        asked = self._asked.get(step.job_id)
        if asked is None:
            return False
        if asked.not_after_ms is not None and step.part == 0 and self._clock.tick_ms() > asked.not_after_ms:
            self._fail(step, ExpiredError(f"not begun by tick {asked.not_after_ms}"))
            return True
        if asked.future.cancelled():
            del self._asked[step.job_id]
            return True
        return False

    async def _carry_out(self, step: Step) -> None:
        self._visit_brought = False
        try:
            outcome = await self._perform(step)
        except LineDownError as exc:
            await self._on_line_down(step, exc)
            return
        except BusError as exc:
            await self._on_failure(step, exc, exc.reason)
            return
        except TimeoutError:
            self._driver.reset()
            await self._on_failure(step, MeterUnavailableError("the transaction hung"), "unavailable")
            return
        except Exception as exc:  # noqa: BLE001  one device's oddity must not end the bus of all others
            _log.exception("bus.step_failed", bus_id=self._bus_id, operation=repr(step.operation))
            self._driver.reset()
            await self._on_failure(step, exc, "fault")
            return
        await self._on_success(step, outcome)

    async def _perform(self, step: Step) -> bool | None:
        """Carry out one transaction: what a relay says, True for a visit, or None once a meter's samples are kept."""
        if isinstance(step.operation, VisitMeter):
            return await self._visit(step, step.operation.meter_id)
        async with asyncio.timeout(self._step_limit_s):
            match step.operation:
                case ReadMeter() as read:
                    await self._read(step, read)
                    return None
                case SwitchRelay(relay_id=relay_id, closed=closed):
                    return await self._driver.switch(relay_id, closed=closed)
                case ReadRelay(relay_id=relay_id):
                    return await self._driver.relay_state(relay_id)

    async def _read(self, step: Step, read: ReadMeter) -> None:
        """Keep what one transaction of a read brings."""
        partial = self._partial.setdefault(step.job_id, _Partial())
        try:
            samples = await self._driver.read(read, step.part)
        except MeterRefusedError as exc:
            partial.refusal = exc
            samples = tuple(Sample(channel, None, QUALITY_MISSING) for channel in self._driver.parts(read)[step.part])
        else:
            partial.tick_ms = self._clock.tick_ms() if partial.tick_ms is None else partial.tick_ms
        partial.samples.extend(samples)

    async def _visit(self, step: Step, meter_id: str) -> bool:
        """Hand on what a visit brings, piece by piece."""
        assert self._visits is not None, "whoever lays out a line with visited meters says how"
        tasks = await self._visits.agenda(meter_id)
        loop = asyncio.get_running_loop()
        async with (
            asyncio.timeout(self._step_limit_s) as limit,
            aclosing(self._visits.driver.visit(meter_id, tasks)) as events,
        ):
            async for event in events:
                self._visit_brought = True
                # A store that takes its time is not the meter's fault.
                limit.reschedule(None)
                await self._sink(replace(event, slot_ms=step.slot_ms) if isinstance(event, Reading) else event)
                limit.reschedule(loop.time() + self._step_limit_s)
        return True

    async def _on_success(self, step: Step, outcome: bool | None) -> None:  # noqa: FBT001  a relay's state, not a switch
        tick_ms = self._clock.tick_ms()
        change = self._schedule.on_result(step, ok=True, now_ms=tick_ms)
        await self._tell_line_found(tick_ms)
        await self._tell(step, change, tick_ms)
        if not step.last:
            return
        if isinstance(step.operation, ReadMeter):
            await self._complete(step, step.operation, tick_ms)
        elif outcome is not None and step.job_id in self._asked:
            self._resolve(step, outcome)

    async def _complete(self, step: Step, read: ReadMeter, tick_ms: int) -> None:
        partial = self._partial.pop(step.job_id)
        if partial.tick_ms is None:
            assert partial.refusal is not None, "a part that brought nothing was refused"
            await self._report_failure(step, partial.refusal, partial.refusal.reason, tick_ms)
            return
        reading = Reading(
            meter_id=read.meter_id,
            tick_ms=partial.tick_ms,
            spread_ms=tick_ms - partial.tick_ms if step.part else 0,
            slot_ms=step.slot_ms,
            samples=tuple(sorted(partial.samples, key=lambda sample: sample.channel)),
        )
        if step.job_id in self._asked:
            self._resolve(step, reading)
        else:
            await self._sink(reading)

    async def _on_failure(self, step: Step, exc: Exception, reason: str) -> None:
        tick_ms = self._clock.tick_ms()
        answered = self._visit_brought or isinstance(exc, MeterRefusedError)
        change = self._schedule.on_result(step, ok=answered, now_ms=tick_ms)
        self._partial.pop(step.job_id, None)
        await self._tell_line_found(tick_ms)
        await self._tell(step, change, tick_ms)
        await self._report_failure(step, exc, reason, tick_ms)

    async def _report_failure(self, step: Step, exc: Exception, reason: str, tick_ms: int) -> None:
        if step.job_id in self._asked:
            self._fail(step, exc)
        elif isinstance(step.operation, ReadMeter | VisitMeter):
            meter_id = step.operation.meter_id
            await self._sink(ReadFailed(meter_id=meter_id, tick_ms=tick_ms, slot_ms=step.slot_ms, reason=reason))

    async def _on_line_down(self, step: Step, exc: LineDownError) -> None:
        tick_ms = self._clock.tick_ms()
        self._partial.pop(step.job_id, None)
        until_ms = tick_ms + max(exc.retry_in_ms, 1) * self._rate
        self._schedule.on_line_down(step, until_ms=until_ms, now_ms=tick_ms)
        if step.job_id in self._asked:
            self._fail(step, exc)
        # A broken connection that opens again at once is no event.
        if exc.retry_in_ms and not self._line_lost:
            self._line_lost = True
            await self._sink(LineLost(bus_id=self._bus_id, tick_ms=tick_ms))

    async def _tell_line_found(self, tick_ms: int) -> None:
        if self._line_lost:
            self._line_lost = False
            await self._sink(LineFound(bus_id=self._bus_id, tick_ms=tick_ms))

    async def _tell(self, step: Step, change: Change | None, tick_ms: int) -> None:
        if change is None or not isinstance(step.operation, ReadMeter | VisitMeter):
            return
        meter_id = step.operation.meter_id
        match change:
            case Change.LOST:
                await self._sink(MeterLost(meter_id=meter_id, tick_ms=tick_ms))
            case Change.FOUND:
                await self._sink(MeterFound(meter_id=meter_id, tick_ms=tick_ms))

    def _resolve(self, step: Step, outcome: Outcome) -> None:
        asked = self._asked.pop(step.job_id)
        if not asked.future.done():
            asked.future.set_result(outcome)

    def _fail(self, step: Step, exc: Exception) -> None:
        asked = self._asked.pop(step.job_id)
        if not asked.future.done():
            asked.future.set_exception(exc)
