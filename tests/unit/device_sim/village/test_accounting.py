import pytest

from device_sim.village.accounting import (
    Account,
    Excuse,
    Held,
    HeldOfMeter,
    RowAccount,
    Sent,
    compare,
    given_up,
    percentile,
)

QUARTER_MS = 900_000


def sent(*energies_wh: float, meter: str = "m-001") -> list[Sent]:
    return [Sent(index * QUARTER_MS, meter, energy) for index, energy in enumerate(energies_wh)]


def held(*values: int, meter: str = "m-001", scaler: int = 0) -> HeldOfMeter:
    readings = [Held(index * QUARTER_MS, value, scaler, has_conflict=False) for index, value in enumerate(values)]
    return HeldOfMeter(meter, len(values) * 3, readings)


def counts(account: Account) -> tuple[int, int, int, int]:
    return account.taken, account.committed, account.lost, account.doubled


def test_what_was_sent_and_is_held_is_even() -> None:
    account = compare(sent(100, 110, 120), [held(100, 110, 120)], [])
    assert counts(account) == (3, 3, 0, 0)
    assert account.is_even
    assert account.values == 9


def test_a_missing_reading_is_lost_and_its_meter_named() -> None:
    account = compare(sent(100, 110, 120), [held(100, 120)], [])
    assert counts(account) == (3, 2, 1, 0)
    assert account.lost_of == {"m-001": 1}


def test_a_meter_the_database_does_not_know_has_lost_everything() -> None:
    assert counts(compare(sent(100, 110), [], [])) == (2, 0, 2, 0)


def test_a_reading_that_is_there_twice_is_doubled() -> None:
    assert counts(compare(sent(100, 110), [held(100, 110, 110)], [])) == (2, 3, 0, 1)


def test_a_reading_that_was_never_sent_is_doubled() -> None:
    assert counts(compare(sent(100), [held(100), held(7, meter="m-002")], [])) == (1, 2, 0, 1)


def test_a_dark_house_repeats_its_energy_and_each_repetition_counts() -> None:
    assert counts(compare(sent(100, 100, 100), [held(100, 100)], [])) == (3, 2, 1, 0)


def test_one_meter_does_not_make_good_for_another() -> None:
    account = compare([*sent(100), *sent(100, meter="m-002")], [held(100, 100)], [])
    assert counts(account) == (2, 2, 1, 1)


def test_a_contradicted_reading_is_not_even() -> None:
    contradicted = HeldOfMeter("m-001", 1, [Held(0, 100, 0, has_conflict=True)])
    assert not compare(sent(100), [contradicted], []).is_even


@pytest.mark.parametrize(
    ("energy_wh", "scaler", "value"),
    [(2100.0, 2, 21), (1230.0, 1, 123), (1234.5, 0, 1234), (1235.5, 0, 1236), (1234.4999999999998, 0, 1234)],
)
def test_energies_compare_in_the_units_of_the_register(energy_wh: float, scaler: int, value: int) -> None:
    assert compare(sent(energy_wh), [held(value, scaler=scaler)], []).is_even


def test_an_excuse_takes_one_missing_reading_of_its_meter_and_time_out_of_the_count() -> None:
    excuse = Excuse("m-001", QUARTER_MS - 10, QUARTER_MS + 10)
    account = compare(sent(100, 110, 120), [held(100, 120)], [excuse])
    assert counts(account) == (2, 2, 0, 0)
    assert account.excused == 1


@pytest.mark.parametrize(
    "excuse", [Excuse("m-002", 0, 10 * QUARTER_MS), Excuse("m-001", 0, 10)], ids=["another meter", "another time"]
)
def test_an_excuse_of_something_else_excuses_nothing(excuse: Excuse) -> None:
    assert compare(sent(100, 110), [held(100)], [excuse]).lost == 1


def test_an_excuse_is_used_up() -> None:
    account = compare(sent(100, 110, 120), [held(100)], [Excuse("m-001", 0, 10 * QUARTER_MS)])
    assert (account.lost, account.excused) == (1, 1)


def test_an_excuse_that_nothing_needs_changes_nothing() -> None:
    assert counts(compare(sent(100), [held(100)], [Excuse("m-001", 0, 10)])) == (1, 1, 0, 0)


def test_reads_given_up_are_read_from_a_log_among_other_lines() -> None:
    log = [
        b'{"event": "broker.connected", "timestamp": "2026-06-01T00:00:00.000Z"}\n',
        b'{"meter": "m-007", "event": "read.failed", "timestamp": "2026-06-01T00:00:05.250Z"}\n',
    ]
    at_ms = 1_780_272_005_250
    assert given_up(log, before_ms={"m-007": 1_000}, after_ms=200) == [Excuse("m-007", at_ms - 1_000, at_ms + 200)]


def test_rows_that_meters_captured_count_as_readings() -> None:
    account = compare(sent(100, 200), [held(100, 200)], [])
    rows = RowAccount(captured=5, held=4, lost=1, doubled=2)
    rows.lost_of["d-001"] += 1
    account.add(rows)
    assert counts(account) == (7, 6, 1, 2)
    assert (account.rows, +account.lost_of) == (4, {"d-001": 1})


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_a_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.5) == 0.0
