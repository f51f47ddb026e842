"""What a visit to a meter is for: which of its rows, logs and objects are due, told at the moment the visit begins.

Everything follows from what the disk says was taken (`gateway.core.progress`) and from the time, so a gateway that was
killed goes on where its disk stands. Rows are asked for by the meter's own clock, as far as its offset is known: the
newest first, gaps after them, never what was taken already. What a visit brought is taken by `gateway.core.records`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dlms.obis import obis_text
from gateway.core.acquisition import Mirror, ReadCaptured, ReadLog, ReadValues, SyncClock, Task
from gateway.core.coverage import Coverage, Span
from gateway.core.dlms_profiles import CapturedProfile, DlmsProfile
from gateway.core.moment import Moment
from gateway.core.progress import ClockState, Progress, Rows
from gateway.core.timekeeping import Timekeeper
from wire.readings import CAPTURED_S_MAX

CLOCK_GUARD_MS = 20_000
"""How far from a capture instant a clock is set, beside what it is off."""
DAY_S = 86_400
_ORDER = ("billing", "daily", "block")
"""Few rows that are worth much go before many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaSettings:
    """How much at once, and how often what is not due at every visit."""

    rows_max: int = 96
    """Rows asked for in one visit, a day of quarter hours; commands wait until a visit is over."""
    spans_max: int = 12
    """Gaps read in one visit, a request each."""
    gather_s: int = 3_600
    """Rows of a block profile are read together up to the last whole multiple of this: one by one they would take up
    three times the bytes."""
    settle_s: int = 15
    """What a meter is given to have written a row."""
    billing_every_s: int = 3_600
    clock_every_s: int = 3_600
    clock_offset_ms_max: int = 10_000
    """By how much a meter's clock may be off."""
    clock_patience_s: int = 7_200
    """For so long a clock that is off is not set across a capture instant."""
    mirror_every_s: int = 3_600
    """How old a balance at the meter may be; a credit is shown at the next visit."""
    refused_rest_s: int = 21_600
    """For so long a meter is not asked again for what it refused."""


def should_set(task: SyncClock, *, meter_ms: int, now_ms: int) -> bool:
    """Tell whether a meter's clock is to be set now.

    It is not set across an instant at which the meter captures a row, nor near one: that row would be missed, or be
    there twice.

    Args:
        task: What the visit is to do.
        meter_ms: What the meter's clock shows, UTC.
        now_ms: What ours shows: its tick plus `task.utc_less_tick_ms`.
    """
    offset_ms = abs(meter_ms - now_ms)
    if not task.may_set or offset_ms <= task.offset_ms_max:
        return False
    period_ms, phase_ms = task.period_s * 1_000, task.phase_s * 1_000
    if offset_ms + 2 * CLOCK_GUARD_MS >= period_ms:
        return True  # it cannot be helped
    first_ms, last_ms = min(meter_ms, now_ms) - CLOCK_GUARD_MS, max(meter_ms, now_ms) + CLOCK_GUARD_MS
    return (first_ms - phase_ms) // period_ms == (last_ms - phase_ms) // period_ms


def refusal_key(task: Task) -> str:
    """Return the name under which a refused task rests."""
    match task:
        case ReadCaptured(profile=name) | ReadLog(log=name):
            return obis_text(name)
        case _:
            return type(task).__name__


