from random import Random

import pytest

from device_sim.core.distortion import ABSURD_ENERGY_WH, ABSURD_POWER_W, Distortion
from device_sim.core.exchange import ReadCoils, WriteCoil, exchange
from device_sim.core.faults import AbsurdQuantity, FaultKind, Faults, FaultSettings, FaultWindow
from device_sim.core.relay_board import RelayBoard
from device_sim.core.supply import UJ_PER_WH, PhaseState, Snapshot

ENERGY = frozenset({AbsurdQuantity.ENERGY})
POWER = frozenset({AbsurdQuantity.POWER})


def faults(*windows: FaultWindow) -> Faults:
    return Faults(windows, rng=Random(1))


def switched(settings: FaultSettings) -> Faults:
    found = faults()
    found.switch(settings, on=True)
    return found


def snapshot(import_wh: float, active_w: float = 500.0) -> Snapshot:
    return Snapshot(
        phases=(PhaseState(230.0, active_w, 100.0),),
        frequency_hz=50.0,
        phase_import_uj=(round(import_wh * UJ_PER_WH),),
        import_uj=round(import_wh * UJ_PER_WH),
        reactive_import_uj=0,
    )


def test_a_planned_fault_stands_from_its_start_up_to_its_end() -> None:
    planned = faults(FaultWindow(FaultSettings(kind=FaultKind.DEAD), starts_ms=100, ends_ms=200))
    assert [planned.impairment(now_ms=now_ms).silent for now_ms in (99, 100, 199, 200)] == [False, True, True, False]


def test_switching_outweighs_the_plan() -> None:
    planned = faults(FaultWindow(FaultSettings(kind=FaultKind.DEAD), starts_ms=100, ends_ms=200))
    planned.switch(FaultSettings(kind=FaultKind.DEAD), on=False)
    assert not planned.impairment(now_ms=150).silent
    planned.switch(FaultSettings(kind=FaultKind.DEAD), on=True)
    assert planned.impairment(now_ms=250).silent
    assert planned.all_active(now_ms=250) == (FaultKind.DEAD,)


def test_a_fault_can_strike_one_exchange_in_some() -> None:
    rare = switched(FaultSettings(kind=FaultKind.GARBLED, one_in=4))
    struck = sum(rare.impairment(now_ms=0).garbled for _ in range(1000))
    assert 200 < struck < 300


def test_a_dead_board_neither_answers_nor_acts() -> None:
    board = RelayBoard(
        id="board-1", unit=9, coil_count=2, supplies={}, faults=switched(FaultSettings(kind=FaultKind.DEAD))
    )
    assert exchange(board, WriteCoil(0, on=False), now_ms=0).reply is None
    assert board.is_on(0)
    board.faults.switch(FaultSettings(kind=FaultKind.DEAD), on=False)
    assert exchange(board, ReadCoils(0, 2), now_ms=0).reply is not None


def test_repeated_shows_the_first_snapshot_until_it_ends() -> None:
    frozen = switched(FaultSettings(kind=FaultKind.REPEATED))
    distortion = Distortion(frozen)
    first, second = snapshot(1000), snapshot(1001)
    assert distortion.shown(first, ENERGY, now_ms=0) == first
    assert distortion.shown(second, ENERGY, now_ms=1) == first
    frozen.switch(FaultSettings(kind=FaultKind.REPEATED), on=False)
    assert distortion.shown(second, ENERGY, now_ms=2) == second


def test_a_counter_rolls_over_at_the_value_given() -> None:
    distortion = Distortion(switched(FaultSettings(kind=FaultKind.ROLLOVER, rollover_wh=10_000)))
    shown = [distortion.shown(snapshot(wh), ENERGY, now_ms=0).import_wh for wh in (9_999, 10_000, 10_007, 20_001)]
    assert shown == [9_999, 0, 7, 1]


def test_without_a_value_a_counter_rolls_over_at_the_next_full_kilowatt_hour() -> None:
    distortion = Distortion(switched(FaultSettings(kind=FaultKind.ROLLOVER)))
    shown = [distortion.shown(snapshot(wh), ENERGY, now_ms=0).import_wh for wh in (8_312_021, 8_312_999, 8_313_004)]
    assert shown == [8_312_021, 8_312_999, 4]


def test_one_read_of_the_energy_is_absurd_and_no_other() -> None:
    distortion = Distortion(switched(FaultSettings(kind=FaultKind.ABSURD)))
    actual = snapshot(1000)
    assert distortion.shown(actual, POWER, now_ms=0) == actual
    assert distortion.shown(actual, ENERGY, now_ms=0).import_wh == 1000 + ABSURD_ENERGY_WH
    assert distortion.shown(actual, ENERGY, now_ms=0) == actual


def test_one_read_of_the_power_is_absurd_and_no_other() -> None:
    distortion = Distortion(switched(FaultSettings(kind=FaultKind.ABSURD, absurd=AbsurdQuantity.POWER)))
    actual = snapshot(1000)
    assert distortion.shown(actual, ENERGY, now_ms=0) == actual
    assert distortion.shown(actual, POWER, now_ms=0).l1.active_w == ABSURD_POWER_W
    assert distortion.shown(actual, POWER, now_ms=0) == actual


def test_an_absurd_value_switched_on_again_strikes_again() -> None:
    twice = switched(FaultSettings(kind=FaultKind.ABSURD))
    distortion = Distortion(twice)
    assert distortion.shown(snapshot(1), ENERGY, now_ms=0).import_wh > ABSURD_ENERGY_WH
    twice.switch(FaultSettings(kind=FaultKind.ABSURD), on=False)
    distortion.shown(snapshot(1), ENERGY, now_ms=1)
    twice.switch(FaultSettings(kind=FaultKind.ABSURD), on=True)
    assert distortion.shown(snapshot(1), ENERGY, now_ms=2).import_wh > ABSURD_ENERGY_WH


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_device_without_faults_is_unimpaired(kind: FaultKind) -> None:
    healthy = faults()
    assert healthy.active(kind, now_ms=0) is None
    assert healthy.impairment(now_ms=0).delay_ms == 0
