"""Alert rules, their files and their runbooks: whole, current, and about things that exist."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.cog.runtime import register_dataquery_variant
from grafana_foundation_sdk.models import alerting

import dashboards
from cloud.monitoring.core.catalogue import BY_NAME
from cloud.monitoring.core.event_kinds import KINDS, EventKind
from dashboards import files
from dashboards.alerting import limits, notification
from dashboards.alerting.alert import CONDITION, FOLDER_TITLE, FOLDER_UID, Alert, as_json, group_of
from dashboards.alerting.rules import ALERTS, GROUPS
from dashboards.catalogue import all_dashboards
from dashboards.query import DATASOURCE_UID, variant
from tests.rig.grafana import api_checks
from wire.errors import Reason
from wire.messages import State
from wire.runtime.console import ENTRIES, LazyGroup

REPOSITORY = Path(__file__).parents[2]
PACKAGE = Path(dashboards.__file__).parent
RULES_COUNT_MAX = 24
"""Beyond that nobody knows them any more."""
_SOURCE = re.compile(r'FROM "(?P<policy>\w+)"\."(?P<measurement>\w+)"')


def groups() -> list[dict[str, Any]]:
    return [as_json(group_of(group, runbooks_url="https://example.org/runbooks.md")) for group in GROUPS]


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def provisioned(path: str) -> Any:
    return yaml.safe_load((PACKAGE / "provisioning" / path).read_text(encoding="utf-8"))


def each_rule() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def test_the_files_that_are_checked_in_are_what_the_code_makes() -> None:
    wanted = {PACKAGE / path: text for path, text in files.all_files().items()}
    found = {path: path.read_text(encoding="utf-8") for name in files.GENERATED for path in PACKAGE.glob(name)}
    assert sorted(found) == sorted(wanted), "run `wattpost dashboards build`"
    assert [path.name for path, text in wanted.items() if found[path] != text] == [], "run `wattpost dashboards build`"


def test_rules_and_groups_survive_grafanas_own_models() -> None:
    register_default_plugins()
    register_dataquery_variant(variant())
    for group in groups():
        again = alerting.RuleGroup.from_json(group)
        assert json.loads(json.dumps(again, cls=JSONEncoder)) == group
    for point in as_json(notification.contact_points()):
        assert as_json(alerting.ContactPoint.from_json(point)) == point
    policy = as_json(notification.policy())
    assert as_json(alerting.NotificationPolicy.from_json(policy)) == policy


def test_grafanas_api_would_take_every_group_and_policy() -> None:
    for group in groups():
        problems = api_checks.rule_group(
            group, folder_uid=FOLDER_UID, title=group["title"], folders={FOLDER_UID}, datasources={DATASOURCE_UID}
        )
        assert list(problems) == []
    receivers = {point.name for point in notification.contact_points() if point.name}
    timings = {timing["name"] for timing in notification.mute_timings()}
    tree = {"receiver": notification.OPERATORS, "routes": [as_json(notification.policy())]}
    assert list(api_checks.policies(tree, receivers=receivers, timings=timings)) == []
    assert [*api_checks.mute_timing(notification.mute_timings()[0])] == []


def test_every_rule_has_a_name_of_its_own_and_there_are_not_too_many() -> None:
    for told in ([alert.uid for alert in ALERTS], [alert.title for alert in ALERTS]):
        assert [name for name, count in Counter(told).items() if count > 1] == []
    assert len(ALERTS) <= RULES_COUNT_MAX


@each_rule()
def test_a_rule_says_who_is_told_what_and_where_to_look(alert: Alert) -> None:
    (rule,) = [rule for rule in rules() if rule["uid"] == alert.uid]
    assert rule["labels"] == {"service": "wattpost", "severity": alert.severity.value}
    assert rule["condition"] == CONDITION
    assert "for" in rule
    assert rule["noDataState"] == ("Alerting" if alert.alerts_without_data else "OK")
    assert rule["annotations"]["runbook_url"].endswith(f"runbooks.md#{alert.name}")
    assert alert.summary
    assert "$" not in f"{alert.summary}{alert.description}", "files of provisioning take it for a variable"
    (titles,) = [
        {str(panel["id"]): panel["title"] for panel in board["panels"]}
        for board in all_dashboards().values()
        if board["uid"] == rule["annotations"]["__dashboardUid__"]
    ]
    assert titles[rule["annotations"]["__panelId__"]] == alert.panel


@each_rule()
def test_templates_name_labels_that_the_query_groups_by_and_numbers_that_there_are(alert: Alert) -> None:
    grouped = set(re.findall(r'"(\w+)"', alert.queries[0].influxql.rpartition("GROUP BY")[2]))
    texts = f"{alert.summary} {alert.description}"
    assert set(re.findall(r"\.Labels\.(\w+)", texts)) <= grouped
    assert set(re.findall(r"\.Values\.(\w+)", texts)) <= ({"B", "E"} if len(alert.queries) > 1 else {"B"})
    # Without a name of what it is about a message helps nobody; what is not there at all has none.
    assert re.search(r"\.Labels\.", alert.summary)


@each_rule()
def test_queries_ask_for_what_the_catalogue_holds_where_it_is_kept(alert: Alert) -> None:
    for query in alert.queries:
        source = _SOURCE.search(query.influxql)
        assert source, query.influxql
        measurement = BY_NAME[source["measurement"]]
        assert measurement.retention.value == source["policy"]
        named = set(re.findall(r'"(\w+)"', query.influxql.replace(source[0], "")))
        tags = {*measurement.tags, *measurement.tags_sometimes}
        assert named <= tags | set(measurement.fields), query.influxql
        assert "utility" in query.influxql.rpartition("GROUP BY")[2]


def test_two_queries_of_a_rule_can_be_joined() -> None:
    for alert in ALERTS:
        grouped = [set(re.findall(r'"(\w+)"', query.influxql.rpartition("GROUP BY")[2])) for query in alert.queries]
        assert all(by == grouped[0] for by in grouped), alert.name
        assert bool(alert.formula) is (len(alert.queries) == 2), alert.name


def test_every_rule_has_its_section_in_the_runbooks_and_every_section_its_rule() -> None:
    text = (REPOSITORY / "docs" / "runbooks.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([a-z-]+)\n(.*?)(?=^#|\Z)", text, flags=re.DOTALL | re.MULTILINE))
    assert sorted(sections) == sorted(alert.name for alert in ALERTS)
    for name, section in sections.items():
        for part in ("**Means:**", "**Look at:**", "**Do:**"):
            assert part in section, f"{name} lacks {part}"
    targets = re.findall(r"\]\(#([a-z-]+)\)", text)
    assert sorted(set(targets) - set(sections)) == []


def test_commands_that_the_runbooks_name_exist() -> None:
    text = (REPOSITORY / "docs" / "runbooks.md").read_text(encoding="utf-8")
    named = {tuple(words.split()) for words in re.findall(r"`wattpost ([a-z-]+ [a-z-]+)", text)}
    assert len(named) > 3
    group = LazyGroup(entries=ENTRIES)
    for name, sub in sorted(named):
        command = group.get_command(click.Context(group), name)
        assert isinstance(command, click.Group), name
        assert command.get_command(click.Context(command), sub), f"wattpost {name} {sub}"


def test_words_in_queries_are_words_that_are_written() -> None:
    by_name = {alert.name: alert.queries[0].influxql for alert in ALERTS}
    reasons = re.findall(r"\^\(([a-z|-]+)\)\$", by_name["signatures-refused"])[0].split("|")
    assert set(reasons) <= {reason.value for reason in Reason}
    states = re.findall(r"\^\(([a-z|]+)\)\$", by_name["command-failures"])[0].split("|")
    assert set(states) <= {state.value for state in State}


def test_tampering_that_begins_is_asked_for_and_its_end_is_not() -> None:
    (query,) = [alert.queries[0].influxql for alert in ALERTS if alert.name == "tamper"]
    (pattern,) = re.findall(r"=~ /(.+)/", query)
    codes = [code for code, kind in KINDS.items() if kind is EventKind.TAMPER]
    assert codes
    ended = {"16", "216", "243", "291"}
    assert [code for code in codes if bool(re.match(pattern, code)) is (code.rpartition(".")[2] in ended)] == []
    assert not re.match(pattern, "3.12.32.24"), "a key was changed"


def test_every_limit_is_used_and_has_its_reason() -> None:
    text = Path(str(limits.__file__)).read_text(encoding="utf-8")
    names = re.findall(r"^(\w+): Final", text, flags=re.MULTILINE)
    modules = [path for path in (PACKAGE / "alerting").glob("*.py") if path.name != "limits.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in modules)
    assert [name for name in names if f"limits.{name}" not in code] == []
    assert re.findall(r"^(\w+): Final[^\n]*\n(?!\"\"\")", text, flags=re.MULTILINE) == []


def test_files_of_provisioning_name_each_other_rightly() -> None:
    (source,) = provisioned("datasources/wattpost.yaml")["datasources"]
    (provider,) = provisioned("dashboards/wattpost.yaml")["providers"]
    points = provisioned("alerting/contact-points.yaml")["contactPoints"]
    (tree,) = provisioned("alerting/policies.yaml")["policies"]
    (timing,) = provisioned("alerting/mute-timings.yaml")["muteTimes"]
    written = provisioned("alerting/rules.yaml")["groups"]

    assert source["uid"] == DATASOURCE_UID
    assert {group["folder"] for group in written} == {provider["folder"]} == {FOLDER_TITLE}
    assert list(api_checks.policies(tree, receivers={p["name"] for p in points}, timings={timing["name"]})) == []
    assert [rule["uid"] for group in written for rule in group["rules"]] == [alert.uid for alert in ALERTS]
    panels = {(board["uid"], panel["id"]) for board in all_dashboards().values() for panel in board["panels"]}
    assert {(rule["dashboardUid"], rule["panelId"]) for group in written for rule in group["rules"]} <= panels


def test_files_take_from_the_environment_what_is_documented_and_nothing_else() -> None:
    texts = files.provisioning_files()
    named = {name for text in texts.values() for name in re.findall(r"\$\{(\w+)\}", text)}
    assert named == set(files.VARIABLES)
    # Outside of models of queries, which Grafana does not touch, every other dollar sign would vanish.
    for path, text in texts.items():
        rest = re.sub(r"^ *(query|expression): .*$", "", text, flags=re.MULTILINE)
        assert set(re.findall(r"\$(?!\{)\S*", rest)) <= {f"$__file{{{files.TOKEN_FILE}}}"}, path


def test_dashboards_and_rules_name_no_data_source_but_ours() -> None:
    named = api_checks.datasource_uids(list(all_dashboards().values())) | api_checks.datasource_uids(rules())
    assert named - {"__expr__", "-- Grafana --", "grafana"} == {DATASOURCE_UID}
