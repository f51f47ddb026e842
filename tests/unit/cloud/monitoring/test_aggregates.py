from collections.abc import Iterable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.hours import HOURS_PER_DAY
from cloud.meterdata.core.meter_day import VALID, ChannelKey, Day, Row, Source
from cloud.meterdata.core.utc import DAY_MS
from cloud.monitoring.core.aggregates import (
    UNKNOWN,
    Aggregate,
    DayRows,
    Heard,
    Registers,
    hours_in,
    hours_of,
    lacks_register,
    nothing,
    together,
)
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT

DAY = 20_000
"""Some day, in days since 1970-01-01."""
START_MS = DAY * DAY_MS
MINUTE_MS = 60_000
HOURS = hours_in(DAY)

IMPORT = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
IMPORT_KWH = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 3, 30)
EXPORT = ChannelKey(bytes((1, 0, 2, 8, 0, 255)), 0, 30)
INTERVAL = ChannelKey(bytes((1, 0, 1, 29, 0, 255)), 0, 30)
POWER = ChannelKey(bytes((1, 0, 1, 7, 0, 255)), 0, 27)
DEMAND = ChannelKey(bytes((1, 0, 1, 6, 0, 255)), 0, 27)
VOLTAGE_1 = ChannelKey(bytes((1, 0, 32, 7, 0, 255)), -1, 35)
VOLTAGE_2 = ChannelKey(bytes((1, 0, 52, 7, 0, 255)), -1, 35)
VOLTAGE_MEAN = ChannelKey(bytes((1, 0, 12, 27, 0, 255)), -2, 35)
VOLTAGE_OF_TARIFF = ChannelKey(bytes((1, 0, 32, 7, 1, 255)), -1, 35)
CURRENT = ChannelKey(bytes((1, 0, 31, 7, 0, 255)), -3, 33)
SOURCE = Source("gw-1", b"boot-001")


class Said(NamedTuple):
    """A row by the minute of the day."""

    minute: float
    values: dict[ChannelKey, int]
    qualities: Mapping[ChannelKey, str] = MappingProxyType({})
    source: Source = SOURCE
    message: int = 1


def day_of(*said: Said) -> Day:
    """Return the day that messages make."""
    day = Day()
    for minute, values, qualities, source, message in said:
        channels = tuple(sorted(values))
        codes = tuple(qualities.get(channel, VALID) for channel in channels)
        shown = tuple(values[channel] for channel in channels)
        day.put(Row(source, int(minute * MINUTE_MS), START_MS, False, message, channels, shown, codes))
    return DayCodec().decode(DayCodec().encode(day))


def heard(day: Day) -> dict[int, Heard]:
    return DayRows(day).heard(HOURS)


def hours(*said: Said, before: Registers = UNKNOWN) -> dict[int, Aggregate]:
    """Return hours by the hour of the day."""
    return {hour - HOURS.start: found for hour, found in hours_of(heard(day_of(*said)), before).items()}


def imports_wh(found: dict[int, Aggregate]) -> dict[int, float | str | None]:
    return {hour: aggregate.fields()["energy_import_wh"] for hour, aggregate in found.items()}


def test_energy_is_what_the_register_advanced_since_the_last_reading_before() -> None:
    found = hours(
        Said(10, {IMPORT: 1_000}),
        Said(50, {IMPORT: 1_040}),
        Said(70, {IMPORT: 1_050}),
        Said(250, {IMPORT: 1_200}),
        before=(900_000, None),
    )

    assert imports_wh(found) == {0: 140.0, 1: 10.0, 4: 150.0}


def test_without_an_earlier_register_the_first_hour_has_no_energy() -> None:
    day = day_of(Said(10, {IMPORT: 1_000}), Said(70, {IMPORT: 1_050}))

    assert lacks_register(heard(day), UNKNOWN)
    assert not lacks_register(heard(day), (0, None))
    assert imports_wh({hour - HOURS.start: found for hour, found in hours_of(heard(day), UNKNOWN).items()}) == {
        0: None,
        1: 50.0,
    }


def test_a_reading_on_the_hour_closes_the_hour_that_it_ends() -> None:
    found = hours(Said(0.001, {IMPORT: 10}), Said(60, {IMPORT: 30}), Said(120, {IMPORT: 70}), before=(0, None))

    assert imports_wh(found) == {0: 30.0, 1: 40.0}


