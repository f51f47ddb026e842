"""What an alert rule of ours is, and how it becomes one of Grafana: queries, their reductions, one threshold.

A rule asks one query (`A`), reduces each series to a number (`B`) and holds it against its limit (`C`, the condition).
A rule that needs two numbers asks another (`D`, reduced to `E`) and joins them by a formula (`F`) before the threshold.
Grafana keeps a state for each set of labels, so a query that groups by gateway watches every gateway by itself.

Texts are templates of Grafana. They name `.Labels` and `.Values` without the dollar sign that the documentation also
shows: files of provisioning take a dollar sign for a variable of the environment, and versions differ in how to escape
it. `.Values.B` writes all digits there are: what is no count is rounded.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import alerting as build
from grafana_foundation_sdk.builders import expr as build_expr
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting, expr
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from dashboards import query as influxql
from dashboards.catalogue import panel_id

FOLDER_UID: Final = "wattpost"
FOLDER_TITLE: Final = "Wattpost"
SERVICE_LABEL: Final = ("service", "wattpost")
"""On every alert, so that the notification policies of others need not know ours."""
EXPRESSIONS_UID: Final = "__expr__"
CONDITION: Final = "C"
_FORMULA: Final = "F"
_REFS: Final = (("A", "B"), ("D", "E"))
_EXPRESSIONS: Final = DataSourceRef(type_val=EXPRESSIONS_UID, uid=EXPRESSIONS_UID)

Reducer = Literal["sum", "mean", "min", "max", "count", "last"]
Evaluator = Literal["gt", "lt", "outside_range"]


class Severity(StrEnum):
    """Who is to hear of it, and when."""

    CRITICAL = "critical"
    """The person on duty, now."""
    WARNING = "warning"
    """Whoever works on it, in working hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked, over which time up to now, and how a series becomes a number."""

    influxql: str
    range_s: int
    reducer: Reducer = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule."""

    name: str
    """In words with hyphens: the end of its uid and the anchor in the runbooks."""
    title: str
    severity: Severity
    queries: tuple[Query, ...]
    formula: str = ""
    """Of `$B` and `$E`, where there are two queries."""
    evaluator: Evaluator = "gt"
    limits: tuple[float, ...]
    for_s: int
    summary: str
    """One line with the value, as a person reads it on a telephone."""
    description: str
    dashboard_uid: str
    panel: str
    """Title of the panel there that shows what is judged; the alert links to it."""
    alerts_without_data: bool = False
    """Whether no data at all is the alarm itself; else it is quiet and left to the rule whose alarm it is."""
    is_empty_when_healthy: bool = False
    """Whether the query finds nothing where nothing is wrong, since only what is wrong is written at all."""

    @property
    def uid(self) -> str:
        """Return the rule's uid in Grafana."""
        return f"wattpost-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together."""

    title: str
    interval_s: int
    alerts: tuple[Alert, ...]


class _Built(Builder[influxql.Query]):
    """A query for the builder of a rule, which asks for builders."""

    def __init__(self, query: influxql.Query) -> None:
        self._query = query

    def build(self) -> influxql.Query:
        return self._query


def rule_of(alert: Alert, *, group: str, runbooks_url: str) -> alerting.Rule:
    """Return the rule as Grafana's models have it.

    Args:
        alert: Ours.
        group: Title of the evaluation group.
        runbooks_url: Address of the runbooks, to which the anchor is added.
    """
    annotations = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{runbooks_url}#{alert.name}",
        # Grafana refuses the one without the other.
        "__dashboardUid__": alert.dashboard_uid,
        "__panelId__": str(panel_id(alert.dashboard_uid, alert.panel)),
    }
    return (
        build.Rule(alert.title)
        .uid(alert.uid)
        .rule_group(group)
        .folder_uid(FOLDER_UID)
        .org_id(1)
        .for_val(duration(alert.for_s))
        .condition(CONDITION)
        .queries(_steps(alert))
        .no_data_state("Alerting" if alert.alerts_without_data else "OK")
        .exec_err_state("Error")
        .labels(dict((SERVICE_LABEL, ("severity", alert.severity.value))))
        .annotations(annotations)
        .is_paused(is_paused=False)
        .build()
    )


def group_of(group: Group, *, runbooks_url: str) -> alerting.RuleGroup:
    """Return an evaluation group with all its rules."""
    rules = [rule_of(alert, group=group.title, runbooks_url=runbooks_url) for alert in group.alerts]
    return alerting.RuleGroup(folder_uid=FOLDER_UID, interval=group.interval_s, rules=rules, title=group.title)


def as_json(model: object) -> Any:
    """Return a model of the SDK as plain data."""
    return json.loads(json.dumps(model, cls=JSONEncoder))


def duration(seconds: int) -> str:
    """Return a duration as Grafana writes it, in the largest unit that holds it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _steps(alert: Alert) -> list[Builder[alerting.Query]]:
    steps: list[Builder[alerting.Query]] = []
    for (asked, reduced), query in zip(_REFS, alert.queries, strict=False):
        model = _Built(influxql.Query(query.influxql, alias="", ref_id=asked))
        steps.append(_step(asked, influxql.DATASOURCE_UID, model, range_s=query.range_s))
        steps.append(_step(reduced, EXPRESSIONS_UID, _reduce(reduced, of=asked, reducer=query.reducer)))
    judged = _REFS[0][1]
    if alert.formula:
        judged = _FORMULA
        math = build_expr.TypeMath().expression(alert.formula).ref_id(_FORMULA).datasource(_EXPRESSIONS)
        steps.append(_step(_FORMULA, EXPRESSIONS_UID, math))
    steps.append(_step(CONDITION, EXPRESSIONS_UID, _threshold(alert, of=judged)))
    return steps


def _step(ref: str, uid: str, model: Builder[Any], *, range_s: int = 0) -> Builder[alerting.Query]:
    spanned = alerting.RelativeTimeRange(from_val=range_s, to=0)
    return build.Query(ref).datasource_uid(uid).model(model).query_type("").relative_time_range(spanned)


def _reduce(ref: str, *, of: str, reducer: Reducer) -> Builder[expr.TypeReduce]:
    settings = build_expr.ExprTypeReduceSettings().mode("dropNN")
    made = build_expr.TypeReduce().expression(of).reducer(reducer).settings(settings)
    return made.ref_id(ref).datasource(_EXPRESSIONS)


def _threshold(alert: Alert, *, of: str) -> Builder[expr.TypeThreshold]:
    evaluator = build_expr.ExprTypeThresholdConditionsEvaluator().type(alert.evaluator).params(list(alert.limits))
    condition = build_expr.ExprTypeThresholdConditions().evaluator(evaluator)
    made = build_expr.TypeThreshold().expression(of).conditions([condition])
    return made.ref_id(CONDITION).datasource(_EXPRESSIONS)
