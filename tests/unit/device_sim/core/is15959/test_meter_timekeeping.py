"""Setting the clock, and what it does to intervals in progress."""

from collections.abc import Callable

import pytest

from device_sim.core.is15959.clock import DAY_MS, MINUTE_MS
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.cosem.clock import Clock
from dlms.errors import DecodeError
from tests.unit.device_sim.core.is15959.bench import (
    BILLING,
    BLOCK,
    CLOCK_COLUMN,
    DAILY,
    HOUR_MS,
    MIDNIGHT_MS,
    NOON_MS,
    TRANSACTION_LOG,
    Bench,
    local,
    local_ms,
)

CLOCK = Clock("0.0.1.0.0.255")
QUARTER_MS = 15 * MINUTE_MS


def test_clock_shows_local_time_with_its_deviation(bench: Bench) -> None:
    bench.wait(1234)
    shown = bench.read(CLOCK.time)
    assert (shown.deviation_minutes, shown.to_utc_ms()) == (-330, NOON_MS + 1230)
    assert bench.read(CLOCK.time_zone) == -330


def test_drifting_clock_is_wrong_until_it_is_set(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(drift_ppm=200, clock_offset_ms=-7000)
    bench.wait(DAY_MS)
    assert bench.read(CLOCK.time).to_utc_ms() == bench.now_ms - 7000 + 17_280
    bench.write(CLOCK.time, local(bench.now_ms))
    assert bench.read(CLOCK.time).to_utc_ms() == bench.now_ms
    assert bench.codes(TRANSACTION_LOG) == [151]
    assert bench.number("0.0.96.2.0.255") == 1


def test_drifting_clock_captures_by_its_own_time(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(clock_offset_ms=90_000)
    bench.wait(QUARTER_MS - 90_001)
    assert bench.rows(BLOCK) == ()
    bench.wait(1)
    assert [local_ms(row[0]) for row in bench.rows(BLOCK)] == [NOON_MS + QUARTER_MS]


def test_small_step_back_ends_no_interval_twice(bench: Bench) -> None:
    bench.wait(HOUR_MS + 5_000)
    bench.write(CLOCK.time, local(bench.now_ms - 20_000))
    bench.wait(HOUR_MS)
    times = [local_ms(row[0]) for row in bench.rows(BLOCK)]
    assert times == [NOON_MS + QUARTER_MS * n for n in range(1, 8)]


def test_step_back_over_midnight_makes_no_second_day_or_cycle(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(now_ms=MIDNIGHT_MS + 28 * DAY_MS)
    bench.wait_until(MIDNIGHT_MS + 29 * DAY_MS + 5_000)
    before = (len(bench.rows(DAILY)), len(bench.rows(BILLING)))
    assert before == (1, 1)
    bench.write(CLOCK.time, local(bench.now_ms - 60_000))
    bench.wait(HOUR_MS)
    assert (len(bench.rows(DAILY)), len(bench.rows(BILLING))) == before


def test_step_forward_leaves_a_gap_and_loses_no_energy(bench: Bench) -> None:
    bench.wait(20 * MINUTE_MS)
    bench.write(CLOCK.time, local(bench.now_ms + 2 * HOUR_MS))
    bench.wait(40 * MINUTE_MS)
    rows = bench.rows(BLOCK)
    assert [(local_ms(row[0]) - NOON_MS) // MINUTE_MS for row in rows] == [15, 30, 150, 165, 180]
    assert sum(row[2] for row in rows if isinstance(row[2], int)) == bench.number("1.0.1.8.0.255", 3)


def test_far_step_back_begins_intervals_anew_and_ranges_still_hold(bench: Bench) -> None:
    bench.wait(DAY_MS)
    bench.write(CLOCK.time, local(NOON_MS))
    bench.wait(HOUR_MS)
    rows = bench.rows(BLOCK)
    assert [local_ms(row[0]) for row in rows[-4:]] == [NOON_MS + QUARTER_MS * (n + 1) for n in range(4)]
    selection = BLOCK.by_range(CLOCK_COLUMN, local(NOON_MS), local(NOON_MS + HOUR_MS))
    assert bench.rows(BLOCK, selection) == rows[:4] + rows[-4:]


def test_methods_round_and_shift(bench: Bench) -> None:
    bench.wait(8 * MINUTE_MS)
    bench.invoke(CLOCK.adjust_to_quarter, 0)
    assert bench.read(CLOCK.time).to_utc_ms() == NOON_MS + QUARTER_MS
    bench.wait(100)
    bench.invoke(CLOCK.adjust_to_minute, 0)
    assert bench.read(CLOCK.time).to_utc_ms() == NOON_MS + QUARTER_MS
    bench.invoke(CLOCK.shift_time, -300)
    assert bench.read(CLOCK.time).to_utc_ms() == NOON_MS + QUARTER_MS - 300_000
    bench.invoke(CLOCK.adjust_to_measuring_period, 0)
    assert bench.read(CLOCK.time).to_utc_ms() == NOON_MS + QUARTER_MS
    assert bench.refused(lambda: bench.invoke(CLOCK.shift_time, 901)) == 250


@pytest.mark.parametrize("year", [1999, 2100, 9999])
def test_absurd_years_are_refused(bench: Bench, year: int) -> None:
    moment = CosemDateTime.of(
        CosemDate.of(year=year, month=1, day=1), CosemTime.of(hour=0, minute=0), deviation_minutes=-330
    )
    assert bench.refused(lambda: bench.write(CLOCK.time, moment)) == 250


def test_time_with_open_parts_is_refused(bench: Bench) -> None:
    with pytest.raises(DecodeError):
        bench.write(CLOCK.time, CosemDateTime(bytes.fromhex("07eaff01ff0c00000080000f")))
