"""Event logs, status word and pushes."""

from collections.abc import Callable

import pytest

from device_sim.core.is15959 import codes
from device_sim.core.is15959.clock import MINUTE_MS
from device_sim.core.is15959.codes import Event, Log
from device_sim.core.is15959.events import ENTRIES_MAX
from device_sim.core.is15959.watch import PERSISTENCE_MINUTES, VoltageWatch
from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import DataNotification
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.axdr.tags import BitString
from dlms.cosem.codecs import BITS
from dlms.cosem.control import DisconnectControl
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.push_setup import PushDestination, PushObject, PushSetup, TransportService
from dlms.cosem.registers import DataObject
from dlms.cosem.schedules import ExecutionTime, ScriptTable, SingleActionSchedule
from dlms.obis import obis
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import Protector
from tests.unit.device_sim.core.is15959.bench import (
    BLOCK,
    CLOCK_COLUMN,
    HOUR_MS,
    NOON_MS,
    OTHER_LOG,
    POWER_LOG,
    Bench,
    local,
    local_ms,
)

ESW = DataObject("0.0.94.91.18.255").value.using(BITS)
FILTER = DataObject("0.0.94.91.26.255").value.using(BITS)
ALERT = PushSetup("0.4.25.9.0.255")
PERIODIC = PushSetup("0.0.25.9.0.255")
NON_ROLLOVER_LOG = ProfileGeneric("0.0.99.98.5.255")


def standing(bits: object) -> set[int]:
    assert isinstance(bits, BitString)
    assert len(bits) == 128
    return {bit for bit in range(128) if int(bits) >> (127 - bit) & 1}


def test_codes_stand_in_the_logs_of_the_standard() -> None:
    expected = {
        1: 0,
        12: 0,
        51: 1,
        70: 1,
        101: 2,
        102: 2,
        151: 3,
        167: 3,
        201: 4,
        216: 4,
        251: 5,
        253: 5,
        301: 6,
        999: 6,
    }
    assert {code: codes.log_of(code).value for code in expected} == expected


def test_event_is_logged_with_values_and_counted(bench: Bench) -> None:
    bench.meter.happen(Event.MAGNET, now_ms=NOON_MS + HOUR_MS)
    (row,) = bench.rows(OTHER_LOG)
    assert local_ms(row[0]) == NOON_MS + HOUR_MS
    assert row[1] == 201
    assert row[5] == bench.number("1.0.1.8.0.255", 3)
    assert bench.number("0.0.96.11.4.255") == 201
    assert bench.number("0.0.96.15.4.255") == 1
    assert bench.number("0.0.94.91.0.255") == 1
    assert standing(bench.read(ESW)) == {81}
    bench.meter.happen(Event.MAGNET_ENDED, now_ms=NOON_MS + 2 * HOUR_MS)
    assert standing(bench.read(ESW)) == set()
    assert bench.number("0.0.94.91.0.255") == 1


def test_code_of_a_vendor_is_logged_too(bench: Bench) -> None:
    bench.meter.happen(997, now_ms=NOON_MS)
    assert bench.number("0.0.96.11.6.255") == 997


def test_log_rolls_over_but_the_sequence_goes_on(bench: Bench) -> None:
    for number in range(ENTRIES_MAX + 5):
        bench.meter.happen(Event.MAGNET, now_ms=NOON_MS + number * 1000)
    assert bench.read(OTHER_LOG.entries_in_use) == ENTRIES_MAX
    assert bench.number("0.0.96.15.4.255") == ENTRIES_MAX + 5
    newest = bench.rows(OTHER_LOG, OTHER_LOG.by_entry(ENTRIES_MAX, ENTRIES_MAX))
    assert local_ms(newest[0][0]) == NOON_MS + (ENTRIES_MAX + 4) * 1000


def test_non_rollover_log_keeps_its_first_entries(bench: Bench) -> None:
    for number in range(ENTRIES_MAX + 5):
        bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS + number * 1000)
    rows = bench.rows(NON_ROLLOVER_LOG)
    assert len(rows) == ENTRIES_MAX
    assert local_ms(rows[0][0]) == NOON_MS
    assert bench.number("0.0.96.15.5.255") == ENTRIES_MAX + 5


def test_alert_carries_device_setup_clock_and_status_word(bench: Bench) -> None:
    bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS)
    (body,) = bench.pushed()
    device, name, clock, word = body
    assert device == b"WPS00000001"
    assert name == obis("0.4.25.9.0.255")
    assert isinstance(clock, bytes)
    assert CosemDateTime(clock).to_utc_ms() == NOON_MS
    assert standing(word) == {83}
    assert bench.pushed() == []


def test_bit_that_stands_already_is_no_news(bench: Bench) -> None:
    bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS)
    bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS + 1000)
    assert len(bench.pushed()) == 1


def test_filter_keeps_bits_from_being_pushed(bench: Bench) -> None:
    bench.write(FILTER, BitString.from_int(0, 128))
    bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS)
    assert bench.pushed() == []
    assert standing(bench.read(ESW)) == {83}
    assert bench.refused(lambda: bench.write(FILTER, BitString.from_int(0, 64))) == 12


