"""Commands: one life each, whatever comes twice, late, or out of order."""

import pytest

from gateway.core.effects import DemandRead
from gateway.core.journal import FORGET_AFTER_MS
from prepay.holds import Hold
from tests.unit.gateway.box import METER, WITHOUT_RELAY, Box, drives
from wire.facts import Stage
from wire.messages import Disconnect, Effect, Floor, Limit, Ping, Read, Reconnect


def is_held(box: Box) -> bool:
    return Hold.UTILITY in box.station.relays.holds(METER)


def test_a_disconnection_is_executed_once_reading_back_proves_it(box: Box) -> None:
    box.open_session()
    drive = drives(box.command(Disconnect(), 1))[-1]
    assert not drive.closed
    assert box.final(1) is None
    box.drive(drive, closed=False)
    receipt = box.final(1)
    assert receipt is not None
    assert (receipt.stage, receipt.relay_closed) == (Stage.EXECUTED, False)


def test_the_same_command_again_gets_the_same_receipt(box: Box) -> None:
    box.open_session()
    box.drive(drives(box.command(Disconnect(), 1))[-1], closed=False)
    index = box.station.journal.head
    box.restart()
    box.open_session()
    before = box.station.journal.head
    box.command(Disconnect(), 1)
    assert box.station.journal.head == before
    assert index[0] < before[0]
    assert len([receipt for receipt in box.receipts(1) if receipt.stage.is_final]) == 1


def test_an_older_command_does_not_undo_a_newer_one(box: Box) -> None:
    box.open_session()
    box.command(Reconnect(), 2)
    box.command(Disconnect(), 1)
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.SUPERSEDED
    assert not is_held(box)


def test_a_command_waits_for_trusted_time(box: Box) -> None:
    box.command(Disconnect(), 1)
    assert not is_held(box)
    box.open_session()
    assert is_held(box)


def test_a_command_that_is_over_has_no_effect_and_overtakes_none(box: Box) -> None:
    box.open_session()
    box.command(Reconnect(), 2, lasting_ms=-1)
    box.command(Disconnect(), 1)
    late = box.final(2)
    assert late is not None
    assert late.stage is Stage.EXPIRED
    assert is_held(box)


def test_what_is_not_proved_before_the_deadline_is_undone(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.wait(61_000)
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.FAILED
    assert not is_held(box)


def test_undoing_a_newer_command_also_undoes_the_older_one_that_it_overtook(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.command(Disconnect(), 2)
    box.wait(61_000)
    assert not is_held(box)


def test_a_floor_of_the_cloud_ends_an_older_command_that_had_started(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.open_session(floors=[Floor(METER, "relay", 2)])
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.SUPERSEDED
    assert not is_held(box)
    box.command(Disconnect(), 2)
    assert not is_held(box)


def test_a_command_survives_a_restart_at_any_stage(box: Box) -> None:
    box.command(Disconnect(), 1)
    box.restart()
    box.open_session()
    assert is_held(box)
    box.restart()
    drive = drives(box.wait(1))[-1]
    box.open_session()
    box.drive(drive, closed=False)
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.EXECUTED


def test_a_reconnection_lifts_its_own_hold_only_and_says_what_still_stands(box: Box) -> None:
    box.open_session()
    box.command(Limit(100), 1)
    box.read(1, power_w=500)
    drive = drives(box.command(Reconnect(), 2))[-1]
    assert not drive.closed
    box.drive(drive, closed=False)
    receipt = box.final(2)
    assert receipt is not None
    assert receipt.detail == "still held: power-limit"


@pytest.mark.parametrize(
    ("effect", "meter"),
    [
        (Disconnect(), WITHOUT_RELAY),
        (Limit(None), WITHOUT_RELAY),
        (Limit(10), ""),
        (Reconnect(), ""),
        (Read([]), ""),
        (Ping(), "m-nowhere"),
    ],
)
def test_a_command_that_can_never_run_here_is_refused(box: Box, effect: Effect, meter: str) -> None:
    box.open_session()
    box.command(effect, 1, meter=meter)
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.REFUSED


def test_a_read_is_tried_three_times_and_then_fails(box: Box) -> None:
    box.open_session()
    effects = box.command(Read([]), 1)
    tries = 0
    while box.final(1) is None:
        tries += sum(isinstance(effect, DemandRead) for effect in effects)
        box.do(lambda station, now: station.on_demand_read((1).to_bytes(16), None, "unavailable", now))
        effects = box.wait(2_500)
    assert tries == 3
    receipt = box.final(1)
    assert receipt is not None
    assert (receipt.stage, receipt.detail) == (Stage.FAILED, "unavailable")


def test_a_command_that_was_forgotten_is_not_answered(box: Box) -> None:
    box.open_session()
    box.drive(drives(box.command(Disconnect(), 1))[-1], closed=False)
    box.drain()
    box.now_ms += FORGET_AFTER_MS + 120_000
    box.wait(1)
    box.restart()
    box.drain()
    box.sent.clear()
    box.command(Disconnect(), 1, lasting_ms=-FORGET_AFTER_MS - 60_000)
    box.wait(15_000)
    assert box.receipts(1) == []


def test_what_was_read_back_before_the_command_is_no_proof(box: Box) -> None:
    box.open_session()
    box.drive(drives(box.command(Disconnect(), 1))[-1], closed=False)
    (closing,) = drives(box.command(Reconnect(), 2))
    (opening,) = drives(box.command(Disconnect(), 3))
    (last,) = drives(box.command(Reconnect(), 4))
    box.drive(closing, closed=True)
    assert box.final(4) is None
    box.drive(opening, closed=False)
    assert box.final(4) is None
    box.drive(last, closed=True)
    receipt = box.final(4)
    assert receipt is not None
    assert (receipt.stage, receipt.relay_closed) == (Stage.EXECUTED, True)


def test_a_reason_of_any_length_fits_the_receipt(box: Box) -> None:
    box.open_session()
    box.command(Read([]), 1)
    for _ in range(3):
        box.do(lambda station, now: station.on_demand_read((1).to_bytes(16), None, "x" * 500, now))
        box.wait(2_500)
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.FAILED


def test_a_floor_for_a_meter_whose_relay_is_gone_ends_its_command(box: Box) -> None:
    box.open_session()
    box.command(Disconnect(), 1)
    box.relay_meters = []
    box.restart()
    box.open_session(floors=[Floor(METER, "relay", 2)])
    receipt = box.final(1)
    assert receipt is not None
    assert receipt.stage is Stage.SUPERSEDED
