"""What visits bring becomes facts, each once, with what was taken on the disk beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.acquisition import Captured, ClockSeen, Identified, LogEntry, Logged, RecordEvent
from gateway.core.coverage import Span
from gateway.core.effects import Effects, SendBatch
from gateway.core.records import FACT_BYTES_MAX, facts_of_rows
from tests.unit.gateway.box import METER, UTC_MS, Box, batches, facts_in
from tests.unit.gateway.paper_meter import BILLING, BLOCK, CHANNELS, MAKE, POWER_LOG
from wire import codec
from wire.facts import Event, Health, MeterEvent, ReadValue
from wire.limits import VALUE_MAX
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, CapturedRow, Channel, Profile, captured
from wire.topics import Lane

NOW_S = UTC_MS // 1_000
VALUE = ReadValue(bytes([1, 0, 12, 7, 0, 255]), -1, 35, 2_310)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, visited={METER: MAKE})
    box.open_session()
    yield box
    box.store.close()


def tell(box: Box, event: RecordEvent) -> Effects:
    return box.do(lambda station, now: station.on_record(event, now))


def lanes(effects: Effects, kind: type) -> list[Lane]:
    """Return on which lanes facts of a kind are sent."""
    sent: list[SendBatch] = batches(effects)
    return [batch.lane for batch in sent for fact in facts_in(batch) if isinstance(fact, kind)]


def log(*entries: LogEntry, sequence: int | None = None, log: bytes = POWER_LOG) -> Logged:
    return Logged(meter_id=METER, tick_ms=1_000, log=log, sequence=sequence, entries=entries)


def rows_event(
    rows: Sequence[CapturedRow],
    *,
    profile: bytes = BLOCK,
    channels: tuple[Channel, ...] = CHANNELS,
    asked: tuple[Span, ...] = (Span(0, 4_000_000_000),),
    period_s: int = 1_800,
) -> Captured:
    return Captured(
        meter_id=METER,
        tick_ms=1_000,
        serial="AB1",
        profile=profile,
        period_s=0 if profile == BILLING else period_s,
        channels=channels,
        rows=tuple(rows),
        asked=asked,
    )


def numbers_told(box: Box) -> list[tuple[int, str]]:
    return [(fact.number, fact.code) for fact in box.sent if isinstance(fact, MeterEvent)]


def profiles_sent(box: Box) -> list[Profile]:
    return [fact for fact in box.sent if isinstance(fact, Profile)]


def test_urgent_entries_go_up_at_once_and_the_others_with_the_profiles(box: Box) -> None:
    assert lanes(tell(box, log(LogEntry(NOW_S, 201, (VALUE,)), sequence=1)), MeterEvent) == [Lane.URGENT]
    assert lanes(tell(box, log(LogEntry(NOW_S, 9, ()), sequence=2)), MeterEvent) == [Lane.BULK]
    assert lanes(tell(box, rows_event([CapturedRow(NOW_S, (1, 2))])), Profile) == [Lane.BULK]
    assert numbers_told(box) == [(201, "3.12.66.242"), (9, "3.26.38.150")]


def test_an_urgent_entry_that_is_old_when_it_is_read_is_history(box: Box) -> None:
    assert lanes(tell(box, log(LogEntry(NOW_S - 90_000, 201, ()), sequence=1)), MeterEvent) == [Lane.BULK]


def test_an_unknown_event_number_is_passed_on_without_a_code(box: Box) -> None:
    tell(box, log(LogEntry(NOW_S, 997, (VALUE,)), LogEntry(0, 65_535, ()), sequence=2))
    assert numbers_told(box) == [(997, ""), (65_535, "")]
    told = next(fact for fact in box.sent if isinstance(fact, MeterEvent))
    assert told.values == [VALUE]


def test_a_log_read_again_from_its_beginning_brings_nothing_twice(box: Box) -> None:
    entries = [LogEntry(NOW_S + number, 101 + number % 2, ()) for number in range(100)]
    tell(box, log(*entries, sequence=100))
    box.restart()
    box.open_session()
    tell(box, log(*entries[20:], LogEntry(NOW_S + 200, 101, ()), sequence=101))
    told = {(fact.captured_s, fact.number, codec.encode(fact)) for fact in box.sent if isinstance(fact, MeterEvent)}
    assert len(told) == 101


def test_entries_of_one_second_are_told_apart(box: Box) -> None:
    tell(box, log(LogEntry(NOW_S, 101, ()), sequence=1))
    tell(box, log(LogEntry(NOW_S, 101, ()), LogEntry(NOW_S, 102, ()), sequence=2))
    assert [number for number, _ in numbers_told(box)] == [101, 102]


def test_a_value_that_no_message_can_carry_is_missing_and_the_row_is_kept(box: Box) -> None:
    tell(box, rows_event([CapturedRow(NOW_S, (VALUE_MAX + 1, 5), [(1, QUALITY_SUSPECT)])]))
    (fact,) = profiles_sent(box)
    assert {(item.column, item.quality) for item in fact.exceptions} == {(0, QUALITY_MISSING), (1, QUALITY_SUSPECT)}


def test_a_row_of_more_columns_than_a_fact_may_have_becomes_two_facts(box: Box) -> None:
    channels = tuple(Channel(bytes([1, 0, number, 8, 0, 255]), 0, 30) for number in range(100))
    tell(box, rows_event([CapturedRow(NOW_S, tuple(range(100)), [(70, QUALITY_SUSPECT)])], channels=channels))
    first, second = profiles_sent(box)
    assert [values[0] for fact in (first, second) for values in captured(fact)[1]] == list(range(100))
    assert [(item.column, item.quality) for item in second.exceptions] == [(6, QUALITY_SUSPECT)]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4_000), st.lists(st.none() | st.integers(-(2**70), 2**70), min_size=3, max_size=3)),
        max_size=400,
    )
)
def test_rows_of_any_kind_and_number_become_facts_within_limits_that_hold_each_once(
    rows: list[tuple[int, list[int | None]]],
) -> None:
    channels = tuple(Channel(bytes([1, 0, number, 8, 0, 255]), 0, 30) for number in range(3))
    event = rows_event([CapturedRow(captured_s, values) for captured_s, values in rows], channels=channels)
    facts = list(facts_of_rows(event, event.rows, boot=bytes(8)))
    assert all(len(codec.encode(fact)) <= FACT_BYTES_MAX for fact in facts)
    held = sorted(instant_s for fact in facts for instant_s in captured(fact)[0])
    assert held == sorted(captured_s for captured_s, _ in rows)


def test_many_rows_fit_one_batch_after_another(box: Box) -> None:
    rows = [CapturedRow(NOW_S - 1_800 * number, (number * 7_919 % 100_003, 2_300)) for number in range(20_000)]
    tell(box, rows_event(rows))
    assert sum(len(fact.captured_deltas) for fact in profiles_sent(box)) >= 5_000
    box.drain()
    instants = {instant_s for fact in profiles_sent(box) for instant_s in captured(fact)[0]}
    assert instants == {row.captured_s for row in rows}


def test_the_same_bill_read_again_is_reported_once(box: Box) -> None:
    bills = [CapturedRow(NOW_S - 5_000_000, (1, 1)), CapturedRow(NOW_S - 2_000_000, (2, 2))]
    tell(box, rows_event(bills, profile=BILLING))
    box.restart()
    box.open_session()
    tell(box, rows_event([*bills, CapturedRow(NOW_S, (3, 3))], profile=BILLING))
    box.drain()
    facts = {codec.encode(fact): fact for fact in profiles_sent(box)}.values()
    instants = sorted(instant_s for fact in facts for instant_s in captured(fact)[0])
    assert instants == [NOW_S - 5_000_000, NOW_S - 2_000_000, NOW_S]


def test_the_clock_offset_is_a_metric_and_setting_the_clock_an_event(box: Box) -> None:
    tell(box, ClockSeen(meter_id=METER, tick_ms=1_000, offset_ms=-42_000, was_set=True))
    metrics = [metric for fact in box.sent if isinstance(fact, Health) for metric in fact.metrics]
    assert [(metric.name, metric.value) for metric in metrics] == [("clock_offset_ms", -42_000)]
    assert [fact.detail for fact in box.sent if isinstance(fact, Event) if fact.code == "3.36.116.24"] == [
        "it was 42000 ms behind"
    ]


def test_new_firmware_and_another_instrument_are_told_once(box: Box) -> None:
    for serial, firmware in (("AB1", "1.0"), ("AB1", "1.0"), ("AB1", "1.1"), ("AB1", "1.1"), ("AB2", "2.0")):
        tell(box, Identified(meter_id=METER, tick_ms=1_000, serial=serial, firmware=firmware))
    told = {(fact.code, fact.detail) for fact in box.sent if isinstance(fact, Event)}
    assert {("3.11.17.52", "1.0 -> 1.1"), ("3.0.0.52", "AB1 -> AB2")} <= told
    assert len([code for code, _ in told if code in {"3.11.17.52", "3.0.0.52"}]) == 2


def test_rows_that_nobody_asked_for_are_left_out_and_told_of(box: Box) -> None:
    event = rows_event([CapturedRow(NOW_S, (1, 1)), CapturedRow(NOW_S - 90_000, (2, 2))], asked=(Span(NOW_S, NOW_S),))
    effects = tell(box, event)
    assert [captured(fact)[0] for fact in profiles_sent(box)] == [[NOW_S]]
    assert "captured.strays_left_out" in {getattr(effect, "event", "") for effect in effects}


def test_a_row_captured_before_the_period_was_changed_is_known_though_it_is_asked_for_with_its_neighbours(
    box: Box,
) -> None:
    start_s = NOW_S // 3_600 * 3_600
    old = [CapturedRow(start_s + number * 900, (number, 1)) for number in range(2)]
    tell(box, rows_event(old, period_s=900))
    new = CapturedRow(start_s + 1_800, (9, 9))
    tell(box, rows_event([*old, new], period_s=1_800))
    instants = [instant_s for fact in profiles_sent(box) for instant_s in captured(fact)[0]]
    assert sorted(instants) == [start_s, start_s + 900, start_s + 1_800]