def test_a_reading_at_the_days_beginning_is_what_the_day_begins_with() -> None:
    day = day_of(Said(0, {IMPORT: 500}), Said(30, {IMPORT: 510}))
    before = DayRows(day).registers_before(HOURS.start)

    assert before == (500_000, None)
    assert imports_wh({0: hours_of(heard(day), before)[HOURS.start]}) == {0: 10.0}


def test_the_register_before_is_the_last_one_however_long_before() -> None:
    rows = DayRows(day_of(Said(10, {EXPORT: 1}), Said(20, {IMPORT: 2}), Said(30, {POWER: 3}), Said(90, {IMPORT: 9})))

    assert rows.registers_before(HOURS.start + 1) == (2_000, 1_000)
    assert rows.registers_before(HOURS.start + 1, later=(7, None)) == (7, 1_000)
    assert rows.registers_before(HOURS.start) == UNKNOWN


def test_of_two_registers_at_one_instant_the_greater_closes() -> None:
    other = Source("gw-1", b"boot-000")
    rows = DayRows(day_of(Said(10, {IMPORT: 4}), Said(10, {IMPORT: 3}, source=other), Said(9, {IMPORT: 8})))

    assert rows.registers_before(HOURS.start + 1) == (4_000, None)
    assert rows.heard(HOURS)[HOURS.start].closing[0] == (START_MS + 10 * MINUTE_MS, 4_000)


def test_a_register_that_went_down_gives_its_hour_no_value_and_the_next_one_its_own() -> None:
    found = hours(
        Said(10, {IMPORT: 9_990, EXPORT: 5}),
        Said(70, {IMPORT: 3, EXPORT: 6}),
        Said(130, {IMPORT: 23, EXPORT: 7}),
        before=(9_980_000, 0),
    )

    assert imports_wh(found) == {0: 10.0, 1: None, 2: 20.0}
    assert together(found.values()).fields()["energy_import_wh"] == 30.0
    assert together(found.values()).fields()["energy_export_wh"] == 7.0


def test_registers_of_other_scalers_are_the_same_register() -> None:
    found = hours(Said(10, {IMPORT: 5_000}), Said(70, {IMPORT_KWH: 6}), before=(4_000_000, None))

    assert imports_wh(found) == {0: 1_000.0, 1: 1_000.0}


def test_only_plainly_valid_values_count() -> None:
    found = hours(
        Said(10, {IMPORT: 100, POWER: 50}),
        Said(20, {IMPORT: 999, POWER: 60}, {IMPORT: QUALITY_SUSPECT}),
        Said(30, {IMPORT: 0, POWER: 0}, {IMPORT: QUALITY_MISSING, POWER: QUALITY_MISSING}),
        Said(70, {POWER: 999}, {POWER: QUALITY_SUSPECT}),
        before=(0, None),
    )

    assert imports_wh(found) == {0: 100.0}
    assert (found[0].fields()["power_max_w"], found[0].rows_count) == (60.0, 2)


def test_of_several_statements_the_one_counts_that_counts_in_the_day() -> None:
    found = hours(
        Said(10, {POWER: 70, IMPORT: 7}, message=1),
        Said(10, {POWER: 60, IMPORT: 7}, message=2),
        before=(0, None),
    )

    assert (found[0].fields()["power_max_w"], found[0].rows_count) == (60.0, 1)


def test_voltages_of_all_phases_count_together() -> None:
    found = hours(
        Said(10, {VOLTAGE_1: 2_300, VOLTAGE_2: 2_200, VOLTAGE_OF_TARIFF: 1, CURRENT: 9}),
        Said(20, {VOLTAGE_1: 2_400, VOLTAGE_MEAN: 23_000}),
    )[0].fields()

    assert (found["voltage_min_v"], found["voltage_mean_v"], found["voltage_max_v"]) == (220.0, 230.0, 240.0)


def test_averages_and_greatest_values_of_a_meters_own_blocks_count() -> None:
    meter = Source("", b"\0\0block1")
    found = hours(Said(30, {VOLTAGE_MEAN: 23_000, DEMAND: 900}, source=meter), Said(31, {POWER: 700}))[0].fields()

    assert (found["power_max_w"], found["voltage_mean_v"], found["rows_count"]) == (900.0, 230.0, 2)


def test_interval_energies_are_added_up_where_there_is_more_of_them_than_of_the_register() -> None:
    meter = Source("", b"\0\0block1")
    blocks = [Said(30 * index, {INTERVAL: 5}, source=meter) for index in range(1, 49)]

    assert imports_wh(hours(*blocks, Said(1_440, {IMPORT: 240}), before=(0, None))) == dict.fromkeys(range(24), 10.0)


