"""The files of Grafana's provisioning by folder: data source, dashboards, alerting.

Made from the same code as what is pushed. What differs between installations is a variable of Grafana's environment
(`VARIABLES`); the token is read from a file. Grafana replaces `${…}` when it starts, but not in queries of rules.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from dashboards import catalogue
from dashboards.alerting import notification
from dashboards.alerting.alert import FOLDER_TITLE, as_json, duration, group_of
from dashboards.alerting.rules import GROUPS
from dashboards.query import DATASOURCE_TYPE, DATASOURCE_UID

DATASOURCE_NAME: Final = "Wattpost"
DATABASE: Final = "wattpost"
INFLUX_URL: Final = "WATTPOST_INFLUX_URL"
RUNBOOKS_URL: Final = "WATTPOST_RUNBOOKS_URL"
VARIABLES: Final[Mapping[str, str]] = {
    INFLUX_URL: "address of InfluxDB as Grafana reaches it",
    RUNBOOKS_URL: "address of docs/runbooks.md as a person reaches it",
    **notification.ADDRESSES,
}
"""What Grafana's environment has to hold."""
TOKEN_FILE: Final = "/run/secrets/influx-token"  # noqa: S105 - where it is, not what it is
"""In Grafana's container: a token that may read the two buckets."""
DASHBOARDS_FOLDER: Final = "/etc/grafana/wattpost"
"""In Grafana's container: `dashboards/grafana/`."""
SERIES_MAX: Final = 50_000
"""A query by gateway brings a series for each."""

GENERATED: Final = ("grafana/*.json", "provisioning/*/*.yaml")
"""Where nothing but generated files lies, below `dashboards/`."""
_TIME_OF_DAY = re.compile(r"^\d\d:\d\d$")
_HEADER: Final = "# Made by `wattpost dashboards build`; change what it is made from.\n"


def datasource(*, url: str, database: str = DATABASE, token: str) -> dict[str, Any]:
    """Return the data source: InfluxQL, which every generation of InfluxDB answers.

    Args:
        url: Address of InfluxDB as Grafana reaches it.
        database: With the retention policies `detail` and `history`.
        token: Of InfluxDB 2, or a reference to the file it is in; empty where the server asks for none.
    """
    plain: dict[str, Any] = {"dbName": database, "version": "InfluxQL", "httpMode": "POST", "maxSeries": SERIES_MAX}
    made: dict[str, Any] = {
        "name": DATASOURCE_NAME,
        "uid": DATASOURCE_UID,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": url,
        # Until Grafana 9 it stood here; newer ones read it from jsonData.
        "database": database,
        "isDefault": True,
        "jsonData": plain,
    }
    if token:
        plain["httpHeaderName1"] = "Authorization"
        made["secureJsonData"] = {"httpHeaderValue1": f"Token {token}"}
    return made


def all_files() -> dict[PurePosixPath, str]:
    """Return the text of each generated file by its path below `dashboards/`."""
    return {
        **{PurePosixPath("grafana", name): text for name, text in catalogue.files().items()},
        **{"provisioning" / path: text for path, text in provisioning_files().items()},
    }


def provisioning_files() -> dict[PurePosixPath, str]:
    """Return the text of each file by its path below `dashboards/provisioning/`."""
    made = datasource(url=f"${{{INFLUX_URL}}}", token=f"$__file{{{TOKEN_FILE}}}") | {"orgId": 1, "editable": False}
    folder: dict[str, object] = {
        "name": DATABASE,
        "orgId": 1,
        "type": "file",
        "folder": FOLDER_TITLE,
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": DASHBOARDS_FOLDER},
    }
    documents: dict[str, dict[str, object]] = {
        "datasources/wattpost.yaml": {"datasources": [made]},
        "dashboards/wattpost.yaml": {"providers": [folder]},
        "alerting/contact-points.yaml": {"contactPoints": _contact_points()},
        "alerting/mute-timings.yaml": {"muteTimes": [{"orgId": 1} | timing for timing in notification.mute_timings()]},
        "alerting/policies.yaml": {"policies": [_policy_tree()]},
        "alerting/rules.yaml": {"groups": _groups()},
    }
    return {PurePosixPath(path): _written(document) for path, document in documents.items()}


def _contact_points() -> list[dict[str, Any]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for point in as_json(notification.contact_points()):
        receiver = {key: point[key] for key in ("uid", "type", "disableResolveMessage", "settings")}
        by_name.setdefault(point["name"], []).append(receiver)
    return [{"orgId": 1, "name": name, "receivers": receivers} for name, receivers in by_name.items()]


def _policy_tree() -> dict[str, Any]:
    """Return a tree of our own: files of provisioning always set the whole of it."""
    ours = as_json(notification.policy())
    root = {"orgId": 1, "receiver": notification.OPERATORS, "group_by": ["grafana_folder", "alertname"]}
    return root | {"routes": [ours]}


def _groups() -> list[dict[str, Any]]:
    made = []
    for group in GROUPS:
        model = as_json(group_of(group, runbooks_url=f"${{{RUNBOOKS_URL}}}"))
        made.append(
            {
                "orgId": 1,
                "name": group.title,
                "folder": FOLDER_TITLE,
                "interval": duration(group.interval_s),
                "rules": [_rule(rule) for rule in model["rules"]],
            }
        )
    return made


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as files have it: without what its group says, and with its panel as members of their own."""
    annotations = dict(rule["annotations"])
    kept = ("uid", "title", "condition", "for", "noDataState", "execErrState", "isPaused", "labels")
    return {
        **{name: rule[name] for name in kept},
        "dashboardUid": annotations.pop("__dashboardUid__"),
        "panelId": int(annotations.pop("__panelId__")),
        "annotations": annotations,
        "data": rule["data"],
    }


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # ships no types
    """Writes times of day in quotes, which some readers take for numbers of base sixty."""


def _text(dumper: _Dumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if _TIME_OF_DAY.match(text) else None)


_Dumper.add_representer(str, _text)


def _written(document: dict[str, object]) -> str:
    text: str = yaml.dump(
        {"apiVersion": 1} | document, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True
    )
    return _HEADER + text
