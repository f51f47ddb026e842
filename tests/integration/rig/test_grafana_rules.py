"""States of alert instances as Grafana's documentation describes them."""

import pytest

from tests.rig.grafana.queries import Labels, labels_of
from tests.rig.grafana.rules import NO_LABELS, Evaluation, Instance, State, Timeline, duration_ms, follow

A = labels_of(gateway="a")
B = labels_of(gateway="b")
Results = dict[Labels, float | None]


def states(*evaluations: Results, for_s: int, every_s: int = 30, no_data: str = "OK") -> Timeline:
    timeline = Timeline()
    instances: dict[Labels, Instance] = {}
    for index, results in enumerate(evaluations):
        at_ms = index * every_s * 1_000
        follow(instances, Evaluation(at_ms, results, {}, 0.0), no_data=no_data, for_ms=for_s * 1_000)
        for labels, instance in instances.items():
            timeline.states.setdefault(labels, []).append((at_ms, instance.state))
    return timeline


def told(timeline: Timeline, gateway: str = "a") -> list[str]:
    return [state.value for _, state in timeline.of(gateway=gateway)]


def test_the_documented_example_of_a_pending_period() -> None:
    breached: Results = {A: 1.0}
    fine: Results = {A: 0.0}
    timeline = states(fine, breached, breached, breached, breached, fine, fine, for_s=90)
    assert told(timeline) == ["Normal", "Pending", "Pending", "Pending", "Alerting", "Normal", "Normal"]
    assert timeline.resolved(A)


def test_without_a_pending_period_it_fires_at_once() -> None:
    assert told(states({A: 0.0}, {A: 1.0}, for_s=0)) == ["Normal", "Alerting"]


def test_a_breach_that_ends_early_begins_anew() -> None:
    timeline = states({A: 1.0}, {A: 1.0}, {A: 0.0}, {A: 1.0}, {A: 1.0}, for_s=60)
    assert told(timeline) == ["Pending", "Pending", "Normal", "Pending", "Pending"]
    assert timeline.firing() == frozenset()


def test_each_set_of_labels_has_a_state_of_its_own() -> None:
    timeline = states({A: 1.0, B: 0.0}, {A: 1.0, B: 1.0}, {A: 1.0, B: 1.0}, for_s=60)
    assert (told(timeline), told(timeline, "b")) == (
        ["Pending", "Pending", "Alerting"],
        ["Normal", "Pending", "Pending"],
    )
    assert timeline.firing() == {A}


def test_an_instance_whose_series_is_missing_keeps_its_state_once_and_is_then_resolved() -> None:
    timeline = states({A: 0.0, B: 1.0}, {A: 0.0}, {A: 0.0}, for_s=0)
    assert told(timeline, "b") == ["Alerting", "Alerting", "Normal"]


@pytest.mark.parametrize(
    ("no_data", "expected"),
    [
        ("OK", ["Alerting", "Normal", "Normal"]),
        ("KeepLast", ["Alerting", "Alerting", "Alerting"]),
        ("Alerting", ["Alerting", "Alerting", "Alerting"]),
        ("NoData", ["Alerting", "NoData", "NoData"]),
    ],
)
def test_no_data_does_what_the_rule_says(no_data: str, expected: list[str]) -> None:
    assert told(states({A: 1.0}, {}, {}, for_s=0, no_data=no_data)) == expected


def test_no_data_of_a_rule_that_never_had_any_waits_out_the_pending_period_too() -> None:
    timeline = states({}, {}, {}, for_s=60, no_data="Alerting")
    assert [state for _, state in timeline.states[NO_LABELS]] == [State.PENDING, State.PENDING, State.ALERTING]


def test_a_number_that_is_none_is_no_data_of_its_instance() -> None:
    assert told(states({A: 1.0, B: 0.0}, {A: None, B: 0.0}, for_s=0)) == ["Alerting", "Normal"]


@pytest.mark.parametrize(("text", "expected"), [("0s", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("1d", 86_400_000)])
def test_durations_are_read(text: str, expected: int) -> None:
    assert duration_ms(text) == expected
