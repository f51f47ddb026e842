"""Amounts and prices: exact integers, one rounding."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepay.money import Currency, amount_minor, amount_text, charge_minor, price_parts, round_half_up

INR = Currency("INR", 2)
XOF = Currency("XOF", 0)
KWD = Currency("KWD", 3)


@given(st.integers(0, 10**30), st.integers(1, 10**15))
def test_rounding_gives_the_nearest_integer_and_a_half_goes_up(numerator: int, denominator: int) -> None:
    error = round_half_up(numerator, denominator) - Fraction(numerator, denominator)
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


def test_four_decimals_per_kwh_are_charged_exactly() -> None:
    price, digits = price_parts("4.7325", INR)
    assert (price, digits) == (47_325, 2)
    assert charge_minor(1_000_000, price=price, price_digits=digits) == 473_250
    assert charge_minor(1_000, price=price, price_digits=digits) == 473
    assert charge_minor(2_000, price=price, price_digits=digits) == 947


def test_a_half_minor_unit_is_charged_as_one() -> None:
    assert charge_minor(1, price=500, price_digits=0) == 1
    assert charge_minor(1, price=499, price_digits=0) == 0


@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(0, 10**6), st.integers(0, 4))
def test_the_charge_of_a_period_does_not_depend_on_the_order_of_its_steps(
    steps_wh: list[int], price: int, digits: int
) -> None:
    charges = {
        charge_minor(sum(order), price=price, price_digits=digits)
        for order in itertools.islice(itertools.permutations(steps_wh), 24)
    }
    assert len(charges) == 1


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 9))
def test_more_energy_never_costs_less(first_wh: int, more_wh: int, price: int, digits: int) -> None:
    less = charge_minor(first_wh, price=price, price_digits=digits)
    assert charge_minor(first_wh + more_wh, price=price, price_digits=digits) >= less


@given(st.integers(-(10**15), 10**15), st.sampled_from([INR, XOF, KWD]))
def test_an_amount_written_and_read_is_the_same(amount: int, currency: Currency) -> None:
    assert amount_minor(amount_text(amount, currency).split()[0], currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(-50, INR, "-0.50 INR"), (5, KWD, "0.005 KWD"), (1200, XOF, "1200 XOF"), (0, INR, "0.00 INR")],
)
def test_amounts_are_written_with_the_digits_of_their_currency(amount: int, currency: Currency, text: str) -> None:
    assert amount_text(amount, currency) == text


@pytest.mark.parametrize("text", ["", "1e3", "1,5", "1.", ".5", "0x10", "+1", " 1", "1.005", "٣"])
def test_text_that_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a plain|is finer"):
        amount_minor(text, INR)


@pytest.mark.parametrize("text", ["-1", "0.123456789012"])
def test_a_price_that_no_tariff_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"negative|more than"):
        price_parts(text, INR)


def test_a_coarse_price_needs_no_digits() -> None:
    assert price_parts("5", INR) == (500, 0)
    assert price_parts("4.7", INR) == (470, 0)
    assert price_parts("95.5", XOF) == (955, 1)
