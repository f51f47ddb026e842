"""Pictures of dashboards, drawn from their own panels and the answers to their own queries.

Not Grafana's pixels: the same panels at the same places with the same numbers, units, colours and words, so that a
reader of the documentation sees what an operator sees.
"""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tests.rig.grafana.fields import FieldConfig, colour_of, field_config, series_name
from tests.rig.grafana.queries import Answer, Frame, Span, Value

COLUMNS: Final = 24
_INCHES_PER_COLUMN: Final = 0.62
_INCHES_PER_ROW: Final = 0.40
_MARGIN: Final = 0.1
_TITLE_INCHES: Final = 0.27
_DOTS_PER_INCH: Final = 80
_PAPER, _PANEL, _INK, _FAINT = "#f4f5f5", "#ffffff", "#24292e", "#8a8f95"
_SHADES: Final = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#777777", "#000000")
_LINE_INCHES: Final = 0.2
_CELL_CHARS_MAX: Final = 48
_LEGEND_MAX: Final = 6

Answers = Mapping[tuple[int, str], Answer]
"""By panel id and refId."""


def draw(dashboard: Mapping[str, Any], answers: Answers, spans: Mapping[int, Span], path: Path) -> None:
    """Draw a dashboard into a PNG file.

    Args:
        dashboard: As its JSON has it.
        answers: To all its queries.
        spans: What each panel shows, by its id.
        path: The file.
    """
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    size = (COLUMNS * _INCHES_PER_COLUMN, height * _INCHES_PER_ROW + 0.4)
    figure = Figure(figsize=size, facecolor=_PAPER, dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 0.25 / size[1], dashboard["title"], fontsize=13, weight="bold", color=_INK, va="center")
    for panel in panels:
        axes = _place(figure, panel, size)
        mine = {ref: answer for (owner, ref), answer in answers.items() if owner == panel["id"]}
        _DRAWN[panel["type"]](axes, panel, _series(panel, mine), spans[panel["id"]])
    figure.savefig(path, facecolor=_PAPER)


def _place(figure: Figure, panel: Mapping[str, Any], size: tuple[float, float]) -> Axes:
    """Draw a panel's frame and title, and return where its content goes."""
    width, height = size
    at = panel["gridPos"]
    left = at.get("x", 0) * _INCHES_PER_COLUMN + _MARGIN / 2
    top = height - 0.4 - at["y"] * _INCHES_PER_ROW
    wide, high = at["w"] * _INCHES_PER_COLUMN - _MARGIN, at["h"] * _INCHES_PER_ROW - _MARGIN
    box = (left / width, (top - high) / height, wide / width, high / height)
    if not panel.get("transparent"):
        figure.add_artist(
            Rectangle(
                box[:2],
                box[2],
                box[3],
                transform=figure.transFigure,
                facecolor=_PANEL,
                edgecolor="#d8d9da",
                zorder=-1,
            )
        )
    title = panel.get("title", "")
    if title:
        figure.text(
            (left + 0.08) / width, (top - 0.15) / height, title, fontsize=8.5, weight="bold", color=_INK, va="center"
        )
    inner = _TITLE_INCHES if title else 0.05
    axes = figure.add_axes((box[0], box[1], box[2], (high - inner) / height))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return axes


Series = Sequence[tuple[str, Frame, Mapping[str, Any]]]
"""Name, values and the target that asked."""


def _series(panel: Mapping[str, Any], answers: Mapping[str, Answer]) -> Series:
    return [
        (series_name(frame, target.get("alias", "")), frame, target)
        for target in panel.get("targets", ())
        for frame in answers[target["refId"]].frames
    ]


# ---- kinds of panel --------------------------------------------------------------------------------------------------


def _text(axes: Axes, panel: Mapping[str, Any], _series: Series, _span: Span) -> None:
    lines = panel["options"]["content"].replace("**", "").replace("`", "").split("\n")
    wide = panel["gridPos"]["w"] * 9
    wrapped = [part for line in lines for part in (textwrap.wrap(line, wide) or [""])]
    axes.text(0.006, 0.97, "\n".join(wrapped), fontsize=8.5, va="top", color=_INK, linespacing=1.3)


