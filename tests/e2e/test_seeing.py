"""Operators see what is there, are told what is wrong, and are told nothing while nothing is wrong."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cloud.config import Monitoring
from cloud.monitoring.adapters.influx import open_writer
from cloud.monitoring.adapters.recopy_sources import Past
from cloud.monitoring.adapters.recopying import recopy
from cloud.monitoring.adapters.survey import Scope, Window
from cloud.monitoring.adapters.surveys import ALL
from cloud.monitoring.core.catalogue import BY_NAME
from dashboards.alerting.alert import as_json, rule_of
from dashboards.alerting.rules import GROUPS
from tests.rig.grafana.fields import field_config
from tests.rig.grafana.queries import Answer, Span
from tests.rig.grafana.rules import State, run
from tests.rig.grafana.showing import empty_panels, may_be_empty, show
from tests.rig.influx import InfluxServer
from tests.simulation.parties import UTILITY
from tests.simulation.seeing.faults import END_H, FAULTS_BEGIN_H, TROUBLES
from tests.simulation.seeing.observed import Observed, observed, shown_by, span, utc_ms

SETTLED_H = 3.0
"""From then on the network has been there long enough to be judged."""
GRID_MS = 10 * 60_000
STAMPED_BEFORE_H = {"service-level": 24.0}
"""Its points are stamped with the beginning of their day: one who looks back sees them before they were written."""
DASHBOARDS = sorted(Path("dashboards/grafana").glob("*.json"))
RULES = [
    pytest.param(as_json(rule_of(alert, group=group.title, runbooks_url="https://localhost/runbooks")), id=alert.name)
    for group in GROUPS
    for alert in group.alerts
]
EXPECTED = {rule for trouble in TROUBLES for rule in trouble.fires}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    influx = InfluxServer()
    try:
        influx.start()
        with observed(tmp_path_factory.mktemp("seeing"), influx) as seen:
            yield seen
    finally:
        influx.close()


def loaded(path: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(path.read_text())
    return dashboard


def answers_of(panel: Mapping[str, Any], answers: Mapping[tuple[int, str], Answer]) -> list[Answer]:
    return [answers[panel["id"], target["refId"]] for target in panel.get("targets", ())]


@pytest.mark.req("J-2")
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_of_a_healthy_network_has_data(
    network: Observed, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboard = loaded(path)
    seen = show(dashboard, network.asker, now_ms=utc_ms(FAULTS_BEGIN_H))
    slowest = max(seen.answers.values(), key=lambda answer: answer.seconds)
    with capsys.disabled():
        total_ms = 1_000 * sum(answer.seconds for answer in seen.answers.values())
        print(
            f"\n{path.stem}: {len(seen.answers)} queries in {total_ms:.0f} ms, "
            f"the slowest {1_000 * slowest.seconds:.0f} ms"
        )
    must = [panel for panel in dashboard["panels"] if panel.get("targets") and not may_be_empty(panel)]
    assert must, "a dashboard on which nothing need be there shows nothing"
    assert not empty_panels(dashboard, seen)


@pytest.mark.req("J-2")
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_what_is_empty_while_all_is_well_has_data_when_something_is_wrong(network: Observed, path: Path) -> None:
    dashboard = loaded(path)
    moments = [trouble.from_h + share for trouble in TROUBLES for share in (0.5, 1.5, 3.0)]
    left = {
        panel["id"]: panel["title"] for panel in dashboard["panels"] if panel.get("targets") and may_be_empty(panel)
    }
    for moment_h in moments:
        for gateway in network.world.outposts:
            if not left:
                return
            seen = show(dashboard, network.asker, now_ms=utc_ms(moment_h), chosen={"gateway": gateway})
            shown = {panel for (panel, _), answer in seen.answers.items() if not answer.is_empty}
            left = {panel: title for panel, title in left.items() if panel not in shown}
    assert not left


@pytest.mark.req("J-2")
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_value_is_of_the_kind_that_its_panel_draws(network: Observed, path: Path) -> None:
    dashboard = loaded(path)
    seen = show(dashboard, network.asker, now_ms=utc_ms(FAULTS_BEGIN_H + 3))
    for panel in dashboard["panels"]:
        if panel["type"] in {"text", "table", "geomap"}:
            continue
        for answer in answers_of(panel, seen.answers):
            for frame in answer.frames:
                assert all(value is None or isinstance(value, (int, float)) for value in frame.values), panel["title"]
    table_columns = {
        (panel["title"], frame.name)
        for panel in dashboard["panels"]
        if panel["type"] in {"table", "geomap"}
        for answer in answers_of(panel, seen.answers)
        for frame in answer.frames
    }
    named = {
        (panel["title"], override["matcher"].get("options"))
        for panel in dashboard["panels"]
        if panel["type"] in {"table", "geomap"}
        for override in panel["fieldConfig"]["overrides"]
    }
    unnamed = {column for column in table_columns if column not in named}
    assert all(field_config({}, name).title == name for _, name in unnamed)


def windows_of(rule: str) -> list[tuple[int, int]]:
    """Return when a rule may fire."""
    return [
        (utc_ms(trouble.from_h - STAMPED_BEFORE_H.get(rule, 0)), utc_ms(trouble.until_h + trouble.lasts_h))
        for trouble in TROUBLES
        if rule in (*trouble.fires, *trouble.may_fire)
    ]


@pytest.mark.req("J-2", "C-5")
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_fires_on_its_fault_and_is_quiet_without(
    network: Observed, rule: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    name = rule["uid"].removeprefix("wattpost-")
    timeline = run(rule, network.asker, span(SETTLED_H, END_H), interval_ms=GRID_MS)
    with capsys.disabled():
        print(f"\n{name}: {1_000 * timeline.seconds_max:.0f} ms at most")
    fired = sorted({at_ms for states in timeline.states.values() for at_ms, state in states if state is State.ALERTING})
    for trouble in TROUBLES:
        if name in trouble.fires:
            begun_ms, over_ms = utc_ms(trouble.from_h), utc_ms(trouble.until_h + trouble.lasts_h)
            assert any(begun_ms <= at_ms <= over_ms for at_ms in fired), f"quiet about: {trouble.name}"
    allowed = windows_of(name)
    false = [
        (at_ms - utc_ms(0)) / 3_600_000
        for at_ms in fired
        if not any(begun_ms <= at_ms <= over_ms for begun_ms, over_ms in allowed)
    ]
    assert not false, f"fires at these hours for no reason: {false[:5]} ... {false[-1:]}"


def test_no_error_of_the_program_was_met_but_the_one_that_was_made(network: Observed) -> None:
    assert network.world.office.failures_count == 1


def test_every_rule_has_a_fault_that_it_is_tried_on() -> None:
    names = {parameter.id for parameter in RULES}
    assert names == EXPECTED


class _Unwatched:
    """Nobody looks on."""

    def begin(self, section: str, steps: int) -> None: ...

    def advance(self, section: str, steps: int, lines_count: int) -> None: ...


def points(influx: InfluxServer, database: str, measurement: str, within: Span) -> dict[tuple[object, ...], object]:
    """Return the fields of each point of a measurement, by its time and tags."""
    retention = BY_NAME[measurement].retention
    tags = {*BY_NAME[measurement].tags, *BY_NAME[measurement].tags_sometimes}
    rows = influx.query(
        f'SELECT * FROM "{retention}"."{measurement}" '
        f"WHERE time >= {within.from_ms}ms AND time < {within.to_ms}ms GROUP BY *",
        database=database,
    )
    return {
        (row["time"], *(row.get(tag, "") for tag in sorted(tags))): {
            name: value for name, value in row.items() if name not in {"time", *tags} and value is not None
        }
        for row in rows
    }


@pytest.mark.req("J-1", "K-2")
def test_the_day_that_influxdb_was_away_is_there_as_if_it_had_not_been(network: Observed, tmp_path: Path) -> None:
    (away,) = [trouble for trouble in TROUBLES if "influx-writes-failing" in trouble.fires]
    world, day = network.world, span(away.from_h + 1, away.until_h)
    anew = shown_by(network.influx, tmp_path)
    scope = Scope(utility=UTILITY, settings=Monitoring(), meters=True)
    past = Past(world.cloud.database, scope, Window(day.from_ms, day.to_ms), world.cloud.clock)
    writer = open_writer(anew)
    done = asyncio.run(recopy(past, ALL, writer, watcher=_Unwatched(), rng=Random(1)))
    writer.close()
    assert done.dropped_count == 0
    missing = []
    for measurement in BY_NAME:
        expected = points(network.influx, anew.database, measurement, day)
        found = points(network.influx, network.shown.database, measurement, day)
        if found != expected:
            missing.append((measurement, len(expected), len(found)))
    assert not missing
    readings = points(network.influx, network.shown.database, "reading", day)
    assert len(readings) > 20 * 4 * len(world.outposts) * 16
