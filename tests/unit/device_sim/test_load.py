from collections.abc import Callable
from datetime import date
from statistics import fmean

import pytest

from device_sim.core.load import DAY_MS, MINUTE_MS, HouseholdLoad
from device_sim.core.profile import standard_profile

MakeLoad = Callable[..., HouseholdLoad]


def day_index(text: str) -> int:
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def minutes_w(load: HouseholdLoad, day: int) -> list[float]:
    return [
        sum(phase.active_mw.at(minute * MINUTE_MS) for phase in load.day(day)) / 1000
        for minute in range(DAY_MS // MINUTE_MS)
    ]


def test_the_standard_profile_of_any_year_adds_up_to_one_kilowatt_hour() -> None:
    profile = standard_profile()
    for year in (2024, 2025, 2026):
        first, last = day_index(f"{year}-01-01"), day_index(f"{year + 1}-01-01")
        energy_kwh = sum(float(profile.day_w(day).sum()) / 4 for day in range(first, last)) / 1000
        assert energy_kwh == pytest.approx(1.0, rel=0.005)


def test_the_standard_profile_has_a_household_s_evening_and_winter() -> None:
    profile = standard_profile()
    winter, summer = profile.day_w(day_index("2026-01-14")), profile.day_w(day_index("2026-07-15"))
    assert winter.sum() > 1.2 * summer.sum()
    assert winter[18 * 4 : 21 * 4].mean() > 2 * winter[2 * 4 : 5 * 4].mean()


def test_a_sunday_differs_from_a_workday() -> None:
    profile = standard_profile()
    assert list(profile.day_w(day_index("2026-06-07"))) != list(profile.day_w(day_index("2026-06-08")))


def test_a_household_uses_its_annual_energy(make_load: MakeLoad) -> None:
    load = make_load(annual_kwh=2400)
    first = day_index("2026-01-01")
    energy_kwh = sum(load.day(day)[0].active_mw.sum_until(DAY_MS) for day in range(first, first + 365)) / 3.6e12
    assert energy_kwh == pytest.approx(2400, rel=0.05)


def test_minutes_are_spiky_and_no_curve(make_load: MakeLoad) -> None:
    powers = minutes_w(make_load(), day_index("2026-06-03"))
    assert max(powers) > 4 * fmean(powers)
    assert len(set(powers)) > len(powers) // 2


def test_the_same_seed_and_household_draw_the_same_load_whatever_was_asked_before(make_load: MakeLoad) -> None:
    one, other = make_load(), make_load()
    one.day(20_000)
    assert minutes_w(one, 20_607) == minutes_w(other, 20_607)


@pytest.mark.parametrize("change", [{"seed": 2}, {"household": "m-002"}])
def test_another_seed_or_household_draws_another_load(make_load: MakeLoad, change: dict[str, object]) -> None:
    assert minutes_w(make_load(), 20_607) != minutes_w(make_load(**change), 20_607)


def test_the_main_fuse_caps_the_power_of_each_phase(make_load: MakeLoad) -> None:
    powers = minutes_w(make_load(annual_kwh=100_000, power_max_w=5_000), 20_607)
    assert max(powers) <= 5_000


def test_three_phases_share_the_load_unequally(make_load: MakeLoad) -> None:
    sums = [phase.active_mw.sum_until(DAY_MS) for phase in make_load(phase_count=3, annual_kwh=6000).day(20_607)]
    assert len(set(sums)) == 3
    assert min(sums) > 0


def test_a_day_is_worked_out_once(make_load: MakeLoad) -> None:
    load = make_load()
    assert load.day(20_607) is load.day(20_607)
