"""What Grafana's HTTP API accepts in each body, as its documentation has it: required members, their types, references.

Each check returns what is wrong with a body, in words, and nothing where all is well. What a server does about it and
keeps is the business of `server`.
"""

import re
import zoneinfo
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

UID_CHARS_MAX: Final = 40
INTERVAL_STEP_S: Final = 10
"""Of the scheduler: intervals of rule groups are multiples of it."""
_UID = re.compile(rf"^[A-Za-z0-9_-]{{1,{UID_CHARS_MAX}}}$")
_DURATION = re.compile(r"^([0-9]+(ms|[smhdwy]))+$")
_TIME = re.compile(r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_BUILT_IN: Final = frozenset({"grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --", "__expr__"})
_STRING_MAPS: Final = ("annotations", "labels")
_CONTACT_TYPES: Final = {"email": "addresses", "webhook": "url"}
"""Those that are known here, with the setting that each needs."""
_RULE: Final[Mapping[str, type]] = {
    "condition": str,
    "data": list,
    "execErrState": str,
    "folderUID": str,
    "for": str,
    "noDataState": str,
    "orgID": int,
    "ruleGroup": str,
    "title": str,
}
_STATES: Final = {
    "noDataState": frozenset({"NoData", "Alerting", "OK", "KeepLast"}),
    "execErrState": frozenset({"Error", "Alerting", "OK", "KeepLast"}),
}
_INTERVAL: Final = frozenset({"times", "weekdays", "months", "years", "days_of_month", "location"})


def folder(body: Mapping[str, Any]) -> Iterator[str]:
    """Check POST /api/folders."""
    yield from _required(body, {"title": str})
    if "uid" in body and not _is_uid(body["uid"]):
        yield f"uid {body['uid']!r} is no uid"


def datasource(body: Mapping[str, Any]) -> Iterator[str]:
    """Check POST and PUT of data sources."""
    yield from _required(body, {"name": str, "type": str, "access": str})
    if body.get("access") not in {"proxy", "direct"}:
        yield "access is proxy or direct"
    if "uid" in body and not _is_uid(body["uid"]):
        yield f"uid {body['uid']!r} is no uid"
    if not isinstance(body.get("jsonData", {}), dict):
        yield "jsonData is no object"
    secrets = body.get("secureJsonData", {})
    if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
        yield "secureJsonData is no object of strings"
    named = {name.removeprefix("httpHeaderName") for name in body.get("jsonData", {}) if name.startswith("httpHeader")}
    if not {name.removeprefix("httpHeaderValue") for name in secrets} <= named:
        yield "a header has a value and no name"


def dashboard(body: Mapping[str, Any], *, folders: Collection[str], datasources: Collection[str]) -> Iterator[str]:
    """Check POST /api/dashboards/db, and besides that whatever a dashboard refers to is there."""
    yield from _required(body, {"dashboard": dict})
    model = body.get("dashboard", {})
    yield from (f"dashboard: {problem}" for problem in _required(model, {"title": str}))
    if model.get("uid") is not None and not _is_uid(model["uid"]):
        yield f"uid {model['uid']!r} is no uid"
    if body.get("folderUid") not in folders:
        yield f"folder {body.get('folderUid')!r} is not there"
    if not isinstance(body.get("overwrite", False), bool):
        yield "overwrite is no boolean"
    for uid in sorted(datasource_uids(model)):
        if uid not in datasources and uid not in _BUILT_IN and not uid.startswith("$"):
            yield f"data source {uid!r} is not there"


def datasource_uids(value: object) -> set[str]:
    """Return the uids of all data sources that a dashboard or a rule names, however deep."""
    found: set[str] = set()
    if isinstance(value, dict):
        reference = value.get("datasource")
        if isinstance(reference, dict) and isinstance(reference.get("uid"), str):
            found.add(reference["uid"])
        if isinstance(value.get("datasourceUid"), str):
            found.add(value["datasourceUid"])
        value = list(value.values())
    if isinstance(value, list):
        found.update(*(datasource_uids(item) for item in value))
    return found


def contact_point(body: Mapping[str, Any]) -> Iterator[str]:
    """Check POST and PUT of contact points."""
    yield from _required(body, {"name": str, "type": str, "settings": dict})
    needed = _CONTACT_TYPES.get(body.get("type", ""))
    if needed is None:
        yield f"type {body.get('type')!r} is not known"
        return
    setting = body.get("settings", {}).get(needed)
    if not isinstance(setting, str) or not setting or "$" in setting:
        yield f"settings.{needed} is missing or no address: {setting!r}"
    if not isinstance(body.get("disableResolveMessage", False), bool):
        yield "disableResolveMessage is no boolean"
    if "uid" in body and not _is_uid(body["uid"]):
        yield f"uid {body['uid']!r} is no uid"


def mute_timing(body: Mapping[str, Any]) -> Iterator[str]:
    """Check POST and PUT of mute timings."""
    yield from _required(body, {"name": str, "time_intervals": list})
    for interval in body.get("time_intervals", ()):
        if set(interval) - _INTERVAL:
            yield f"an interval has no {sorted(set(interval) - _INTERVAL)}"
        for times in interval.get("times", ()):
            ends = [times.get("start_time"), times.get("end_time")]
            if set(times) != {"start_time", "end_time"} or not all(_TIME.match(str(end)) for end in ends):
                yield f"{times} is no span of time of day"
            elif ends[0] >= ends[1]:
                yield f"{times} does not end after it starts"
        if "location" in interval and interval["location"] not in zoneinfo.available_timezones():
            yield f"{interval['location']!r} is no time zone"


def policies(
    body: Mapping[str, Any], *, receivers: Collection[str], timings: Collection[str], is_root: bool = True
) -> Iterator[str]:
    """Check PUT of the notification policy tree."""
    if is_root:
        yield from _required(body, {"receiver": str})
        if body.get("object_matchers") or body.get("mute_time_intervals"):
            yield "the root of the tree takes no matchers and no mute timings"
    if "receiver" in body and body["receiver"] not in receivers:
        yield f"contact point {body['receiver']!r} is not there"
    for name in body.get("mute_time_intervals", ()):
        if name not in timings:
            yield f"mute timing {name!r} is not there"
    for name in ("group_wait", "group_interval", "repeat_interval"):
        if name in body and not _DURATION.match(body[name]):
            yield f"{name} {body[name]!r} is no duration"
    for matcher in body.get("object_matchers", ()):
        if not _is_matcher(matcher):
            yield f"{matcher} is no matcher of name, operator, value"
    for route in body.get("routes", ()):
        yield from policies(route, receivers=receivers, timings=timings, is_root=False)


def rule_group(
    body: Mapping[str, Any], *, folder_uid: str, title: str, folders: Collection[str], datasources: Collection[str]
) -> Iterator[str]:
    """Check PUT of a rule group."""
    yield from _required(body, {"title": str, "interval": int, "rules": list})
    if folder_uid not in folders or body.get("folderUid", folder_uid) != folder_uid:
        yield f"folder {folder_uid!r} is not there, or is not the one of the address"
    if body.get("title") != title:
        yield f"title {body.get('title')!r} is not the one of the address"
    interval = body.get("interval", 0)
    if isinstance(interval, int) and (interval <= 0 or interval % INTERVAL_STEP_S):
        yield f"interval {interval} is no multiple of {INTERVAL_STEP_S} s"
    rules = body.get("rules", [])
    for name in ("uid", "title"):
        told = [rule.get(name) for rule in rules if rule.get(name)]
        if len(set(told)) != len(told):
            yield f"two rules have the same {name}"
    for rule in rules:
        yield from (
            f"rule {rule.get('title')!r}: {problem}"
            for problem in _rule(rule, folder_uid=folder_uid, group=title, datasources=datasources)
        )


def silence(body: Mapping[str, Any], *, now: datetime) -> Iterator[str]:
    """Check POST of a silence, a body of the Alertmanager API."""
    yield from _required(body, dict.fromkeys(("comment", "createdBy", "startsAt", "endsAt"), str))
    matchers = body.get("matchers")
    if not isinstance(matchers, list) or not matchers:
        yield "there are no matchers"
        return
    for matcher in matchers:
        yield from _required(matcher, {"name": str, "value": str, "isRegex": bool})
    ends = [_instant(body.get("startsAt")), _instant(body.get("endsAt"))]
    if ends[0] is None or ends[1] is None:
        yield "startsAt or endsAt is no instant"
    elif ends[1] <= ends[0] or ends[1] <= now:
        yield "endsAt is not after startsAt, or is past"


def _rule(rule: Mapping[str, Any], *, folder_uid: str, group: str, datasources: Collection[str]) -> Iterator[str]:
    yield from _required(rule, _RULE)
    if rule.get("folderUID") != folder_uid or rule.get("ruleGroup") != group:
        yield "folderUID or ruleGroup is not the one of its group"
    if rule.get("uid") and not _is_uid(rule["uid"]):
        yield f"uid {rule['uid']!r} is no uid"
    if not _DURATION.match(str(rule.get("for"))):
        yield f"for {rule.get('for')!r} is no duration"
    for name, allowed in _STATES.items():
        if rule.get(name) not in allowed:
            yield f"{name} {rule.get(name)!r} is none of {sorted(allowed)}"
    for name in _STRING_MAPS:
        told = rule.get(name, {})
        if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
            yield f"{name} is no object of strings"
        elif name == "labels" and not all(_LABEL.match(label) for label in told):
            yield f"labels have names that are none: {sorted(told)}"
    panel = {"__dashboardUid__", "__panelId__"} & set(rule.get("annotations", {}))
    if len(panel) == 1:
        yield f"{panel.pop()} without its other half"
    elif panel and not rule["annotations"]["__panelId__"].isdecimal():
        yield "__panelId__ is no number"
    yield from _steps(rule, datasources)


def _steps(rule: Mapping[str, Any], datasources: Collection[str]) -> Iterator[str]:
    steps: Sequence[Mapping[str, Any]] = rule.get("data", [])
    refs = [step.get("refId") for step in steps]
    if not steps or len(set(refs)) != len(refs) or rule.get("condition") not in refs:
        yield "data is empty, names a step twice, or lacks the condition"
    for step in steps:
        where = f"step {step.get('refId')!r}"
        yield from (f"{where}: {problem}" for problem in _required(step, {"refId": str, "model": dict}))
        model, uid = step.get("model", {}), step.get("datasourceUid")
        span = step.get("relativeTimeRange", {})
        if not all(isinstance(span.get(end), int) for end in ("from", "to")):
            yield f"{where}: relativeTimeRange has no numbers from and to"
        if model.get("refId") != step.get("refId"):
            yield f"{where}: the model has another refId"
        if uid == "__expr__":
            named = re.findall(r"\$\{?(\w+)", model.get("expression", "")) or [model.get("expression")]
            if not set(named) <= set(refs) - {step.get("refId")}:
                yield f"{where}: {model.get('expression')!r} names no other step"
        elif uid not in datasources:
            yield f"{where}: data source {uid!r} is not there"
        elif not span.get("from", 0) > span.get("to", 0) >= 0:
            yield f"{where}: relativeTimeRange {span} is no span up to now"


def _required(body: Mapping[str, Any], members: Mapping[str, type]) -> Iterator[str]:
    for name, kind in members.items():
        value = body.get(name)
        # A boolean is a number to Python and none to JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value == "":
            yield f"{name} is missing or no {kind.__name__}: {value!r}"


def _is_uid(value: object) -> bool:
    return isinstance(value, str) and _UID.match(value) is not None


def _is_matcher(matcher: object) -> bool:
    return (
        isinstance(matcher, list)
        and [type(part) for part in matcher] == [str, str, str]
        and _LABEL.match(matcher[0]) is not None
        and matcher[1] in {"=", "!=", "=~", "!~"}
    )


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else None
