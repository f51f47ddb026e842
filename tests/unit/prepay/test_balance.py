"""The balance as a pure function: worked examples, and laws over generated sets."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepay.balance import BALANCE_VERSION, QUARANTINED_SHOWN_MAX, Balance, UnknownVersionError, balance
from prepay.entries import Adjustment, Credit, Entry
from prepay.identity import ForeignEntryError, entry_digest
from prepay.money import NO_CURRENCY, Currency
from prepay.register import Fault
from tests.unit.prepay.village import (
    ACCOUNT,
    BOOT,
    HOUR_MS,
    adjustment,
    assignment,
    credit,
    household,
    instants_ms,
    opening,
    point,
    release,
    tariff,
)

LATE_MS = 10**12
BASE: list[Entry] = [opening(), tariff("t", 47_325, digits=2), assignment(opening_wh=5_000)]


def at(entries: list[Entry], at_ms: int = LATE_MS) -> Balance:
    return balance(BALANCE_VERSION, entries, account=ACCOUNT, at_ms=at_ms)


def test_a_household_pays_for_what_it_used() -> None:
    result = at([*BASE, credit("c", 50_000), point(HOUR_MS, 6_000), point(2 * HOUR_MS, 8_000), adjustment("a", -250)])
    # 3.000 kWh at 4.7325 is 14.1975, rounded once to 14.20.
    assert result.charged_minor == 1_420
    assert result.charged_wh == 3_000
    assert result.amount_minor == 50_000 - 250 - 1_420
    assert result.currency == Currency("INR", 2)
    assert result.installations[0].register_wh == 8_000


def test_what_a_set_comes_to_is_fixed_for_this_version() -> None:
    result = at([*BASE, credit("c", 50_000), point(HOUR_MS, 6_000), adjustment("a", -250)], 2 * HOUR_MS)
    assert (BALANCE_VERSION, result.amount_minor, result.digest.hex()) == (
        2,
        49_277,
        "f90ff2600b5e453c331376bafe37e80ae96c003f13c25e4c49272d8787b31a2c",
    )


def test_rounding_happens_once_however_often_the_register_was_read() -> None:
    fine: list[Entry] = [point(minute * 60_000, 5_000 + minute) for minute in range(1, 1_001)]
    assert at([*BASE, *fine]).charged_minor == at([*BASE, fine[-1]]).charged_minor == 473


def test_nothing_counts_before_its_instant() -> None:
    entries: list[Entry] = [*BASE, credit("c", 100, at_ms=500), point(HOUR_MS, 6_000)]
    assert [at(entries, at_ms).amount_minor for at_ms in (499, 500, HOUR_MS - 1, HOUR_MS)] == [0, 100, 100, -373]


def test_the_register_is_split_at_the_latest_point_not_after_a_tariff_change() -> None:
    change = tariff("u", 1_000, after="t", from_ms=90 * 60_000)
    points: list[Entry] = [point(HOUR_MS, 6_000), point(2 * HOUR_MS, 8_000)]
    periods = at([*BASE, change, *points]).periods
    assert [(period.energy_wh, period.amount_minor) for period in periods] == [(1_000, 473), (2_000, 2_000)]
    exact = at([*BASE, change, *points, point(90 * 60_000, 6_700)])
    assert [(period.energy_wh, period.amount_minor) for period in exact.periods] == [(1_700, 805), (1_300, 1_300)]


def test_each_tariff_period_is_rounded_by_itself() -> None:
    entries: list[Entry] = [
        opening(),
        assignment(),
        tariff("t", 500),
        tariff("u", 500, after="t", from_ms=10),
        point(10, 1),
        point(20, 2),
    ]
    assert [period.amount_minor for period in at(entries).periods] == [1, 1]


def test_energy_before_any_tariff_waits_without_a_price() -> None:
    late = tariff("t", 1_000, from_ms=HOUR_MS)
    entries: list[Entry] = [opening(), assignment(), late, point(HOUR_MS, 700), point(2 * HOUR_MS, 900)]
    assert (at(entries).unpriced_wh, at(entries).charged_wh, at(entries).charged_minor) == (700, 200, 200)


def test_installations_add_up_before_rounding() -> None:
    second = assignment(serial="SN-2", installation=3)
    entries: list[Entry] = [
        opening(),
        tariff("t", 250),
        assignment(),
        second,
        point(10, 1),
        point(10, 1, serial="SN-2", installation=3),
    ]
    assert at(entries).charged_minor == 1
    assert [item.meter_serial for item in at(entries).installations] == ["SN-1001", "SN-2"]


def test_a_meter_is_replaced_without_losing_or_inventing_energy() -> None:
    entries: list[Entry] = [
        *BASE,
        point(HOUR_MS, 6_000),
        release(6_400, 2 * HOUR_MS),
        assignment(serial="SN-2", opening_wh=17, from_ms=2 * HOUR_MS),
        point(3 * HOUR_MS, 117, serial="SN-2"),
        point(3 * HOUR_MS, 9_000),
    ]
    result = at(entries)
    assert result.charged_wh == 1_400 + 100
    assert [item.fault for item in result.quarantined] == [Fault.OUTSIDE]


def test_an_implausible_step_is_flagged_with_its_size_and_not_charged() -> None:
    wrong = point(2 * HOUR_MS, 900_000_000)
    result = at([*BASE, point(HOUR_MS, 6_000), wrong, point(3 * HOUR_MS, 7_000)])
    assert result.charged_wh == 2_000
    assert [(item.entry, item.fault, item.step_wh) for item in result.quarantined] == [
        (entry_digest(wrong), Fault.IMPLAUSIBLE, 899_994_000)
    ]


def test_contradicting_values_are_kept_and_the_smaller_one_counts() -> None:
    more, less = credit("c", 900), credit("c", 100)
    result = at([*BASE, more, less])
    assert result.credited_minor == 100
    assert [(item.entry, item.fault, item.rival) for item in result.quarantined] == [
        (entry_digest(more), Fault.CONFLICT, entry_digest(less))
    ]
    assert result.digest != at([*BASE, less]).digest


def test_one_tick_with_two_registers_counts_the_smaller() -> None:
    entries: list[Entry] = [*BASE, point(HOUR_MS, 6_000), point(HOUR_MS, 5_900)]
    assert BOOT == b"boot0001"
    assert at(entries).charged_wh == 900


def test_an_account_without_opening_has_no_currency() -> None:
    assert at([credit("c", 100)]).currency == NO_CURRENCY
    assert at([]).amount_minor == 0


def test_only_the_latest_of_many_quarantined_entries_are_shown() -> None:
    result = at([*BASE, *(point(n, 1, installation=2) for n in range(100))])
    assert result.quarantined_count == 100
    assert [item.at_ms for item in result.quarantined] == list(range(100 - QUARANTINED_SHOWN_MAX, 100))


def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownVersionError, match="version 1"):
        balance(1, BASE, account=ACCOUNT, at_ms=0)


def test_an_entry_of_another_account_is_refused() -> None:
    with pytest.raises(ForeignEntryError):
        at([*BASE, credit("c", 1, account="house-8")])


def test_a_balance_is_written_with_what_is_needed_to_compare_it() -> None:
    result = at([*BASE, credit("c", 1_250)], 77)
    assert str(result) == f"12.50 INR (v2 {result.digest.hex()[:8]} 77)"


@given(household, instants_ms, st.randoms(use_true_random=False))
def test_order_and_repetition_make_no_difference(entries: list[Entry], at_ms: int, rng: random.Random) -> None:
    repeated = entries + rng.choices(entries, k=5)
    rng.shuffle(repeated)
    assert at(repeated, at_ms) == at(entries, at_ms)


@given(household, instants_ms)
def test_money_is_neither_made_nor_lost(entries: list[Entry], at_ms: int) -> None:
    result = at(entries, at_ms)
    credits_by_id: dict[bytes, list[int]] = {}
    adjustments_by_id: dict[bytes, list[Adjustment]] = {}
    for entry in entries:
        if isinstance(entry, Credit):
            credits_by_id.setdefault(entry.id, []).append(entry.amount_minor)
        elif isinstance(entry, Adjustment):
            adjustments_by_id.setdefault(entry.id, []).append(entry)
    assert result.amount_minor == result.credited_minor + result.adjusted_minor - result.charged_minor
    assert result.charged_minor == sum(period.amount_minor for period in result.periods)
    assert result.charged_wh == sum(period.energy_wh for period in result.periods)
    assert result.charged_wh + result.unpriced_wh == sum(item.charged_wh for item in result.installations)
    assert (result.settled_minor, result.settled_wh, result.released_wh) == (0, 0, 0)
    assert result.credited_minor <= sum(min(amounts) for amounts in credits_by_id.values())


@given(household, instants_ms)
def test_every_entry_is_under_the_digest(entries: list[Entry], at_ms: int) -> None:
    members = {entry_digest(entry): entry for entry in entries}
    without = [entry for digest, entry in members.items() if digest != max(members)]
    assert at(without, at_ms).digest != at(entries, at_ms).digest


@given(household, instants_ms, instants_ms)
def test_what_was_charged_up_to_an_instant_does_not_hang_on_later_points(
    entries: list[Entry], first_ms: int, second_ms: int
) -> None:
    early, late = sorted((first_ms, second_ms))
    assert at(entries, early).charged_minor <= at(entries, late).charged_minor