def test_the_register_counts_where_it_was_read_as_often_as_intervals_were() -> None:
    rows = [Said(60 * index, {INTERVAL: 5, IMPORT: 7 * index}) for index in range(1, 25)]

    assert imports_wh(hours(*rows, before=(0, None))) == dict.fromkeys(range(24), 7.0)


def test_a_gateway_is_all_of_its_meters_together() -> None:
    one = hours(Said(10, {IMPORT: 10, POWER: 5, VOLTAGE_1: 2_300}), before=(0, None))[0]
    other = hours(Said(10, {IMPORT: 30, POWER: 9, VOLTAGE_1: 2_200}), Said(20, {VOLTAGE_1: 2_200}), before=(0, None))[0]

    assert together([one, other]).fields() == {
        "energy_import_wh": 40.0,
        "energy_export_wh": None,
        "power_max_w": 9.0,
        "voltage_min_v": 220.0,
        "voltage_mean_v": pytest.approx((230 + 220 + 220) / 3, abs=1e-9),
        "voltage_max_v": 230.0,
        "rows_count": 3,
    }


def test_where_rows_were_and_are_no_more_stands_nothing() -> None:
    assert {name: value for name, value in nothing().fields().items() if value is not None} == {
        "energy_import_wh": 0.0,
        "energy_export_wh": 0.0,
        "rows_count": 0,
    }


# ---- properties ------------------------------------------------------------------------------------------------------

readings = st.lists(
    st.tuples(
        st.integers(1, 3 * HOURS_PER_DAY * 60),
        st.integers(0, 5_000),
        st.sampled_from([IMPORT, IMPORT._replace(scaler=-2)]),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda item: item[0],
)


def rows_of(said: Iterable[tuple[int, int, ChannelKey]]) -> DayRows:
    """Return rows of three days; a row that ends a day is heard in it."""
    return DayRows(day_of(*(Said(minute, {channel: value}) for minute, value, channel in said)))


def days_of(rows: Iterable[tuple[int, int, ChannelKey]]) -> list[dict[int, Heard]]:
    """Return what is heard in three days."""
    starts = range(HOURS.start, HOURS.start + 3 * HOURS_PER_DAY, HOURS_PER_DAY)
    return [rows_of(rows).heard(range(start, start + HOURS_PER_DAY)) for start in starts]


@given(readings, st.randoms(use_true_random=False))
def test_hours_add_up_to_days_and_days_to_the_registers_advance(
    drawn: list[tuple[int, int, ChannelKey]], rng: Random
) -> None:
    register = 0
    rows: list[tuple[int, int, ChannelKey]] = []
    for minute, advance, channel in sorted(drawn):
        register += advance
        rows.append((minute, register * 10**-channel.scaler, channel))
    shuffled: Sequence[tuple[int, int, ChannelKey]] = rng.sample(rows, len(rows))

    before: Registers = (0, None)
    total = 0
    in_order, mixed = days_of(rows), days_of(shuffled)
    for at, (one, other) in enumerate(zip(in_order, mixed, strict=True)):
        found = hours_of(one, before)
        assert found == hours_of(other, before)
        day = together(found.values())
        assert day == together(rng.sample(list(found.values()), len(found)))
        assert (day.energy_mwh[0] or 0) == sum(hour.energy_mwh[0] or 0 for hour in found.values())
        assert day.rows_count == sum(hour.rows_count for hour in found.values())
        total += day.energy_mwh[0] or 0
        next_hour = HOURS.start + (at + 1) * HOURS_PER_DAY
        closing = rows_of(shuffled).registers_before(next_hour)
        before = before if closing[0] is None else closing
    assert (total, before) == (register * 1_000, (register * 1_000, None))


@given(readings, st.integers(0, 3 * HOURS_PER_DAY - 1))
def test_the_later_hours_of_a_day_are_the_same_without_the_earlier_ones(
    drawn: list[tuple[int, int, ChannelKey]], first: int
) -> None:
    rows = rows_of(drawn)
    hours = range(HOURS.start, HOURS.start + 3 * HOURS_PER_DAY)
    whole = hours_of(rows.heard(hours), UNKNOWN)

    later = hours[first:]
    found = hours_of(rows.heard(later), rows.registers_before(later.start))

    assert found == {hour: aggregate for hour, aggregate in whole.items() if hour in later}
