"""Takes what visits bring beside present values: rows and log entries become facts, each once, and progress with them.

Captured rows are never dropped once taken, and are not taken while the disk is full: the meter keeps them longer than
we could, and they are asked for again. Log entries are taken always; a meter has few. Urgent entries go up at once,
unless they are old news.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gateway.core.acquisition import (
    Captured,
    ClockSeen,
    Identified,
    LogEntry,
    Logged,
    Mirrored,
    RecordEvent,
    TaskRefused,
)
from gateway.core.agenda import DAY_S, AgendaSettings, refusal_key
from gateway.core.collection import Collector
from gateway.core.coverage import Coverage
from gateway.core.dlms_profiles import CapturedProfile, DlmsProfile
from gateway.core.effects import Effects, Note
from gateway.core.moment import Moment
from gateway.core.progress import Bills, ClockState, Instrument, Log, Progress, Rows, Shown
from gateway.core.store import Priority
from gateway.core.timekeeping import Timekeeper
from wire import codec, limits
from wire.errors import LimitExceededError
from wire.facts import Health, MeterEvent, Metric
from wire.readings import CAPTURED_S_MAX, CapturedRow, Channel, Profile, to_profile

EVENT_METER_REPLACED = "3.0.0.52"
"""IEC 61968-9: electric meter, replaced."""
EVENT_FIRMWARE_CHANGED = "3.11.17.52"
EVENT_CLOCK_SET = "3.36.116.24"
FACT_BYTES_MAX = 16_384
"""Of rows in one fact: a batch holds any such fact, and a lost message costs little."""
ENTRIES_REMEMBERED_MAX = 128
"""Of each event log; meters keep fewer, so that one which is read from its beginning brings nothing twice."""
ENTRY_DIGEST_BYTES = 8
URGENT_AGE_MAX_S = DAY_S
"""An entry that is older when it is read is history."""
CLOCK_SLACK_S = 60
"""How far ahead of a meter's clock a row may seem to be stamped, for want of knowing better."""


