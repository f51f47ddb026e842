"""From balance to credit hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepay.account import Account
from prepay.balance import Balance
from prepay.control import Cause, CreditPolicy, Decider, Decision, LiftCreditHold, PlaceCreditHold, WarningLevel, decide
from prepay.holds import Hold, Holds, RelayIntent
from tests.unit.prepay.village import ACCOUNT, adjustment, opening

HELD = Holds().place(Hold.CREDIT)
policies = st.builds(
    CreditPolicy,
    emergency_credit_minor=st.integers(0, 300),
    restore_above_minor=st.integers(0, 300),
    low_balance_minor=st.integers(0, 300),
)


def balance_of(amount_minor: int, *, at_ms: int = 5, opened: bool = True) -> Balance:
    account = Account(ACCOUNT)
    if opened:
        account.add(opening())
    account.add(adjustment("a", amount_minor))
    return account.balance(at_ms)


def decided(
    amount_minor: int,
    policy: CreditPolicy,
    *,
    holds: Holds | None = None,
    decider: Decider = Decider.BOX,
    at_ms: int = 5,
    opened: bool = True,
) -> Decision:
    balance = balance_of(amount_minor, at_ms=at_ms, opened=opened)
    return decide(balance, policy, holds=holds or Holds(), decider=decider)


def test_the_relay_is_held_at_zero_and_released_above_it() -> None:
    policy = CreditPolicy()
    assert decided(1, policy).change is None
    assert decided(0, policy).change == PlaceCreditHold()
    assert decided(0, policy, holds=HELD).change is None
    assert decided(1, policy, holds=HELD).change == LiftCreditHold()


def test_emergency_credit_is_used_up_first_and_paid_back_first() -> None:
    policy = CreditPolicy(emergency_credit_minor=300)
    assert decided(-299, policy).change is None
    assert decided(-300, policy).change == PlaceCreditHold()
    assert decided(-10, policy, holds=HELD).change is None
    assert decided(1, policy, holds=HELD).change == LiftCreditHold()


def test_a_recharge_lifts_the_credit_hold_and_leaves_the_others() -> None:
    holds = HELD.place(Hold.TAMPER)
    after = decided(500, CreditPolicy(), holds=holds).apply(holds)
    assert after.standing == {Hold.TAMPER}
    assert after.intent is RelayIntent.OPEN


def test_nobody_is_cut_in_the_time_of_grace() -> None:
    policy = CreditPolicy(grace_until_ms=10)
    early, due = decided(-5, policy, at_ms=9), decided(-5, policy, at_ms=10)
    assert (early.change, early.cause, early.warning) == (None, Cause.GRACE, WarningLevel.EXHAUSTED)
    assert (due.change, due.cause) == (PlaceCreditHold(), Cause.EXHAUSTED)


@pytest.mark.parametrize("policy_decider", Decider)
def test_only_the_one_who_decides_changes_anything(policy_decider: Decider) -> None:
    for decider in Decider:
        decision = decided(-5, CreditPolicy(decider=policy_decider), decider=decider)
        assert (decision.change is not None) == (decider is policy_decider)
        assert (decision.cause is Cause.NOT_OURS) == (decider is not policy_decider)


def test_an_account_whose_opening_has_not_arrived_is_not_cut() -> None:
    decision = decided(-5, CreditPolicy(), opened=False)
    assert (decision.change, decision.cause, decision.warning) == (None, Cause.NOT_OPENED, WarningLevel.NONE)


def test_a_decision_shows_the_balance_it_rests_on() -> None:
    balance = balance_of(70)
    decision = decided(70, CreditPolicy())
    assert (decision.amount_minor, decision.version, decision.digest, decision.at_ms) == (70, 2, balance.digest, 5)


@pytest.mark.parametrize(
    ("amount_minor", "level"),
    [
        (101, WarningLevel.NONE),
        (100, WarningLevel.LOW),
        (1, WarningLevel.LOW),
        (0, WarningLevel.EMERGENCY),
        (-49, WarningLevel.EMERGENCY),
        (-50, WarningLevel.EXHAUSTED),
    ],
)
def test_the_household_is_warned_in_steps(amount_minor: int, level: WarningLevel) -> None:
    policy = CreditPolicy(emergency_credit_minor=50, low_balance_minor=100)
    assert decided(amount_minor, policy).warning is level


@given(st.integers(-500, 500), policies, st.booleans())
def test_a_decision_once_carried_out_stands(amount_minor: int, policy: CreditPolicy, held: bool) -> None:  # noqa: FBT001
    holds = HELD if held else Holds()
    after = decided(amount_minor, policy, holds=holds).apply(holds)
    assert decided(amount_minor, policy, holds=after).change is None


@pytest.mark.parametrize("fields", [{"emergency_credit_minor": -1}, {"restore_above_minor": -1}])
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"not below zero|chatter"):
        CreditPolicy(**fields)  # type: ignore[arg-type]
