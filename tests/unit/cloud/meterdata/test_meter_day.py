from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.meter_day import (
    FACTS_PER_VALUE_MAX,
    MESSAGES_PER_ROW_MAX,
    VALID,
    ChannelKey,
    Counts,
    Day,
    Row,
    Source,
    same_facts,
)
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT

OFFSET = 1_750_000_000_000
ENERGY = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
POWER = ChannelKey(bytes((1, 0, 1, 7, 0, 255)), 0, 27)
VOLTAGE = ChannelKey(bytes((1, 0, 32, 7, 0, 255)), -1, 35)
CHANNELS = sorted([ENERGY, POWER, VOLTAGE])
SOURCE = Source("gw-1", b"boot-001")


def row(
    values: dict[ChannelKey, int],
    *,
    tick_ms: int = 0,
    message: int = 1,
    qualities: dict[ChannelKey, str] | None = None,
    source: Source = SOURCE,
) -> Row:
    channels = tuple(sorted(values))
    codes = qualities or {}
    return Row(
        source,
        tick_ms,
        OFFSET,
        estimated=False,
        message=message,
        channels=channels,
        values=tuple(values[channel] for channel in channels),
        qualities=tuple(codes.get(channel, VALID) for channel in channels),
    )


def day_of(*rows: Row) -> Day:
    day = Day()
    for item in rows:
        day.put(item)
    return day


def stored(day: Day) -> Day:
    codec = DayCodec()
    return codec.decode(codec.encode(day))


