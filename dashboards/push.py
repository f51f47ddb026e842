"""Brings everything to a running Grafana by its HTTP API, so that pushing twice changes nothing the second time.

Each resource is looked up first; what is there already and says the same is left alone. Nothing of others is touched:
folder, data source, dashboards and rules have uids of ours, contact points and quiet hours names of ours, and of the
tree of notification policies only the branch for `service=wattpost` is ours. Rules of ours that the code no longer
has are taken away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from dashboards.alerting.alert import FOLDER_TITLE, FOLDER_UID, SERVICE_LABEL, as_json, group_of
from dashboards.alerting.rules import GROUPS
from dashboards.alerting.silences import Silence
from dashboards.grafana_api import Grafana, RefusedError

_MATCHER: Final = [SERVICE_LABEL[0], "=", SERVICE_LABEL[1]]
_UID_PREFIX: Final = "wattpost-"


class Outcome(StrEnum):
    """What became of a resource."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A resource, and what became of it."""

    kind: str
    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that is pushed."""

    datasource: Mapping[str, Any] | None
    """None where it is there already and stays as it is."""
    datasource_uid: str
    dashboards: Sequence[Mapping[str, Any]]
    contact_points: Sequence[Mapping[str, Any]]
    mute_timings: Sequence[Mapping[str, Any]]
    policy: Mapping[str, Any]
    runbooks_url: str
    silences: Sequence[Silence]


def push(grafana: Grafana, content: Content, *, now: datetime) -> Iterator[Done]:
    """Bring everything to Grafana, telling of each resource when it is done.

    What others refer to goes first: a dashboard names its folder and data source, a policy its contact points.

    Args:
        grafana: Where to.
        content: What.
        now: What time it is; a silence whose end is past is left out.

    Raises:
        GrafanaError: It cannot be reached, does not let us, or refuses something; what was told of is done.
    """
    yield _folder(grafana)
    yield _datasource(grafana, content)
    for dashboard in content.dashboards:
        yield _dashboard(grafana, dashboard)
    yield from _contact_points(grafana, content.contact_points)
    for timing in content.mute_timings:
        yield _mute_timing(grafana, timing)
    yield _policy(grafana, content.policy)
    for group in GROUPS:
        yield _group(grafana, as_json(group_of(group, runbooks_url=content.runbooks_url)))
    yield from _stale_rules(grafana)
    yield from _silences(grafana, content.silences, now)


def _folder(grafana: Grafana) -> Done:
    found = grafana.find("GET", f"/folders/{FOLDER_UID}")
    if found is None:
        grafana.send("POST", "/folders", {"uid": FOLDER_UID, "title": FOLDER_TITLE})
        return Done(kind="folder", name=FOLDER_TITLE, outcome=Outcome.CREATED)
    return Done(kind="folder", name=found["title"], outcome=Outcome.UNCHANGED)


def _datasource(grafana: Grafana, content: Content) -> Done:
    path = f"/datasources/uid/{content.datasource_uid}"
    found = grafana.find("GET", path)
    if content.datasource is None:
        if found is None:
            raise RefusedError(
                f"data source {content.datasource_uid}: it is not there",
                "name InfluxDB by --influx-url and --influx-token-file, and it is made",
            )
        return Done(kind="data source", name=found["name"], outcome=Outcome.UNCHANGED)
    wanted = dict(content.datasource)
    name = str(wanted["name"])
    if found is None:
        grafana.send("POST", "/datasources", wanted)
        return Done(kind="data source", name=name, outcome=Outcome.CREATED)
    if found.get("readOnly"):
        return Done(kind="data source", name=name, outcome=Outcome.LEFT_OUT, detail="a file of provisioning owns it")
    # Grafana never shows a secret again: whether this one is another cannot be seen, so it is written.
    secret = wanted.pop("secureJsonData", {})
    if not secret and _says(found, wanted):
        return Done(kind="data source", name=name, outcome=Outcome.UNCHANGED)
    grafana.send("PUT", path, wanted | ({"secureJsonData": secret} if secret else {}))
    detail = "its token is written each time, since it cannot be compared" if secret else ""
    return Done(kind="data source", name=name, outcome=Outcome.UPDATED, detail=detail)


def _dashboard(grafana: Grafana, dashboard: Mapping[str, Any]) -> Done:
    found = grafana.find("GET", f"/dashboards/uid/{dashboard['uid']}")
    # Numbers of a server are not ours to say; without them and with the uid the server finds its own.
    wanted = {name: value for name, value in dashboard.items() if name not in {"id", "version"}}
    name = str(dashboard["title"])
    if found and found["meta"].get("folderUid") == FOLDER_UID and _says(found["dashboard"], wanted):
        return Done(kind="dashboard", name=name, outcome=Outcome.UNCHANGED)
    body = {"dashboard": {"id": None} | wanted, "folderUid": FOLDER_UID, "overwrite": True, "message": "pushed"}
    grafana.send("POST", "/dashboards/db", body)
    return Done(kind="dashboard", name=name, outcome=Outcome.UPDATED if found else Outcome.CREATED)


def _contact_points(grafana: Grafana, wanted: Iterable[Mapping[str, Any]]) -> Iterator[Done]:
    path = "/v1/provisioning/contact-points"
    known = {point.get("uid"): point for point in grafana.send("GET", path)}
    for point in wanted:
        told = _made(grafana, known.get(point["uid"]), point, create=path, change=f"{path}/{point['uid']}")
        yield Done(kind="contact point", name=f"{point['name']} ({point['type']})", outcome=told)


def _mute_timing(grafana: Grafana, timing: Mapping[str, Any]) -> Done:
    path = "/v1/provisioning/mute-timings"
    own = f"{path}/{quote(timing['name'], safe='')}"
    told = _made(grafana, grafana.find("GET", own), timing, create=path, change=own)
    return Done(kind="quiet hours", name=timing["name"], outcome=told)


def _policy(grafana: Grafana, ours: Mapping[str, Any]) -> Done:
    path = "/v1/provisioning/policies"
    tree = grafana.send("GET", path)
    routes: list[Mapping[str, Any]] = list(tree.get("routes") or ())
    places = [index for index, route in enumerate(routes) if _is_ours(route)]
    if len(places) == 1 and _says(routes[places[0]], ours):
        return Done(kind="notification policy", name="service=wattpost", outcome=Outcome.UNCHANGED)
    others = [route for route in routes if not _is_ours(route)]
    # First, so that nobody's broader branch takes our alerts.
    changed = dict(tree) | {"routes": [ours, *others]}
    changed.pop("provenance", None)
    grafana.send("PUT", path, changed)
    outcome = Outcome.UPDATED if places else Outcome.CREATED
    return Done(kind="notification policy", name="service=wattpost", outcome=outcome)


def _is_ours(route: Mapping[str, Any]) -> bool:
    return route.get("object_matchers") == [_MATCHER]


def _group(grafana: Grafana, group: Mapping[str, Any]) -> Done:
    path = f"/v1/provisioning/folder/{FOLDER_UID}/rule-groups/{quote(group['title'], safe='')}"
    found = grafana.find("GET", path)
    count = f"{len(group['rules'])} rules"
    there = bool(found and found.get("rules"))
    if there and _says(found, group):
        return Done(kind="rule group", name=group["title"], outcome=Outcome.UNCHANGED, detail=count)
    grafana.send("PUT", path, group)
    outcome = Outcome.UPDATED if there else Outcome.CREATED
    return Done(kind="rule group", name=group["title"], outcome=outcome, detail=count)


def _stale_rules(grafana: Grafana) -> Iterator[Done]:
    ours = {alert.uid for group in GROUPS for alert in group.alerts}
    for rule in grafana.send("GET", "/v1/provisioning/alert-rules"):
        uid = str(rule.get("uid", ""))
        if rule.get("folderUID") == FOLDER_UID and uid.startswith(_UID_PREFIX) and uid not in ours:
            grafana.send("DELETE", f"/v1/provisioning/alert-rules/{uid}")
            yield Done(kind="rule", name=str(rule["title"]), outcome=Outcome.REMOVED)


def _silences(grafana: Grafana, wanted: Sequence[Silence], now: datetime) -> Iterator[Done]:
    path = "/alertmanager/grafana/api/v2/silences"
    known = grafana.send("GET", path) if wanted else []
    standing = [silence for silence in known if silence["status"]["state"] != "expired"]
    for silence in wanted:
        if silence.ends_at <= now:
            yield Done(kind="silence", name=silence.name, outcome=Outcome.LEFT_OUT, detail="its end is past")
            continue
        body = silence.body()
        same = next((other for other in standing if str(other["comment"]).startswith(silence.mark)), None)
        if same and _says_silence(same, silence):
            yield Done(kind="silence", name=silence.name, outcome=Outcome.UNCHANGED)
            continue
        grafana.send("POST", path, body | ({"id": same["id"]} if same else {}))
        yield Done(kind="silence", name=silence.name, outcome=Outcome.UPDATED if same else Outcome.CREATED)


def _says_silence(found: Mapping[str, Any], silence: Silence) -> bool:
    """Whether a silence is as wanted; one that has begun is told with the instant at which it did."""
    body = silence.body()
    starts = found["status"]["state"] == "active" or _instant(found["startsAt"]) == silence.starts_at
    ends = _instant(found["endsAt"]) == silence.ends_at
    return starts and ends and all(_says(found[name], body[name]) for name in ("comment", "matchers"))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _made(
    grafana: Grafana,
    found: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    *,
    create: str,
    change: str,
) -> Outcome:
    if found is None:
        grafana.send("POST", create, wanted)
        return Outcome.CREATED
    if _says(found, wanted):
        return Outcome.UNCHANGED
    grafana.send("PUT", change, wanted)
    return Outcome.UPDATED


def _says(found: object, wanted: object) -> bool:
    """Whether what Grafana has says all that is wanted; it adds numbers, stamps and defaults of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _says(found.get(name), value) or (name not in found and value in _DEFAULTS)
            for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_says(*pair) for pair in zip(found, wanted, strict=True))
        )
    return found == wanted


_DEFAULTS: Final = (False, "", 0, None)
"""Values that a server may leave out when it tells what it has."""
