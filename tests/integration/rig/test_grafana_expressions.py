"""Reduce, threshold and math as Grafana's documentation describes them."""

from math import inf, isnan, nan

import pytest

from tests.rig.grafana.expressions import ExpressionError, Numbers, math, reduce, threshold
from tests.rig.grafana.queries import Frame, Value, labels_of

A = labels_of(host="a")
B = labels_of(host="b")


def series(*values: Value, host: str = "a") -> Frame:
    return Frame("value", labels_of(host=host), tuple(range(len(values))), values)


def reduced(reducer: str, *values: Value, mode: str = "strict", replace_with: float = 0) -> float | None:
    return reduce([series(*values)], reducer, mode=mode, replace_with=replace_with)[A]


@pytest.mark.parametrize(
    ("reducer", "expected"), [("last", 2), ("mean", 3), ("min", 1), ("max", 6), ("sum", 9), ("count", 3)]
)
def test_each_reducer_makes_one_number_of_a_series(reducer: str, expected: float) -> None:
    assert reduced(reducer, 1.0, 6.0, 2.0) == expected


def test_each_series_keeps_its_labels() -> None:
    assert reduce([series(1.0), series(5.0, host="b")], "last") == {A: 1, B: 5}


@pytest.mark.parametrize("reducer", ["mean", "min", "max", "sum"])
@pytest.mark.parametrize("bad", [None, nan, inf])
def test_strict_makes_not_a_number_of_a_series_with_a_value_that_is_none(reducer: str, bad: float | None) -> None:
    result = reduced(reducer, 1.0, bad, 2.0)
    assert result is not None
    assert isnan(result)


@pytest.mark.parametrize(("reducer", "expected"), [("mean", 1.5), ("sum", 3), ("count", 2), ("last", 2), ("min", 1)])
def test_dropping_leaves_out_what_is_no_number(reducer: str, expected: float) -> None:
    assert reduced(reducer, 1.0, None, inf, 2.0, nan, mode="dropNN") == expected


def test_replacing_counts_what_is_no_number_as_the_given_value() -> None:
    assert reduced("sum", 1.0, None, nan, mode="replaceNN", replace_with=10) == 21


def test_an_empty_series_has_a_sum_and_a_count_and_nothing_else() -> None:
    assert (reduced("sum"), reduced("count")) == (0, 0)
    assert all(isnan(number) for name in ("mean", "min", "max", "last") if (number := reduced(name)) is not None)
    assert reduced("last", None, mode="dropNN") is None


def test_two_series_of_the_same_labels_cannot_be_told_apart() -> None:
    with pytest.raises(ExpressionError, match="two series have the labels"):
        reduce([series(1.0), series(2.0)], "last")


@pytest.mark.parametrize(
    ("kind", "limits", "met"),
    [
        ("gt", [5], [False, False, True, True]),
        ("lt", [5], [True, False, False, False]),
        ("within_range", [4, 8], [False, True, True, False]),
        ("within_range", [5, 9], [False, False, True, False]),
        ("outside_range", [5, 8], [True, False, False, True]),
    ],
)
def test_a_threshold_is_met_or_not_for_each_number(kind: str, limits: list[float], met: list[bool]) -> None:
    numbers: Numbers = {labels_of(n=str(n)): n for n in (4, 5, 7, 9)}
    assert list(threshold(numbers, kind, limits).values()) == [float(is_met) for is_met in met]


def test_nothing_meets_no_threshold_and_not_a_number_meets_none() -> None:
    assert threshold({A: None, B: nan}, "gt", [0]) == {A: None, B: 0}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-0.8e-2", -0.008),
        ("072", 58),
        ("0x2A", 42),
        ("2 ** 3 % 5", 3),
        ("1 < 2 && !0", 1),
        ("1 >= 2 || 0", 0),
        ("1 - 2 - 3", -4),
        ("abs(-1) + round(3.123) + ceil(3.123) + floor(3.9)", 11),
        ("is_nan(0 / 0) + is_inf(1 / 0) + is_number(3)", 3),
        ("7 != 7.0", 0),
    ],
)
def test_formulas_follow_the_documented_operators(formula: str, expected: float) -> None:
    assert math(formula, {}) == {frozenset(): pytest.approx(expected)}


def test_numbers_of_the_same_labels_are_computed_with_each_other() -> None:
    assert math("$B * 100 / ${E}", {"B": {A: 1, B: 2}, "E": {B: 8, A: 4}}) == {A: 25, B: 25}


def test_labels_that_are_part_of_others_join_and_what_has_no_partner_is_left_out() -> None:
    wide, narrow, alone = labels_of(host="A", dc="MIA"), labels_of(host="A"), labels_of(host="C")
    assert math("$A + $B", {"A": {wide: 1, labels_of(host="B"): 7}, "B": {narrow: 2, alone: 3}}) == {wide: 3}


def test_items_without_labels_join_anything_and_single_items_join_each_other() -> None:
    assert math("$A - $B", {"A": {A: 5, B: 6}, "B": {frozenset(): 1}}) == {A: 4, B: 5}
    assert math("$A - $B", {"A": {A: 5}, "B": {B: 1}}) == {A: 4}


def test_nothing_stays_nothing() -> None:
    assert math("$A + 1", {"A": {A: None}}) == {A: None}
    assert math("is_null($A)", {"A": {A: None}}) == {A: 1}


@pytest.mark.parametrize("formula", ["1 +", "$Z", "1 2", "(1", "abs 1", "1 ? 2"])
def test_what_is_no_formula_is_refused(formula: str) -> None:
    with pytest.raises((ExpressionError, ValueError)):
        math(formula, {})
