from device_sim.village.accounting import Held, HeldOfMeter, RowAccount, Sent
from device_sim.village.rows import BLOCK, BLOCK_ENERGY, ENERGY, Captured, compare_rows, owed_until

QUARTER_S = 900
HOUR_S = 3_600
DAILY = "1.0.99.2.0.255"


def block(*energies_wh: int, meter: str = "d-001") -> list[Captured]:
    return [
        Captured(meter, BLOCK, index * QUARTER_S, {BLOCK_ENERGY: (energy, 0, 30)})
        for index, energy in enumerate(energies_wh)
    ]


def of_blocks(*readings: tuple[int, int], meter: str = "d-001", has_conflict: bool = False) -> HeldOfMeter:
    held = [Held(index * QUARTER_S * 1000, value, 0, has_conflict) for index, value in readings]
    return HeldOfMeter(meter, len(held), held)


def counts(account: RowAccount) -> tuple[int, int, int, int]:
    return account.captured, account.held, account.lost, account.doubled


OWED = {"d-001": 10 * HOUR_S}


def test_rows_that_are_all_there_are_even() -> None:
    held = {BLOCK_ENERGY: [of_blocks((0, 5), (1, 5), (2, 7))]}
    assert counts(compare_rows(block(5, 5, 7), held, OWED)) == (3, 3, 0, 0)


def test_a_row_owed_that_is_not_there_is_lost() -> None:
    account = compare_rows(block(5, 6, 7), {BLOCK_ENERGY: [of_blocks((0, 5), (2, 7))]}, OWED)
    assert counts(account) == (3, 2, 1, 0)
    assert account.lost_of == {"d-001": 1}


def test_a_row_that_is_not_owed_yet_may_be_there_or_not() -> None:
    held = {BLOCK_ENERGY: [of_blocks((0, 5), (2, 7))]}
    assert counts(compare_rows(block(5, 6, 7), held, {"d-001": 0})) == (2, 2, 0, 0)
    assert counts(compare_rows(block(5), {BLOCK_ENERGY: []}, {})) == (0, 0, 0, 0)


def test_a_row_that_is_there_twice_or_with_another_value_is_doubled() -> None:
    assert counts(compare_rows(block(5), {BLOCK_ENERGY: [of_blocks((0, 5), (0, 5))]}, OWED)) == (1, 1, 0, 1)
    assert counts(compare_rows(block(5), {BLOCK_ENERGY: [of_blocks((0, 9))]}, OWED)) == (1, 0, 1, 1)
    conflicting = of_blocks((0, 5), has_conflict=True)
    assert counts(compare_rows(block(5), {BLOCK_ENERGY: [conflicting]}, OWED)) == (1, 1, 0, 1)


def test_daily_rows_are_taken_from_among_the_registers_that_visits_read() -> None:
    daily = [Captured("d-001", DAILY, HOUR_S, {ENERGY: (800, 0, 30)})]
    visits = [Held(HOUR_S * 1000 - 7, 800, 0, has_conflict=False), Held(HOUR_S * 1000, 800, 0, has_conflict=False)]
    held = {BLOCK_ENERGY: [], ENERGY: [HeldOfMeter("d-001", 2, list(visits))]}
    assert counts(compare_rows(daily, held, OWED)) == (1, 1, 0, 0)
    assert held[ENERGY][0].readings == visits[:1]


def test_rows_are_owed_by_full_hours_up_to_the_last_visit_but_two() -> None:
    visits = [Sent(at_ms, "d-001", 0.0) for at_ms in (7_100_000, 7_400_000, 11_000_000, 11_100_000, 11_200_000)]
    assert owed_until(visits) == {"d-001": 3 * HOUR_S}
    assert owed_until(visits[:4]) == {"d-001": 2 * HOUR_S}
    assert owed_until(visits[:2]) == {}
