"""Grafana's server side expressions as its documentation has them: reduce, math on numbers, threshold.

Each takes what the step before gave, one item for each set of labels, and keeps the labels. A number is None where
there is nothing to tell (null) and not-a-number where something was computed that is no number.

    numbers = reduce(answer.frames, "last", mode="dropNN")
    shares = math("($B >= 2) * $B * 100 / $E", {"B": numbers, "E": others})
    breached = threshold(shares, "gt", [10])        # 1 or 0 each
"""

import math as floats
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.rig.grafana.queries import Frame, Labels

Numbers = Mapping[Labels, float | None]
"""A collection of numbers, one for each set of labels."""


class ExpressionError(Exception):
    """Raised when an expression is none, or two items have the same labels."""


def reduce(
    frames: Sequence[Frame], reducer: str, *, mode: str = "strict", replace_with: float = 0.0
) -> dict[Labels, float | None]:
    """Turn each series into one number.

    Args:
        frames: The series.
        reducer: `last`, `mean`, `min`, `max`, `sum` or `count`.
        mode: What becomes of values that are no numbers: `strict` (they make the whole not a number, but for `last` and
            `count`, which look at one value and at none), `dropNN` (left out) or `replaceNN` (replaced).
        replace_with: By what, in the last mode.

    Raises:
        ExpressionError: No such reducer or mode, or two series have the same labels.
    """
    reduced: dict[Labels, float | None] = {}
    for frame in frames:
        if frame.labels in reduced:
            raise ExpressionError(f"two series have the labels {sorted(frame.labels)}")
        result = _REDUCERS[_known(reducer, _REDUCERS)](_values(frame, mode, replace_with))
        # Where non-numbers are dropped, what comes of nothing is nothing.
        reduced[frame.labels] = None if mode == "dropNN" and not floats.isfinite(result) else result
    return reduced


def threshold(numbers: Numbers, kind: str, limits: Sequence[float]) -> dict[Labels, float | None]:
    """Hold each number against a limit: 1 where the condition is met, 0 where it is not, None where there is none.

    Args:
        numbers: What is judged.
        kind: `gt`, `lt` with one limit; `within_range`, `outside_range` with two, which themselves are neither within
            nor outside.
        limits: The limits.

    Raises:
        ExpressionError: No such kind, or not as many limits as it takes.
    """
    judge, count = _THRESHOLDS[_known(kind, _THRESHOLDS)]
    if len(limits) < count:
        raise ExpressionError(f"{kind} takes {count} limits, not {list(limits)}")
    return {
        labels: None if number is None else float(judge(number, list(limits))) for labels, number in numbers.items()
    }


def math(formula: str, variables: Mapping[str, Numbers]) -> dict[Labels, float | None]:
    """Compute a formula of numbers for each set of labels.

    Items of two variables are joined where their labels are the same or one's are part of the other's, where one has no
    labels, and where each variable has a single item; what finds no partner is left out.

    Args:
        formula: With `$A` or `${A}`, numbers, `+ - * / % **`, `< > == != <= >=`, `&& || !`, parentheses, and the
            functions `abs round ceil floor log is_nan is_inf is_null is_number`.
        variables: Results of other steps by their names.

    Raises:
        ExpressionError: It is no formula, or names what is not there.
    """
    parser = _Parser(formula, variables)
    return dict(parser.whole())


def _values(frame: Frame, mode: str, replace_with: float) -> list[float]:
    values = [floats.nan if value is None else float(value) for value in frame.values]
    match mode:
        case "strict" | "":
            return [value if floats.isfinite(value) else floats.nan for value in values]
        case "dropNN":
            return [value for value in values if floats.isfinite(value)]
        case "replaceNN":
            return [value if floats.isfinite(value) else replace_with for value in values]
        case _:
            raise ExpressionError(f"reduce has no mode {mode!r}")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else floats.nan


def _extreme(pick: Callable[[list[float]], float]) -> Callable[[list[float]], float]:
    def picked(values: list[float]) -> float:
        return pick(values) if values and not any(map(floats.isnan, values)) else floats.nan

    return picked


_REDUCERS: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "last": lambda values: values[-1] if values else floats.nan,
    "mean": _mean,
    "min": _extreme(min),
    "max": _extreme(max),
    "sum": lambda values: float(sum(values)),
    "count": lambda values: float(len(values)),
}
_THRESHOLDS: Final[Mapping[str, tuple[Callable[[float, list[float]], bool], int]]] = {
    "gt": (lambda number, limits: number > limits[0], 1),
    "lt": (lambda number, limits: number < limits[0], 1),
    "within_range": (lambda number, limits: limits[0] < number < limits[1], 2),
    "outside_range": (lambda number, limits: number < limits[0] or number > limits[1], 2),
}


def _known(name: str, table: Mapping[str, object]) -> str:
    if name not in table:
        raise ExpressionError(f"{name!r} is none of {', '.join(table)}")
    return name


# ---- math -----------------------------------------------------------------------------------------------------------


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    return floats.nan if not left or floats.isnan(left) else floats.copysign(floats.inf, left)


