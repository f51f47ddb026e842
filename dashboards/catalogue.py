"""All dashboards, and the files that they are kept in.

A new one is a module of `dashboards.boards` and a line here; `wattpost dashboards build` writes its file.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.boards.collection import collection
from dashboards.boards.commands import commands
from dashboards.boards.events import events
from dashboards.boards.gateway import gateway
from dashboards.boards.meter import meter
from dashboards.boards.overview import overview
from dashboards.boards.prepaid import prepaid
from dashboards.boards.workings import workings

BOARDS: Final[tuple[Callable[[], dashboard.Dashboard], ...]] = (
    overview,
    gateway,
    meter,
    prepaid,
    commands,
    collection,
    events,
    workings,
)


def all_dashboards() -> Mapping[str, dict[str, Any]]:
    """Return every dashboard as Grafana's JSON, by the name of its file, which is its uid and `.json`."""
    made: dict[str, dict[str, Any]] = {}
    for board in BOARDS:
        document: dict[str, Any] = json.loads(json.dumps(board(), cls=JSONEncoder))
        made[f"{document['uid']}.json"] = document
    return made


def panel_id(uid: str, title: str) -> int:
    """Return the number of the one panel of this title on a dashboard."""
    (number,) = (panel["id"] for panel in _panels(uid) if panel["title"] == title)
    return int(number)


def files() -> Mapping[str, str]:
    """Return the text of each file by its name: the same for the same code."""
    return {
        name: json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, document in all_dashboards().items()
    }


@cache
def _panels(uid: str) -> tuple[dict[str, Any], ...]:
    return tuple(all_dashboards()[f"{uid}.json"]["panels"])