def _stat(axes: Axes, panel: Mapping[str, Any], series: Series, _span: Span) -> None:
    shown = [(field_config(panel, name), value) for name, value in _reduced(panel, series)]
    if not shown:
        shown = [(field_config(panel, ""), None)]
    with_name = "name" in panel["options"].get("textMode", "auto") or len(shown) > 1
    for index, (config, value) in enumerate(shown):
        low = 1 - (index + 1) / len(shown)
        colour = config.colour(value)
        axes.add_patch(Rectangle((0.01, low + 0.02), 0.98, 1 / len(shown) - 0.03, facecolor=colour, alpha=0.92))
        text = config.text(value)
        if with_name and len(shown) > 2:
            axes.text(0.05, low + 0.5 / len(shown), config.title, fontsize=8, color="white", va="center")
            axes.text(
                0.95, low + 0.5 / len(shown), text, fontsize=10, weight="bold", color="white", va="center", ha="right"
            )
            continue
        axes.text(
            0.05,
            low + 0.46 / len(shown),
            text,
            fontsize=min(14 if len(shown) > 1 else 17, 22 * panel["gridPos"]["w"] / max(len(text), 1) / 0.9),
            weight="bold",
            color="white",
            va="center",
        )
        if with_name:
            axes.text(0.05, low + 0.84 / len(shown), config.title, fontsize=7, color="white", va="center")


def _timeseries(axes: Axes, panel: Mapping[str, Any], series: Series, span: Span) -> None:
    plot = axes.inset_axes((0.075, 0.24, 0.905, 0.74))
    _time_axis(plot, span)
    defaults = field_config(panel, "")
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    is_bars = custom.get("drawStyle") == "bars"
    stacked: dict[float, float] = {}
    right: Axes | None = None
    on_right: FieldConfig | None = None
    for index, (name, frame, _) in enumerate(series):
        points = [
            (at, value)
            for at, value in zip(frame.times_ms, frame.values, strict=True)
            if isinstance(value, (int, float))
        ]
        if not points:
            continue
        config = field_config(panel, name)
        colour = _series_colour(config, index)
        target = plot
        if config.properties.get("custom.axisPlacement") == "right":
            right = right or plot.twinx()
            target, on_right = right, config
        label = f"{config.title}  {config.text(points[-1][1])}"
        times, values = _with_gaps(points, custom.get("insertNulls") or math.inf)
        if is_bars:
            width = _bar_width(series, span)
            bottoms = [stacked.get(at, 0.0) for at in times]
            target.bar(times, values, width=width * 0.9, bottom=bottoms, color=colour, label=label)
            stacked |= {at: low + value for at, low, value in zip(times, bottoms, values, strict=True)}
        else:
            target.plot(
                times,
                values,
                color=colour,
                linewidth=1.2,
                marker="." if len(times) < 40 else None,
                markersize=3,
                label=label,
            )
    _limits(plot, panel)
    for each in (plot, *([right] if right is not None else [])):
        told = on_right if each is right and on_right is not None else defaults
        each.yaxis.set_major_formatter(lambda value, _, told=told: told.text(float(value)))  # type: ignore[misc]
        each.tick_params(labelsize=6.5, colors=_FAINT, length=2)
    handles = [
        handle
        for each in (plot, right)
        if each is not None
        for handle in zip(*each.get_legend_handles_labels(), strict=True)
    ]
    if handles:
        axes.legend(
            *zip(*handles[:_LEGEND_MAX], strict=True),
            loc="lower left",
            ncols=min(len(handles), 3),
            fontsize=6.5,
            frameon=False,
            borderaxespad=0.1,
        )
    else:
        plot.text(0.5, 0.5, str(defaults.text(None)), transform=plot.transAxes, ha="center", color=_FAINT, fontsize=9)


def _with_gaps(points: Sequence[tuple[int, float]], apart_ms: float) -> tuple[list[float], list[float]]:
    """Return times and values for a line that does not join points too far apart."""
    times, values = [_time(points[0][0])], [points[0][1]]
    for (before, _), (at, value) in pairwise(points):
        if at - before > apart_ms:
            times.append(_time(before))
            values.append(math.nan)
        times.append(_time(at))
        values.append(value)
    return times, values


