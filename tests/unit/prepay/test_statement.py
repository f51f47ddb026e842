"""Closing an account: a statement comes to what it stands for, whatever arrives in whatever order."""

import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prepay.account import Account
from prepay.balance import BALANCE_VERSION, Balance, balance
from prepay.closing import ClosedError
from prepay.entries import INSTALLATIONS_MAX, Entry, RegisterPoint, Statement
from prepay.identity import entry_digest, natural_key
from prepay.register import Fault
from prepay.statement import TooMuchToCarryError, differences, make_statement
from tests.unit.prepay.village import (
    ACCOUNT,
    HOUR_MS,
    adjustment,
    assignment,
    credit,
    entries,
    household,
    instants_ms,
    opening,
    point,
    release,
    tariff,
)

LATE_MS = 10**12
BASE: list[Entry] = [opening(), tariff("t", 47_325, digits=2), assignment(opening_wh=5_000), credit("c", 50_000)]
EARLY: list[Entry] = [point(HOUR_MS, 6_000), point(2 * HOUR_MS, 8_000)]
LATER: list[Entry] = [point(3 * HOUR_MS, 8_500), point(4 * HOUR_MS, 9_100)]


def at(known: list[Entry], at_ms: int = LATE_MS) -> Balance:
    """Return the balance as the account has it, after a look whether the function says the same."""
    account = Account(ACCOUNT)
    account.update(known)
    assert account.balance(at_ms) == balance(BALANCE_VERSION, known, account=ACCOUNT, at_ms=at_ms)
    return account.balance(at_ms)


def close(known: list[Entry], closed_at_ms: int) -> Statement:
    return make_statement(known, account=ACCOUNT, closed_at_ms=closed_at_ms, issued_at_ms=closed_at_ms + HOUR_MS)


def same_money(closed: Balance, whole: Balance) -> None:
    """See that a balance is the same but for how it is broken down and what it was computed from."""
    shown = {(item.meter_serial, item.installation) for item in closed.installations}
    over = [item for item in whole.installations if (item.meter_serial, item.installation) not in shown]
    assert closed.released_wh - whole.released_wh == sum(item.charged_wh for item in over)
    assert closed.charged_minor == closed.settled_minor + sum(period.amount_minor for period in closed.periods)
    assert closed.charged_wh == closed.settled_wh + sum(period.energy_wh for period in closed.periods)
    aside: dict[str, object] = {"digest": b"", "periods": (), "installations": (), "quarantined": ()}
    aside |= {"closed_at_ms": 0, "settled_minor": 0, "settled_wh": 0, "released_wh": 0}
    assert replace(closed, **aside) == replace(whole, **aside)  # type: ignore[arg-type]
    assert closed.installations == tuple(item for item in whole.installations if item not in over)
    assert set(closed.quarantined) <= set(whole.quarantined) or whole.quarantined_count > 32


def decided_on_both_sides(known: list[Entry], closed_at_ms: int) -> bool:
    """Tell whether values under one key lie on both sides of a close, where each side is judged by itself."""
    sides: dict[object, set[bool]] = {}
    for entry in known:
        if isinstance(entry, RegisterPoint):
            sides.setdefault(natural_key(entry), set()).add(entry.taken_at_ms <= closed_at_ms)
    return any(len(side) > 1 for side in sides.values())


@settings(max_examples=500)
@given(
    st.one_of(household, st.lists(entries, max_size=40)),
    instants_ms,
    st.integers(0, 6 * HOUR_MS),
    st.randoms(use_true_random=False),
)
def test_a_closed_account_comes_to_the_same_as_one_that_keeps_everything(
    known: list[Entry], closed_at_ms: int, later_ms: int, rng: random.Random
) -> None:
    assume(not decided_on_both_sides(known, closed_at_ms))
    statement = close(known, closed_at_ms)
    arriving = [*known, statement]
    rng.shuffle(arriving)
    for at_ms in (closed_at_ms, closed_at_ms + later_ms, LATE_MS):
        same_money(at(arriving, at_ms), at(known, at_ms))


