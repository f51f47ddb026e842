"""Visits: what is due at a meter, worked off in one association, each thing told as soon as it is there.

Decides the order on the line and what a refusal means for the rest. Present values, the meter's identity and the small
numbers that later tasks need are asked for together. What a meter is to be told needs the control role; then the whole
visit is made in it, since two associations cost more bytes than the protection of one.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from dlms.apdu.results import DataAccessResult
from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.errors import AccessRefusedError, DecodeError, DlmsError, RefusedError
from gateway.adapters.dlms.access import DlmsMeter, Role
from gateway.adapters.dlms.clocks import ClockSight, compare_clock, set_clock
from gateway.adapters.dlms.conversation import Conversation, Conversations
from gateway.adapters.dlms.errors import refusal_code
from gateway.adapters.dlms.learning import Learning
from gateway.adapters.dlms.mirrors import write_mirror
from gateway.adapters.dlms.push_visits import PushVisits
from gateway.adapters.dlms.records import read_log, read_span, sequence_of
from gateway.adapters.dlms.values import Seen, is_one_request, look, samples
from gateway.core.acquisition import (
    Captured,
    ClockSeen,
    Identified,
    LogEntry,
    Logged,
    Mirror,
    Mirrored,
    ReadCaptured,
    Reading,
    ReadLog,
    ReadValues,
    SyncClock,
    Task,
    TaskRefused,
    VisitEvent,
)
from gateway.core.agenda import should_set
from gateway.core.coverage import Span
from gateway.core.dlms_profiles import CapturedProfile, EventLog
from wire.limits import DETAIL_CHARS_MAX
from wire.runtime.clock import Clock

_PASSING = frozenset({DataAccessResult.TEMPORARY_FAILURE, DataAccessResult.LONG_GET_ABORTED})
"""Refusals that mean "not now"; those of methods have the same numbers."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """What is known in one visit."""

    talk: Conversation
    seen: Seen
    tick_ms: int
    """When the present values had come in, or began to."""
    spread_ms: int
    """How long that took; 0 for one answer."""
    numbers: dict[str, Value | AccessRefusedError]
    """Capture periods and sequence numbers, by the attribute they stand in."""

    @property
    def meter(self) -> DlmsMeter:
        return self.talk.meter

    def number(self, attribute: AttributeRef[Any] | None) -> int | None:
        """Return a number that was asked for; None where the meter has none."""
        found = self.numbers.get(str(attribute))
        return found if isinstance(found, int) and not isinstance(found, bool) else None


class Visits:
    """Makes visits on one line.

    Args:
        conversations: With its meters.
        learning: What is known of them.
        clock: Stamps events.
        pushes: What visits do for pushes, where those are taken.
    """

    def __init__(
        self, conversations: Conversations, learning: Learning, clock: Clock, pushes: PushVisits | None = None
    ) -> None:
        self._pushes = pushes
        self._conversations = conversations
        self._learning = learning
        self._clock = clock
        self._identified: set[str] = set()

    async def visit(self, meter: DlmsMeter, tasks: Sequence[Task]) -> AsyncGenerator[VisitEvent, None]:
        """Work off tasks; see `gateway.ports.VisitDriver`.

        Raises:
            LineDownError: The line cannot be opened, or broke.
            DlmsError: The meter does not answer, breaks off, or is not who it should be.
        """
        to_set: list[SyncClock] = []
        async with await self._conversations.begin(meter, _role_for(meter, tasks)) as talk:
            visit = await self._begin(talk, tasks)
            if await self._learning.identify(meter, visit.seen.serial, visit.seen.firmware) or (
                meter.id not in self._identified
            ):
                self._identified.add(meter.id)
                yield self._identify(visit)
            for task in tasks:
                if isinstance(task, ReadCaptured):
                    for span in task.spans:
                        event = await self._attempt(visit, task, span)
                        if event is not None:
                            yield event
                        if event is None or isinstance(event, TaskRefused):
                            break
                    continue
                event = await self._attempt(visit, task, None)
                if event is not None:
                    yield event
                if isinstance(task, SyncClock) and isinstance(event, ClockSeen) and self._is_to_set(task, event):
                    to_set.append(task)
            word = await self._pushes.add(talk) if self._pushes is not None else None
            if word is not None:
                yield word
        for task in to_set:
            yield await self._set_clock(meter, task)

    # ---- one visit ---------------------------------------------------------------------------------------------------

    async def _begin(self, talk: Conversation, tasks: Sequence[Task]) -> _Visit:
        """Ask for present values and identity, and then for the numbers that later tasks go by."""
        channels = [talk.meter.profile.channels[index] for index in self._indexes(talk.meter, tasks)]
        before_ms = self._clock.tick_ms()
        seen = await look(talk, channels)
        tick_ms = self._clock.tick_ms()
        is_one_answer = is_one_request(talk, len(channels))
        wanted = list(_numbers(talk.meter, tasks))
        numbers = dict(zip(map(str, wanted), await talk.get_many(wanted), strict=True))
        if is_one_answer:
            return _Visit(talk, seen, tick_ms, 0, numbers)
        return _Visit(talk, seen, before_ms, tick_ms - before_ms, numbers)

    @staticmethod
    def _indexes(meter: DlmsMeter, tasks: Sequence[Task]) -> list[int]:
        wanted = [task for task in tasks if isinstance(task, ReadValues)]
        if any(not task.channels for task in wanted):
            return list(range(len(meter.profile.channels)))
        return sorted({index for task in wanted for index in task.channels})

    def _identify(self, visit: _Visit) -> Identified:
        return Identified(
            meter_id=visit.meter.id,
            tick_ms=self._clock.tick_ms(),
            serial=visit.seen.serial,
            firmware=visit.seen.firmware,
        )

    async def _attempt(self, visit: _Visit, task: Task, span: Span | None) -> VisitEvent | None:
        """Do one step of a task; a refusal is its event, unless it will pass."""
        try:
            return await self._step(visit, task, span)
        except (RefusedError, DecodeError) as error:
            if not visit.talk.is_open:
                raise
            if isinstance(error, RefusedError) and refusal_code(error) in _PASSING:
                return None
            return self._refused(visit.meter, task, error)

    def _refused(self, meter: DlmsMeter, task: Task, error: DlmsError | str) -> TaskRefused:
        detail = str(error)[:DETAIL_CHARS_MAX]
        return TaskRefused(meter_id=meter.id, tick_ms=self._clock.tick_ms(), task=task, detail=detail)

    async def _step(self, visit: _Visit, task: Task, span: Span | None) -> VisitEvent | None:
        match task:
            case ReadValues():
                return await self._values(visit, task)
            case ReadCaptured():
                assert span is not None, "its spans are read one by one"
                return await self._captured(visit, task, span)
            case ReadLog():
                return await self._logged(visit, task)
            case SyncClock():
                return await self._clock_seen(visit, task)
            case Mirror():
                return await self._mirrored(visit, task)

    async def _values(self, visit: _Visit, task: ReadValues) -> Reading:
        indexes = self._indexes(visit.meter, (task,))
        tick_ms, spread_ms = visit.tick_ms, visit.spread_ms
        shown = visit.seen.values if len(visit.seen.values) == len(indexes) else ()
        if not shown:
            tick_ms = self._clock.tick_ms()
        found = await samples(visit.talk, self._learning, indexes, shown)
        if not shown:
            spread_ms = self._clock.tick_ms() - tick_ms
        return Reading(meter_id=visit.meter.id, tick_ms=tick_ms, spread_ms=spread_ms, slot_ms=None, samples=found)

    async def _captured(self, visit: _Visit, task: ReadCaptured, span: Span) -> Captured:
        item = visit.meter.profile.by_profile.get(task.profile)
        if item is None:
            raise AccessRefusedError("the make has no such profile", result=DataAccessResult.OBJECT_UNDEFINED)
        period_s = (visit.number(_period(item)) or item.period_s) if item.period_s else 0
        block = await read_span(visit.talk, self._learning, item, span, period_s=period_s)
        return Captured(
            meter_id=visit.meter.id,
            tick_ms=self._clock.tick_ms(),
            serial=(await self._learning.of(visit.meter)).serial,
            profile=task.profile,
            period_s=block.period_s,
            channels=block.channels,
            rows=block.rows,
            asked=(span,),
        )

    async def _logged(self, visit: _Visit, task: ReadLog) -> Logged | None:
        log = _log_of(visit.meter, task)
        sequence = visit.number(sequence_of(log))
        if sequence is not None and sequence == task.known_sequence:
            return None
        entries: tuple[LogEntry, ...] = ()
        if sequence != 0:
            wall_s = self._clock.wall_ms() // 1_000
            entries = await read_log(visit.talk, self._learning, log, task, sequence=sequence, wall_s=wall_s)
        return Logged(
            meter_id=visit.meter.id,
            tick_ms=self._clock.tick_ms(),
            log=task.log,
            sequence=sequence,
            entries=entries,
        )

    async def _mirrored(self, visit: _Visit, task: Mirror) -> Mirrored:
        if visit.talk.role is not Role.CONTROL:
            raise AccessRefusedError("no control role is configured", result=DataAccessResult.READ_WRITE_DENIED)
        await write_mirror(visit.talk, self._learning, task)
        return Mirrored(meter_id=visit.meter.id, tick_ms=self._clock.tick_ms(), mirror=task)

    # ---- the clock ---------------------------------------------------------------------------------------------------

    async def _clock_seen(self, visit: _Visit, task: SyncClock) -> ClockSeen:
        seen = await compare_clock(visit.talk, self._learning, self._clock, task.utc_less_tick_ms)
        is_wanted = should_set(task, meter_ms=seen.meter_ms, now_ms=seen.now_ms)
        was_set = is_wanted and visit.talk.role is Role.CONTROL and await self._sets(visit.talk, task, seen)
        return self._seen(visit.meter, seen.offset_ms, was_set=was_set)

    async def _sets(self, talk: Conversation, task: SyncClock, seen: ClockSight) -> bool:
        """Set a clock, and say whether it is nearer to ours then."""
        after = await set_clock(talk, self._learning, self._clock, task.utc_less_tick_ms, trip_ms=seen.trip_ms)
        return abs(after.offset_ms) < abs(seen.offset_ms)

    def _is_to_set(self, task: SyncClock, event: ClockSeen) -> bool:
        now_ms = event.tick_ms + task.utc_less_tick_ms
        return not event.was_set and should_set(task, meter_ms=now_ms + event.offset_ms, now_ms=now_ms)

    async def _set_clock(self, meter: DlmsMeter, task: SyncClock) -> VisitEvent:
        """Set a clock in an association of its own, since reading does not give the right to."""
        if Role.CONTROL not in meter.roles:
            return self._refused(meter, task, "no control role is configured")
        async with await self._conversations.begin(meter, Role.CONTROL) as talk:
            try:
                seen = await compare_clock(talk, self._learning, self._clock, task.utc_less_tick_ms)
                is_wanted = should_set(task, meter_ms=seen.meter_ms, now_ms=seen.now_ms)
                was_set = is_wanted and await self._sets(talk, task, seen)
            except RefusedError as error:
                if not talk.is_open:
                    raise
                return self._refused(meter, task, error)
        return self._seen(meter, seen.offset_ms, was_set=was_set)

    def _seen(self, meter: DlmsMeter, offset_ms: int, *, was_set: bool) -> ClockSeen:
        return ClockSeen(meter_id=meter.id, tick_ms=self._clock.tick_ms(), offset_ms=offset_ms, was_set=was_set)


def _role_for(meter: DlmsMeter, tasks: Sequence[Task]) -> Role:
    is_told = any(isinstance(task, Mirror) for task in tasks)
    return Role.CONTROL if is_told and Role.CONTROL in meter.roles else Role.READING


def _period(item: CapturedProfile) -> AttributeRef[Value]:
    return ProfileGeneric(item.name).capture_period.using(VALUE)


def _log_of(meter: DlmsMeter, task: ReadLog) -> EventLog:
    found = next((log for log in meter.profile.logs if log.log == task.log), None)
    if found is None:
        raise AccessRefusedError("the make has no such log", result=DataAccessResult.OBJECT_UNDEFINED)
    return found


def _numbers(meter: DlmsMeter, tasks: Sequence[Task]) -> dict[AttributeRef[Any], None]:
    """Return the attributes that tasks go by, each once."""
    wanted: dict[AttributeRef[Any], None] = {}
    for task in tasks:
        if isinstance(task, ReadCaptured):
            item = meter.profile.by_profile.get(task.profile)
            if item is not None and item.period_s:
                wanted[_period(item)] = None
        elif isinstance(task, ReadLog):
            log = next((log for log in meter.profile.logs if log.log == task.log), None)
            sequence = sequence_of(log) if log is not None else None
            if sequence is not None:
                wanted[sequence] = None
    return wanted
