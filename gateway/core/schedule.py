"""Which transaction a bus carries next.

The schedule of one bus hands out one transaction at a time (`take`) and learns how it went (`on_result`), so whatever
is more urgent goes between the transactions of a longer job. All its times are site ticks (`Clock.tick_ms`): capture
slots are site time by nature; back-off and time-outs are real time and are stretched by `rate`, the site milliseconds
in a real one. The worker turns a deadline back into a real delay with the same rate.

Order: commands, reads on demand, periodic reads, probes of failing meters, backfill; a class that was passed over
`BYPASS_STEPS_MAX` times gets one transaction, so none starves. A periodic read belongs to a poll, and a poll is in
one place only: missed slots are counted and skipped, never queued. A meter that fails is left alone 2 s longer each
time, up to 5 minutes, then probed with one transaction; after a failed probe no probe of any meter follows until
`PROBE_REST_FACTOR` times its duration has passed, which bounds what dead meters together take from the others. One
good answer ends the back-off, two in a row end the suspicion. Retrying within a slot is such a probe; transports
never retry.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heapify, heappop, heappush
from zlib import crc32

from gateway.core.acquisition import MeterOperation, Operation, ReadMeter, VisitMeter

BACKOFF_STEP_MS = 2_000
BACKOFF_MAX_MS = 300_000
PROBE_REST_FACTOR = 20
BYPASS_STEPS_MAX = 32
LOST_AFTER_FAILURES = 3
NEGLECT_PERIODS = 3
PHASE_PART = 4
"""Meters are spread over the first quarter of their slot."""
QUEUED_JOBS_MAX = 256
"""Commands, reads on demand and backfills that may wait, together."""


class Priority(IntEnum):
    """The classes of jobs, most urgent first."""

    COMMAND = 0
    DEMAND = 1
    PERIODIC = 2
    PROBE = 3
    BACKFILL = 4


class Change(IntEnum):
    """What a result changed about a meter."""

    LOST = 0
    FOUND = 1


class BusBusyError(Exception):
    """Raised when `QUEUED_JOBS_MAX` jobs wait already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What is done at a meter once in every slot."""

    operation: MeterOperation
    parts: int
    """Transactions it takes."""
    period_ms: int
    """Site milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One transaction to carry out now."""

    job_id: int
    operation: Operation
    priority: Priority
    part: int
    last: bool
    """No transaction of the job follows."""
    slot_ms: int | None


@dataclass(slots=True)
class Counts:
    """What the bus was used for; milliseconds are site time."""

    steps: int = 0
    failed_steps: int = 0
    busy_ms: int = 0
    failed_ms: int = 0
    slots_read: int = 0
    slots_missed: int = 0


@dataclass(slots=True)
class _Health:
    failures: int = 0
    retry_ms: int = 0
    suspect: bool = False


@dataclass(slots=True)
class _PollState:
    poll: Poll
    phase_ms: int
    health: _Health
    index: int
    attempted_ms: int
    slot_ms: int | None = None
    """The slot read last, for counting the missed ones."""
    neglected: bool = False


@dataclass(slots=True)
class _Job:
    job_id: int
    operation: Operation
    priority: Priority
    parts: int
    state: _PollState | None = None
    next_part: int = 0
    slot_ms: int | None = None


@dataclass(slots=True)
class _Queues:
    """Jobs that are due, by class, with the count of steps each class was passed over."""

    jobs: tuple[deque[_Job], ...] = field(default_factory=lambda: tuple(deque() for _ in Priority))
    passed: list[int] = field(default_factory=lambda: [0] * len(Priority))

    def choose(self, closed: frozenset[Priority]) -> _Job | None:
        """Take the next job out of the classes that are not closed."""
        waiting = [priority for priority in Priority if self.jobs[priority] and priority not in closed]
        if not waiting:
            return None
        starved = (priority for priority in waiting if self.passed[priority] >= BYPASS_STEPS_MAX)
        chosen = next(starved, waiting[0])
        for priority in waiting:
            self.passed[priority] += priority > chosen
        self.passed[chosen] = 0
        return self.jobs[chosen].popleft()


class BusSchedule:
    """The order of work on one bus.

    Args:
        polls: What to read again and again.
        rate: Site milliseconds in a real one.
        align_ms: Slots begin where (tick + align_ms) is a multiple of the period: the wall clock's offset, if slots
            are to begin at its quarter hours.
        now_ms: Site tick.
    """

    def __init__(self, polls: Iterable[Poll], *, rate: int = 1, align_ms: int = 0, now_ms: int) -> None:
        self.counts = Counts()
        self._rate = rate
        self._align_ms = align_ms
        self._health: dict[str, _Health] = {}
        self._states = [self._state(index, poll, now_ms) for index, poll in enumerate(polls)]
        self._waiting = [
            (self._slot(state, now_ms) + state.phase_ms, index) for index, state in enumerate(self._states)
        ]
        heapify(self._waiting)
        self._index = {id(state): index for index, state in enumerate(self._states)}
        self._queues = _Queues()
        self._queued = 0
        self._current: tuple[_Job, int] | None = None
        self._next_id = 0
        self._probes_from_ms = 0
        self._line_from_ms = 0

    def _state(self, index: int, poll: Poll, now_ms: int) -> _PollState:
        spread_ms = max(poll.period_ms // PHASE_PART, 1)
        # A hash, not a counter: a meter keeps its instant when others come and go.
        phase_ms = crc32(poll.operation.meter_id.encode()) * spread_ms >> 32
        health = self._health.setdefault(poll.operation.meter_id, _Health())
        return _PollState(poll, phase_ms, health, index, now_ms)

    def _slot(self, state: _PollState, now_ms: int) -> int:
        """Return the beginning of the latest slot in which this poll is due by now."""
        period_ms = state.poll.period_ms
        return (now_ms - state.phase_ms + self._align_ms) // period_ms * period_ms - self._align_ms

    @property
    def meters_count(self) -> int:
        """How many meters have polls."""
        return len(self._health)

    @property
    def meters_lost_count(self) -> int:
        """How many of them are lost now."""
        return sum(health.failures >= LOST_AFTER_FAILURES for health in self._health.values())

    def busy_ms(self, now_ms: int) -> int:
        """Return for how long the line was in use, with the transaction under way."""
        return self.counts.busy_ms + (now_ms - self._current[1] if self._current is not None else 0)

    def submit(self, operation: Operation, *, parts: int, priority: Priority) -> int:
        """Queue a job that is done once and return its id.

        Raises:
            BusBusyError: Too many wait already.
        """
        assert priority not in {Priority.PERIODIC, Priority.PROBE}, "periodic work comes from polls"
        if self._queued >= QUEUED_JOBS_MAX:
            raise BusBusyError(f"{self._queued} jobs wait for this bus")
        self._queued += 1
        job = _Job(self._new_id(), operation, priority, parts)
        self._queues.jobs[priority].append(job)
        return job.job_id

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def align(self, align_ms: int) -> None:
        """Let slots begin elsewhere from the next one on, once the wall clock is known."""
        self._align_ms = align_ms

    def next_deadline_ms(self) -> int | None:
        """Return the tick at which `take` may have something again after it had nothing."""
        deadlines = [due_ms for due_ms, _ in self._waiting[:1]]
        if self._queues.jobs[Priority.PROBE]:
            deadlines.append(max(self._probes_from_ms, self._line_from_ms))
        if self._queues.jobs[Priority.PERIODIC] or self._queues.jobs[Priority.BACKFILL]:
            deadlines.append(self._line_from_ms)
        return min(deadlines, default=None)

    def take(self, now_ms: int) -> Step | None:
        """Return the transaction to carry out now; its result must be told before the next is taken."""
        assert self._current is None, "one transaction at a time"
        self._promote(now_ms)
        while (job := self._queues.choose(self._closed(now_ms))) is not None:
            if job.state is not None and not self._begin(job, job.state, now_ms):
                continue
            self._current = (job, now_ms)
            last = job.next_part + 1 >= job.parts
            return Step(
                job_id=job.job_id,
                operation=job.operation,
                priority=job.priority,
                part=job.next_part,
                last=last,
                slot_ms=job.slot_ms,
            )
        return None

    def _promote(self, now_ms: int) -> None:
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, index = heappop(self._waiting)
            state = self._states[index]
            priority = Priority.PROBE if state.health.suspect else Priority.PERIODIC
            job = _Job(self._new_id(), state.poll.operation, priority, state.poll.parts, state)
            self._queues.jobs[priority].append(job)

    def _closed(self, now_ms: int) -> frozenset[Priority]:
        if now_ms < self._line_from_ms:
            return frozenset({Priority.PERIODIC, Priority.PROBE, Priority.BACKFILL})
        # With no meter left to protect, back-off alone spaces the probes.
        if now_ms < self._probes_from_ms and not all(state.health.suspect for state in self._states):
            return frozenset({Priority.PROBE})
        return frozenset()

    def _begin(self, job: _Job, state: _PollState, now_ms: int) -> bool:
        """Settle which slot a periodic job reads; False puts it back, for its meter has failed since it was queued."""
        if job.next_part:
            return True
        if state.health.retry_ms > now_ms:
            self._wait(state, state.health.retry_ms)
            return False
        state.attempted_ms = now_ms
        job.slot_ms = self._slot(state, now_ms)
        return True

    def _wait(self, state: _PollState, due_ms: int) -> None:
        heappush(self._waiting, (due_ms, state.index))

    def on_result(self, step: Step, *, ok: bool, now_ms: int) -> Change | None:
        """Take in how a transaction went; a device that refuses, or broke off, is a device that answers.

        Returns:
            Whether the meter counts as lost or found with this.
        """
        job, spent_ms = self._finish(step, now_ms)
        self.counts.steps += 1
        self.counts.busy_ms += spent_ms
        if not ok:
            self.counts.failed_steps += 1
            self.counts.failed_ms += spent_ms
        health = self._health.get(job.operation.meter_id) if isinstance(job.operation, ReadMeter | VisitMeter) else None
        change = None
        if health is not None:
            change = self._on_answer(health, now_ms) if ok else self._on_failure(health, spent_ms, now_ms)
        if ok and not step.last:
            job.next_part += 1
            # After the answer to a probe the rest of the read is as good as any.
            job.priority = Priority.PERIODIC if job.priority is Priority.PROBE else job.priority
            self._queues.jobs[job.priority].appendleft(job)
            return change
        self._leave(job, ok=ok)
        return change

    def _finish(self, step: Step, now_ms: int) -> tuple[_Job, int]:
        assert self._current is not None, "a result without a transaction"
        job, taken_ms = self._current
        assert job.job_id == step.job_id, "the result of another transaction"
        self._current = None
        return job, now_ms - taken_ms

    def _leave(self, job: _Job, *, ok: bool) -> None:
        if job.state is None:
            self._queued -= 1
            return
        state = job.state
        if not ok:
            self._wait(state, state.health.retry_ms)
            return
        assert job.slot_ms is not None, "a periodic job has its slot since it began"
        self.counts.slots_read += state.slot_ms != job.slot_ms
        if state.slot_ms is not None:
            self.counts.slots_missed += max((job.slot_ms - state.slot_ms - 1) // state.poll.period_ms, 0)
        state.slot_ms = job.slot_ms
        self._wait(state, self._slot_after(state, job.slot_ms))

    def _slot_after(self, state: _PollState, slot_ms: int) -> int:
        period_ms = state.poll.period_ms
        # Computed anew from the alignment, which may have changed meanwhile.
        return (slot_ms + self._align_ms) // period_ms * period_ms - self._align_ms + period_ms + state.phase_ms

    def _on_answer(self, health: _Health, now_ms: int) -> Change | None:
        if all(state.health.failures for state in self._states):
            self._retry_all(now_ms)
        change = Change.FOUND if health.failures >= LOST_AFTER_FAILURES else None
        if health.failures == 0:
            health.suspect = False
        health.failures = 0
        health.retry_ms = 0
        return change

    def _on_failure(self, health: _Health, spent_ms: int, now_ms: int) -> Change | None:
        health.failures += 1
        health.suspect = True
        backoff_ms = min(BACKOFF_STEP_MS * health.failures, BACKOFF_MAX_MS)
        health.retry_ms = now_ms + backoff_ms * self._rate
        self._probes_from_ms = now_ms + PROBE_REST_FACTOR * spent_ms
        return Change.LOST if health.failures == LOST_AFTER_FAILURES else None

    def _retry_all(self, now_ms: int) -> None:
        """The first answer after all had failed: what ailed the whole bus is over."""
        for state in self._states:
            state.health.retry_ms = 0
        self._probes_from_ms = 0
        self._waiting = [
            (min(due_ms, now_ms) if self._states[index].health.failures else due_ms, index)
            for due_ms, index in self._waiting
        ]
        heapify(self._waiting)

    def on_line_down(self, step: Step, *, until_ms: int, now_ms: int) -> None:
        """Take a transaction back that never left since the line is down; no meter is blamed, and polls wait."""
        job, _ = self._finish(step, now_ms)
        self._line_from_ms = until_ms
        if job.state is None:
            self._queued -= 1
        else:
            self._wait(job.state, until_ms)

    def drop(self, step: Step, *, now_ms: int) -> None:
        """Forget a job that nobody wants any more, instead of carrying its transaction out."""
        job, _ = self._finish(step, now_ms)
        assert job.state is None, "polls are not dropped"
        self._queued -= 1

    def newly_neglected(self, now_ms: int) -> tuple[str, ...]:
        """Return meters that by now were not tried for three periods, each once until it is tried again."""
        found: list[str] = []
        for state in self._states:
            quiet_from_ms = max(state.attempted_ms, state.health.retry_ms, self._line_from_ms)
            neglected = now_ms - quiet_from_ms > NEGLECT_PERIODS * state.poll.period_ms
            if neglected and not state.neglected:
                found.append(state.poll.operation.meter_id)
            state.neglected = neglected
        return tuple(found)