class Agenda:
    """Plans visits.

    Args:
        progress: What was taken.
        makes: The make of each meter that is visited.
        time: For UTC, and whether it may be trusted.
        mirror: What a meter is to show of its account at a time (UTC, ms), or None.
        settings: As they say.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        makes: Mapping[str, DlmsProfile],
        time: Timekeeper,
        mirror: Callable[[str, int], Mirror | None],
        settings: AgendaSettings,
    ) -> None:
        self._progress = progress
        self._makes = makes
        self._time = time
        self._mirror = mirror
        self._settings = settings

    def due(self, meter: str, now: Moment) -> tuple[Task, ...]:
        """Return what a visit that begins now is for, most urgent first; present values always are among it.

        Raises:
            KeyError: The meter is none that is visited.
        """
        make = self._makes[meter]
        now_ms = self._time.best_ms(now)
        now_s = now_ms // 1_000
        rests = self._progress.rests(meter)
        wanted: Iterable[Task] = (
            *self._mirrors(meter, now_ms),
            *self._clocks(meter, make, now, now_ms),
            *self._logs(meter, make),
            *self._captured(meter, make, now_s),
        )
        rest_s = self._settings.refused_rest_s
        # A rest that ends later than it could was given by a clock that was wrong.
        resting = {name for name, until_s in rests.items() if 0 < until_s - now_s <= rest_s}
        return (ReadValues(), *(task for task in wanted if refusal_key(task) not in resting))

    def _mirrors(self, meter: str, now_ms: int) -> Iterator[Mirror]:
        if self._makes[meter].mirrors is None:
            return
        mirror = self._mirror(meter, now_ms)
        if mirror is None:
            return
        shown = self._progress.shown(meter)
        if shown is None or shown.differs(mirror):
            yield mirror
            return
        is_old = not 0 <= now_ms // 1_000 - shown.at_s < self._settings.mirror_every_s
        if is_old and shown.balance_minor != mirror.balance_minor:
            yield mirror

    def _clocks(self, meter: str, make: DlmsProfile, now: Moment, now_ms: int) -> Iterator[SyncClock]:
        clock = self._progress.clock(meter)
        trusted = self._time.is_synchronised
        is_off = abs(clock.offset_ms) > self._settings.clock_offset_ms_max
        if self._is_fresh(clock, now_ms // 1_000, periods=1) and not (is_off and trusted):
            return
        block = next((item for item in make.captured if item.kind == "block"), None)
        rows = self._progress.rows(meter, block.name) if block is not None else None
        impatient = 0 <= clock.off_since_s < now_ms // 1_000 - self._settings.clock_patience_s
        yield SyncClock(
            utc_less_tick_ms=now_ms - now.tick_ms,
            may_set=trusted,
            offset_ms_max=self._settings.clock_offset_ms_max,
            period_s=rows.coverage.period_s if rows is not None and not impatient else 0,
            phase_s=rows.coverage.phase_s if rows is not None and not impatient else 0,
        )

    def _logs(self, meter: str, make: DlmsProfile) -> Iterator[ReadLog]:
        for item in make.logs:
            log = self._progress.log(meter, item.log)
            yield ReadLog(log=item.log, known_sequence=log.sequence, known_s=log.newest_s)

    def _captured(self, meter: str, make: DlmsProfile, now_s: int) -> Iterator[ReadCaptured]:
        meter_s = self._meter_s(meter, now_s)
        if meter_s is None:
            return
        rows_left = self._settings.rows_max
        for item in sorted(make.captured, key=lambda item: _ORDER.index(item.kind)):
            if item.period_s == 0:
                spans = self._bills(meter, item, now_s, meter_s)
            else:
                rows = self._progress.rows(meter, item.name) or Rows(coverage=Coverage(period_s=item.period_s))
                spans = self._missing(rows.coverage, item, meter_s, rows_left)
                rows_left -= sum(-(-(span.last_s - span.first_s) // rows.coverage.period_s) for span in spans)
            if spans:
                yield ReadCaptured(profile=item.name, spans=spans)

    def _meter_s(self, meter: str, now_s: int) -> int | None:
        """Return what the meter's clock shows; None where it was not compared and ours is not trusted either."""
        clock = self._progress.clock(meter)
        if self._is_fresh(clock, now_s, periods=2):
            return now_s + clock.offset_ms // 1_000
        if self._time.is_synchronised:
            return now_s + (clock.offset_ms // 1_000 if clock.by_trusted else 0)
        return None

    def _is_fresh(self, clock: ClockState, now_s: int, *, periods: int) -> bool:
        """Tell whether a meter's clock was compared lately with ours, by the same knowledge of the time."""
        age_s = now_s - clock.seen_s
        return 0 <= age_s < periods * self._settings.clock_every_s and clock.by_trusted == self._time.is_synchronised

    def _bills(self, meter: str, item: CapturedProfile, now_s: int, meter_s: int) -> tuple[Span, ...]:
        bills = self._progress.bills(meter, item.name)
        if 0 <= now_s - bills.asked_s < self._settings.billing_every_s:
            return ()
        since_s = max(bills.newest_s + 1, meter_s - item.depth_days * DAY_S, 0)
        return (Span(since_s, meter_s),) if since_s <= meter_s else ()

    def _missing(self, coverage: Coverage, item: CapturedProfile, meter_s: int, rows_max: int) -> tuple[Span, ...]:
        until_s = meter_s - self._settings.settle_s
        if item.kind == "block":
            until_s -= until_s % max(self._settings.gather_s, 1)
        spans = coverage.wanted(since_s=max(meter_s - item.depth_days * DAY_S, 0), until_s=until_s, rows_max=rows_max)
        bounded = (Span(max(span.first_s, 0), min(span.last_s, CAPTURED_S_MAX)) for span in spans)
        return tuple(span for span in bounded if span.first_s <= span.last_s)[: self._settings.spans_max]
