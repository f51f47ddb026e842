"""How long batches take, as the gateway says afterwards."""

from pathlib import Path

import pytest

from gateway.core.deliveries import BATCHES_REMEMBERED_MAX, Deliveries
from gateway.core.store import Priority, StoredBatch
from tests.unit.gateway.box import Box, batches

HOUR_MS = 3_600_000


@pytest.fixture
def settled(box: Box) -> Box:
    """A box in a session, with nothing that waits."""
    box.drain()
    return box


def test_an_outage_shows_as_the_latency_of_what_was_sent_before_it(settled: Box) -> None:
    (lost,) = batches(settled.read(1))
    settled.do(lambda station, now: station.on_lost(now))
    settled.now_ms += 5 * HOUR_MS
    settled.read(2)
    again = batches(settled.open_session())
    assert lost.digest in {batch.digest for batch in again}
    settled.now_ms += 200
    settled.acknowledge([batch.digest for batch in again])
    numbers = settled.health()
    assert numbers["ack_latency_max_ms"] == 5 * HOUR_MS + 200
    assert 200 < numbers["ack_latency_ms"] < numbers["ack_latency_max_ms"]
    assert numbers["resends_count"] >= 1


def test_latencies_are_those_since_the_last_report_and_absent_where_there_are_none(settled: Box) -> None:
    settled.health()
    settled.read(1)
    settled.now_ms += 300
    settled.acknowledge([batch.digest for batch in settled.store.next_batches(live_from=0, count_max=9)])
    first = settled.health()
    assert first["ack_latency_ms"] == first["ack_latency_max_ms"] == 300
    second = settled.health()
    assert "ack_latency_ms" not in second
    assert "ack_latency_max_ms" not in second
    assert second["acks_count"] == first["acks_count"]


def test_what_is_acknowledged_twice_counts_once(settled: Box) -> None:
    before = settled.health()["acks_count"]
    sent = [batch.digest for batch in batches(settled.read(1))]
    settled.acknowledge(sent)
    settled.acknowledge(sent)
    settled.acknowledge([bytes(32)])
    assert settled.health()["acks_count"] == before + len(sent)


def test_a_batch_of_an_earlier_run_counts_from_its_sealing(box: Box) -> None:
    box.drain()
    box.do(lambda station, now: station.on_lost(now))
    box.read(1)
    box.now_ms += 2 * HOUR_MS
    box.restart()
    assert box.health()["pending_age_s"] == 2 * HOUR_MS // 1_000
    box.now_ms += HOUR_MS
    box.drain()
    assert box.health()["ack_latency_max_ms"] == 3 * HOUR_MS


def test_a_machine_that_started_after_the_sealing_counts_right_although_its_ticks_began_anew(box: Box) -> None:
    box.drain()
    box.do(lambda station, now: station.on_lost(now))
    box.read(1)
    box.wall_off_ms, box.now_ms = HOUR_MS + box.now_ms, 0
    box.restart()
    assert box.health()["pending_age_s"] == HOUR_MS // 1_000


@pytest.mark.parametrize("off_ms", [-50 * 365 * 24 * HOUR_MS, -HOUR_MS, 0, HOUR_MS])
def test_the_age_of_what_waits_does_not_depend_on_a_clock_that_was_wrong_until_the_welcome(
    tmp_path: Path, off_ms: int
) -> None:
    box = Box(tmp_path)
    box.wall_off_ms = off_ms
    box.restart()
    box.drain()
    box.restart()
    for _ in range(3):
        box.read(1)
        box.now_ms += HOUR_MS
    ages = [box.health()["pending_age_s"]]
    box.open_session()
    ages.append(box.health()["pending_age_s"])
    box.now_ms += HOUR_MS
    ages.append(box.health()["pending_age_s"])
    assert ages == [hours * HOUR_MS // 1_000 for hours in (3, 3, 4)]
    box.store.close()


def test_each_connection_is_counted(box: Box) -> None:
    assert box.health()["connects_count"] == 0
    box.connect()
    box.open_session()
    assert box.health()["connects_count"] == 2


def test_a_connection_that_takes_and_never_answers_does_not_fill_the_memory(box: Box) -> None:
    deliveries = Deliveries(box.store, box.station.time)
    for serial in range(1, 3 * BATCHES_REMEMBERED_MAX):
        deliveries.on_sent(StoredBatch(serial, serial.to_bytes(32), Priority.TELEMETRY, 0), box.now)
    assert len(deliveries._sent_at) == BATCHES_REMEMBERED_MAX
