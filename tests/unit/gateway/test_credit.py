"""Prepaid control on the box: dark at zero, light again on credit, by itself."""

from collections import Counter

import msgspec
import pytest

from gateway.core.credit import EVENT_CREDIT_EXHAUSTED
from prepay.entries import Assignment, Credit, Entry, Opening, Release, Tariff
from prepay.holds import Hold
from prepay.identity import encode
from tests.unit.gateway.box import METER, UTC_MS, Box
from wire import codec
from wire.address import Kind
from wire.facts import EntryFact, FactsHeld, PrepaidPolicy, fact_id
from wire.messages import Facts

ACCOUNT = "a-1"
OPENING = Opening(account=ACCOUNT, currency="INR", exponent=2, tariff_class="home", opened_at_ms=UTC_MS)
ASSIGNMENT = Assignment(
    account=ACCOUNT,
    meter_serial=METER,
    installation=1,
    opening_wh=0,
    from_ms=UTC_MS,
    rated_power_w=5_000,
    register_step_wh=1,
    register_modulus_wh=0,
)
TARIFF = Tariff(
    id=bytes(16), scope="home", predecessor=b"", price=500, price_digits=0, effective_from_ms=UTC_MS
)  # five INR a kilowatt-hour


def credit(number: int, amount_minor: int, *, at_ms: int = UTC_MS) -> Credit:
    return Credit(id=number.to_bytes(16), account=ACCOUNT, amount_minor=amount_minor, issued_at_ms=at_ms)


def policy(decides: str = "box", *, version: int = 1) -> PrepaidPolicy:
    return PrepaidPolicy(
        account=ACCOUNT, meter=METER, version=version, decides=decides, currency="INR", emergency_minor=0, low_minor=0
    )


def give(box: Box, *entries: Entry) -> None:
    box.facts(*(EntryFact(account=ACCOUNT, entry=encode(entry)) for entry in entries))


@pytest.fixture
def household(box: Box) -> Box:
    """A household with ten INR, which is two kilowatt-hours."""
    box.open_session()
    give(box, OPENING, ASSIGNMENT, TARIFF, credit(1, 1_000))
    box.facts(policy())
    box.read(0)
    return box


def is_held(box: Box) -> bool:
    return Hold.CREDIT in box.station.relays.holds(METER)


def use(box: Box, energy_wh: int) -> None:
    box.now_ms += 600_000
    box.read(energy_wh)


def test_supply_goes_on_while_there_is_credit(household: Box) -> None:
    use(household, 700)
    use(household, 1_400)
    assert not is_held(household)


def test_supply_stops_within_the_hour_in_which_credit_is_used_up(household: Box) -> None:
    for energy_wh in (700, 1_400, 2_000):
        use(household, energy_wh)
    assert is_held(household)
    household.drain()
    assert household.events("3.20.8.150") == 1


def test_a_credit_brings_light_back_at_once_and_lifts_no_other_hold(household: Box) -> None:
    for energy_wh in (700, 1_400, 2_000):
        use(household, energy_wh)
    with household.store.transaction():
        household.station.relays.place(METER, Hold.TAMPER)
    give(household, credit(2, 500, at_ms=UTC_MS + household.now_ms))
    assert not is_held(household)
    assert Hold.TAMPER in household.station.relays.holds(METER)


def test_an_account_that_comes_with_its_first_credit_does_not_go_dark_before_it(box: Box) -> None:
    box.open_session()
    entries = (OPENING, ASSIGNMENT, TARIFF, credit(1, 1_000))
    box.facts(policy(), *(EntryFact(account=ACCOUNT, entry=encode(entry)) for entry in entries))
    assert not is_held(box)
    assert box.events(EVENT_CREDIT_EXHAUSTED) == 0


def test_a_credit_of_a_cloud_whose_clock_is_ahead_counts_at_once(household: Box) -> None:
    for energy_wh in (700, 1_400, 2_000):
        use(household, energy_wh)
    give(household, credit(2, 500, at_ms=UTC_MS + household.now_ms + 5_000))
    assert not is_held(household)