class Records:
    """Turns records of meters into facts.

    Args:
        progress: What was taken.
        makes: The make of each meter that is visited.
        collector: Where facts go.
        time: For UTC, and whether it may be trusted.
        settings: As the agenda's.
        boot: Of this run.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        makes: Mapping[str, DlmsProfile],
        collector: Collector,
        time: Timekeeper,
        settings: AgendaSettings,
        boot: bytes,
    ) -> None:
        self._progress = progress
        self._makes = makes
        self._collector = collector
        self._time = time
        self._settings = settings
        self._boot = boot

    def on_event(self, event: RecordEvent, now: Moment) -> Effects:
        """Take what a visit brought."""
        match event:
            case Captured():
                return self._on_captured(event, now)
            case Logged():
                self._on_logged(event, now)
            case ClockSeen():
                self._on_clock_seen(event, now)
            case Identified():
                self._on_identified(event, now)
            case Mirrored():
                self._on_mirrored(event, now)
            case TaskRefused():
                return self._on_refused(event, now)
        return ()

    # ---- profiles ----------------------------------------------------------------------------------------------------

    def _on_captured(self, event: Captured, now: Moment) -> Effects:
        item = self._makes[event.meter_id].by_profile.get(event.profile)
        if item is None:
            return (_note("captured.not_asked_for", event.meter_id, rows=len(event.rows)),)
        if not self._collector.has_room:
            return (_note("captured.not_taken", event.meter_id, rows=len(event.rows)),)
        if event.serial:
            self._tell_instrument(event.meter_id, Instrument(serial=event.serial), now)
        rows = [row for row in event.rows if _is_asked_for(row, event)]
        taken = self._take_bills(event, rows, now) if item.period_s == 0 else self._take_rows(event, item, rows, now)
        for fact in facts_of_rows(event, taken, boot=self._boot):
            self._collector.add_fact(fact, Priority.LEDGER, patient=True)
        stray = len(event.rows) - len(rows)
        return (_note("captured.strays_left_out", event.meter_id, rows=stray),) if stray else ()

    def _take_rows(
        self, event: Captured, item: CapturedProfile, rows: Sequence[CapturedRow], now: Moment
    ) -> list[CapturedRow]:
        kept = self._progress.rows(event.meter_id, event.profile)
        period_s = event.period_s or (kept.coverage.period_s if kept is not None else item.period_s)
        if kept is None:
            kept = Rows(coverage=Coverage(period_s=period_s))
        elif kept.coverage.period_s != period_s:
            kept = Rows(coverage=kept.coverage.resampled(period_s), before=kept.coverage)
        before = kept.before
        news = [row for row in rows if before is None or not before.holds(row.captured_s)]
        kept.coverage.take([row.captured_s for row in rows], asked=event.asked)
        horizon_s = self._time.best_ms(now) // 1_000 - item.depth_days * DAY_S
        kept.coverage.forget(before_s=horizon_s)
        if before is not None and (before.newest_s() or 0) < horizon_s:
            kept.before = None
        self._progress.set_rows(event.meter_id, event.profile, kept)
        return news

    def _take_bills(self, event: Captured, rows: Sequence[CapturedRow], now: Moment) -> list[CapturedRow]:
        bills = self._progress.bills(event.meter_id, event.profile)
        news = [row for row in rows if row.captured_s > bills.newest_s]
        newest_s = max((row.captured_s for row in news), default=bills.newest_s)
        asked_s = self._time.best_ms(now) // 1_000
        self._progress.set_bills(event.meter_id, event.profile, Bills(newest_s=newest_s, asked_s=asked_s))
        return news

    # ---- logs --------------------------------------------------------------------------------------------------------

    def _on_logged(self, event: Logged, now: Moment) -> None:
        make = self._makes[event.meter_id]
        log = self._progress.log(event.meter_id, event.log)
        recent = dict.fromkeys(log.recent)
        for entry in event.entries:
            digest = _entry_digest(entry)
            if digest not in recent:
                recent[digest] = None
                self._report_entry(event, entry, make, now)
        newest_s = max((_instant_s(entry) for entry in event.entries), default=0)
        taken = Log(
            sequence=event.sequence,
            newest_s=max(log.newest_s, newest_s),
            recent=list(recent)[-ENTRIES_REMEMBERED_MAX:],
        )
        if taken != log:
            self._progress.set_log(event.meter_id, event.log, taken)

    def _report_entry(self, event: Logged, entry: LogEntry, make: DlmsProfile, now: Moment) -> None:
        known = make.by_number.get(entry.number)
        fact = MeterEvent(
            meter=event.meter_id,
            log=event.log,
            captured_s=_instant_s(entry),
            number=entry.number,
            code=known.code if known is not None else "",
            values=list(entry.values[: limits.CHANNELS_PER_BLOCK_MAX]),
            boot=self._boot,
            tick_ms=event.tick_ms,
        )
        age_s = self._time.best_ms(now) // 1_000 - entry.captured_s
        is_urgent = known is not None and known.urgent and age_s <= URGENT_AGE_MAX_S
        if is_urgent:
            self._collector.add_fact(fact, Priority.URGENT)
        else:
            self._collector.add_fact(fact, Priority.LEDGER, patient=True)

    # ---- the clock ---------------------------------------------------------------------------------------------------

    def _on_clock_seen(self, event: ClockSeen, now: Moment) -> None:
        meter, now_s = event.meter_id, self._time.best_ms(now) // 1_000
        trusted = self._time.is_synchronised
        left_ms = 0 if event.was_set else event.offset_ms
        is_off = abs(left_ms) > self._settings.clock_offset_ms_max
        before = self._progress.clock(meter)
        since_s = (before.off_since_s if before.off_since_s >= 0 else now_s) if is_off and trusted else -1
        clock = ClockState(offset_ms=left_ms, seen_s=now_s, by_trusted=trusted, off_since_s=since_s)
        self._progress.set_clock(meter, clock)
        if trusted:
            metric = Metric("clock_offset_ms", _within(event.offset_ms))
            self._collector.add_health(Health(boot=self._boot, tick_ms=event.tick_ms, meter=meter, metrics=[metric]))
        if event.was_set:
            detail = f"it was {abs(event.offset_ms)} ms {'ahead' if event.offset_ms > 0 else 'behind'}"
            self._collector.add_event(EVENT_CLOCK_SET, now=now, meter=meter, detail=detail)
        self._forget_what_is_yet_to_come(meter, now_s + left_ms // 1_000)

    def _forget_what_is_yet_to_come(self, meter: str, meter_s: int) -> None:
        """Ask again for all that is later than a meter's clock: it was set back, and will have those instants anew."""
        limit_s = meter_s + CLOCK_SLACK_S
        make = self._makes[meter]
        for item in make.captured:
            rows = self._progress.rows(meter, item.name)
            newest_s = rows.coverage.newest_s() if rows is not None else None
            if rows is not None and newest_s is not None and newest_s > limit_s:
                rows.coverage.reopen(after_s=limit_s)
                self._progress.set_rows(meter, item.name, rows)
            bills = self._progress.bills(meter, item.name)
            if bills.newest_s > limit_s:
                self._progress.set_bills(meter, item.name, Bills(newest_s=meter_s, asked_s=bills.asked_s))
        for known in make.logs:
            log = self._progress.log(meter, known.log)
            if log.newest_s > limit_s:
                taken = Log(sequence=log.sequence, newest_s=max(meter_s, 0), recent=log.recent)
                self._progress.set_log(meter, known.log, taken)

    # ---- the instrument ----------------------------------------------------------------------------------------------

    def _on_identified(self, event: Identified, now: Moment) -> None:
        self._tell_instrument(event.meter_id, Instrument(serial=event.serial, firmware=event.firmware), now)

    def _tell_instrument(self, meter: str, seen: Instrument, now: Moment) -> None:
        """Compare what a meter says it is with what it said before; empty is no statement."""
        known = self._progress.instrument(meter)
        merged = Instrument(serial=seen.serial or known.serial, firmware=seen.firmware or known.firmware)
        if merged == known:
            return
        is_other = bool(known.serial) and merged.serial != known.serial
        if is_other:
            detail = f"{known.serial} -> {merged.serial}"
            self._collector.add_event(EVENT_METER_REPLACED, now=now, meter=meter, detail=detail)
            self._begin_anew(meter)
        if known.firmware and merged.firmware != known.firmware and not is_other:
            detail = f"{known.firmware} -> {merged.firmware}"
            self._collector.add_event(EVENT_FIRMWARE_CHANGED, now=now, meter=meter, detail=detail)
        self._progress.set_instrument(meter, merged)

    def _begin_anew(self, meter: str) -> None:
        """Another instrument has records of its own."""
        make = self._makes[meter]
        for item in make.captured:
            self._progress.set_rows(meter, item.name, None)
            self._progress.set_bills(meter, item.name, None)
        for log in make.logs:
            self._progress.set_log(meter, log.log, None)
        self._progress.set_clock(meter, None)
        self._progress.set_shown(meter, None)
        self._progress.set_status(meter, None)
        self._progress.set_heard(meter, None)
        self._progress.set_rests(meter, None)

    def _on_mirrored(self, event: Mirrored, now: Moment) -> None:
        mirror = event.mirror
        shown = Shown(
            is_prepaid=mirror.is_prepaid,
            balance_minor=mirror.balance_minor,
            recharge_minor=mirror.recharge_minor,
            recharge_at_s=mirror.recharge_at_s,
            total_minor=mirror.total_minor,
            at_s=self._time.best_ms(now) // 1_000,
        )
        self._progress.set_shown(event.meter_id, shown)

    def _on_refused(self, event: TaskRefused, now: Moment) -> Effects:
        now_s = self._time.best_ms(now) // 1_000
        rests = {name: until_s for name, until_s in self._progress.rests(event.meter_id).items() if until_s > now_s}
        rests[refusal_key(event.task)] = now_s + self._settings.refused_rest_s
        self._progress.set_rests(event.meter_id, rests)
        return (
            _note("task.refused", event.meter_id, task=refusal_key(event.task), detail=event.detail, is_warning=True),
        )


