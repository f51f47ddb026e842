"""Data collection against its targets: is what should be here here, in time, and where is it not?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.boards import common
from dashboards.colours import BLUE, GREEN, ORANGE, SKY, VERMILLION, Scale
from dashboards.page import page, questions, row
from dashboards.panels import About, Panel, series, stat, table
from dashboards.query import Query, chosen, columns, first_rows, history, over_time, summed, summed_over_time, where
from dashboards.shown import Shown

_CHOSEN: Final = chosen("gateway")
_COLLECTION: Final = history("collection")
_DAYS: Final = "now-14d"
_WITHIN: Final = {"8 h": "within_8h_percent", "12 h": "within_12h_percent", "24 h": "within_24h_percent"}
_NOTE: Final = (
    "Targets are data (`targets.toml`), each with its source. Those without one are **working values of ours**: "
    "no contract asks for them. A day is a UTC day; today's counts up to now."
)


def collection() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.COLLECTION,
        "Wattpost: data collection",
        "Whether what should be here is here, in time, and which gateways bring too little.",
        variables=(variables.utility(), variables.gateways()),
        rows=(
            questions(
                "Are the service levels met, and which is not?",
                "How much of today and of yesterday is here?",
                "Which gateways bring too little?",
                note=_NOTE,
            ),
            row(9, common.service_levels(_ABOUT_LEVELS, width=14), _levels_over_time()),
            row(5, _today(), _yesterday(), _without(), _missing()),
            row(9, _in_time(), _missing_over_time()),
            row(10, _worst_gateways(), _gateways_without()),
            row(8, _rows(), _energy()),
        ),
        span=_DAYS,
        refresh="5m",
    )


_ABOUT_LEVELS: Final = About(
    "Each target as it was judged last: what was reached, what is asked for, and where the target comes from.",
    "Missed: the table of gateways below says where. Missed by all gateways alike: the platform was late, not they.",
)


def _levels_over_time() -> Panel:
    return series(
        "Room to the targets",
        About(
            "What was reached less what is asked for, of each target; below zero it was missed.",
            "A dip is an outage that was caught up with too late; a slope means that the network outgrows its lines.",
        ),
        over_time(
            'last("percent") - last("target_percent") AS "room"',
            history("service_level"),
            by=("target",),
            alias="$tag_target",
        ),
        shown=Shown(unit="percent", decimals=2, scale=Scale(look=0, act=-5)),
        width=10,
        step="1h",
        empty="no target was judged yet",
    )


def _today() -> Panel:
    return stat(
        "The newest day so far",
        About(
            "Share of the intervals up to now that are here, of the newest day that has any.",
            "Low in the morning and rising is a backlog that is worked off; low and still: gateways are silent.",
        ),
        _share_of_days('last("here") AS "state", last("here") AS "here"', "percent"),
        shown=Shown(unit="percent", decimals=1),
        columns={"state": Shown(unit="percent", scale=common.COLLECTED, in_words=True)},
        last="2d",
    )


def _yesterday() -> Panel:
    return stat(
        "In time, mean of the days",
        About(
            "Share of the intervals that were here 8, 12 and 24 hours after their day's end, mean of the days shown.",
            "Compare with the targets above; the curve below says which days were short.",
        ),
        *(_share_of_days(f'mean("here") AS "{name}"', field) for name, field in _WITHIN.items()),
        shown=Shown(unit="percent", decimals=2, scale=common.COLLECTED),
    )


def _without() -> Panel:
    inner = f"{columns('min', without='meters_without_count')}, {columns('last', meters='meters_count')}"
    what = '100 * sum("without") / sum("meters") AS "state", sum("without") AS "without", sum("meters") AS "of"'
    return stat(
        "Meters of which there is nothing",
        About(
            "Meters of which nothing is here, of yesterday or of today, whichever is better; of all that are assigned.",
            "The table of gateways below says where they are; a meter that was never read may be assigned wrongly.",
        ),
        summed(what, inner, _COLLECTION, _CHOSEN, by=("gateway",)),
        shown=Shown(decimals=0),
        columns={"state": Shown(unit="percent", scale=common.METERS_SILENT, in_words=True)},
        last="2d",
    )


def _missing() -> Panel:
    inner = columns("sum", expected="expected_count", collected="collected_count")
    what = 'sum("expected") - sum("collected") AS "missing", sum("expected") AS "of"'
    return stat(
        "Intervals missing",
        About(
            "Intervals that are not here, of all that should be, in the days shown.",
            "What meters keep is fetched by itself when they answer again; beyond their memory it is lost.",
        ),
        summed(what, inner, _COLLECTION, _CHOSEN, by=("gateway",)),
        shown=Shown(unit="locale", decimals=0),
    )


def _in_time() -> Panel:
    return series(
        "Here in time, by day",
        About(
            "Share of each UTC day's intervals that were here 8, 12 and 24 hours after its end, and that are here now.",
            "8 h low and 24 h high: slow lines or a night's outage. All low: data that are lost or still at gateways.",
        ),
        *(_share_over_time(name, field) for name, field in {**_WITHIN, "now": "percent"}.items()),
        shown=Shown(unit="percent", decimals=1, most=100, scale=common.COLLECTED),
        columns={
            "8 h": Shown(unit="percent", colour=ORANGE),
            "12 h": Shown(unit="percent", colour=SKY),
            "24 h": Shown(unit="percent", colour=BLUE),
            "now": Shown(unit="percent", colour=GREEN),
        },
        width=12,
        step="1d",
    )


def _missing_over_time() -> Panel:
    return series(
        "Meters of which there is nothing, by day",
        About(
            "Meters of which nothing of a day is here.",
            "A step that stays: a gateway or a line died that day. Today's bar is high in the morning and shrinks.",
        ),
        summed_over_time('sum("without") AS "meters"', columns("last", without="meters_without_count"), _COLLECTION,
                         _CHOSEN, by=("gateway",)),
        shown=Shown(decimals=0, least=0),
        columns={"meters": Shown(colour=VERMILLION)},
        width=12,
        step="1d",
        bars=True,
    )  # fmt: skip


def _worst_gateways() -> Panel:
    return table(
        "Gateways that bring the least",
        About(
            "The 100 gateways with the smallest share of their intervals in the days shown.",
            "Open the gateway. Heard and short of data: a line or its meters; else it was away.",
        ),
        first_rows(
            '"gateway", bottom("percent", 100) AS "percent", "missing", "expected"',
            '100 * sum("collected_count") / sum("expected_count") AS "percent", '
            'sum("expected_count") - sum("collected_count") AS "missing", sum("expected_count") AS "expected"',
            _COLLECTION,
            _CHOSEN,
            by=("gateway",),
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "percent": Shown(unit="percent", decimals=1, scale=common.COLLECTED, title="collected"),
            "missing": Shown(unit="locale", decimals=0, title="intervals missing"),
            "expected": Shown(unit="locale", decimals=0, title="of"),
        },
        by="collected",
        falling=False,
    )


def _gateways_without() -> Panel:
    return table(
        "Gateways by meters of which there is nothing",
        About(
            "100 gateways with the most meters of which nothing is there of yesterday or today, whichever is better.",
            "Open the gateway and its list of silent meters; meters that were never read are assigned wrongly.",
        ),
        first_rows(
            '"gateway", top("without", 100) AS "without", "meters"',
            f"{columns('min', without='meters_without_count')}, {columns('last', meters='meters_count')}",
            _COLLECTION,
            _CHOSEN,
            by=("gateway",),
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "without": Shown(decimals=0, title="meters without data"),
            "meters": Shown(decimals=0, title="of"),
        },
        last="2d",
        by="meters without data",
    )


def _rows() -> Panel:
    return series(
        "Rows read, by hour",
        About(
            "Rows of readings in each hour, by the time they were read at the meter.",
            "A hole that fills later is a backlog; one that stays is lost, or nothing was read (see collection).",
        ),
        over_time('sum("rows_count") AS "rows"', history("gateway_hour"), _CHOSEN),
        shown=Shown(unit="locale", decimals=0, least=0),
        columns={"rows": Shown(unit="locale", decimals=0, colour=SKY)},
        width=12,
        step="1h",
        bars=True,
    )


def _energy() -> Panel:
    return series(
        "Energy imported, by day",
        About(
            "Energy that all meters imported in each UTC day, by their registers.",
            "A day far off the others with all data here: a meter's register jumped; look for it before it is billed.",
        ),
        over_time('sum("energy_import_wh") AS "imported"', history("gateway_day"), _CHOSEN),
        shown=Shown(unit="watth", least=0),
        columns={"imported": Shown(unit="watth", colour=SKY)},
        width=12,
        step="1d",
        bars=True,
    )


def _by_day(field: str) -> str:
    """Return a query for the share of each day, gateways weighed by what is expected of them."""
    weighed = (
        f'SELECT "{field}" * "expected_count" AS "met", "expected_count" AS "expected" FROM {_COLLECTION} '
        f"WHERE {where(_CHOSEN)}"
    )
    return (
        f'SELECT sum("met") / sum("expected") AS "here" FROM ({weighed}) WHERE $timeFilter GROUP BY time(1d) fill(none)'
    )


def _share_over_time(name: str, field: str) -> Query:
    return Query(_by_day(field), name)


def _share_of_days(what: str, field: str) -> Query:
    return Query(f"SELECT {what} FROM ({_by_day(field)}) WHERE $timeFilter")
