"""Holds on a relay."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepay.holds import Hold, Holds, RelayIntent

some_holds = st.builds(Holds, st.frozensets(st.sampled_from(Hold)))


def test_a_relay_without_holds_may_close() -> None:
    assert Holds().intent is RelayIntent.CLOSED


@given(some_holds)
def test_a_relay_closes_only_when_no_hold_stands(holds: Holds) -> None:
    assert (holds.intent is RelayIntent.CLOSED) == (holds.standing == frozenset())


@given(some_holds, st.sampled_from(Hold))
def test_lifting_takes_away_its_own_hold_and_no_other(holds: Holds, hold: Hold) -> None:
    assert holds.lift(hold).standing == holds.standing - {hold}
    assert holds.place(hold).lift(hold) == holds.lift(hold)
    assert hold in holds.place(hold)


def test_a_recharge_does_not_energise_a_site_that_is_held_for_another_reason() -> None:
    for other in set(Hold) - {Hold.CREDIT}:
        held = Holds().place(other).place(Hold.CREDIT)
        assert held.lift(Hold.CREDIT).intent is RelayIntent.OPEN


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(Hold)), max_size=12))
def test_only_the_last_word_on_each_hold_counts(changes: list[tuple[bool, Hold]]) -> None:
    holds = Holds()
    for placed, hold in changes:
        holds = holds.place(hold) if placed else holds.lift(hold)
    last = {hold: placed for placed, hold in changes}
    assert holds.standing == {hold for hold, placed in last.items() if placed}


def test_codes_are_fixed_and_read_back() -> None:
    assert [hold.value for hold in Hold] == [1, 2, 3, 4, 5, 6]
    for count in range(len(Hold) + 1):
        for standing in itertools.combinations(Hold, count):
            assert Holds.from_codes(Holds(frozenset(standing)).codes) == Holds(frozenset(standing))


def test_a_hold_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="7"):
        Holds.from_codes([3, 7])