def _is_asked_for(row: CapturedRow, event: Captured) -> bool:
    """Tell whether a row is one of those asked for; some meters give all they have, whatever the selection."""
    return 0 <= row.captured_s <= CAPTURED_S_MAX and any(
        span.first_s <= row.captured_s <= span.last_s for span in event.asked
    )


def facts_of_rows(event: Captured, rows: Iterable[CapturedRow], *, boot: bytes) -> Iterator[Profile]:
    """Return rows as facts that keep within the limits; together they hold each value once."""
    left = sorted(rows, key=lambda row: row.captured_s)
    while left:
        # A clock that was set back makes an instant come twice, which one fact cannot hold.
        distinct = {row.captured_s: row for row in reversed(left)}
        chosen = {id(row) for row in distinct.values()}
        yield from _fitting(event, sorted(distinct.values(), key=lambda row: row.captured_s), boot=boot)
        left = [row for row in left if id(row) not in chosen]


def _fitting(event: Captured, rows: Sequence[CapturedRow], *, boot: bytes) -> Iterator[Profile]:
    width = limits.CHANNELS_PER_BLOCK_MAX
    for first in range(0, len(event.channels), width):
        yield from _divided(event, [_columns_of(row, first, first + width) for row in rows], first, boot=boot)


def _divided(event: Captured, rows: Sequence[CapturedRow], first: int, *, boot: bytes) -> Iterator[Profile]:
    fact = _fact(event, rows, event.channels[first : first + limits.CHANNELS_PER_BLOCK_MAX], boot=boot)
    if fact is not None and (len(rows) == 1 or len(codec.encode(fact)) <= FACT_BYTES_MAX):
        yield fact
        return
    middle = len(rows) // 2
    yield from _divided(event, rows[:middle], first, boot=boot)
    yield from _divided(event, rows[middle:], first, boot=boot)