def _powered(left: float, right: float) -> float:
    try:
        return float(left**right)
    except (OverflowError, ZeroDivisionError):
        return floats.inf


_BINARY: Final[Sequence[Mapping[str, Callable[[float, float], float]]]] = (
    {"||": lambda left, right: float(bool(left) or bool(right))},
    {"&&": lambda left, right: float(bool(left) and bool(right))},
    {
        "<": lambda left, right: float(left < right),
        ">": lambda left, right: float(left > right),
        "<=": lambda left, right: float(left <= right),
        ">=": lambda left, right: float(left >= right),
        "==": lambda left, right: float(left == right),
        "!=": lambda left, right: float(left != right),
    },
    {"+": lambda left, right: left + right, "-": lambda left, right: left - right},
    {
        "*": lambda left, right: left * right,
        "/": _divided,
        "%": lambda left, right: floats.fmod(left, right) if right else floats.nan,
    },
    {"**": _powered},
)
_FUNCTIONS: Final[Mapping[str, Callable[[float | None], float | None]]] = {
    "abs": lambda number: None if number is None else abs(number),
    "ceil": lambda number: None if number is None else float(floats.ceil(number)),
    "floor": lambda number: None if number is None else float(floats.floor(number)),
    "round": lambda number: None if number is None else floats.copysign(floats.floor(abs(number) + 0.5), number),
    "log": lambda number: None if number is None else (floats.log(number) if number > 0 else floats.nan),
    "is_nan": lambda number: float(number is not None and floats.isnan(number)),
    "is_inf": lambda number: float(number is not None and floats.isinf(number)),
    "is_null": lambda number: float(number is None),
    "is_number": lambda number: float(number is not None and floats.isfinite(number)),
}
_TOKEN = re.compile(
    r"\s*(\$\{[^}]+\}|\$\w+|0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+|\*\*|&&|\|\||[<>=!]=|[-+*/%<>!()])"
)


@dataclass(slots=True)
class _Parser:
    """By precedence, computing as it reads; a constant is a collection of one number without labels."""

    formula: str
    variables: Mapping[str, Numbers]
    at: int = 0

    def whole(self) -> Numbers:
        result = self._binary(0)
        if self._peek():
            raise ExpressionError(f"{self.formula}: {self._peek()!r} is not expected there")
        return result

    def _peek(self) -> str:
        match = _TOKEN.match(self.formula, self.at)
        if match:
            return match[1]
        rest = self.formula[self.at :].strip()
        if rest:
            raise ExpressionError(f"{self.formula}: {rest!r} is nothing known")
        return ""

    def _next(self) -> str:
        token = self._peek()
        self.at = self.formula.index(token, self.at) + len(token)
        return token

    def _binary(self, level: int) -> Numbers:
        if level == len(_BINARY):
            return self._unary()
        result = self._binary(level + 1)
        while self._peek() in _BINARY[level]:
            operator = _BINARY[level][self._next()]
            result = _joined(result, self._binary(level + 1), operator)
        return result

    def _unary(self) -> Numbers:
        match self._peek():
            case "-":
                self._next()
                return _each(self._unary(), lambda number: None if number is None else -number)
            case "!":
                self._next()
                return _each(self._unary(), lambda number: None if number is None else float(not number))
            case _:
                return self._item()

    def _item(self) -> Numbers:
        token = self._next()
        if token == "(":
            inner = self._binary(0)
            self._close()
            return inner
        if token.startswith("$"):
            name = token.strip("${}")
            if name not in self.variables:
                raise ExpressionError(f"{self.formula}: there is no {token}")
            return self.variables[name]
        if token in _FUNCTIONS:
            if self._next() != "(":
                raise ExpressionError(f"{self.formula}: {token} takes its argument in parentheses")
            argument = self._binary(0)
            self._close()
            return _each(argument, _FUNCTIONS[token])
        try:
            # A leading zero makes it octal, as in the language that Grafana is written in.
            octal = len(token) > 1 and token.startswith("0") and token.isdigit()
            return {frozenset(): float(int(token, 8 if octal else 16) if octal or "x" in token else float(token))}
        except ValueError:
            raise ExpressionError(f"{self.formula}: {token!r} is not expected there") from None

    def _close(self) -> None:
        if self._next() != ")":
            raise ExpressionError(f"{self.formula}: a parenthesis is not closed")


def _each(numbers: Numbers, function: Callable[[float | None], float | None]) -> Numbers:
    return {labels: function(number) for labels, number in numbers.items()}


def _joined(left: Numbers, right: Numbers, operator: Callable[[float, float], float]) -> Numbers:
    single = len(left) == len(right) == 1
    result: dict[Labels, float | None] = {}
    for left_labels, left_number in left.items():
        for right_labels, right_number in right.items():
            if not (single or left_labels <= right_labels or right_labels <= left_labels):
                continue
            labels = left_labels if len(left_labels) >= len(right_labels) else right_labels
            nothing = left_number is None or right_number is None
            result[labels] = None if nothing else operator(_certain(left_number), _certain(right_number))
    return result


def _certain(number: float | None) -> float:
    assert number is not None
    return number
