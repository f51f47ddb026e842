"""Evaluates alert rules as Grafana documents it: at an instant, and over a span with the states of each set of labels.

Rules are the ones that are pushed to Grafana, as plain data (`as_json(rule_of(…))`): queries by relative time ranges,
expressions, a condition. Instants are of the site, so simulated days are judged in seconds.

    evaluation = evaluate(rule, asker, at_ms=…)
    evaluation.breached                              # sets of labels that meet the condition
    timeline = run(rule, asker, Span(from_ms, to_ms), interval_ms=60_000)
    timeline.of(gateway="gw-1")                      # ((instant, State), …)
    timeline.firing()                                # sets of labels that were Alerting at any instant
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tests.rig.grafana import expressions
from tests.rig.grafana.queries import Asker, Frame, Labels, Span

EXPRESSIONS_UID: Final = "__expr__"
MISSING_EVALUATIONS_MAX: Final = 2
"""So many evaluations without its series, and an instance is resolved and forgotten."""
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
NO_LABELS: Labels = frozenset()


class State(StrEnum):
    """Of an alert instance."""

    NORMAL = "Normal"
    PENDING = "Pending"
    ALERTING = "Alerting"
    NO_DATA = "NoData"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a rule's condition said at an instant."""

    at_ms: int
    results: Mapping[Labels, float | None]
    """Of the condition, by labels: not 0 where it is met, None where there is no number."""
    values: Mapping[str, Mapping[Labels, float | None]]
    """Numbers of each expression by its name, which templates show."""
    seconds: float
    """What the queries took."""

    @property
    def is_without_data(self) -> bool:
        """Whether the queries brought nothing at all."""
        return all(result is None for result in self.results.values())

    @property
    def breached(self) -> frozenset[Labels]:
        """Return the sets of labels that meet the condition."""
        return frozenset(labels for labels, result in self.results.items() if result)


@dataclass(slots=True)
class Timeline:
    """States by set of labels over the evaluations of a span."""

    states: dict[Labels, list[tuple[int, State]]] = field(default_factory=dict)
    seconds_max: float = 0.0
    """The longest that the queries of an evaluation took."""

    def of(self, **labels: str) -> tuple[tuple[int, State], ...]:
        """Return the states of the one set of labels that has these."""
        wanted = frozenset(labels.items())
        (found,) = [states for known, states in self.states.items() if wanted <= known]
        return tuple(found)

    def firing(self) -> frozenset[Labels]:
        """Return the sets of labels that were Alerting at any instant."""
        return frozenset(
            labels for labels, states in self.states.items() if any(state is State.ALERTING for _, state in states)
        )

    def resolved(self, labels: Labels) -> bool:
        """Whether a set of labels was Alerting and no longer is."""
        told = [state for _, state in self.states.get(labels, ())]
        return State.ALERTING in told and told[-1] is not State.ALERTING


@dataclass(slots=True)
class Instance:
    """What Grafana keeps of a set of labels between evaluations."""

    state: State = State.NORMAL
    since_ms: int = 0
    """Since when it is Pending or worse."""
    missing_count: int = 0


def evaluate(rule: Mapping[str, Any], asker: Asker, *, at_ms: int) -> Evaluation:
    """Run a rule's queries and expressions as of an instant.

    Args:
        rule: As the HTTP API takes it.
        asker: Of the data source that its queries name.
        at_ms: The instant, site ms.

    Raises:
        QueryError: A query is refused, which Grafana shows as the state Error.
        ExpressionError: An expression is none.
    """
    series: dict[str, Sequence[Frame]] = {}
    numbers: dict[str, Mapping[Labels, float | None]] = {}
    seconds = 0.0
    for step in rule["data"]:
        ref, model = step["refId"], step["model"]
        if step["datasourceUid"] == EXPRESSIONS_UID:
            numbers[ref] = _expression(model, series, numbers)
            continue
        span = step["relativeTimeRange"]
        answer = asker.ask(
            model["query"],
            Span(at_ms - span["from"] * 1_000, at_ms - span["to"] * 1_000),
            interval_ms=model.get("intervalMs", 1_000),
        )
        series[ref] = answer.frames
        seconds += answer.seconds
    results = numbers[rule["condition"]]
    if not all(series.values()):
        # A query without any series makes the whole evaluation one without data, whatever the others brought.
        results = {}
    return Evaluation(at_ms, results, numbers, seconds)