def _fact(event: Captured, rows: Sequence[CapturedRow], channels: Sequence[Channel], *, boot: bytes) -> Profile | None:
    """Return rows as one fact, None if they are too many for one."""
    if len(rows) > limits.ROWS_PER_BLOCK_MAX:
        return None
    try:
        return to_profile(
            rows,
            meter=event.meter_id,
            serial=event.serial,
            profile=event.profile,
            channels=channels,
            boot=boot,
            tick_ms=event.tick_ms,
        )
    except LimitExceededError:
        return None


def _columns_of(row: CapturedRow, first: int, end: int) -> CapturedRow:
    """Return some columns of a row; a number that a message cannot carry is missing."""
    values = [value if value is None or abs(value) <= limits.VALUE_MAX else None for value in row.values[first:end]]
    qualities = [(column - first, quality) for column, quality in row.qualities if first <= column < end]
    return CapturedRow(row.captured_s, values, qualities)


def _entry_digest(entry: LogEntry) -> bytes:
    encoded = codec.encode([entry.captured_s, entry.number, list(entry.values)])
    return hashlib.sha256(encoded).digest()[:ENTRY_DIGEST_BYTES]


def _instant_s(entry: LogEntry) -> int:
    return min(max(entry.captured_s, 0), CAPTURED_S_MAX)


def _within(value: int) -> int:
    return min(max(value, -limits.VALUE_MAX), limits.VALUE_MAX)


def _note(event: str, meter: str, *, is_warning: bool = False, **facts: str | int) -> Note:
    return Note(event=event, facts=(("meter", meter), *facts.items()), is_warning=is_warning)
