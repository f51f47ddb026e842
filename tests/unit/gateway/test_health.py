"""What a gateway says of itself and of its lines."""

from pathlib import Path

import pytest

from gateway.adapters.machine import machine_numbers
from gateway.core.collection import CollectionSettings
from gateway.core.numbers import LineNumbers
from gateway.core.timekeeping import DRIFT_PPM_MAX, SYSTEM_ERROR_MS
from tests.unit.gateway.box import Box
from wire.facts import Health, LineHealth

HOUR_MS = 3_600_000
LINE = LineNumbers(
    transactions_count=7, failures_count=2, bytes_count=300, busy_percent=4, meters_count=3, meters_lost_count=1
)


def test_a_report_on_itself_and_one_on_each_line_go_up(box: Box) -> None:
    box.open_session()
    lines = {"rs485-1": LINE, "rs485-2": LINE}
    box.do(lambda station, now: station.on_health((machine_numbers(Path()),), lines, now))
    (own,) = [fact for fact in box.sent if isinstance(fact, Health)]
    assert own.meter == ""
    assert {"disk_free_percent", "cpu_s", "resident_bytes", "pending_count"} <= {metric.name for metric in own.metrics}
    of_lines = {fact.line: fact for fact in box.sent if isinstance(fact, LineHealth)}
    assert set(of_lines) == set(lines)
    assert [(metric.name, metric.value) for metric in of_lines["rs485-1"].metrics] == [
        ("transactions_count", 7),
        ("failures_count", 2),
        ("bytes_count", 300),
        ("busy_percent", 4),
        ("meters_count", 3),
        ("meters_lost_count", 1),
    ]


def test_reports_of_an_outage_tell_of_it_when_it_is_over(box: Box) -> None:
    box.drain()
    box.do(lambda station, now: station.on_lost(now))
    box.read(1)
    for _ in range(3):
        box.now_ms += HOUR_MS
        box.health()
    box.drain()
    told = {fact.tick_ms: fact for fact in box.sent if isinstance(fact, Health)}
    ages = [metric.value for fact in told.values() for metric in fact.metrics if metric.name == "pending_age_s"]
    assert sorted(ages) == [3_600, 7_200, 10_800]


def test_the_share_of_the_store_is_that_of_what_is_not_acknowledged(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=20_000))
    before = box.health()
    while (now := box.health())["store_bytes"] < 10_000:
        box.read(1)
    assert now["store_used_percent"] == 100 * now["store_bytes"] // 20_000
    assert now["pending_count"] > before["pending_count"]
    assert now["dropped_bytes"] == 0
    box.drain()
    drained = box.health()
    assert drained["store_bytes"] >= 10_000, "what is acknowledged is kept while there is room"
    assert (drained["store_used_percent"], drained["pending_count"], drained["pending_age_s"]) == (0, 0, 0)
    box.store.close()


def test_what_a_full_store_gave_up_is_counted(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=8_000))
    for energy_wh in range(100):
        box.now_ms += 1_000
        box.read(energy_wh)
    first = box.health()["dropped_bytes"]
    assert first > 0
    for energy_wh in range(100):
        box.read(energy_wh)
    assert box.health()["dropped_bytes"] > first
    box.store.close()


def test_rows_and_refusals_are_counted(box: Box) -> None:
    box.read(1)
    box.read(2)
    assert box.health()["rows_count"] == 2
    assert box.health()["refused_count"] == 0


def test_the_clock_is_unsure_before_the_welcome_and_drifts_after_it(box: Box) -> None:
    box.wall_off_ms = -HOUR_MS
    box.restart()
    before = box.health()
    assert (before["clock_synced"], before["clock_error_ms"], before["clock_step_ms"]) == (0, SYSTEM_ERROR_MS, 0)
    box.connect()
    box.now_ms += 400
    box.welcome()
    after = box.health()
    assert (after["clock_synced"], after["clock_error_ms"]) == (1, 200)
    assert after["clock_step_ms"] == pytest.approx(HOUR_MS, abs=200)
    box.now_ms += 10_000_000
    assert box.health()["clock_error_ms"] == 200 + 10 * DRIFT_PPM_MAX


def test_a_process_and_its_disk_are_within_what_is_possible(tmp_path: Path) -> None:
    numbers = machine_numbers(tmp_path)
    assert 0 <= numbers.disk_free_percent <= 100
    assert numbers.resident_bytes > 1_000_000
    assert numbers.cpu_s >= 0
