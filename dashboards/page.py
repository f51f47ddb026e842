"""A dashboard as a page: questions on top, rows of panels below, variables and links around it.

Decides where panels stand and how they are numbered; what is on them is the boards' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models import dashboard

from dashboards import links
from dashboards.panels import Panel, text

COLUMNS: Final = 24
"""Of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, which fill the width of the page."""

    height: int
    """In units of Grafana's grid, 30 pixels each."""
    panels: tuple[Panel, ...]


def row(height: int, *panels: Panel) -> Row:
    """Return panels side by side."""
    return Row(height, panels)


def questions(*asked: str, note: str = "") -> Row:
    """Return the row on top: the questions that the dashboard answers, and what else has to be known."""
    listed = "\n".join(f"- {question}" for question in asked)
    return Row(max(len(asked) + (1 if note else 0), 2), (text(f"{listed}\n\n{note}" if note else listed),))


def page(
    uid: str,
    title: str,
    about: str,
    *,
    variables: Sequence[QueryVariable],
    rows: Sequence[Row],
    span: str = "now-6h",
    refresh: str = "1m",
) -> dashboard.Dashboard:
    """Return a dashboard.

    Args:
        uid: By which links and people's bookmarks find it, for ever.
        title: What it is called.
        about: What it is for, in a sentence.
        variables: What is chosen on top.
        rows: Panels from top to bottom.
        span: How far back it looks when it is opened.
        refresh: How often it looks again.
    """
    built = (
        Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([links.TAG])
        .time(span, "now")
        .refresh(refresh)
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .variables([*variables])
        .build()
    )
    built.links = [links.all_dashboards()]
    built.panels = [*_placed(rows)]
    return built


def _placed(rows: Sequence[Row]) -> list[Panel]:
    placed: list[Panel] = []
    top = 0
    for each in rows:
        left = 0
        for panel in each.panels:
            assert panel.grid_pos is not None
            width = panel.grid_pos.w
            panel.id_val = len(placed) + 1
            panel.grid_pos = dashboard.GridPos(h=each.height, w=width, x=left, y=top)
            placed.append(panel)
            left += width
        assert left == COLUMNS, f"{[panel.title for panel in each.panels]} fill {left} of {COLUMNS}"
        top += each.height
    return placed
