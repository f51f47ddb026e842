from collections.abc import Callable
from math import hypot, isclose

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_sim.core.profile import standard_profile
from device_sim.core.supply import FEEDER_DAYS_MAX, UJ_PER_WH, Feeder, Snapshot, Supply

MakeSupply = Callable[..., Supply]

NOON_MS = 1_780_315_200_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

steps_ms = st.lists(st.integers(0, 2 * DAY_MS), min_size=1, max_size=12)
# The fixtures are factories: every example makes its own supply.
each_example_its_own = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_example_its_own
@given(steps_ms=steps_ms, phase_count=st.sampled_from([1, 3]))
def test_energies_never_fall_however_time_is_cut(
    make_supply: MakeSupply, steps_ms: list[int], phase_count: int
) -> None:
    supply = make_supply(phase_count=phase_count, start_wh=5_000)
    now_ms, before = NOON_MS, supply.snapshot(NOON_MS)
    for step_ms in steps_ms:
        now_ms += step_ms
        after = supply.snapshot(now_ms)
        assert after.import_uj >= before.import_uj
        assert after.reactive_import_uj >= before.reactive_import_uj
        assert all(late >= early for late, early in zip(after.phase_import_uj, before.phase_import_uj, strict=True))
        assert sum(after.phase_import_uj) == after.import_uj
        before = after


@each_example_its_own
@given(steps_ms=steps_ms)
def test_energy_does_not_depend_on_how_often_somebody_looks(make_supply: MakeSupply, steps_ms: list[int]) -> None:
    watched, unwatched = make_supply(), make_supply()
    now_ms = NOON_MS
    for step_ms in steps_ms:
        now_ms += step_ms
        watched.snapshot(now_ms)
    assert watched.snapshot(now_ms) == unwatched.snapshot(now_ms)


@each_example_its_own
@given(after_ms=st.integers(0, 400 * DAY_MS), phase_count=st.sampled_from([1, 3]))
def test_voltage_current_and_powers_agree(make_supply: MakeSupply, after_ms: int, phase_count: int) -> None:
    snapshot: Snapshot = make_supply(phase_count=phase_count, annual_kwh=4000).snapshot(NOON_MS + after_ms)
    for phase in (*snapshot.phases, snapshot.total):
        assert isclose(phase.apparent_va, hypot(phase.active_w, phase.reactive_var))
        assert isclose(phase.current_a * phase.voltage_v, phase.apparent_va)
        assert isclose(phase.power_factor * phase.apparent_va, phase.active_w)
        assert 0.5 < phase.power_factor <= 1
        assert 140 <= phase.voltage_v <= 250
    assert 49.8 < snapshot.frequency_hz < 50.2
    assert snapshot.neutral_a <= sum(phase.current_a for phase in snapshot.phases) + 1e-9


def test_energy_is_the_integral_of_the_power_that_reads_show(make_supply: MakeSupply) -> None:
    supply = make_supply()
    first = supply.snapshot(NOON_MS)
    # Power is constant within each minute of local time, and local noon falls on a full minute.
    sum_uj = sum(
        round(supply.snapshot(NOON_MS + minute * 60_000).total.active_w * 1000) * 60_000 for minute in range(600)
    )
    assert supply.snapshot(NOON_MS + 600 * 60_000).import_uj - first.import_uj == sum_uj


def test_an_open_switch_stops_power_and_energy_and_leaves_the_voltage(make_supply: MakeSupply) -> None:
    supply = make_supply()
    supply.switch(closed=False, now_ms=NOON_MS + HOUR_MS)
    opened = supply.snapshot(NOON_MS + HOUR_MS)
    later = supply.snapshot(NOON_MS + HOUR_MS + 3 * DAY_MS)
    assert opened.import_uj > 0
    assert (later.import_uj, later.reactive_import_uj) == (opened.import_uj, opened.reactive_import_uj)
    assert (later.l1.active_w, later.l1.reactive_var, later.l1.current_a) == (0, 0, 0)
    assert later.l1.voltage_v > 200
    assert later.l1.power_factor == 1


def test_energy_counts_again_from_the_instant_the_switch_closes(make_supply: MakeSupply) -> None:
    switched, dark, whole = make_supply(), make_supply(), make_supply()
    switched.switch(closed=False, now_ms=NOON_MS + HOUR_MS)
    switched.switch(closed=True, now_ms=NOON_MS + 2 * HOUR_MS)
    dark.switch(closed=False, now_ms=NOON_MS + HOUR_MS)
    missed_uj = whole.snapshot(NOON_MS + 2 * HOUR_MS).import_uj - dark.snapshot(NOON_MS + 2 * HOUR_MS).import_uj
    end_ms = NOON_MS + DAY_MS
    assert missed_uj > 0
    assert switched.snapshot(end_ms).import_uj == whole.snapshot(end_ms).import_uj - missed_uj


def test_a_meter_begins_with_what_it_already_counted(make_supply: MakeSupply) -> None:
    assert make_supply(start_wh=123_457, phase_count=3).snapshot(NOON_MS).import_uj == 123_457 * UJ_PER_WH


def test_time_that_goes_back_is_taken_as_standing_still(make_supply: MakeSupply) -> None:
    supply = make_supply()
    late = supply.snapshot(NOON_MS + HOUR_MS)
    assert supply.snapshot(NOON_MS) == late


def test_voltage_at_an_instant_is_the_same_however_often_midnight_is_passed() -> None:
    feeder = Feeder(profile=standard_profile(), seed=1)
    days = range(20_000, 20_000 + 3 * FEEDER_DAYS_MAX)
    first = [feeder.voltage_v(0, day, 0) for day in days]
    assert [feeder.voltage_v(0, day, 0) for day in reversed(days)] == first[::-1]
    assert len(set(first)) > 1


@pytest.mark.parametrize("cable_ohm", [0.2, 0.6])
def test_voltage_sags_under_load(make_supply: MakeSupply, cable_ohm: float) -> None:
    loaded = make_supply(cable_ohm=cable_ohm, annual_kwh=20_000)
    idle = make_supply(cable_ohm=cable_ohm)
    idle.switch(closed=False, now_ms=NOON_MS)
    under, without = loaded.snapshot(NOON_MS).l1, idle.snapshot(NOON_MS).l1
    assert without.voltage_v - under.voltage_v == pytest.approx(cable_ohm * under.active_w / without.voltage_v)
