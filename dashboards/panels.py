"""The kinds of panel that dashboards are made of, each by one small call.

Every panel says what it shows and what to do when it looks wrong; both stand behind the sign in its corner. Panels
have a width only: where they stand, how high they are and their numbers are the page's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from grafana_foundation_sdk.models import (
    common,
    dashboard,
    geomap,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import (
    stat as stat_model,
)
from grafana_foundation_sdk.models import (
    table as table_model,
)
from grafana_foundation_sdk.models import text as text_model

from dashboards.colours import ORANGE, SKY
from dashboards.query import Query, datasource
from dashboards.shown import Shown, override

Panel = dashboard.Panel
NO_NEWS: Final = "no news"
"""Where a number should be and is not: nobody looks at the network any more."""
NOTHING: Final = "none"
"""Where it is well that there is nothing."""
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class About:
    """What stands behind the sign in a panel's corner."""

    shows: str
    wrong: str
    """What to do when it looks wrong."""

    def text(self, shown: Shown) -> str:
        """Return it with the scale of what is shown."""
        scale = f" {shown.scale.told()}" if shown.scale is not None else ""
        return f"{self.shows}{scale}\n\n**When it looks wrong:** {self.wrong}"


def text(markdown: str) -> Panel:
    """Return words across the page."""
    return Panel(
        type_val="text",
        title="",
        description="What this dashboard answers.",
        transparent=True,
        grid_pos=dashboard.GridPos(w=24),
        options=text_model.Options(mode=text_model.TextMode.MARKDOWN, content=markdown),
    )


def stat(
    title: str,
    about: About,
    *queries: Query,
    shown: Shown,
    columns: Mapping[str, Shown] | None = None,
    width: int = 6,
    last: str | None = None,
    empty: str = NO_NEWS,
    fields: str = "",
) -> Panel:
    """Return a few large numbers, the last of each series.

    Args:
        title: What they are of.
        about: What they show.
        queries: Each column of each series is a number.
        shown: How they are shown.
        columns: How single ones are shown.
        width: Of 24.
        last: How far back it looks at most, so that old numbers are no news.
        empty: What stands where there is no number.
        fields: Which fields count, as a pattern; those of numbers if empty.
    """
    options = stat_model.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID,
        text_mode=common.BigValueTextMode.VALUE_AND_NAME,
        reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields=fields),
        orientation=common.VizOrientation.VERTICAL,
    )
    panel = _panel("stat", title, about, queries, shown, width=width, last=last)
    return _filled(panel, options, shown.defaults(None, empty=empty), columns or {})


def series(
    title: str,
    about: About,
    *queries: Query,
    shown: Shown,
    columns: Mapping[str, Shown] | None = None,
    width: int = 8,
    last: str | None = None,
    step: str = "1m",
    bars: bool = False,
    empty: str = NO_NEWS,
) -> Panel:
    """Return curves, or stacked bars.

    Args:
        title: What they are of.
        about: What they show.
        queries: Series over time.
        shown: How they are shown; the limits of a scale are drawn as dashed lines.
        columns: How single series are shown.
        width: Of 24.
        last: How far back it looks, where that is not what is chosen for the dashboard.
        step: Shortest interval of a point.
        bars: Whether points are counts of their intervals.
        empty: What stands where there is nothing.
    """
    dashed = common.GraphThresholdsStyleMode.DASHED if shown.scale is not None else common.GraphThresholdsStyleMode.OFF
    custom = timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE,
        thresholds_style=common.GraphThresholdsStyleConfig(mode=dashed),
        line_width=0 if bars else 2,
        fill_opacity=80 if bars else 0,
        show_points=common.VisibilityMode.NEVER if bars else common.VisibilityMode.AUTO,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if bars else common.StackingMode.NONE, group="A"
        ),
        span_nulls=False,
        insert_nulls=None if bars else _apart_ms(step),
    )
    options = timeseries.Options(
        legend=common.VizLegendOptions(
            show_legend=True, display_mode=common.LegendDisplayMode.LIST, calcs=["lastNotNull"]
        ),
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING),
    )
    panel = _panel("timeseries", title, about, queries, shown, width=width, last=last)
    panel.interval = step
    defaults = shown.defaults(custom, empty=empty)
    # Series of one colour are told apart by shade; the limits of a scale colour the lines drawn at them.
    defaults.color = dashboard.FieldColor(mode=dashboard.FieldColorModeId.SHADES, fixed_color=shown.colour or SKY)
    return _filled(panel, options, defaults, columns or {})


