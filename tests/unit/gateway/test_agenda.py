"""What is due at a meter, from what the disk says and what time it is."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.acquisition import (
    Captured,
    ClockSeen,
    LogEntry,
    Logged,
    Mirror,
    Mirrored,
    ReadCaptured,
    ReadLog,
    ReadValues,
    RecordEvent,
    SyncClock,
    Task,
    TaskRefused,
)
from gateway.core.agenda import CLOCK_GUARD_MS, AgendaSettings, should_set
from gateway.core.coverage import Span
from tests.unit.gateway.box import METER, UTC_MS, Box
from tests.unit.gateway.paper_meter import BILLING, BLOCK, CHANNELS, DAILY, MAKE, POWER_LOG
from tests.unit.gateway.test_credit import ASSIGNMENT, OPENING, TARIFF, credit, give, policy
from wire.readings import CapturedRow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, visited={METER: MAKE})
    yield box
    box.store.close()


def due(box: Box) -> tuple[Task, ...]:
    with box.store.transaction():
        return box.station.agenda.due(METER, box.now)


def tell(box: Box, event: RecordEvent) -> None:
    box.do(lambda station, now: station.on_record(event, now))


def rows_due(box: Box, profile: bytes) -> tuple[Span, ...]:
    found = [task.spans for task in due(box) if isinstance(task, ReadCaptured) and task.profile == profile]
    return found[0] if found else ()


def clocks_due(box: Box) -> list[SyncClock]:
    return [task for task in due(box) if isinstance(task, SyncClock)]


def clock_seen(box: Box, offset_ms: int, *, was_set: bool = False) -> None:
    tell(box, ClockSeen(meter_id=METER, tick_ms=box.now_ms, offset_ms=offset_ms, was_set=was_set))


def read_all(box: Box, profile: bytes, period_s: int, *, until_s: int | None = None) -> None:
    """Bring every row that is asked for, up to an instant."""
    while spans := rows_due(box, profile):
        rows = [
            CapturedRow(instant_s, (1, 1))
            for span in spans
            for instant_s in range(-(-span.first_s // period_s) * period_s, span.last_s + 1, period_s)
            if until_s is None or instant_s <= until_s
        ]
        tell(box, captured(box, profile, period_s, rows, spans))
        if until_s is not None:
            break


def captured(box: Box, profile: bytes, period_s: int, rows: list[CapturedRow], asked: Iterable[Span]) -> Captured:
    return Captured(
        meter_id=METER,
        tick_ms=box.now_ms,
        serial="AB1",
        profile=profile,
        period_s=period_s,
        channels=CHANNELS,
        rows=tuple(rows),
        asked=tuple(asked),
    )


def test_present_values_come_first_and_logs_before_history(box: Box) -> None:
    box.open_session()
    kinds = [type(task) for task in due(box)]
    assert kinds == [ReadValues, SyncClock, *[ReadLog] * 7, *[ReadCaptured] * 3]
    assert [task.profile for task in due(box) if isinstance(task, ReadCaptured)] == [BILLING, DAILY, BLOCK]


def test_rows_are_asked_for_up_to_the_last_whole_hour_and_no_more_than_a_visit_may_bring(box: Box) -> None:
    box.open_session()
    (span,) = rows_due(box, BLOCK)
    hour_s = (UTC_MS + box.now_ms) // HOUR_MS * 3_600
    assert span.first_s <= hour_s <= span.last_s < hour_s + 1_800
    days = sum((span.last_s - span.first_s + 1) // 86_400 for span in rows_due(box, DAILY))
    assert (span.last_s - span.first_s + 1) // 1_800 == 96 - days


def test_history_is_read_back_as_far_as_the_make_says_and_then_only_what_is_new(box: Box) -> None:
    box.open_session()
    read_all(box, BLOCK, 1_800)
    assert rows_due(box, BLOCK) == ()
    box.wait(2 * HOUR_MS)
    (span,) = rows_due(box, BLOCK)
    assert (span.last_s - span.first_s + 1) // 1_800 == 4


def test_many_gaps_are_read_a_few_at_a_visit(box: Box) -> None:
    box.open_session()
    read_all(box, BLOCK, 3_600)
    before_s = (UTC_MS + box.now_ms) // 1_000
    box.wait(72 * HOUR_MS)
    clock_seen(box, 0)
    spans = rows_due(box, BLOCK)
    rows = [CapturedRow(instant_s, (1, 1)) for instant_s in range(before_s // 3_600 * 3_600, spans[0].last_s, 7_200)]
    tell(box, captured(box, BLOCK, 3_600, rows, (Span(row.captured_s, row.captured_s) for row in rows)))
    assert len(rows_due(box, BLOCK)) == AgendaSettings().spans_max
    assert sorted(rows_due(box, BLOCK), reverse=True) == list(rows_due(box, BLOCK))


def test_a_period_that_the_meter_does_not_say_is_taken_as_it_was(box: Box) -> None:
    box.open_session()
    read_all(box, BLOCK, 900)
    box.wait(HOUR_MS)
    spans = rows_due(box, BLOCK)
    tell(box, captured(box, BLOCK, 0, [CapturedRow(spans[0].last_s // 900 * 900, (1, 1))], spans))
    assert rows_due(box, BLOCK) == ()
    box.wait(HOUR_MS)
    assert sum((span.last_s - span.first_s + 1) // 900 for span in rows_due(box, BLOCK)) == 4


def test_a_bill_is_asked_for_every_hour_from_the_newest_one_on(box: Box) -> None:
    box.open_session()
    (span,) = rows_due(box, BILLING)
    assert span.last_s - span.first_s == 400 * 86_400
    bill_s = span.last_s - 5_000
    tell(box, captured(box, BILLING, 0, [CapturedRow(bill_s, (1, 1))], (span,)))
    assert rows_due(box, BILLING) == ()
    box.wait(HOUR_MS)
    (span,) = rows_due(box, BILLING)
    assert span.first_s == bill_s + 1


def test_rows_are_asked_for_by_the_clock_of_the_meter(box: Box) -> None:
    box.open_session()
    clock_seen(box, -5 * HOUR_MS)
    (span,) = rows_due(box, BLOCK)
    hour_s = (UTC_MS + box.now_ms) // HOUR_MS * 3_600 - 5 * 3_600
    assert span.first_s <= hour_s <= span.last_s < hour_s + 1_800


def test_a_gateway_that_does_not_know_the_time_asks_for_rows_once_it_has_seen_the_meters(box: Box) -> None:
    assert not any(isinstance(task, ReadCaptured) for task in due(box))
    (task,) = clocks_due(box)
    assert not task.may_set
    clock_seen(box, 7 * DAY_MS)
    (span,) = rows_due(box, BLOCK)
    assert span.last_s > (UTC_MS + 7 * DAY_MS) // 1_000 - 3_600
    assert clocks_due(box) == []
    box.open_session()
    assert [task.may_set for task in clocks_due(box)] == [True]


def test_what_was_compared_with_a_clock_that_was_not_trusted_is_compared_again(box: Box) -> None:
    clock_seen(box, 0)
    assert clocks_due(box) == []
    box.open_session()
    assert len(clocks_due(box)) == 1
    clock_seen(box, 0)
    box.restart()
    assert len(clocks_due(box)) == 1


def test_a_clock_is_compared_every_hour_and_at_every_visit_while_it_is_off(box: Box) -> None:
    box.open_session()
    clock_seen(box, 500)
    assert clocks_due(box) == []
    box.wait(HOUR_MS)
    assert len(clocks_due(box)) == 1
    clock_seen(box, 60_000)
    assert len(clocks_due(box)) == 1
    clock_seen(box, 60_000, was_set=True)
    assert clocks_due(box) == []


def test_a_clock_is_kept_off_capture_instants_for_so_long_and_then_set_all_the_same(box: Box) -> None:
    box.open_session()
    read_all(box, BLOCK, 1_800)
    clock_seen(box, 60_000)
    assert [task.period_s for task in clocks_due(box)] == [1_800]
    box.wait(2 * HOUR_MS + 1_000)
    assert [task.period_s for task in clocks_due(box)] == [0]
    clock_seen(box, 60_000, was_set=True)
    clock_seen(box, 60_000)
    assert [task.period_s for task in clocks_due(box)] == [1_800]


@given(
    offset_ms=st.integers(-HOUR_MS, HOUR_MS),
    now_ms=st.integers(UTC_MS, UTC_MS + DAY_MS),
    period_s=st.sampled_from([300, 900, 1_800]),
    phase_s=st.sampled_from([0, 60]),
)
def test_no_clock_is_set_across_a_capture_instant_unless_it_cannot_be_helped(
    offset_ms: int, now_ms: int, period_s: int, phase_s: int
) -> None:
    task = SyncClock(utc_less_tick_ms=0, may_set=True, offset_ms_max=10_000, period_s=period_s, phase_s=phase_s)
    between = range(min(now_ms, now_ms + offset_ms) - CLOCK_GUARD_MS, max(now_ms, now_ms + offset_ms) + CLOCK_GUARD_MS)
    period_ms = period_s * 1_000
    next_ms = -(-(between.start - phase_s * 1_000) // period_ms) * period_ms + phase_s * 1_000
    is_set = should_set(task, meter_ms=now_ms + offset_ms, now_ms=now_ms)
    assert is_set == (abs(offset_ms) > 10_000 and (len(between) >= period_ms or next_ms > between.stop))


def test_a_clock_is_not_set_by_one_that_is_not_trusted() -> None:
    task = SyncClock(utc_less_tick_ms=0, may_set=False, offset_ms_max=10_000, period_s=0)
    assert not should_set(task, meter_ms=UTC_MS, now_ms=UTC_MS + DAY_MS)


def test_logs_are_asked_for_from_where_they_were_left(box: Box) -> None:
    box.open_session()
    tell(box, Logged(meter_id=METER, tick_ms=1, log=POWER_LOG, sequence=17, entries=()))
    logs = {task.log: task.known_sequence for task in due(box) if isinstance(task, ReadLog)}
    assert logs[POWER_LOG] == 17
    assert list(logs.values()).count(None) == 6


def test_a_log_without_a_sequence_number_is_asked_for_from_its_newest_entry_on(box: Box) -> None:
    box.open_session()
    for captured_s in (1_789_999_000, 1_789_998_000):
        entries = (LogEntry(captured_s, 101, ()),)
        tell(box, Logged(meter_id=METER, tick_ms=1, log=POWER_LOG, sequence=None, entries=entries))
    (task,) = [task for task in due(box) if isinstance(task, ReadLog) and task.log == POWER_LOG]
    assert (task.known_sequence, task.known_s) == (None, 1_789_999_000)


def test_what_a_meter_refuses_rests_for_hours_and_no_longer(box: Box) -> None:
    box.open_session()
    refused = next(task for task in due(box) if isinstance(task, ReadLog) and task.log == POWER_LOG)
    tell(box, TaskRefused(meter_id=METER, tick_ms=1, task=refused, detail="object-undefined"))
    assert POWER_LOG not in {task.log for task in due(box) if isinstance(task, ReadLog)}
    assert len(due(box)) == 11
    box.restart()
    box.open_session()
    assert POWER_LOG not in {task.log for task in due(box) if isinstance(task, ReadLog)}
    box.wait(6 * HOUR_MS)
    assert POWER_LOG in {task.log for task in due(box) if isinstance(task, ReadLog)}


def mirrors_due(box: Box) -> list[Mirror]:
    return [task for task in due(box) if isinstance(task, Mirror)]


def test_a_credit_is_shown_at_once_and_a_balance_by_the_hour(box: Box) -> None:
    box.open_session()
    assert mirrors_due(box) == []
    give(box, OPENING, ASSIGNMENT, TARIFF, credit(1, 500))
    box.facts(policy())
    (mirror,) = mirrors_due(box)
    assert (mirror.is_prepaid, mirror.balance_minor, mirror.recharge_minor, mirror.total_minor) == (True, 500, 500, 500)
    tell(box, Mirrored(meter_id=METER, tick_ms=1, mirror=mirror))
    assert mirrors_due(box) == []
    box.read(1_000)
    box.wait(HOUR_MS)
    box.read(1_100)
    (mirror,) = mirrors_due(box)
    assert mirror.balance_minor < 500
    assert mirror.recharge_minor == 500