def test_the_same_credit_twice_counts_once(household: Box) -> None:
    give(household, credit(1, 1_000))
    balance = household.station.credit.balance(ACCOUNT, UTC_MS + household.now_ms)
    assert balance is not None
    assert balance.credited_minor == 1_000


def test_every_fact_is_answered_each_time_it_comes(household: Box) -> None:
    before = sum(isinstance(fact, FactsHeld) for fact in household.sent)
    give(household, credit(1, 1_000))
    household.drain()
    assert sum(isinstance(fact, FactsHeld) for fact in household.sent) > before


def test_a_restart_changes_neither_balance_nor_hold(household: Box) -> None:
    for energy_wh in (700, 1_400, 2_000):
        use(household, energy_wh)
    at_ms = UTC_MS + household.now_ms
    before = household.station.credit.balance(ACCOUNT, at_ms)
    household.restart()
    assert household.station.credit.balance(ACCOUNT, at_ms) == before
    assert is_held(household)


def test_the_box_does_not_decide_for_an_account_that_another_decides_about(box: Box) -> None:
    box.open_session()
    give(box, OPENING, ASSIGNMENT, TARIFF, credit(1, 1))
    box.facts(policy("external"))
    box.read(0)
    use(box, 800)
    assert not is_held(box)


def test_the_boxs_hold_goes_when_another_takes_over_the_decision(household: Box) -> None:
    for energy_wh in (700, 1_400, 2_000):
        use(household, energy_wh)
    assert is_held(household)
    household.facts(policy("external", version=2))
    assert not is_held(household)


def test_an_entry_of_another_account_is_refused_and_not_asked_for_again(household: Box) -> None:
    stranger = Credit(id=bytes(16), account="a-2", amount_minor=1, issued_at_ms=UTC_MS)
    household.facts(EntryFact(account=ACCOUNT, entry=encode(stranger)))
    household.drain()
    assert household.events("5.12.0.38") == 1
    household.restart()


def test_a_fact_that_this_program_does_not_know_is_held_and_survives_a_restart(household: Box) -> None:
    unknown = codec.encode(["fact-of-tomorrow", 1])
    household.drain()
    before = household.hello
    household.hear(Kind.FACTS, Facts(facts=[unknown]))
    household.restart()
    household.drain()
    assert household.events("5.12.0.38") == 1
    assert before is not None
    assert household.hello is not None
    changed = int.from_bytes(household.hello.facts_held) ^ int.from_bytes(before.facts_held)
    assert changed.to_bytes(16) == fact_id(unknown)


@pytest.mark.parametrize("new_account", [f"a-{number}" for number in range(2, 8)])
def test_a_meter_that_moved_to_another_account_stays_there_after_a_restart(household: Box, new_account: str) -> None:
    moved_ms = UTC_MS + household.now_ms
    release = Release(account=ACCOUNT, meter_serial=METER, installation=1, closing_wh=0, until_ms=moved_ms)
    give(household, release)
    entries: tuple[Entry, ...] = (
        msgspec.structs.replace(OPENING, account=new_account),
        msgspec.structs.replace(ASSIGNMENT, account=new_account, from_ms=moved_ms),
        TARIFF,
    )
    household.facts(*(EntryFact(account=new_account, entry=encode(entry)) for entry in entries))
    household.facts(msgspec.structs.replace(policy(), account=new_account))
    assert is_held(household)
    household.restart()
    household.open_session()
    give(household, credit(2, 5_000, at_ms=moved_ms))
    assert is_held(household)
    before = Counter(account for account, _ in household.store.entries())
    household.now_ms += 3_600_000
    use(household, 20)
    assert Counter(account for account, _ in household.store.entries()) - before == {new_account: 1}


def test_a_register_that_no_entry_can_hold_is_not_counted(household: Box) -> None:
    household.now_ms += 3_600_000
    household.read(-5)
    household.read(10**16)
    household.restart()
    use(household, 700)
    assert not is_held(household)