def test_power_failure_gasps_and_breathes_and_stops_the_energy(bench: Bench) -> None:
    bench.wait(20 * MINUTE_MS)
    bench.meter.fail_power(now_ms=bench.now_ms)
    (gasp,) = bench.pushed()
    assert 85 in standing(gasp[3])
    assert bench.meter.next_deadline_ms() is None
    before = bench.meter.measuring.import_wh
    bench.wait(3 * HOUR_MS)
    assert not bench.supply.closed
    bench.meter.restore_power(now_ms=bench.now_ms)
    (breath,) = bench.pushed()
    assert 86 in standing(breath[3])
    assert bench.meter.measuring.import_wh == before
    assert bench.codes(POWER_LOG) == [101, 102]
    assert bench.number("0.0.96.7.0.255") == 1
    assert bench.number("0.0.94.91.8.255", 3) == 180
    assert bench.number("0.0.94.91.14.255", 3) == 20


def test_power_failure_leaves_a_gap_and_loses_no_energy(bench: Bench) -> None:
    bench.wait(20 * MINUTE_MS)
    bench.meter.fail_power(now_ms=bench.now_ms)
    bench.wait(2 * HOUR_MS)
    bench.meter.restore_power(now_ms=bench.now_ms)
    bench.wait(40 * MINUTE_MS)
    rows = bench.rows(BLOCK)
    assert [(local_ms(row[0]) - NOON_MS) // MINUTE_MS for row in rows] == [15, 30, 150, 165, 180]
    assert sum(row[2] for row in rows if isinstance(row[2], int)) == bench.number("1.0.1.8.0.255", 3)


def test_power_that_comes_back_does_not_close_an_open_switch(bench: Bench) -> None:
    bench.invoke(DisconnectControl("0.0.96.3.10.255").remote_disconnect, 0)
    bench.meter.fail_power(now_ms=NOON_MS + 1000)
    bench.meter.restore_power(now_ms=NOON_MS + 2000)
    assert not bench.supply.closed


def test_failing_and_restoring_twice_is_once(bench: Bench) -> None:
    for _ in range(2):
        bench.meter.fail_power(now_ms=NOON_MS)
    for _ in range(2):
        bench.meter.restore_power(now_ms=NOON_MS + MINUTE_MS)
    assert bench.codes(POWER_LOG) == [101, 102]


def test_magnet_while_dark_is_not_felt(bench: Bench) -> None:
    bench.meter.fail_power(now_ms=NOON_MS)
    bench.meter.happen(Event.MAGNET, now_ms=NOON_MS + 1000)
    bench.meter.restore_power(now_ms=NOON_MS + 2000)
    assert bench.codes(OTHER_LOG) == []


def test_periodic_push_follows_its_schedule_and_list(bench: Bench) -> None:
    every_hour = ExecutionTime(CosemTime.of(minute=0, second=0), CosemDate.of())
    bench.write(SingleActionSchedule("0.0.15.0.4.255").execution_time, (every_hour,))
    bench.write(PERIODIC.push_object_list, (PushObject(3, obis("1.0.1.8.0.255"), 2), PushObject(9, bytes(6), 2)))
    bench.wait(3 * HOUR_MS)
    bodies = bench.pushed()
    assert len(bodies) == 3
    assert bodies[-1][1] is None
    energies = [body[0] for body in bodies]
    assert energies == sorted(energies, key=lambda energy: energy if isinstance(energy, int) else -1)


def test_push_goes_where_the_setup_says(bench: Bench) -> None:
    destination = PushDestination(TransportService.UDP, b"192.0.2.1:4059", 0)
    bench.write(ALERT.send_destination_and_method, destination)
    bench.invoke(ALERT.push, 0)
    (push,) = bench.meter.take_pushes()
    assert (push.destination, push.transport, push.client_sap) == (b"192.0.2.1:4059", 1, 64)


def test_pushes_that_nobody_takes_are_bounded(bench: Bench) -> None:
    for _ in range(200):
        bench.invoke(ALERT.push, 0)
    assert len(bench.meter.take_pushes()) == 64


def test_ciphered_push_can_be_opened_with_its_keys(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(push_ciphered=True)
    bench.invoke(ALERT.push, 0)
    (push,) = bench.meter.take_pushes()
    secrets = bench.meter.settings.secrets
    receiver = Protector(
        b"WPHES001",
        bench.meter.admission.system_title,
        Keys(secrets.push_encryption, secrets.authentication),
        ReservedCounter(1, lambda _: None),
        PeerCounters(PeerCounterPolicy.STRICT),
    )
    opened = receiver.unprotect(push.apdu)
    assert isinstance(decode_apdu(opened.apdu), DataNotification)


def test_billing_is_worth_a_push(bench: Bench) -> None:
    bench.invoke(ScriptTable("0.0.10.0.1.255").execute, 1)
    assert any(87 in standing(body[3]) for body in bench.pushed())


@pytest.mark.parametrize(("voltage_v", "code"), [(280.0, 7), (150.0, 9)])
def test_voltage_is_told_when_it_lasts(voltage_v: float, code: int) -> None:
    watch = VoltageWatch()
    seen = [watch.look(voltage_v) for _ in range(5)] + [watch.look(230.0) for _ in range(4)]
    assert [event for events in seen for event in events] == [code, code + 1]
    assert seen[PERSISTENCE_MINUTES - 1] == (code,)
    assert [watch.look(v) for v in (voltage_v, 230.0, voltage_v, voltage_v)] == [()] * 4


def test_logs_can_be_read_by_time(bench: Bench) -> None:
    for number in range(6):
        bench.meter.happen(Event.MAGNET, now_ms=NOON_MS + number * HOUR_MS)
    selection = OTHER_LOG.by_range(CLOCK_COLUMN, local(NOON_MS + HOUR_MS), local(NOON_MS + 3 * HOUR_MS))
    assert len(bench.rows(OTHER_LOG, selection)) == 3
    assert [log.value for log in Log] == list(range(7))
