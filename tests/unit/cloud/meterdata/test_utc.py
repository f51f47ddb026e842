from hypothesis import given
from hypothesis import strategies as st

from cloud.meterdata.core.utc import Anchor, Change, Moment, Timeline, day_of

UTC = 1_750_000_000_000


def welcome(tick_ms: int, utc_ms: int, error_ms: int = 10) -> Anchor:
    return Anchor(tick_ms, error_ms, utc_ms, synced=True)


def system(tick_ms: int, utc_ms: int) -> Anchor:
    return Anchor(tick_ms, 0, utc_ms, synced=False)


anchors = st.lists(
    st.builds(Anchor, st.integers(0, 8), st.integers(0, 2), st.integers(UTC, UTC + 5), st.booleans()),
    max_size=8,
)


def test_without_an_anchor_nothing_is_known() -> None:
    assert Timeline().at(5) is None


def test_a_tick_uses_the_latest_anchor_at_or_before_it_else_the_first_after_it() -> None:
    timeline = Timeline([welcome(100, UTC), welcome(200, UTC + 150)])

    assert [timeline.at(tick) for tick in (0, 100, 199, 200, 9_999)] == [
        Moment(UTC - 100, estimated=False),
        Moment(UTC - 100, estimated=False),
        Moment(UTC - 100, estimated=False),
        Moment(UTC - 50, estimated=False),
        Moment(UTC - 50, estimated=False),
    ]


def test_what_the_cloud_told_beats_the_system_clock_also_before_it_was_told() -> None:
    before = Timeline([system(0, UTC - 10**9)])
    after = before.joined([welcome(500, UTC)])

    assert before.at(0) == Moment(UTC - 10**9, estimated=True)
    assert after.at(0) == Moment(UTC - 500, estimated=False)


def test_of_anchors_at_one_tick_the_smallest_error_counts_then_the_smallest_utc() -> None:
    timeline = Timeline([welcome(0, UTC, 50), welcome(0, UTC + 9, 5), welcome(0, UTC + 7, 5)])
    assert timeline.at(0) == Moment(UTC + 7, estimated=False)


def test_a_later_anchor_changes_only_the_ticks_from_it_on() -> None:
    before = Timeline([welcome(0, UTC)])
    after = before.joined([welcome(100, UTC + 103)])

    (change,) = after.changes_since(before)

    assert (change.tick_from_ms, change.before) == (100, Moment(UTC, estimated=False))
    assert after.changes_since(after) == []


def test_a_first_anchor_changes_every_tick() -> None:
    (change,) = Timeline([system(7, UTC)]).changes_since(Timeline())
    assert change == Change(0, 2**53, None)


@given(anchors, anchors)
def test_a_timeline_does_not_depend_on_the_order_in_which_its_anchors_came(
    one: list[Anchor], two: list[Anchor]
) -> None:
    everything = Timeline([*one, *two])

    assert Timeline(one).joined(two).anchors == everything.anchors
    assert Timeline(two).joined(one).joined(two).anchors == everything.anchors


@given(anchors, anchors)
def test_changes_name_exactly_the_ticks_that_differ(one: list[Anchor], two: list[Anchor]) -> None:
    before, after = Timeline(one), Timeline(one).joined(two)
    changed = {
        tick: change.before
        for change in after.changes_since(before)
        for tick in range(change.tick_from_ms, min(change.tick_until_ms, 12))
    }
    assert changed == {tick: before.at(tick) for tick in range(12) if before.at(tick) != after.at(tick)}


@given(anchors, st.integers(0, 20))
def test_no_tick_before_the_first_of_an_instant_lies_there(some: list[Anchor], later_ms: int) -> None:
    timeline = Timeline(some)
    moments = {tick: timeline.at(tick) for tick in range(40)}
    there = [tick for tick, moment in moments.items() if moment and tick + moment.offset_ms >= UTC + later_ms]
    assert timeline.tick_of(UTC + later_ms) == (there[0] if some else 0)


@given(anchors)
def test_an_encoded_timeline_is_the_same_timeline(some: list[Anchor]) -> None:
    assert Timeline.decode(Timeline(some).encode()).anchors == Timeline(some).anchors


def test_a_day_begins_at_midnight_utc() -> None:
    assert (day_of(86_399_999), day_of(86_400_000)) == (0, 1)
