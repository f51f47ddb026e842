"""Whether an account is cut off, as its box would have it."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.monitoring.core.standing import Standing
from prepay.account import Account
from prepay.control import CreditPolicy, Decider, decide
from prepay.entries import Adjustment, AdjustmentReason, Credit, Entry, Opening
from prepay.holds import Hold, Holds
from wire.facts import PrepaidPolicy

BEGIN_MS = 1_790_000_000_000
OPENING = Opening(account="A", currency="KES", exponent=2, tariff_class="A", opened_at_ms=BEGIN_MS)


def policy(emergency_minor: int) -> PrepaidPolicy:
    return PrepaidPolicy(
        account="A",
        meter="m",
        version=1,
        decides="box",
        currency="KES",
        emergency_minor=emergency_minor,
        low_minor=0,
    )


def moved(number: int, amount_minor: int) -> Entry:
    at_ms, name = BEGIN_MS + 1 + number, number.to_bytes(16)
    if amount_minor > 0:
        return Credit(id=name, account="A", amount_minor=amount_minor, issued_at_ms=at_ms)
    return Adjustment(
        id=name,
        account="A",
        amount_minor=amount_minor,
        reason=AdjustmentReason.DEBT,
        refers_to=b"",
        issued_at_ms=at_ms,
    )


@given(
    st.integers(0, 300),
    st.lists(st.integers(-400, 400).filter(bool), max_size=8),
)
def test_the_relay_is_held_where_a_box_that_saw_everything_holds_it(emergency_minor: int, amounts: list[int]) -> None:
    entries = [OPENING, *(moved(number, amount_minor) for number, amount_minor in enumerate(amounts))]
    account, holds = Account("A"), Holds()
    bounds = CreditPolicy(emergency_credit_minor=emergency_minor)
    standing = Standing("A", policy(emergency_minor), entries, since_ms=BEGIN_MS)
    for number, entry in enumerate(entries):
        account.add(entry)
        decision = decide(account.balance(BEGIN_MS + number), bounds, holds=holds, decider=Decider.BOX)
        holds = decision.apply(holds)

        assert standing.is_cut_off(BEGIN_MS + number) is (Hold.CREDIT in holds)


def test_an_account_is_not_cut_off_before_it_was_opened() -> None:
    standing = Standing("A", policy(0), [OPENING], since_ms=BEGIN_MS - 10)

    assert not standing.is_cut_off(BEGIN_MS - 1)
    assert standing.is_cut_off(BEGIN_MS)


def test_an_account_that_was_never_opened_is_not_cut_off() -> None:
    standing = Standing("A", policy(0), [moved(1, -100)], since_ms=BEGIN_MS)

    assert not standing.is_cut_off(BEGIN_MS + 10)
    assert not standing.is_low(BEGIN_MS + 10)