@settings(max_examples=300)
@given(household, st.lists(instants_ms, min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_closing_in_steps_comes_to_the_same_as_closing_at_once(
    known: list[Entry], closes_ms: list[int], rng: random.Random
) -> None:
    closes_ms.sort()
    assume(not any(decided_on_both_sides(known, closed_at_ms) for closed_at_ms in closes_ms))
    chain: list[Entry] = []
    for closed_at_ms in closes_ms:
        chain.append(close([*known, *chain], closed_at_ms))
    last, at_once = chain[-1], close(known, closes_ms[-1])
    assert isinstance(last, Statement)
    assert last.predecessor == entry_digest(chain[-2])
    assert list(differences(last, at_once)) == []
    arriving = [*known, *chain]
    rng.shuffle(arriving)
    same_money(at(arriving), at(known))


@given(household, instants_ms, st.randoms(use_true_random=False))
def test_box_and_cloud_agree_exactly_whichever_of_them_forgot_its_points(
    known: list[Entry], closed_at_ms: int, rng: random.Random
) -> None:
    statement = close(known, closed_at_ms)
    kept = [entry for entry in known if not (isinstance(entry, RegisterPoint) and entry.taken_at_ms <= closed_at_ms)]
    some = [entry for entry in known if entry in kept or rng.random() < 0.5]
    assert at([statement, *kept]) == at([*known, statement]) == at([*some, statement])


@given(household, instants_ms)
def test_what_comes_after_the_close_makes_no_difference_to_a_statement(known: list[Entry], closed_at_ms: int) -> None:
    early = [entry for entry in known if not (isinstance(entry, RegisterPoint) and entry.taken_at_ms > closed_at_ms)]
    assert close(known, closed_at_ms) == close(early, closed_at_ms)


def test_a_statement_that_comes_before_its_points_stands_for_them() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    assert at([statement, *BASE]) == at([statement, *BASE, *EARLY])
    assert at([statement, *BASE, *EARLY, *LATER]).charged_wh == 4_100


def test_a_point_that_comes_late_changes_nothing_and_its_energy_is_not_lost() -> None:
    statement = close([*BASE, EARLY[0]], 2 * HOUR_MS)
    before = at([*BASE, statement])
    assert at([*BASE, statement, EARLY[1]]) == before
    assert before.charged_wh == 1_000
    assert at([*BASE, statement, EARLY[1], *LATER]).charged_wh == 4_100


def test_a_contradicting_point_that_comes_late_changes_nothing() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    other = point(2 * HOUR_MS, 7_000)
    assert at([*BASE, *EARLY, statement, other]) == at([*BASE, statement])


def test_of_two_statements_the_later_close_counts_in_whatever_order_they_come() -> None:
    first = close([*BASE, *EARLY], HOUR_MS)
    second = close([*BASE, *EARLY, first], 2 * HOUR_MS)
    expected = at([*BASE, second])
    assert at([*BASE, second, first, *EARLY]) == at([*BASE, first, *EARLY, second]) == expected
    assert (second.predecessor, second.points_count) == (entry_digest(first), 2)


def test_two_statements_of_one_close_are_both_kept_and_the_smaller_charge_counts() -> None:
    less, more = close([*BASE, EARLY[0]], 2 * HOUR_MS), close([*BASE, *EARLY], 2 * HOUR_MS)
    result = at([*BASE, more, less])
    assert result == at([less, *BASE, more])
    assert result.charged_wh == 1_000
    assert [(item.entry, item.fault, item.rival) for item in result.quarantined] == [
        (entry_digest(more), Fault.CONFLICT, entry_digest(less))
    ]


def test_a_tariff_from_before_the_close_prices_only_what_comes_after_it() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    backdated = tariff("u", 1_000, after="t", from_ms=HOUR_MS)
    result = at([*BASE, *EARLY, statement, backdated, *LATER])
    assert [(period.energy_wh, period.amount_minor) for period in result.periods] == [(3_000, 1_420), (1_100, 1_100)]
    again = close([*BASE, statement, backdated, *LATER], 4 * HOUR_MS)
    assert (again.settled_wh, again.settled_minor) == (3_000, 1_420)
    assert at([*BASE, again]).charged_minor == result.charged_minor


def test_another_price_under_a_known_tariff_leaves_what_was_closed() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    other = tariff("t", 99_999, digits=2)
    with_other = at([*BASE, statement, other])
    assert with_other.charged_minor == at([*BASE, statement]).charged_minor == 1_420


def test_a_period_that_goes_on_over_a_close_is_rounded_once() -> None:
    thirds: list[Entry] = [opening(), tariff("t", 500), assignment()]
    points: list[Entry] = [point(hour * HOUR_MS, hour) for hour in range(1, 7)]
    known = thirds + points
    for hour in range(1, 6):
        known.append(close(known, hour * HOUR_MS))
    assert at(known).charged_minor == at(thirds + points).charged_minor == 3


def test_a_release_entered_after_the_close_ends_the_installation_without_a_last_step() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    result = at([*BASE, statement, release(7_000, HOUR_MS), *LATER])
    assert result.charged_wh == 3_000
    assert [item.fault for item in result.quarantined] == [Fault.OUTSIDE, Fault.OUTSIDE]
    again = close([*BASE, statement, release(7_000, HOUR_MS), *LATER], 3 * HOUR_MS)
    assert (again.installations, again.released_wh) == ((), 3_000)


def test_an_assignment_entered_after_the_close_is_charged_from_its_opening_register() -> None:
    statement = close([opening(), tariff("t", 1_000), *EARLY], 2 * HOUR_MS)
    assert statement.quarantined_count == 2
    result = at([opening(), tariff("t", 1_000), statement, assignment(opening_wh=5_000), *LATER])
    assert result.charged_wh == 4_100
    assert (result.quarantined_count, result.quarantined) == (2, ())


def test_an_operator_still_sees_how_many_points_were_not_believed() -> None:
    wrong = point(HOUR_MS + 1, 900_000_000)
    statement = close([*BASE, *EARLY, wrong], 2 * HOUR_MS)
    result = at([*BASE, statement, point(3 * HOUR_MS, 1)])
    assert (result.quarantined_count, [item.fault for item in result.quarantined]) == (2, [Fault.BACKWARDS])


def test_a_register_that_waits_to_be_confirmed_waits_over_a_close() -> None:
    moved = [point(2 * HOUR_MS, 70_000), point(3 * HOUR_MS, 70_500)]
    statement = close([*BASE, moved[0]], 2 * HOUR_MS)
    assert at([*BASE, statement, moved[1]]).charged_wh == at([*BASE, *moved]).charged_wh == 500


def test_credits_and_adjustments_stay_entries_of_their_own() -> None:
    statement = close([*BASE, *EARLY, adjustment("a", -250)], 2 * HOUR_MS)
    late = credit("d", 70, at_ms=HOUR_MS)
    assert at([*BASE, statement, adjustment("a", -250), late]).amount_minor == 50_000 - 250 + 70 - 1_420


def test_an_account_is_not_closed_at_or_before_its_close() -> None:
    statement = close([*BASE, *EARLY], 2 * HOUR_MS)
    for closed_at_ms in (HOUR_MS, 2 * HOUR_MS):
        with pytest.raises(ClosedError):
            close([*BASE, statement], closed_at_ms)


def test_more_installations_than_a_statement_carries_are_refused() -> None:
    many: list[Entry] = [assignment(serial=f"SN-{number}") for number in range(INSTALLATIONS_MAX + 1)]
    with pytest.raises(TooMuchToCarryError):
        close([opening(), *many], HOUR_MS)
    assert len(close([opening(), *many[1:]], HOUR_MS).installations) == INSTALLATIONS_MAX


def test_differences_are_named_with_both_figures() -> None:
    signed, own = close([*BASE, EARLY[0]], 2 * HOUR_MS), close([*BASE, *EARLY], 2 * HOUR_MS)
    assert list(differences(signed, signed)) == []
    assert list(differences(signed, own)) == [
        "points_count 1 here 2",
        "open_wh 1000 here 3000",
        "SN-1001 6000 Wh here 8000",
    ]
    assert list(differences(msgspec.structs.replace(signed, installations=()), signed)) == ["installations 0 here 1"]
