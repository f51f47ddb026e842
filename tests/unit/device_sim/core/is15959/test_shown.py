"""What registers show under faults; what the meter adds up goes on undisturbed."""

from collections.abc import Callable

from device_sim.core.faults import AbsurdQuantity, FaultKind, FaultSettings
from tests.unit.device_sim.core.is15959.bench import BLOCK, DAILY, HOUR_MS, MIDNIGHT_MS, Bench

IMPORT, POWER = "1.0.1.8.0.255", "1.0.1.7.0.255"
ENERGY_COLUMN = 2


def switch(bench: Bench, kind: FaultKind, *, on: bool = True, **settings: object) -> None:
    bench.meter.faults.switch(FaultSettings(kind=kind, **settings), on=on)  # type: ignore[arg-type]


def import_wh(bench: Bench) -> int:
    return bench.number(IMPORT, class_id=3)


def test_an_absurd_energy_shows_in_one_read_and_nowhere_else(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    true_wh = import_wh(bench)
    switch(bench, FaultKind.ABSURD)
    assert import_wh(bench) == true_wh + 1_000_000_000
    assert import_wh(bench) == true_wh
    bench.wait(HOUR_MS)
    assert import_wh(bench) < true_wh + 10_000


def test_an_absurd_energy_that_nobody_reads_goes_into_the_next_row(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    switch(bench, FaultKind.ABSURD)
    bench.wait(HOUR_MS)
    energies = [row[ENERGY_COLUMN] for row in bench.rows(BLOCK)]
    assert [isinstance(wh, int) and wh >= 1_000_000_000 for wh in energies[-4:]] == [True, False, False, False]


def test_an_absurd_power_shows_in_the_power_and_leaves_the_energy(bench: Bench) -> None:
    switch(bench, FaultKind.ABSURD, absurd=AbsurdQuantity.POWER)
    true_wh = import_wh(bench)
    assert bench.number(POWER, class_id=3) == 5_000_000
    assert bench.number(POWER, class_id=3) < 10_000
    assert import_wh(bench) == true_wh


def test_registers_stand_still_under_a_repeated_snapshot_and_catch_up_after_it(bench: Bench) -> None:
    switch(bench, FaultKind.REPEATED)
    first_wh = import_wh(bench)
    bench.wait(6 * HOUR_MS)
    assert import_wh(bench) == first_wh
    assert [row[ENERGY_COLUMN] for row in bench.rows(BLOCK)] == [0] * 24
    switch(bench, FaultKind.REPEATED, on=False)
    assert import_wh(bench) > first_wh + 100
    assert import_wh(bench) == bench.meter.measuring.import_wh


def test_a_register_that_rolls_over_does_so_in_rows_as_well_and_intervals_stay_true(
    new_bench: Callable[..., Bench],
) -> None:
    bench = new_bench(start_wh=7_000_000)
    switch(bench, FaultKind.ROLLOVER, rollover_wh=1_000_000)
    bench.wait_until(MIDNIGHT_MS)
    (daily,) = bench.rows(DAILY)
    assert daily[1] == import_wh(bench) < 1_000_000
    energies = [row[ENERGY_COLUMN] for row in bench.rows(BLOCK)]
    assert sum(wh for wh in energies if isinstance(wh, int)) == daily[1]
