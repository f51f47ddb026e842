"""`wattpost dashboards`: the whole way from the command line to Grafana, and what people read when there is none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dashboards.__main__ import main
from dashboards.alerting.notification import ADDRESSES
from dashboards.alerting.rules import ALERTS
from dashboards.catalogue import all_dashboards
from dashboards.files import RUNBOOKS_URL
from tests.rig.grafana.server import GrafanaServer
from tests.rig.ports import free_port

ENVIRONMENT = {
    "WATTPOST_OPERATORS_EMAIL": "ops@example.org",
    "WATTPOST_DUTY_EMAIL": "duty@example.org;second@example.org",
    "WATTPOST_DUTY_WEBHOOK": "https://example.org/page",
    RUNBOOKS_URL: "https://example.org/runbooks.md",
}


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer() as running:
        yield running


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{GrafanaServer.admin_token}\n")
    return path


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    unset: dict[str, str | None] = dict.fromkeys((*ADDRESSES, RUNBOOKS_URL))
    told = unset | (ENVIRONMENT if env is None else env)
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=told)


def test_a_push_brings_all_dashboards_and_rules_and_the_second_changes_nothing(
    server: GrafanaServer, token_file: Path
) -> None:
    push = ("push", server.url, "--token-file", token_file, "--influx-url", "http://influxdb:8086")

    first = run(*push)
    second = run(*push, "--json")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert server.refused() == []
    state = server.state
    assert set(state.dashboards) == {board["uid"] for board in all_dashboards().values()}
    rules = {rule["uid"]: rule for group in state.groups.values() for rule in group["rules"]}
    assert set(rules) == {alert.uid for alert in ALERTS}
    told = rules["wattpost-gateway-silent"]["annotations"]
    assert told["runbook_url"] == "https://example.org/runbooks.md#gateway-silent"
    assert state.contact_points["wattpost-duty-email"]["settings"]["addresses"] == ENVIRONMENT["WATTPOST_DUTY_EMAIL"]
    assert "created    dashboard" in first.output
    assert {done["outcome"] for done in json.loads(second.stdout)["done"]} == {"unchanged"}


def test_silences_and_the_time_zone_are_pushed(server: GrafanaServer, token_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "silences.toml"
    path.write_text(
        '[works]\ncomment = "feeder"\nstarts_at = 2099-01-01T00:00:00Z\nends_at = 2099-01-02T00:00:00Z\n'
        'matchers = ["gateway=gw-0001"]\n'
    )
    done = run(
        *("push", server.url, "--token-file", token_file, "--influx-url", "http://influxdb:8086"),
        *("--silences", path, "--time-zone", "Asia/Kolkata"),
    )

    assert done.exit_code == 0, done.output
    (silence,) = server.state.silences.values()
    assert silence["comment"] == "works: feeder"
    (timing,) = server.state.mute_timings.values()
    assert timing["time_intervals"][0]["location"] == "Asia/Kolkata"


@pytest.mark.parametrize(
    ("token", "below", "code", "said"),
    [
        ("wrong", "", 77, "give a token"),
        (GrafanaServer.viewer_token, "", 77, "give a token"),
        (GrafanaServer.admin_token, "/nothing", 65, "404"),
    ],
)
def test_what_grafana_does_not_let_or_take_ends_with_its_own_exit_code(
    server: GrafanaServer, tmp_path: Path, token: str, below: str, code: int, said: str
) -> None:
    (tmp_path / "token").write_text(token)
    done = run("push", f"{server.url}{below}", "--token-file", tmp_path / "token")
    assert done.exit_code == code, done.output
    assert said in done.stderr


def test_a_server_that_is_not_there_is_told_in_json_too(token_file: Path) -> None:
    done = run("push", f"http://127.0.0.1:{free_port()}", "--token-file", token_file, "--json")
    assert done.exit_code == 69
    document = json.loads(done.stdout)
    assert document["done"] == []
    assert document["error"]["remedy"] == "check the address, and that Grafana runs"


def test_a_missing_address_is_named_with_what_it_is(server: GrafanaServer, token_file: Path) -> None:
    done = run("push", server.url, "--token-file", token_file, env=ENVIRONMENT | {"WATTPOST_DUTY_WEBHOOK": ""})
    assert "WATTPOST_DUTY_WEBHOOK not set" in str(done.exception)
    assert server.requests == []


def test_an_address_without_a_scheme_and_an_empty_token_are_named(token_file: Path) -> None:
    assert "with http:// or https://" in str(run("push", "grafana:3000", "--token-file", token_file).exception)
    token_file.write_text("\n")
    assert "no token" in str(run("push", "http://grafana:3000", "--token-file", token_file).exception)


def test_files_are_written_where_they_are_wanted_and_checked_there(tmp_path: Path) -> None:
    assert run("build", "--check", "--folder", tmp_path).exit_code == 1
    assert run("build", "--folder", tmp_path).exit_code == 0
    (tmp_path / "grafana" / "somebody-elses.json").write_text("{}")
    (tmp_path / "provisioning" / "alerting" / "rules.yaml").write_text("groups: []")

    stale = run("build", "--check", "--folder", tmp_path)
    written = run("build", "--folder", tmp_path)

    assert stale.exit_code == 1
    assert [line.rpartition("/")[2] for line in stale.stdout.splitlines()] == ["rules.yaml"]
    assert written.exit_code == 0
    assert (tmp_path / "grafana" / "somebody-elses.json").exists()
    assert run("build", "--check", "--folder", tmp_path).exit_code == 0


def test_a_list_names_all_there_is() -> None:
    told = json.loads(run("list", "--json").stdout)
    assert len(told["rules"]) == len(ALERTS)
    assert "wattpost-overview" in {board["uid"] for board in told["dashboards"]}
    assert "Gateway silent (gateways, warning)" in run("list").stdout