@st.composite
def rows(draw: st.DrawFn) -> Row:
    chosen = draw(st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
    tick_ms = draw(st.sampled_from([0, 5, 900_000, 2**53 - 1]))
    extreme = st.sampled_from([0, 1, -1, 2**15, 2**31, -(2**62), 2**62])
    return row(
        {channel: draw(extreme) for channel in chosen},
        tick_ms=tick_ms,
        message=draw(st.integers(1, 3)),
        qualities={
            channel: draw(st.sampled_from([VALID, VALID, QUALITY_SUSPECT, QUALITY_MISSING])) for channel in chosen
        },
        source=draw(st.sampled_from([SOURCE, Source("gw-1", b"boot-000"), Source("gw-0", b"boot-001")])),
    )


many = st.lists(rows(), min_size=1, max_size=12)


def test_a_value_stated_twice_by_one_message_is_there_once() -> None:
    day = day_of(row({ENERGY: 7}), row({ENERGY: 7}))

    assert [reading.value for reading in day.readings()] == [7]
    assert day.counts() == Counts(values=1)


def test_a_value_stated_by_two_messages_is_there_once_with_both_as_evidence() -> None:
    day = stored(day_of(row({ENERGY: 7}, message=1), row({ENERGY: 7}, message=2)))

    (reading,) = day.readings()
    assert (reading.value, reading.others, reading.messages) == (7, (), (1, 2))
    assert day.counts() == Counts(values=1, duplicates=1)


def test_two_values_under_one_key_are_both_kept_and_the_smaller_counts() -> None:
    day = stored(day_of(row({ENERGY: 9}, message=1), row({ENERGY: 7}, message=2)))

    (reading,) = day.readings()
    assert reading.value == 7
    assert [fact.value for fact in reading.others] == [9]
    assert day.counts() == Counts(values=1, conflicts=1)


def test_a_valid_value_counts_before_a_smaller_suspect_one() -> None:
    day = day_of(row({ENERGY: 1}, qualities={ENERGY: QUALITY_SUSPECT}), row({ENERGY: 9}, message=2))
    assert [reading.value for reading in day.readings()] == [9]


def test_a_value_that_comes_after_it_was_called_missing_is_no_conflict() -> None:
    day = day_of(row({ENERGY: 0}, qualities={ENERGY: QUALITY_MISSING}), row({ENERGY: 9}, message=2))

    (reading,) = day.readings()
    assert (reading.value, reading.others) == (9, ())
    assert day.counts() == Counts(values=1)


def test_a_missing_value_is_kept_as_missing() -> None:
    day = stored(day_of(row({ENERGY: 123, POWER: 5}, qualities={ENERGY: QUALITY_MISSING})))

    assert {reading.channel: (reading.value, reading.quality) for reading in day.readings()} == {
        ENERGY: (None, QUALITY_MISSING),
        POWER: (5, VALID),
    }
    assert day.counts() == Counts(values=1, missing=1)


def test_channels_of_one_row_may_come_in_different_messages() -> None:
    day = stored(day_of(row({ENERGY: 1}, message=1), row({VOLTAGE: 2}, message=2)))

    assert {reading.channel: reading.messages for reading in day.readings()} == {ENERGY: (1,), VOLTAGE: (2,)}
    assert day.counts() == Counts(values=2)


def test_one_logical_name_with_two_scalers_is_two_quantities() -> None:
    other = ChannelKey(ENERGY.obis, 3, 30)
    day = day_of(row({ENERGY: 1}), row({other: 1}, message=2))
    assert day.counts() == Counts(values=2)


def test_a_row_taken_away_leaves_nothing_behind() -> None:
    plain = row({ENERGY: 1}, tick_ms=1)
    odd = [row({VOLTAGE: 1}, tick_ms=2), row({VOLTAGE: 2}, tick_ms=2, message=2)]
    day = day_of(plain, *odd)

    taken = day.take(SOURCE, 2)

    assert DayCodec().encode(day) == DayCodec().encode(day_of(plain))
    assert same_facts(taken, day_of(*odd))
    assert not day.take(SOURCE, 2)


def test_a_row_taken_away_and_put_elsewhere_keeps_all_that_was_said_of_it() -> None:
    before, after = day_of(row({VOLTAGE: 1}), row({VOLTAGE: 2}, message=2)), day_of(row({ENERGY: 5}, tick_ms=3))

    after.put_day(before.take(SOURCE, 0), offset_ms=OFFSET + 4, estimated=True)

    moved = next(reading for reading in after.readings() if reading.channel == VOLTAGE)
    assert (moved.value, len(moved.others), moved.messages) == (1, 1, (1, 2))
    assert (moved.utc_ms, moved.estimated) == (OFFSET + 4, True)


def test_the_newest_value_of_each_channel_is_the_last_by_utc() -> None:
    day = day_of(row({ENERGY: 1, VOLTAGE: 1}, tick_ms=0), row({ENERGY: 2}, tick_ms=5))
    assert {channel: reading.value for channel, reading in day.newest().items()} == {ENERGY: 2, VOLTAGE: 1}


def test_a_gateway_gone_wild_fills_no_row_without_bound() -> None:
    day = day_of(*(row({ENERGY: value}, message=value) for value in range(100, 0, -1)))

    (reading,) = day.readings()
    assert reading.value == 1
    assert len(reading.others) == FACTS_PER_VALUE_MAX - 1
    assert reading.messages == tuple(range(1, MESSAGES_PER_ROW_MAX + 1))


def test_a_day_of_a_meter_takes_little_room() -> None:
    day = day_of(
        *(
            row(
                {ENERGY: 5_000 + index * 7, POWER: 300 + index * 37 % 90, VOLTAGE: 2_300 + index % 11},
                tick_ms=index * 900_000,
            )
            for index in range(96)
        )
    )
    assert len(DayCodec().encode(day)) < 96 * 5


@given(many)
def test_a_stored_day_is_the_same_day(some: list[Row]) -> None:
    day = day_of(*some)
    assert same_facts(stored(day), day)


@given(many, st.randoms(use_true_random=False))
def test_the_same_facts_give_the_same_bytes_in_any_order_and_however_often(some: list[Row], rng: Random) -> None:
    again = [*some, *some]
    rng.shuffle(again)
    assert DayCodec().encode(day_of(*again)) == DayCodec().encode(day_of(*some))


@given(many, many)
@settings(max_examples=50)
def test_merging_into_a_stored_day_is_merging_into_the_day(first: list[Row], second: list[Row]) -> None:
    grown = stored(day_of(*first))
    for item in second:
        grown.put(item)
    assert DayCodec().encode(grown) == DayCodec().encode(day_of(*second, *first))