def _bar_width(series: Series, span: Span) -> float:
    """Return the width of a bar: the shortest distance of two points of any series."""
    times = sorted({at for _, frame, _ in series for at in frame.times_ms})
    apart_ms = min((after - at for at, after in pairwise(times)), default=(span.to_ms - span.from_ms) // 50)
    return max(apart_ms, (span.to_ms - span.from_ms) // 200) / 86_400_000


def _limits(plot: Axes, panel: Mapping[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    low, high = plot.get_ylim()
    low = defaults["min"] if defaults.get("min") is not None else low
    high = defaults["max"] if defaults.get("max") is not None else high
    plot.set_ylim(low, high if high > low else low + 1)
    style = (defaults.get("custom", {}).get("thresholdsStyle") or {}).get("mode", "off")
    if style == "off":
        return
    for step in field_config(panel, "").steps():
        if step.get("value") is not None and low <= step["value"] <= high:
            plot.axhline(step["value"], color=step["color"], linestyle="--", linewidth=0.9)


def _table(axes: Axes, panel: Mapping[str, Any], series: Series, _span: Span) -> None:
    names, rows = _rows(series)
    columns = [(name, field_config(panel, name, kind=_kind(name, rows))) for name in names]
    columns = [(name, config) for name, config in columns if not config.is_hidden]
    if not rows or not columns:
        axes.text(0.5, 0.5, field_config(panel, "").text(None), ha="center", color=_FAINT, fontsize=10)
        return
    for order in reversed(panel["options"].get("sortBy") or []):
        by = next((name for name, config in columns if config.title == order["displayName"]), None)
        if by is not None:
            rows.sort(key=lambda row: _sortable(row.get(by)), reverse=bool(order.get("desc")))
    inner = panel["gridPos"]["h"] * _INCHES_PER_ROW - _MARGIN - _TITLE_INCHES
    step = _LINE_INCHES / inner
    count = min(len(rows), int(1 / step) - 2)
    x = 0.012
    total = sum(_width(config, name, rows[:count]) for name, config in columns)
    for name, config in columns:
        axes.text(x, 1 - step / 2, config.title, fontsize=7.5, weight="bold", color=_INK, va="center")
        for index, row in enumerate(rows[:count]):
            _cell(axes, config, row.get(name), x=x, y=1 - (index + 1.6) * step)
        x += 0.976 * _width(config, name, rows[:count]) / total
    if len(rows) > count:
        axes.text(0.988, step / 2, f"{len(rows) - count} more", fontsize=6.5, color=_FAINT, ha="right", va="center")


def _cell(axes: Axes, config: FieldConfig, value: Value, *, x: float, y: float) -> None:
    coloured = "custom.cellOptions" in config.properties
    colour, weight = (config.colour(value), "bold") if coloured else (_INK, "normal")
    axes.text(x, y, config.text(value)[:_CELL_CHARS_MAX], fontsize=7.5, color=colour, va="center", weight=weight)


def _width(config: FieldConfig, name: str, rows: Sequence[Mapping[str, Value]]) -> int:
    return min(max(4, len(config.title), *(len(config.text(row.get(name))) for row in rows)) + 2, _CELL_CHARS_MAX)


def _timeline(axes: Axes, panel: Mapping[str, Any], series: Series, span: Span) -> None:
    plot = axes.inset_axes((0.10, 0.12, 0.88, 0.86))
    _time_axis(plot, span)
    names = [name for name, _, _ in series]
    for row, (name, frame, _) in enumerate(series):
        config = field_config(panel, name)
        edges = [*frame.times_ms, span.to_ms]
        for at, until, value in zip(edges, edges[1:], frame.values, strict=False):
            if value is not None:
                plot.barh(row, _time(until) - _time(at), left=_time(at), height=0.8, color=config.colour(value))
    plot.set_yticks(range(len(names)), names)
    plot.set_ylim(len(names) - 0.5, -0.5)
    plot.tick_params(labelsize=7, colors=_FAINT, length=2)


def _geomap(axes: Axes, panel: Mapping[str, Any], series: Series, _span: Span) -> None:
    plot = axes.inset_axes((0.08, 0.09, 0.9, 0.89))
    _, rows = _rows(series)
    coloured_by = panel["options"]["layers"][0]["config"]["style"]["color"]["field"]
    steps = field_config(panel, coloured_by).steps()
    for row in rows:
        latitude, longitude, value = row.get("latitude"), row.get("longitude"), row.get(coloured_by)
        if not isinstance(latitude, (int, float)) or not isinstance(longitude, (int, float)):
            continue
        colour = colour_of(steps, float(value)) if isinstance(value, (int, float)) else _FAINT
        plot.scatter(longitude, latitude, s=150, color=colour, alpha=0.85, edgecolors=_INK, linewidths=0.6)
        label = f"{row.get('gateway', '')}  {field_config(panel, coloured_by).text(value)}"
        plot.annotate(label, (longitude, latitude), textcoords="offset points", xytext=(9, 5), fontsize=7.5, color=_INK)
    plot.margins(0.25)
    plot.grid(color="#e0e4e8", linewidth=0.6)
    plot.set_facecolor("#eef3f6")
    plot.tick_params(labelsize=6.5, colors=_FAINT, length=2)
    plot.xaxis.set_major_formatter(lambda value, _: f"{value:.2f}° E")
    plot.yaxis.set_major_formatter(lambda value, _: f"{value:.2f}° N")


_DRAWN: Final = {
    "text": _text,
    "stat": _stat,
    "timeseries": _timeseries,
    "table": _table,
    "state-timeline": _timeline,
    "geomap": _geomap,
}


# ---- shared ----------------------------------------------------------------------------------------------------------


def _rows(series: Series) -> tuple[list[str], list[dict[str, Value]]]:
    """Return the columns and rows of an answer as a table: a row for each set of tags and time."""
    names: list[str] = ["Time"]
    rows: dict[tuple[object, int], dict[str, Value]] = {}
    for _, frame, _ in series:
        names += [name for name in (*sorted(dict(frame.labels)), frame.name) if name not in names]
        for index, (at, value) in enumerate(zip(frame.times_ms, frame.values, strict=True)):
            row = rows.setdefault((frame.labels, index), {"Time": at, **dict(frame.labels)})
            row[frame.name] = value
    return names, list(rows.values())


def _kind(name: str, rows: Sequence[Mapping[str, Value]]) -> str:
    if name == "Time":
        return "time"
    return "string" if any(isinstance(row.get(name), str) for row in rows) else "number"


def _sortable(value: Value) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    return (1, 0.0, value) if isinstance(value, str) else (1, float(value), "")


def _reduced(panel: Mapping[str, Any], series: Series) -> list[tuple[str, Value]]:
    """Return the fields that count, by the names that they are shown under, and the last value of each."""
    pattern = panel["options"]["reduceOptions"].get("fields")
    if not pattern:
        return [(name, _last(frame.values)) for name, frame, _ in series]
    fields = [each for name, frame, _ in series for each in (("Time", frame.times_ms), (name, frame.values))]
    return [
        (name, _last(values))
        for name, values in fields
        if re.search(pattern.strip("/"), field_config(panel, name).title)
    ]


def _last(values: Sequence[Value]) -> Value:
    return next((value for value in reversed(values) if value is not None), None)


def _series_colour(config: FieldConfig, index: int) -> str:
    told = config.properties.get("color") or {}
    if told.get("mode") == "fixed" and told.get("fixedColor"):
        return str(told["fixedColor"])
    return _SHADES[index % len(_SHADES)]


def _time(utc_ms: int) -> float:
    return float(dates.date2num(datetime.fromtimestamp(utc_ms / 1_000, UTC)))  # type: ignore[no-untyped-call]


def _time_axis(plot: Axes, span: Span) -> None:
    plot.set_xlim(_time(span.from_ms), _time(span.to_ms))
    locator = dates.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    plot.xaxis.set_major_locator(locator)
    plot.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    plot.grid(color="#e6e7e8", linewidth=0.5)
    for side in plot.spines.values():
        side.set_visible(False)
    plot.tick_params(labelsize=6.5, colors=_FAINT, length=2)
    plot.xaxis.get_offset_text().set_visible(False)