def run(rule: Mapping[str, Any], asker: Asker, span: Span, *, interval_ms: int) -> Timeline:
    """Evaluate a rule each interval of a span and follow the state of each set of labels.

    A condition that is met makes an instance Pending, and Alerting once it has been met for the rule's `for`; met no
    longer, it is Normal. Evaluations without data do what `noDataState` says. An instance whose series is gone while
    others are there keeps its state for an evaluation and is Normal and forgotten with the next.

    Args:
        rule: As the HTTP API takes it.
        asker: Of the data source.
        span: First and last instant.
        interval_ms: Of the rule's group.
    """
    timeline = Timeline()
    instances: dict[Labels, Instance] = {}
    for at_ms in range(span.from_ms, span.to_ms + 1, interval_ms):
        evaluation = evaluate(rule, asker, at_ms=at_ms)
        timeline.seconds_max = max(timeline.seconds_max, evaluation.seconds)
        follow(instances, evaluation, no_data=rule["noDataState"], for_ms=duration_ms(rule["for"]))
        for labels, instance in instances.items():
            timeline.states.setdefault(labels, []).append((at_ms, instance.state))
        for labels in [key for key, known in instances.items() if known.missing_count >= MISSING_EVALUATIONS_MAX]:
            del instances[labels]
    return timeline


def follow(instances: dict[Labels, Instance], evaluation: Evaluation, *, no_data: str, for_ms: int) -> None:
    """Move all instances on by one evaluation."""
    if evaluation.is_without_data:
        _without_data(instances, evaluation.at_ms, no_data=no_data, for_ms=for_ms)
        return
    for labels, result in evaluation.results.items():
        instance = instances.setdefault(labels, Instance())
        instance.missing_count = 0
        if result is None:
            _without_data({labels: instance}, evaluation.at_ms, no_data=no_data, for_ms=for_ms)
        else:
            _move(instance, State.ALERTING if result else State.NORMAL, evaluation.at_ms, for_ms=for_ms)
    for labels in instances.keys() - evaluation.results.keys():
        instance = instances[labels]
        instance.missing_count += 1
        if instance.missing_count >= MISSING_EVALUATIONS_MAX:
            _move(instance, State.NORMAL, evaluation.at_ms, for_ms=for_ms)


def duration_ms(text: str) -> int:
    """Return a duration as rules have it, such as `5m` or `1h30m`, in ms."""
    total, number = 0, ""
    for char in text:
        if char.isdigit():
            number += char
        else:
            total += int(number) * _UNITS_MS[char]
            number = ""
    assert not number, f"{text!r} ends without a unit"
    return total


def _without_data(instances: dict[Labels, Instance], at_ms: int, *, no_data: str, for_ms: int) -> None:
    match no_data:
        case "OK":
            for instance in instances.values():
                _move(instance, State.NORMAL, at_ms, for_ms=for_ms)
        case "KeepLast":
            return
        case "Alerting" | "NoData":
            if not instances:
                instances[NO_LABELS] = Instance()
            for instance in instances.values():
                _move(instance, State(no_data), at_ms, for_ms=for_ms)
        case _:
            raise AssertionError(f"no such noDataState: {no_data}")


def _move(instance: Instance, wanted: State, at_ms: int, *, for_ms: int) -> None:
    if wanted is State.NORMAL:
        instance.state = State.NORMAL
        return
    if instance.state is State.NORMAL:
        instance.since_ms = at_ms
        instance.state = State.PENDING
    if instance.state is State.PENDING and at_ms - instance.since_ms < for_ms:
        return
    instance.state = wanted


def _expression(
    model: Mapping[str, Any],
    series: Mapping[str, Sequence[Frame]],
    numbers: Mapping[str, Mapping[Labels, float | None]],
) -> Mapping[Labels, float | None]:
    name = model["expression"].removeprefix("$")
    match model["type"]:
        case "reduce":
            settings = model.get("settings", {})
            return expressions.reduce(
                series[name],
                model["reducer"],
                mode=settings.get("mode", "strict"),
                replace_with=settings.get("replaceWithValue", 0.0),
            )
        case "math":
            return expressions.math(model["expression"], numbers)
        case "threshold":
            (condition,) = model["conditions"]
            evaluator = condition["evaluator"]
            return expressions.threshold(numbers[name], evaluator["type"], evaluator["params"])
        case _:
            raise expressions.ExpressionError(f"no such expression: {model['type']}")
