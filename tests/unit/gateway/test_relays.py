"""Relays follow their holds, through restarts, deaf boards and boards that forget."""

from itertools import pairwise

from prepay.holds import Hold
from tests.unit.gateway.box import METER, Box, drives


def test_a_relay_is_driven_at_start_to_what_its_holds_ask(box: Box) -> None:
    (drive,) = drives(box.wait(1))
    assert drive.closed
    with box.store.transaction():
        box.station.relays.place(METER, Hold.TAMPER)
    box.restart()
    (drive,) = drives(box.wait(1))
    assert not drive.closed


def test_a_drive_that_was_overtaken_is_not_wanted(box: Box) -> None:
    (closing,) = drives(box.wait(1))
    assert box.station.relays.is_wanted(closing)
    with box.store.transaction():
        box.station.relays.place(METER, Hold.UTILITY)
    assert not box.station.relays.is_wanted(closing)


def test_a_board_that_does_not_answer_is_driven_again_ever_more_rarely(box: Box) -> None:
    times = []
    for _ in range(300):
        for drive in drives(box.wait(1_000)):
            times.append(box.now_ms)
            box.drive(drive, closed=None)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[0] < gaps[-1] <= 62_000


def test_a_relay_that_agrees_is_driven_again_after_a_while(box: Box) -> None:
    (drive,) = drives(box.wait(1))
    box.drive(drive, closed=True)
    assert drives(box.wait(599_000)) == []
    assert len(drives(box.wait(2_000))) == 1


def test_a_relay_that_stands_otherwise_than_asked_is_driven_at_once_again(box: Box) -> None:
    (drive,) = drives(box.wait(1))
    box.drive(drive, closed=False)
    assert len(drives(box.wait(2_000))) == 1


def test_only_the_last_hold_to_go_closes_the_relay(box: Box) -> None:
    relays = box.station.relays
    with box.store.transaction():
        relays.place(METER, Hold.UTILITY)
        relays.place(METER, Hold.CREDIT)
        relays.lift(METER, Hold.CREDIT)
        assert not relays.wants_closed(METER)
        relays.lift(METER, Hold.UTILITY)
    assert relays.wants_closed(METER)
