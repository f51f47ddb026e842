"""Every alert rule against a real InfluxDB: quiet on points of a healthy network, firing on its fault.

Points are written by hand, in the catalogue's shape, so that each test shows what its rule lives on. Rules are judged
as Grafana documents it (`tests.rig.grafana`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cloud.monitoring.core.points import point
from dashboards.alerting.alert import as_json, rule_of
from dashboards.alerting.rules import ALERTS, GROUPS
from tests.integration.dashboards.conftest import Write
from tests.rig.grafana.queries import Asker, Span, labels_of
from tests.rig.grafana.rules import NO_LABELS, State, evaluate, run
from wire.errors import Reason

NOW_MS = 1_790_000_000_000
"""A round minute is not needed: rules must hold at any instant."""
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
Tags = dict[str, str]
Fields = Mapping[str, float]
Story = Callable[[float], Fields]
"""Fields by hours before now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a rule lives on, in two stories: of a series that is well, and of one that is not."""

    measurement: str
    well: Story
    bad: Story
    tags: Tags
    """Of the one that is bad in the second story."""
    others: Tags
    """Of one beside it, which is well in both."""
    every_ms: int = 5 * MINUTE_MS
    hours: float = 2
    beside: tuple[str, Fields] | None = None
    """Another measurement that the rule needs, by utility."""


def always(**fields: float) -> Story:
    return lambda _hours: fields


def rising(name: str, *, by: float, start: float = 7) -> Story:
    """Tell of a counter that rises by so much in the last ten minutes and restarts an hour ago."""
    return lambda hours: {name: (0 if hours < 1 else start) + (by if hours < 1 / 6 else 0)}


G1, G2 = ({"utility": "u", "gateway": name} for name in ("g1", "g2"))
H1, H2 = ({"utility": "u", "handler": name} for name in ("h1", "h2"))


def of_gateway(measurement: str, well: Fields, bad: Fields) -> Case:
    return Case(measurement=measurement, well=always(**well), bad=always(**bad), tags=G2, others=G1)


def of_handler(well: Story, bad: Story) -> Case:
    return Case(measurement="handler", well=well, bad=bad, tags=H2, others=H1, every_ms=MINUTE_MS)


def event(code: str, source: str, **more: str) -> Tags:
    return {"utility": "u", "gateway": "g1", "code": code, "kind": "relay", "source": source} | more


CASES = {
    "gateway-silent": of_gateway("gateway_state", {"silent_s": 400.0}, {"silent_s": 2_800.0}),
    "gateways-silent": Case(
        measurement="network_state",
        well=always(gateways_count=5.0, gateways_silent_count=1.0),
        bad=always(gateways_count=5.0, gateways_silent_count=2.0),
        tags={"utility": "u"},
        others={"utility": "other"},
    ),
    "meters-silent": of_gateway(
        "gateway_state",
        {"silent_s": 60.0, "meters_count": 10.0, "meters_silent_count": 1.0},
        {"silent_s": 60.0, "meters_count": 10.0, "meters_silent_count": 3.0},
    ),
    "mass-disconnection": Case(
        measurement="event",
        well=always(count=1.0),
        bad=lambda hours: {"count": 9.0 if hours < 0.2 else 0.0},
        tags=event("3.31.0.68", "gateway"),
        others=event("3.31.0.68", "meter"),
        beside=("network_state", {"meters_count": 400.0}),
    ),
    "tamper": Case(
        measurement="event",
        well=always(count=0.0),
        bad=lambda hours: {"count": 1.0 if hours > 1.9 else 0.0},
        tags=event("3.12.29.212", "meter"),
        others=event("3.12.66.243", "meter"),
    ),
    "gateway-backlog": of_gateway("gateway_health", {"pending_age_s": 40.0}, {"pending_age_s": 4_000.0}),
    "gateway-store-filling": of_gateway("gateway_health", {"store_used_percent": 1.0}, {"store_used_percent": 71.0}),
    "readings-given-up": Case(
        measurement="gateway_health",
        well=rising("dropped_bytes", by=0),
        bad=rising("dropped_bytes", by=4_096),
        tags=G2,
        others=G1,
    ),
    "ack-latency": of_gateway("gateway_health", {"ack_latency_ms": 900.0}, {"ack_latency_ms": 45_000.0}),
    "gateway-disk": of_gateway("gateway_health", {"disk_free_percent": 60.0}, {"disk_free_percent": 9.0}),
    "gateway-clock-unsynced": of_gateway("gateway_health", {"clock_synced": 1.0}, {"clock_synced": 0.0}),
    "gateway-clock-error": of_gateway("gateway_health", {"clock_error_ms": 20.0}, {"clock_error_ms": 90_000.0}),
    "gateway-clock-step": of_gateway("gateway_health", {"clock_step_ms": 20.0}, {"clock_step_ms": 90_000.0}),
    "meter-clock": Case(
        measurement="meter_health",
        well=always(clock_offset_ms=-4_000.0),
        bad=always(clock_offset_ms=-70_000.0),
        tags=G1 | {"meter": "m2"},
        others=G1 | {"meter": "m1"},
        every_ms=HOUR_MS,
        hours=30,
    ),
    "command-failures": Case(
        measurement="command",
        well=lambda hours: {"count": 1.0 if hours < 0.1 else 0.0},
        bad=lambda hours: {"count": 1.0 if hours < 0.3 else 0.0},
        tags=G1 | {"effect": "disconnect", "state": "failed"},
        others=G1 | {"effect": "read", "state": "executed"},
    ),
    "signatures-refused": Case(
        measurement="refusal",
        well=always(count=3.0),
        bad=lambda hours: {"count": 3.0 if hours > 0.2 else 4.0},
        tags={"utility": "u", "reason": Reason.BAD_SIGNATURE.value},
        others={"utility": "u", "reason": Reason.REPLAYED.value},
    ),
    "handler-silent": of_handler(
        always(uptime_s=1.0),
        lambda hours: {"uptime_s": 1.0} if hours > 0.15 else {},
    ),
    "cloud-disk": of_handler(always(disk_free_percent=50.0), always(disk_free_percent=14.0)),
    "follower-lag": Case(
        measurement="follower",
        well=always(lag_s=2.0),
        bad=always(lag_s=700.0),
        tags={"utility": "u", "follower": "prepaid"},
        others={"utility": "u", "follower": "monitoring"},
    ),
    "influx-lines-dropped": of_handler(rising("lines_dropped_count", by=0), rising("lines_dropped_count", by=1)),
    "handler-errors": of_handler(rising("failures_count", by=0), rising("failures_count", by=1)),
    "influx-writes-failing": of_handler(rising("writes_failed_count", by=2), rising("writes_failed_count", by=6)),
    "service-level": Case(
        measurement="service_level",
        well=always(target_percent=95.0, count=400.0, met_count=384.0),
        bad=always(target_percent=95.0, count=400.0, met_count=379.0),
        tags={"utility": "u", "target": "intervals-8h"},
        others={"utility": "u", "target": "intervals-12h"},
        every_ms=HOUR_MS,
        hours=48,
    ),
}
BY_NAME = {alert.name: alert for alert in ALERTS}


def rule(name: str) -> dict[str, Any]:
    (group,) = [group for group in GROUPS if BY_NAME[name] in group.alerts]
    made: dict[str, Any] = as_json(rule_of(BY_NAME[name], group=group.title, runbooks_url="https://example.org"))
    return made


def told(case: Case, tags: Tags, story: Story, *, now_ms: int = NOW_MS) -> Iterator[str]:
    for ago_ms in range(0, int(case.hours * HOUR_MS), case.every_ms):
        # Some seconds after each step, as things come in a network.
        line = point(case.measurement, tags, story(ago_ms / HOUR_MS), utc_ms=now_ms - ago_ms - 7_000)
        if line is not None:
            yield line
    if case.beside is not None:
        measurement, fields = case.beside
        line = point(measurement, {"utility": tags["utility"]}, fields, utc_ms=now_ms - MINUTE_MS)
        assert line is not None
        yield line


def test_every_rule_has_its_case() -> None:
    assert sorted(CASES) == sorted(BY_NAME)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_rule_is_quiet_on_a_healthy_network_and_fires_on_its_fault(name: str, write: Write, asker: Asker) -> None:
    case = CASES[name]
    before_ms = NOW_MS - 20 * DAY_MS
    write(line for tags in (case.others, case.tags) for line in told(case, tags, case.well, now_ms=before_ms))
    healthy = evaluate(rule(name), asker, at_ms=before_ms)
    assert healthy.breached == frozenset()
    assert not healthy.is_without_data or BY_NAME[name].is_empty_when_healthy

    write([*told(case, case.others, case.well), *told(case, case.tags, case.bad)])
    faulty = evaluate(rule(name), asker, at_ms=NOW_MS)

    (labels,) = faulty.breached
    assert labels <= frozenset(case.tags.items())
    assert labels >= frozenset({("utility", "u")})


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_empty_database_alerts_once_and_only_about_handlers(name: str, asker: Asker) -> None:
    timeline = run(rule(name), asker, Span(NOW_MS, NOW_MS + 10 * MINUTE_MS), interval_ms=MINUTE_MS)
    assert timeline.firing() == ({NO_LABELS} if name == "handler-silent" else frozenset())


def test_a_handler_that_said_that_it_stops_is_not_missed(write: Write, asker: Asker) -> None:
    for minute in range(60):
        at_ms = NOW_MS + minute * MINUTE_MS
        ended = {"uptime_s": 0.0 if minute == 30 else 60.0 * minute + 1}
        lines = [point("handler", H1, {"uptime_s": 60.0 * minute + 1}, utc_ms=at_ms)]
        lines += [point("handler", H2, ended, utc_ms=at_ms)] if minute <= 30 else []
        write(line for line in lines if line is not None)

    timeline = run(
        rule("handler-silent"), asker, Span(NOW_MS + 20 * MINUTE_MS, NOW_MS + 59 * MINUTE_MS), interval_ms=MINUTE_MS
    )

    assert timeline.firing() == frozenset()


def test_a_silent_gateway_is_pending_then_alerting_then_well(write: Write, asker: Asker) -> None:
    for minute in range(120):
        silent_s = 60.0 * max(0, minute - 10) if minute < 80 else 5.0
        at_ms = NOW_MS + minute * MINUTE_MS
        lines = [point("gateway_state", tags, {"silent_s": s}, utc_ms=at_ms) for tags, s in ((G1, 9.0), (G2, silent_s))]
        write(line for line in lines if line is not None)

    span = Span(NOW_MS, NOW_MS + 119 * MINUTE_MS)
    timeline = run(rule("gateway-silent"), asker, span, interval_ms=MINUTE_MS)

    states = [state for _, state in timeline.of(gateway="g2")]
    # 45 minutes without a word since minute 10, and five more to be sure.
    assert states.index(State.PENDING) == 56
    assert states.index(State.ALERTING) == 61
    assert states[80] is State.NORMAL
    assert timeline.firing() == {labels_of(**G2)}
    assert timeline.resolved(labels_of(**G2))


def test_a_handler_that_stops_is_told_within_ten_minutes_and_forgotten_when_retired(write: Write, asker: Asker) -> None:
    def reports(tags: Tags, minutes: int) -> Iterator[str]:
        for minute in range(minutes):
            line = point("handler", tags, {"uptime_s": 60.0 * minute}, utc_ms=NOW_MS + minute * MINUTE_MS)
            assert line is not None
            yield line

    write([*reports(H1, 450), *reports(H2, 60)])
    span = Span(NOW_MS + 40 * MINUTE_MS, NOW_MS + 449 * MINUTE_MS)

    timeline = run(rule("handler-silent"), asker, span, interval_ms=2 * MINUTE_MS)

    assert timeline.firing() == {labels_of(**H2)}
    first_ms = next(at_ms for at_ms, state in timeline.of(handler="h2") if state is State.ALERTING)
    assert 5 <= (first_ms - NOW_MS) / MINUTE_MS - 60 <= 10
    assert timeline.resolved(labels_of(**H2))


def test_meters_of_a_silent_gateway_are_told_of_once_by_the_rule_about_gateways(write: Write, asker: Asker) -> None:
    gone = of_gateway("gateway_state", {}, {"silent_s": 9_000.0, "meters_count": 10.0, "meters_silent_count": 10.0})
    write(told(gone, G2, gone.bad))
    assert evaluate(rule("gateway-silent"), asker, at_ms=NOW_MS).breached == {labels_of(**G2)}
    assert evaluate(rule("meters-silent"), asker, at_ms=NOW_MS).breached == frozenset()


def test_a_single_slow_report_after_an_outage_is_no_slow_acknowledgement(write: Write, asker: Asker) -> None:
    case = CASES["ack-latency"]
    write(told(case, G2, lambda hours: {"ack_latency_ms": 5e6 if hours < 0.1 else 300.0}))
    assert evaluate(rule("ack-latency"), asker, at_ms=NOW_MS).breached == frozenset()


def test_a_restart_of_counters_is_no_rise(write: Write, asker: Asker) -> None:
    case = CASES["readings-given-up"]
    write(told(case, G2, lambda hours: {"dropped_bytes": 9_000.0 if hours > 0.5 else 0.0}))
    assert evaluate(rule("readings-given-up"), asker, at_ms=NOW_MS).breached == frozenset()


@pytest.mark.parametrize(("meters", "opened", "is_mass"), [(100_000, 900, 1), (100_000, 400, 0), (40, 9, 0)])
def test_how_many_disconnections_are_many_depends_on_the_network(
    meters: int, opened: int, is_mass: int, write: Write, asker: Asker
) -> None:
    tags = event("3.31.0.68", "gateway")
    lines = [
        point("event", tags, {"count": float(opened)}, utc_ms=NOW_MS - 5 * MINUTE_MS),
        point("network_state", {"utility": "u"}, {"meters_count": float(meters)}, utc_ms=NOW_MS - MINUTE_MS),
    ]
    write(line for line in lines if line is not None)
    assert bool(evaluate(rule("mass-disconnection"), asker, at_ms=NOW_MS).breached) == is_mass
