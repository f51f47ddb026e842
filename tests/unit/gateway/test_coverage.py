import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.coverage import Coverage, Span

PERIOD_S = 900
START_S = 1_780_000_200
"""On a quarter of an hour, UTC."""


def instant(slot: int, off_s: int = 0) -> int:
    return START_S + slot * PERIOD_S + off_s


def day(*, without: set[int] = frozenset()) -> Coverage:  # type: ignore[assignment]
    coverage = Coverage(period_s=PERIOD_S)
    coverage.take([instant(slot) for slot in range(96) if slot not in without], asked=[])
    return coverage


def asked_for(spans: tuple[Span, ...]) -> list[int]:
    """Return the slots whose instants lie in spans."""
    return [slot for slot in range(-10, 200) if any(span.first_s <= instant(slot) <= span.last_s for span in spans)]


def test_nothing_is_missing_of_a_full_day() -> None:
    assert day().wanted(rows_max=200, since_s=instant(0), until_s=instant(95)) == ()


def test_a_gap_is_asked_for_exactly() -> None:
    spans = day(without={20, 21, 22, 60}).wanted(rows_max=200, since_s=instant(0), until_s=instant(95))
    assert asked_for(spans) == [20, 21, 22, 60]


def test_the_newest_slots_are_missing_until_they_come() -> None:
    assert asked_for(day().wanted(rows_max=200, since_s=instant(0), until_s=instant(97, 10))) == [96, 97]


def test_what_the_meter_never_captured_is_asked_for_once() -> None:
    coverage = day(without={20, 21})
    coverage.take([], asked=coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(95)))
    assert coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(95)) == ()


def test_what_may_still_come_is_asked_for_again() -> None:
    coverage = day()
    coverage.take([], asked=coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(97)))
    assert asked_for(coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(97))) == [96, 97]
    coverage.take([instant(97)], asked=coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(97)))
    assert coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(97)) == ()


def test_a_void_slot_that_comes_after_all_is_held() -> None:
    coverage = day(without={20})
    coverage.take([], asked=[Span(instant(20), instant(20))])
    coverage.take([instant(20)], asked=[])
    assert (coverage.held, coverage.void) == (day().held, [])


def test_a_row_stamped_a_little_off_counts_for_its_slot_and_is_within_what_is_asked_for() -> None:
    coverage = day(without={20})
    (span,) = coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(95))
    assert span.first_s <= instant(20, -300) <= span.last_s
    coverage.take([instant(20, -300)], asked=[span])
    assert coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(95)) == ()


def test_days_that_end_at_a_local_midnight_have_their_phase_learned() -> None:
    midnight_s = 1_780_000_000 // 86_400 * 86_400 + 66_600
    coverage = Coverage(period_s=86_400)
    coverage.take([midnight_s, midnight_s + 86_400], asked=[])
    assert coverage.wanted(rows_max=200, since_s=midnight_s, until_s=midnight_s + 2 * 86_400 - 1) == ()
    (span,) = coverage.wanted(rows_max=200, since_s=midnight_s, until_s=midnight_s + 2 * 86_400)
    assert span.first_s <= midnight_s + 2 * 86_400 <= span.last_s


def test_what_is_old_is_forgotten_but_not_where_the_newest_row_stands() -> None:
    coverage = day(without={20})
    coverage.forget(before_s=instant(500))
    assert coverage.newest_s() == instant(95)


def test_the_newest_is_asked_for_first_and_not_too_much_at_once() -> None:
    coverage = day(without={20, 21, 60, 61})
    spans = coverage.wanted(since_s=instant(0), until_s=instant(96), rows_max=4)
    assert [asked_for((span,)) for span in spans] == [[96], [60, 61], [21]]


def test_a_meter_that_has_been_off_for_long_does_not_keep_what_is_older_from_being_read() -> None:
    coverage, asked = Coverage(period_s=PERIOD_S), set[int]()
    for _ in range(4):
        spans = coverage.wanted(since_s=instant(0), until_s=instant(95), rows_max=24)
        asked |= set(asked_for(spans))
        coverage.take([], asked=spans)
    assert asked == set(range(96))


@pytest.mark.parametrize("phase_s", [0, 1, 450, 899])
@given(st.data())
def test_reading_what_is_missing_piece_by_piece_reads_each_row_once_and_all_of_them(
    phase_s: int, data: st.DataObject
) -> None:
    there = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1)))
    is_off = data.draw(st.booleans())
    off_s = data.draw(st.lists(st.integers(-300, 300), min_size=len(there), max_size=len(there)))
    rows = [phase_s + slot * PERIOD_S + 90_000 + off * is_off for slot, off in zip(there, off_s, strict=True)]
    coverage, read = Coverage(period_s=PERIOD_S), []
    if data.draw(st.booleans()):
        coverage.take(rows[:1], asked=[])
        read += rows[:1]
    rows_max = data.draw(st.integers(1, 20))
    for _ in range(150):
        piece = coverage.wanted(since_s=phase_s + 89_000, until_s=phase_s + 61 * PERIOD_S + 90_000, rows_max=rows_max)
        found = [row for row in rows if any(span.first_s <= row <= span.last_s for span in piece)]
        read += found
        coverage.take(found, asked=piece)
        coverage = msgspec.msgpack.decode(msgspec.msgpack.encode(coverage), type=Coverage)
    read_all = set(read)
    assert len(read) == len(read_all)
    assert is_off or read_all == set(rows)


def test_what_is_later_than_a_clock_that_was_set_back_is_asked_for_anew() -> None:
    coverage = day(without={20})
    coverage.take([], asked=coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(95)))
    coverage.reopen(after_s=instant(90, 60))
    assert coverage.newest_s() == instant(90)
    assert asked_for(coverage.wanted(rows_max=200, since_s=instant(0), until_s=instant(93))) == [91, 92, 93]


@pytest.mark.parametrize("period_s", [300, 1_800, 900])
def test_with_another_capture_period_only_what_is_new_is_missing(period_s: int) -> None:
    other = day(without={40, 41, 42, 43}).resampled(period_s)
    spans = other.wanted(rows_max=500, since_s=instant(0), until_s=instant(95))
    assert all(instant(38) < span.first_s <= span.last_s < instant(45) for span in spans)
    assert sum(span.last_s - span.first_s + 1 for span in spans) >= 3 * PERIOD_S
    assert other.wanted(rows_max=1, since_s=instant(0), until_s=instant(98))[0].last_s > instant(96)


def test_a_row_is_known_by_its_very_instant() -> None:
    coverage = day(without={20})
    assert coverage.holds(instant(19))
    assert not coverage.holds(instant(20))
    assert not coverage.holds(instant(19, 1))


def test_a_profile_that_begins_off_the_hour_goes_on_so_with_another_period() -> None:
    coverage = Coverage(period_s=PERIOD_S)
    coverage.take([instant(slot, 60) for slot in range(8)], asked=[])
    other = coverage.resampled(300)
    assert other.newest_s() == instant(7, 60)
    assert other.wanted(rows_max=100, since_s=instant(0, 60), until_s=instant(7, 60)) == ()
