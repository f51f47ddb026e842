"""Which price holds when."""

import itertools

from prepay.entries import Tariff
from prepay.register import Fault
from prepay.tariff import Schedule, schedule, span_index
from tests.unit.prepay.village import ACCOUNT, CLASS, entry_id, tariff

FIRST = tariff("first", 100)
SECOND = tariff("second", 200, after="first", from_ms=1_000)
THIRD = tariff("third", 300, after="second", from_ms=2_000)


def of(*tariffs: Tariff) -> Schedule:
    """Return the schedule of some tariffs, the same for every order of them."""
    results = {schedule(order, account=ACCOUNT, tariff_class=CLASS)[::2] for order in itertools.permutations(tariffs)}
    assert len(results) == 1
    return schedule(tariffs, account=ACCOUNT, tariff_class=CLASS)


def in_force(*tariffs: Tariff) -> list[tuple[int, int]]:
    return [(span.from_ms, span.tariff.price) for span in of(*tariffs).spans]


def test_each_tariff_holds_from_its_date_to_the_next() -> None:
    assert in_force(FIRST, SECOND, THIRD) == [(0, 100), (1_000, 200), (2_000, 300)]
    assert of(FIRST, SECOND, THIRD).faults == ()
    assert of(FIRST, SECOND, THIRD).missing == ()


def test_of_two_with_one_date_the_successor_holds() -> None:
    corrected = tariff("corrected", 180, after="second", from_ms=1_000)
    assert in_force(FIRST, SECOND, corrected) == [(0, 100), (1_000, 180)]


def test_the_accounts_own_tariff_goes_before_its_class_from_its_date_on() -> None:
    own = tariff("own", 50, from_ms=1_500, scope=ACCOUNT)
    assert in_force(FIRST, SECOND, THIRD, own) == [(0, 100), (1_000, 200), (1_500, 50)]
    assert of(FIRST, own).faults == ()


def test_a_missing_predecessor_is_named_and_the_known_prices_hold() -> None:
    assert of(FIRST, THIRD).missing == (entry_id("second"),)
    assert in_force(FIRST, THIRD) == [(0, 100), (2_000, 300)]


def test_a_fork_is_flagged_on_both_sides() -> None:
    rival = tariff("rival", 250, after="first", from_ms=1_200)
    assert set(of(FIRST, SECOND, rival).faults) == {(SECOND, Fault.TARIFF_FORK), (rival, Fault.TARIFF_FORK)}
    assert in_force(FIRST, SECOND, rival) == [(0, 100), (1_000, 200), (1_200, 250)]


def test_tariffs_of_another_class_are_flagged_and_hold_nothing() -> None:
    shop = tariff("shop", 900, scope="shop")
    assert in_force(FIRST, shop) == [(0, 100)]
    assert of(FIRST, shop).faults == ((shop, Fault.FOREIGN_TARIFF),)


def test_a_circle_of_predecessors_ends() -> None:
    one, other = tariff("one", 1, after="other"), tariff("other", 2, after="one")
    assert len(in_force(one, other)) == 1


def test_a_step_belongs_to_the_tariff_that_began_before_its_end() -> None:
    starts_ms = [0, 1_000, 2_000]
    assert [span_index(starts_ms, at_ms) for at_ms in (0, 1, 1_000, 1_001, 2_000, 9_999)] == [-1, 0, 0, 1, 1, 2]
