"""Rows and facts into batches, and what goes when the disk is full."""

from pathlib import Path

from gateway.core.collection import CollectionSettings
from gateway.core.effects import SendBatch
from gateway.core.station import Station
from gateway.core.store import Priority
from prepay.holds import Hold
from tests.unit.gateway.box import METER, Box, drives
from wire.facts import EntryFact, Health, Metric, Stage
from wire.messages import Disconnect, Limit
from wire.readings import Readings, to_rows

STORE_FULL = "5.17.0.93"


def rows_sent(box: Box) -> list[int | None]:
    return [row.values[0] for fact in box.sent if isinstance(fact, Readings) for row in to_rows(fact)]


def test_rows_wait_for_company_no_longer_than_they_may(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=2_000))
    box.open_session()
    box.read(1)
    box.wait(1_000)
    box.read(2)
    assert rows_sent(box) == []
    box.wait(1_000)
    assert rows_sent(box) == [1, 2]
    box.store.close()


def test_rows_of_several_runs_are_sealed_after_a_restart_each_under_its_own_clock(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=10_000))
    box.read(1)
    box.restart()
    box.read(2)
    box.open_session()
    box.wait(1)
    box.wait(10_000)
    blocks = [fact for fact in box.sent if isinstance(fact, Readings)]
    assert sorted(rows_sent(box), key=str) == [1, 2]
    assert len({block.boot for block in blocks}) == 2
    box.store.close()


def test_a_full_disk_drops_the_oldest_readings_and_keeps_events(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=8_000))
    for energy_wh in range(200):
        box.now_ms += 1_000
        box.read(energy_wh)
        assert box.store.used_bytes() <= 8_000 + 1_000
    for _ in range(20):
        box.do(lambda station, now: station.on_meter_event("m-1", "3.1.0.85", "no answer", now))
    box.drain()
    sent = rows_sent(box)
    assert 199 in sent
    assert 0 not in sent
    assert box.events("3.1.0.85") == 20
    box.store.close()


def test_saying_that_the_disk_is_full_does_not_fill_it(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=50_000))
    for energy_wh in range(3_000):
        box.now_ms += 1_000
        box.read(energy_wh)
    assert box.store.used_bytes() <= 50_000
    box.drain()
    assert 1 <= box.events(STORE_FULL) <= 3
    box.store.close()


def test_a_disk_full_of_what_must_not_be_dropped_takes_no_more_readings(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=3_000))
    for _ in range(40):
        box.do(lambda station, now: station.on_meter_event("m-1", "3.1.0.85", "no answer", now))
    effects = box.read(1)
    assert "rows.not_taken" in {getattr(effect, "event", "") for effect in effects}
    box.drain()
    box.read(2)
    assert rows_sent(box) == [2]
    box.store.close()


def test_more_than_one_batch_can_hold_becomes_several(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=1_000))
    box.open_session()

    def report(station: Station, number: int) -> None:
        metrics = [Metric(f"m{number}_{index}_{'x' * 20}", 2**60 + number * index * 7_919**3) for index in range(64)]
        station.collector.add_health(Health(boot=bytes(8), tick_ms=number, meter="", metrics=metrics))

    with box.store.transaction():
        for number in range(127):
            report(box.station, number)
    box.wait(1)
    box.wait(1_000)
    assert sum(isinstance(fact, Health) for fact in box.sent) == 127
    box.store.close()


def test_a_full_disk_lets_no_power_limit_be_exceeded(tmp_path: Path) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=3_000))
    box.open_session()
    box.command(Limit(100), 1)
    for _ in range(40):
        box.do(lambda station, now: station.on_meter_event("m-1", "3.1.0.85", "no answer", now))
    effects = box.read(1, power_w=500)
    assert "rows.not_taken" in {getattr(effect, "event", "") for effect in effects}
    assert Hold.POWER_LIMIT in box.station.relays.holds(METER)
    box.store.close()


def test_what_need_not_hurry_waits_for_more_of_its_kind_unless_something_else_of_the_ledger_goes(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path, collection=CollectionSettings(seal_after_ms=2_000, gather_after_ms=60_000))
    box.open_session()

    def take(number: int, *, patient: bool) -> None:
        fact = EntryFact(account="a-1", entry=bytes([number]))
        with box.store.transaction():
            box.station.collector.add_fact(fact, Priority.LEDGER, patient=patient)
        box.wait(1)

    def taken() -> list[int]:
        return [fact.entry[0] for fact in box.sent if isinstance(fact, EntryFact)]

    take(1, patient=True)
    box.read(1)
    box.wait(3_000)
    take(2, patient=True)
    assert (rows_sent(box), taken()) == ([1], [])
    box.wait(57_000)
    assert taken() == [1, 2]
    take(3, patient=True)
    take(4, patient=False)
    box.wait(2_000)
    assert taken() == [1, 2, 3, 4]
    take(5, patient=True)
    box.restart()
    box.open_session()
    box.wait(1)
    box.wait(2_000)
    assert taken()[-1] == 5
    box.store.close()


def test_the_receipt_that_a_command_was_taken_travels_with_the_final_one(box: Box) -> None:
    box.open_session()
    before = len(box.sent)
    drive = drives(box.command(Disconnect(), 1))[-1]
    assert box.sent[before:] == []
    effects = box.drive(drive, closed=False)
    assert [receipt.stage for receipt in box.receipts(1)] == [Stage.ACCEPTED, Stage.EXECUTED]
    assert len([effect for effect in effects if isinstance(effect, SendBatch)]) == 1


def test_the_receipt_that_a_command_was_taken_goes_alone_where_the_final_one_takes_longer(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.wait(CollectionSettings().accepted_after_ms - 1)
    assert box.receipts(1) == []
    box.wait(1)
    assert [receipt.stage for receipt in box.receipts(1)] == [Stage.ACCEPTED]


def test_a_receipt_that_waits_survives_a_restart(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.restart()
    box.open_session()
    assert Stage.ACCEPTED in [receipt.stage for receipt in box.receipts(1)]
