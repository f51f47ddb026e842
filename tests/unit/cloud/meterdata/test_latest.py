from hypothesis import given
from hypothesis import strategies as st

from cloud.meterdata.core.latest import LatestValue, decode_latest, encode_latest, latest_of, newer
from cloud.meterdata.core.meter_day import ChannelKey, Day, Row, Source
from wire.readings import QUALITY_MISSING

ENERGY = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
VOLTAGE = ChannelKey(bytes((1, 0, 32, 7, 0, 255)), -1, 35)
SOURCE = Source("gw-1", b"boot-001")


def value(channel: ChannelKey, utc_ms: int, number: int, tick_ms: int = 0) -> LatestValue:
    return LatestValue(
        channel, utc_ms, estimated=False, value=number, quality="", conflict=False, source=SOURCE, tick_ms=tick_ms
    )


def test_the_later_value_of_each_channel_stays() -> None:
    known = [value(ENERGY, 10, 1), value(VOLTAGE, 10, 1)]
    assert newer(known, [value(ENERGY, 9, 2), value(VOLTAGE, 11, 2)]) == [value(ENERGY, 10, 1), value(VOLTAGE, 11, 2)]


def test_a_value_that_is_missing_does_not_hide_the_last_one_there_was() -> None:
    day = Day()
    day.put(Row(SOURCE, 0, 1_000, estimated=False, message=1, channels=(ENERGY,), values=(5,), qualities=("",)))
    day.put(
        Row(SOURCE, 9, 1_000, estimated=False, message=2, channels=(ENERGY,), values=(0,), qualities=(QUALITY_MISSING,))
    )
    assert [(item.value, item.utc_ms) for item in latest_of(day)] == [(5, 1_000)]


def test_encoded_values_are_the_same_values() -> None:
    values = [value(ENERGY, 10, -(2**62)), value(VOLTAGE, 11, 2**62)]
    assert decode_latest(encode_latest(values)) == values


@given(st.permutations([value(ENERGY, utc_ms, utc_ms, tick) for utc_ms in (1, 2) for tick in (0, 1)]))
def test_the_order_in_which_values_come_does_not_matter(values: list[LatestValue]) -> None:
    known: list[LatestValue] = []
    for item in values:
        known = newer(known, [item])
    assert known == [value(ENERGY, 2, 2, 1)]
