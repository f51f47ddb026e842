"""Energy, demand and averages follow the household, however often one looks."""

from collections.abc import Callable

from device_sim.core.is15959.clock import DAY_MS, MINUTE_MS
from device_sim.core.is15959.measuring import ZONES
from tests.unit.device_sim.core.is15959.bench import HOUR_MS, NOON_MS, Bench


def test_meter_counts_what_the_supply_delivers(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(start_wh=12_345)
    bench.wait(6 * HOUR_MS)
    assert bench.number("1.0.1.8.0.255", 3) == bench.supply.snapshot(bench.now_ms).import_uj // 3_600_000_000
    assert bench.number("1.0.1.8.0.255", 3) > 12_345


def test_looking_often_changes_nothing(new_bench: Callable[..., Bench]) -> None:
    seldom, often = new_bench(), new_bench()
    seldom.wait(3 * HOUR_MS)
    for step in range(1, 541):
        often.wait_until(NOON_MS + step * 20_000)
    for profile in ("block_ring", "daily_ring"):
        one, other = getattr(seldom.meter, profile), getattr(often.meter, profile)
        assert one.joined(range(len(one))) == other.joined(range(len(other)))
    assert seldom.meter.measuring.apparent_vah == often.meter.measuring.apparent_vah
    assert seldom.meter.measuring.maximum_w == often.meter.measuring.maximum_w


def test_apparent_energy_is_never_below_active(bench: Bench) -> None:
    for _ in range(24):
        bench.wait(HOUR_MS)
        assert bench.meter.measuring.apparent_vah >= bench.meter.measuring.import_wh - 1


def test_zones_add_up_to_the_total(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(start_wh=1000)
    bench.wait(2 * DAY_MS)
    zones = [bench.number(f"1.0.1.8.{zone}.255", 3) for zone in range(1, ZONES + 1)]
    assert sum(zone > 0 for zone in zones) == 4
    assert 0 <= bench.number("1.0.1.8.0.255", 3) - sum(zones) < ZONES


def test_highest_demand_is_the_highest_of_the_periods(bench: Bench) -> None:
    highest = 0
    for _ in range(24):
        before = bench.meter.measuring.import_uj
        bench.wait(HOUR_MS // 2)
        highest = max(highest, (bench.meter.measuring.import_uj - before) // 1_800_000_000)
    assert bench.number("1.0.1.6.0.255", 4) == highest > 0


def test_instant_values_are_those_of_the_supply(bench: Bench) -> None:
    bench.wait(7 * MINUTE_MS + 123)
    phase = bench.supply.snapshot(bench.now_ms).phases[0]
    assert bench.number("1.0.12.7.0.255", 3) == round(phase.voltage_v * 100)
    assert bench.number("1.0.1.7.0.255", 3) == round(phase.active_w)
    assert bench.number("1.0.9.7.0.255", 3) == round(phase.apparent_va)
    assert bench.number("1.0.11.7.0.255", 3) == round(phase.current_a * 100)
