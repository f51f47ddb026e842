"""Pushing to a Grafana: everything arrives, twice is once, nothing of others is touched, and errors say what to do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dashboards import files
from dashboards.alerting import notification, silences
from dashboards.alerting.alert import FOLDER_UID, as_json
from dashboards.alerting.rules import ALERTS, GROUPS
from dashboards.grafana_api import Grafana, NotAllowedError, RefusedError, UnreachableError
from dashboards.push import Content, Done, Outcome, push
from dashboards.query import DATASOURCE_UID, datasource
from tests.rig.grafana.server import DEFAULT_RECEIVER, GrafanaServer
from tests.rig.ports import free_port

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADDRESS = {"email": {"addresses": "ops@example.org"}, "webhook": {"url": "https://example.org/hook"}}


def board(uid: str, *, title: str = "A page") -> dict[str, Any]:
    panel = {"id": 1, "type": "timeseries", "datasource": as_json(datasource())}
    return {"uid": uid, "title": title, "schemaVersion": 41, "panels": [panel], "editable": False}


def points() -> list[dict[str, Any]]:
    return [
        point | {"settings": point["settings"] | ADDRESS[point["type"]]}
        for point in as_json(notification.contact_points())
    ]


def content(**changed: Any) -> Content:
    told: dict[str, Any] = {
        "datasource": files.datasource(url="http://influxdb:8086", token="secret"),
        "datasource_uid": DATASOURCE_UID,
        "dashboards": [board("wattpost-overview"), board("wattpost-gateway", title="Gateway")],
        "contact_points": points(),
        "mute_timings": notification.mute_timings(time_zone="Africa/Nairobi"),
        "policy": as_json(notification.policy()),
        "runbooks_url": "https://example.org/runbooks",
        "silences": (),
    }
    return Content(**(told | changed))


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer(now=NOW) as running:
        yield running


def bring(server: GrafanaServer, what: Content, *, editable: bool = False, token: str | None = None) -> list[Done]:
    with Grafana(server.url, token or server.admin_token, is_editable=editable) as grafana:
        return list(push(grafana, what, now=NOW))


def changed(told: list[Done]) -> list[str]:
    return [f"{done.kind} {done.name}" for done in told if done.outcome is not Outcome.UNCHANGED]


def test_everything_arrives_and_nothing_is_refused(server: GrafanaServer) -> None:
    told = bring(server, content())

    state = server.state
    assert server.refused() == []
    assert {done.outcome for done in told} == {Outcome.CREATED}
    assert set(state.dashboards) == {"wattpost-overview", "wattpost-gateway"}
    assert {board["folderUid"] for board in state.dashboards.values()} == {FOLDER_UID}
    assert {title for _, title in state.groups} == {group.title for group in GROUPS}
    assert {rule["uid"] for group in state.groups.values() for rule in group["rules"]} == {a.uid for a in ALERTS}
    assert state.datasources[DATASOURCE_UID]["secureJsonData"] == {"httpHeaderValue1": "Token secret"}


def test_pushing_again_changes_nothing_but_the_token_which_cannot_be_compared(server: GrafanaServer) -> None:
    bring(server, content())
    before = server.state

    told = bring(server, content())

    assert changed(told) == ["data source Wattpost"]
    assert server.state.groups == before.groups
    assert server.state.dashboards == before.dashboards
    assert server.state.policies == before.policies


def test_without_a_token_pushing_again_writes_nothing_at_all(server: GrafanaServer) -> None:
    plain = content(datasource=files.datasource(url="http://influxdb:8086", token=""))
    bring(server, plain)
    writes_before = sum(asked.method != "GET" for asked in server.requests)

    bring(server, plain)

    assert sum(asked.method != "GET" for asked in server.requests) == writes_before


def test_a_changed_dashboard_is_updated_and_the_others_are_left(server: GrafanaServer) -> None:
    bring(server, content())

    told = bring(server, content(dashboards=[board("wattpost-overview", title="New"), board("wattpost-gateway")]))

    assert [name for name in changed(told) if name.startswith("dashboard")] == ["dashboard New", "dashboard A page"]
    assert server.state.dashboards["wattpost-overview"]["model"]["title"] == "New"
    assert server.state.dashboards["wattpost-overview"]["version"] == 2


def test_a_rule_that_somebody_changed_is_put_right_and_a_stale_one_is_taken_away(server: GrafanaServer) -> None:
    bring(server, content())
    with server.changing() as state:
        group = state.groups[FOLDER_UID, GROUPS[0].title]
        group["rules"][0]["for"] = "6h"
        state.groups[FOLDER_UID, "old"] = {"rules": [group["rules"][1] | {"uid": "wattpost-of-an-old-release"}]}

    told = bring(server, content())

    assert f"rule group {GROUPS[0].title}" in changed(told)
    assert server.state.groups[FOLDER_UID, GROUPS[0].title]["rules"][0]["for"] == "5m"
    assert server.state.groups[FOLDER_UID, "old"]["rules"] == []


def test_policies_of_others_stay_where_they_are(server: GrafanaServer) -> None:
    theirs = {"receiver": DEFAULT_RECEIVER, "object_matchers": [["team", "=", "water"]]}
    with server.changing() as state:
        state.policies = {"receiver": DEFAULT_RECEIVER, "group_by": ["cluster"], "routes": [theirs]}

    bring(server, content())
    bring(server, content(policy=as_json(notification.policy()) | {"repeat_interval": "2d"}))

    tree = server.state.policies
    assert (tree["receiver"], tree["group_by"], len(tree["routes"])) == (DEFAULT_RECEIVER, ["cluster"], 2)
    assert tree["routes"][0]["repeat_interval"] == "2d"
    assert tree["routes"][1] == theirs


def test_what_is_pushed_is_locked_in_the_pages_unless_it_is_to_be_editable(server: GrafanaServer) -> None:
    bring(server, content())
    assert {point.get("provenance") for uid, point in server.state.contact_points.items() if uid != "default"} == {
        "api"
    }
    with GrafanaServer(now=NOW) as other:
        bring(other, content(), editable=True)
        state = other.state

    resources = [*state.mute_timings.values(), *state.contact_points.values(), state.policies]
    rules = [rule for group in state.groups.values() for rule in group["rules"]]
    assert [resource.get("provenance") for resource in [*resources, *rules]] == [None] * (len(resources) + len(rules))


def test_a_data_source_of_a_file_is_left_and_a_missing_one_is_asked_for(server: GrafanaServer) -> None:
    with pytest.raises(RefusedError, match="--influx-url"):
        bring(server, content(datasource=None))
    bring(server, content())
    with server.changing() as state:
        state.datasources[DATASOURCE_UID]["readOnly"] = True

    told = bring(server, content(datasource=files.datasource(url="http://elsewhere:8086", token="")))

    (source,) = [done for done in told if done.kind == "data source"]
    assert source.outcome is Outcome.LEFT_OUT
    assert server.state.datasources[DATASOURCE_UID]["url"] == "http://influxdb:8086"


def test_a_silence_comes_once_is_changed_by_name_and_not_sent_when_past(server: GrafanaServer, tmp_path: Path) -> None:
    def silenced(ends: str) -> tuple[silences.Silence, ...]:
        path = tmp_path / "silences.toml"
        path.write_text(
            f'[works]\ncomment = "feeder"\nstarts_at = 2026-11-21T00:00:00Z\nends_at = {ends}\n'
            'matchers = ["gateway=~gw-00.", "severity!=critical"]\n'
        )
        return silences.load(path)

    ends = ("2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-21T12:00:00Z")
    outcomes = [bring(server, content(silences=silenced(end)))[-1].outcome for end in ends]

    assert outcomes == [Outcome.CREATED, Outcome.UNCHANGED, Outcome.UPDATED, Outcome.LEFT_OUT]
    (kept,) = server.state.silences.values()
    assert kept["endsAt"] == "2026-11-24T00:00:00.000Z"
    assert [matcher["isEqual"] for matcher in kept["matchers"]] == [True, False]


def test_a_grafana_below_a_path_is_found_there() -> None:
    with GrafanaServer(now=NOW, below="/grafana") as server:
        told = bring(server, content())
    assert len(told) == 3 + 2 + 3 + 1 + len(GROUPS)


@pytest.mark.parametrize(("token", "code"), [("wrong", 401), (GrafanaServer.viewer_token, 403)])
def test_a_token_that_may_not_is_named_with_what_to_give(server: GrafanaServer, token: str, code: int) -> None:
    with pytest.raises(NotAllowedError, match=rf"answered {code}.*--token-file") as caught:
        bring(server, content(), token=token)
    assert caught.value.exit_code == 77


def test_a_refusal_names_the_request_and_what_grafana_said(server: GrafanaServer) -> None:
    with pytest.raises(RefusedError, match=r"POST /dashboards/db: Grafana answered 400.*'elsewhere' is not there"):
        bring(server, content(dashboards=[board("x") | {"panels": [{"datasource": {"uid": "elsewhere"}}]}]))
    assert server.state.groups == {}


def test_what_a_file_of_provisioning_owns_is_said_to_be_owned(server: GrafanaServer) -> None:
    bring(server, content())
    with server.changing() as state:
        state.policies["provenance"] = "file"

    with pytest.raises(RefusedError, match=r"409.*a file of provisioning"):
        bring(server, content(policy=as_json(notification.policy()) | {"repeat_interval": "2d"}))


def test_a_page_of_something_else_is_no_grafana(server: GrafanaServer) -> None:
    server.is_somebody_else = True
    with pytest.raises(RefusedError, match="no Grafana"):
        bring(server, content())


def test_a_server_in_trouble_or_away_is_unreachable(server: GrafanaServer) -> None:
    server.is_in_trouble = True
    with pytest.raises(UnreachableError, match="503"):
        bring(server, content())
    with (
        Grafana(f"http://127.0.0.1:{free_port()}", "token") as nobody,
        pytest.raises(UnreachableError, match="cannot be reached") as caught,
    ):
        list(push(nobody, content(), now=NOW))
    assert caught.value.exit_code == 69
