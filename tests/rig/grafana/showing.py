"""A dashboard as somebody opens it: variables chosen, every query of every panel asked over what the panel shows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.rig.grafana.queries import Answer, Asker, Choice, Span, interval_of
from tests.rig.grafana.rules import duration_ms

WELL_WITHOUT: Final = frozenset({"none", "no tampering", "no commits"})
"""What panels say on which nothing is no bad sign."""
_RELATIVE: Final = re.compile(r"now(?:-(\w+))?")


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of opening a dashboard."""

    answers: dict[tuple[int, str], Answer]
    """By panel id and refId."""
    spans: dict[int, Span]
    """What each panel showed."""
    chosen: dict[str, Choice]


def show(
    dashboard: Mapping[str, Any], asker: Asker, *, now_ms: int, chosen: Mapping[str, Choice] | None = None
) -> Shown:
    """Open a dashboard at an instant.

    Args:
        dashboard: As its JSON has it.
        asker: Of its data source.
        now_ms: The instant.
        chosen: Values of variables; of the others all where that is offered, else the first there is.

    Raises:
        QueryError: A query is refused.
    """
    span = _span(dashboard["time"]["from"], now_ms)
    values = _choose(dashboard, asker, span, chosen or {})
    answers: dict[tuple[int, str], Answer] = {}
    spans: dict[int, Span] = {}
    for panel in dashboard["panels"]:
        mine = _span(f"now-{panel['timeFrom']}", now_ms) if panel.get("timeFrom") else span
        spans[panel["id"]] = mine
        least_ms = duration_ms(panel["interval"]) if panel.get("interval") else 1
        interval_ms = interval_of(mine, least_ms=least_ms)
        for target in panel.get("targets", ()):
            answer = asker.ask(target["query"], mine, variables=values, interval_ms=interval_ms)
            answers[panel["id"], target["refId"]] = answer
    return Shown(answers, spans, values)


def may_be_empty(panel: Mapping[str, Any]) -> bool:
    """Tell whether a panel that shows nothing may be a good sign."""
    return panel["fieldConfig"]["defaults"].get("noValue") in WELL_WITHOUT


def empty_panels(dashboard: Mapping[str, Any], shown: Shown) -> list[str]:
    """Return the titles of the panels that show nothing and should."""
    return [
        panel["title"]
        for panel in dashboard["panels"]
        if panel.get("targets")
        and not may_be_empty(panel)
        and all(shown.answers[panel["id"], target["refId"]].is_empty for target in panel["targets"])
    ]


def _choose(dashboard: Mapping[str, Any], asker: Asker, span: Span, chosen: Mapping[str, Choice]) -> dict[str, Choice]:
    values: dict[str, Choice] = {}
    for variable in dashboard.get("templating", {}).get("list", ()):
        name = variable["name"]
        if name in chosen:
            values[name] = chosen[name]
        elif variable.get("includeAll"):
            values[name] = variable.get("allValue") or ".*"
        else:
            query = variable["query"] if isinstance(variable["query"], str) else variable["query"]["query"]
            frames = asker.ask(query, span, variables=values).frames
            offered = sorted(str(value) for frame in frames if frame.name == "value" for value in frame.values)
            assert offered, f"{dashboard['title']}: nothing to choose of {name}"
            values[name] = offered[0]
    return values


def _span(begins: str, now_ms: int) -> Span:
    match = _RELATIVE.fullmatch(begins)
    assert match is not None, f"not relative to now: {begins}"
    back_ms = duration_ms(match[1]) if match[1] else 0
    return Span(now_ms - back_ms, now_ms)