def table(
    title: str,
    about: About,
    query: Query,
    *,
    columns: Mapping[str, Shown],
    width: int = 12,
    last: str | None = None,
    by: str = "",
    falling: bool = True,
    timed: bool = False,
    empty: str = NOTHING,
) -> Panel:
    """Return a table.

    Args:
        title: What it lists.
        about: What it shows.
        query: One that is answered as a table.
        columns: How each column is shown, by the query's names.
        width: Of 24.
        last: How far back it looks, where that is not what is chosen for the dashboard.
        by: The column that the rows are sorted by, by its shown name; as they come if empty.
        falling: Whether the largest stands first.
        timed: Whether the time of a row says something; it is left out otherwise.
        empty: What stands where there is no row.
    """
    assert query.format == "table", title
    shown = Shown()
    order = [common.TableSortByFieldState(display_name=by, desc=falling)] if by else []
    options = table_model.Options(show_header=True, sort_by=order, cell_height=common.TableCellHeight.SM)
    panel = _panel("table", title, about, (query,), shown, width=width, last=last)
    defaults = shown.defaults(common.TableFieldOptions(filterable=False), empty=empty)
    _filled(panel, options, defaults, columns, in_table=True)
    assert panel.field_config is not None
    when = {"unit": "dateTimeAsSystem", "custom.width": 165} if timed else {"custom.hidden": True}
    panel.field_config.overrides.append(override("byType", "time", when))
    return panel


def timeline(title: str, about: About, query: Query, *, shown: Shown, width: int = 24) -> Panel:
    """Return bands of states over time."""
    custom = statetimeline.FieldConfig(line_width=0, fill_opacity=80)
    options = statetimeline.Options(
        show_value=common.VisibilityMode.AUTO,
        row_height=0.8,
        legend=common.VizLegendOptions(show_legend=False),
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.SINGLE),
    )
    panel = _panel("state-timeline", title, about, (query,), shown, width=width, last=None)
    panel.interval = "1m"
    return _filled(panel, options, shown.defaults(custom, empty=NO_NEWS), {})


def world(
    title: str, about: About, query: Query, *, coloured_by: str, columns: Mapping[str, Shown], width: int, last: str
) -> Panel:
    """Return a map of the rows of a table that have a column `latitude` and a column `longitude`.

    Args:
        title: What stands on the map.
        about: What it shows.
        query: One that is answered as a table.
        coloured_by: The column whose scale colours the signs.
        columns: How columns are shown when one points at a sign.
        width: Of 24.
        last: How far back it looks at most.
    """
    style = {
        "color": {"field": coloured_by, "fixed": ORANGE},
        "opacity": 0.8,
        "size": {"fixed": 7, "max": 15, "min": 5},
        "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
    }
    layer = common.MapLayerOptions(
        type_val="markers",
        name="Gateways",
        config={"showLegend": True, "style": style},
        location=common.FrameGeometrySource(
            mode=common.FrameGeometrySourceMode.COORDS, latitude="latitude", longitude="longitude"
        ),
        tooltip=True,
    )
    options = geomap.Options(
        view=geomap.MapViewConfig(id_val="fit", lat=0, lon=0, zoom=12, all_layers=True),
        controls=geomap.ControlsOptions(show_zoom=True, mouse_wheel_zoom=False, show_attribution=True, show_scale=True),
        basemap=common.MapLayerOptions(type_val="default", name="Ground"),
        layers=[layer],
        tooltip=geomap.TooltipOptions(mode=geomap.TooltipMode.DETAILS),
    )
    panel = _panel("geomap", title, about, (query,), columns[coloured_by], width=width, last=last)
    return _filled(panel, options, Shown().defaults(None, empty=NO_NEWS), columns)


def _panel(
    kind: str, title: str, about: About, queries: tuple[Query, ...], shown: Shown, *, width: int, last: str | None
) -> Panel:
    targets = [replace(query, ref_id=chr(ord("A") + index)) for index, query in enumerate(queries)]
    return Panel(
        type_val=kind,
        title=title,
        description=about.text(shown),
        datasource=datasource(),
        targets=[*targets],
        time_from=last,
        grid_pos=dashboard.GridPos(w=width),
    )


def _apart_ms(step: str) -> int:
    """Return how far apart points are no longer joined by a line, so that an outage shows as a gap.

    What has points each hour or day may miss two; reports and samples may miss some.
    """
    return _HOUR_MS if step.endswith("m") else 72 * _HOUR_MS


def _filled(
    panel: Panel,
    options: object,
    defaults: dashboard.FieldConfig,
    columns: Mapping[str, Shown],
    *,
    in_table: bool = False,
) -> Panel:
    overrides = [shown.override(column, in_table=in_table) for column, shown in columns.items()]
    panel.options = options
    panel.field_config = dashboard.FieldConfigSource(defaults=defaults, overrides=overrides)
    return panel
