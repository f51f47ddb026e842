"""The account keeps, in any order, what the pure function says."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prepay.account import Account
from prepay.balance import BALANCE_VERSION, UnknownVersionError, balance
from prepay.closing import ClosedError, reduced
from prepay.entries import Entry, Statement
from prepay.identity import ForeignEntryError, entry_digest
from prepay.statement import make_statement
from tests.unit.prepay.village import (
    ACCOUNT,
    HOUR_MS,
    assignment,
    credit,
    entries,
    household,
    instants_ms,
    opening,
    point,
    statements,
    tariff,
)


@settings(max_examples=400)
@given(
    st.one_of(household, st.lists(entries, max_size=40)),
    st.lists(statements, max_size=3),
    instants_ms,
    st.randoms(use_true_random=False),
)
def test_account_and_function_agree_after_every_entry(
    given_entries: list[Entry], closes: list[Statement], at_ms: int, rng: random.Random
) -> None:
    arriving = [*given_entries, *closes, *rng.sample(given_entries, len(given_entries) // 4), *closes[1:]]
    rng.shuffle(arriving)
    account = Account(ACCOUNT)
    for count, entry in enumerate(arriving, start=1):
        kept = reduced({entry_digest(known): known for known in arriving[: count - 1]})
        left = reduced({entry_digest(known): known for known in arriving[:count]})
        assert account.add(entry) == (entry_digest(entry) in left.keys() - kept.keys())
        assert sorted(account.take_covered()) == sorted(kept.keys() - left.keys())
        assert (entry in account) == (entry_digest(entry) in left)
        if rng.random() < 0.3 or count == len(arriving):
            moment_ms = max(rng.choice([at_ms, 0, 10**12]), account.closed_at_ms)
            expected = balance(BALANCE_VERSION, arriving[:count], account=ACCOUNT, at_ms=moment_ms)
            assert account.balance(moment_ms) == expected
            assert len(account) == len(left)


@given(household, household, household, instants_ms)
def test_merging_sets_in_any_grouping_gives_the_same(
    one: list[Entry], two: list[Entry], three: list[Entry], at_ms: int
) -> None:
    left, right = Account(ACCOUNT), Account(ACCOUNT)
    left.update([*one, *two])
    left.update(three)
    right.update([*three, *one])
    right.update([*two, *one, *three])
    assert left.balance(at_ms) == right.balance(at_ms)
    assert left.digest == right.digest
    assert len(left) == len(right)


def test_a_balance_before_the_close_is_refused_with_the_close() -> None:
    account = Account(ACCOUNT)
    account.update([opening(), tariff("t", 500), assignment(), point(HOUR_MS, 300)])
    account.add(make_statement([opening()], account=ACCOUNT, closed_at_ms=2 * HOUR_MS, issued_at_ms=3 * HOUR_MS))
    with pytest.raises(ClosedError) as caught:
        account.balance(2 * HOUR_MS - 1)
    assert caught.value.closed_at_ms == 2 * HOUR_MS
    assert account.balance(2 * HOUR_MS).closed_at_ms == 2 * HOUR_MS


def test_an_account_closed_each_day_for_a_year_stays_as_small_as_in_its_first_week() -> None:
    account = Account(ACCOUNT)
    since: list[Entry] = [opening(), tariff("t", 500), assignment()]
    account.update(since)
    sizes = []
    for hour in range(1, 24 * 365 + 1):
        since.append(point(hour * HOUR_MS, hour * 300))
        account.add(since[-1])
        if hour % 24 == 0 and hour > 96:
            close_ms = (hour - 72) * HOUR_MS
            statement = make_statement(since, account=ACCOUNT, closed_at_ms=close_ms, issued_at_ms=hour * HOUR_MS)
            account.add(statement)
            covered = set(account.take_covered())
            since = [entry for entry in [*since, statement] if entry_digest(entry) not in covered]
            assert len(since) == len(account)
            sizes.append(len(account))
    assert max(sizes) <= 72 + 4
    assert account.balance(10**12).charged_wh == 24 * 365 * 300
    assert account.balance(10**12).charged_minor == 24 * 365 * 300 // 2


def test_a_credit_that_comes_again_after_a_close_counts_once() -> None:
    account = Account(ACCOUNT)
    account.add(credit("c", 100))
    account.add(make_statement([credit("c", 100)], account=ACCOUNT, closed_at_ms=HOUR_MS, issued_at_ms=HOUR_MS))
    assert not account.add(credit("c", 100))
    account.add(credit("c", 100, at_ms=2 * HOUR_MS))
    assert account.balance(3 * HOUR_MS).amount_minor == 100


def test_an_entry_twice_is_once() -> None:
    account = Account(ACCOUNT)
    assert account.add(credit("c", 100))
    assert not account.add(credit("c", 100))
    assert account.balance(0).amount_minor == 100


def test_a_refused_entry_leaves_no_trace() -> None:
    account = Account(ACCOUNT)
    before = account.digest
    with pytest.raises(ForeignEntryError):
        account.add(opening("house-8"))
    assert account.digest == before
    assert len(account) == 0


def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownVersionError):
        Account(ACCOUNT).balance(0, version=0)


def test_one_more_register_point_among_ten_thousand_costs_a_handful_of_steps() -> None:
    account = Account(ACCOUNT)
    account.update([opening(), tariff("t", 500), assignment()])
    account.update(point(hour * HOUR_MS, hour * 300) for hour in range(1, 10_001) if hour != 5_000)
    account.balance(10_001 * HOUR_MS)
    for late in (point(10_001 * HOUR_MS, 10_001 * 300), point(5_000 * HOUR_MS, 5_000 * 300)):
        before = account.work_count
        account.add(late)
        account.balance(10_001 * HOUR_MS)
        assert account.work_count - before <= 10
    assert account.balance(10_001 * HOUR_MS).charged_wh == 10_001 * 300


def test_ten_thousand_points_in_the_worst_order_are_judged_at_most_three_times_each() -> None:
    account = Account(ACCOUNT)
    account.update([opening(), tariff("t", 500), assignment()])
    account.update(point(hour * HOUR_MS, hour * 300) for hour in range(10_000, 0, -1))
    assert account.balance(10_001 * HOUR_MS).charged_wh == 3_000_000
    assert account.work_count <= 3 * 10_000 + 1_000
