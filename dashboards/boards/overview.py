"""The network at a glance: is all well, and where is it not?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.alerting import limits
from dashboards.boards import common
from dashboards.colours import BLUE, ORANGE, SKY, VERMILLION, Scale
from dashboards.page import page, questions, row
from dashboards.panels import NOTHING, About, Panel, series, stat, table, world
from dashboards.query import (
    Query,
    columns,
    counts,
    detail,
    first_rows,
    growth,
    history,
    over_time,
    rows,
    share,
    summed,
    summed_over_time,
    whole,
)
from dashboards.shown import Shown

_GATEWAYS: Final = Scale(look=1, act=limits.GATEWAYS_SILENT_PERCENT)
_CUT_OFF: Final = Scale(look=10, act=25)
_TAMPER: Final = Scale(look=1, act=10)
_STATE: Final = "gateway_state"


def overview() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.OVERVIEW,
        "Wattpost: the network",
        "Whether all is well, and which gateway it is where it is not.",
        variables=(variables.utility(),),
        rows=(
            questions(
                "Is all well? Eight tiles say so in words: blue is well, orange wants a look, vermillion wants action.",
                "Which gateway is it? The map and the tables below lead to it by a click, and from there to its meter.",
            ),
            row(4, _gateways(), _meters(), _commands(), _levels()),
            row(4, _backlog(), _followers(), _cut_off(), _tamper()),
            row(12, _map(), _longest_silent()),
            row(8, _silence(), _intake(), _latency()),
            row(9, _meters_by_gateway(), common.service_levels(_ABOUT_LEVELS, width=12)),
        ),
        refresh="30s",
    )


_ABOUT_LEVELS: Final = About(
    "Each target as it was judged last. Targets without a source are working values of ours, and say so.",
    "Open the data collection dashboard; it shows which gateways brought too little.",
)


def _verdict(scale: Scale, **more: str) -> Shown:
    return Shown(unit="percent", scale=scale, in_words=True, nothing=more.get("nothing", ""))


def _gateways() -> Panel:
    return stat(
        "Gateways",
        About(
            "Gateways not heard for longer than monitoring.silent_s, of all that are known.",
            "Find them on the map. Many at once: the broker, the carrier or our intake (platform dashboard), not they.",
        ),
        _silent_of("gateways_silent_count", "gateways_count"),
        shown=Shown(decimals=0),
        columns={"state": _verdict(_GATEWAYS)},
        last=common.SAMPLED,
    )


def _meters() -> Panel:
    return stat(
        "Meters",
        About(
            "Meters without a reading for longer than monitoring.silent_s, of all that are assigned.",
            "The table of gateways by silent meters names the line to visit; silent gateways take their meters along.",
        ),
        _silent_of("meters_silent_count", "meters_count"),
        shown=Shown(decimals=0),
        columns={"state": _verdict(common.METERS_SILENT)},
        last=common.SAMPLED,
    )


def _silent_of(part: str, total: str) -> Query:
    what = f'100 * last("{part}") / last("{total}") AS "state", last("{part}") AS "silent", last("{total}") AS "of"'
    return whole(what, history("network_state"))


def _commands() -> Panel:
    return stat(
        "Commands",
        About(
            "Commands of the last six hours that failed, came too late or were never answered, of all that ended.",
            "The commands dashboard lists them with their meters and what was said.",
        ),
        share(
            "failed",
            "of",
            history("command"),
            part_if=common.among("state", common.FAILED),
            total_if=common.among("state", common.FINAL),
        ),
        shown=Shown(decimals=0, nothing=NOTHING),
        columns={"state": _verdict(common.COMMANDS_FAILED, nothing="all well")},
        last="6h",
        empty="none ended",
    )


def _levels() -> Panel:
    what = 'last("percent") - last("target_percent") AS "margin"'
    return stat(
        "Service levels",
        About(
            "The target that was missed most, or met with the least to spare.",
            "The table at the bottom says which it is; the data collection dashboard says by which gateways.",
        ),
        summed('min("margin") AS "worst target"', what, history("service_level"), by=("target",)),
        shown=Shown(unit="percent", scale=common.MARGIN, in_words=True),
        last=common.RECENT_DAYS,
        empty="not judged yet",
    )


def _backlog() -> Panel:
    return stat(
        "Backlog",
        About(
            "Age of the oldest batch that any gateway holds without an acknowledgement, and the mean of all.",
            "One gateway: its line is too slow. Many: acknowledgements do not get out; look at the handlers.",
        ),
        summed(
            'max("age") AS "oldest", mean("age") AS "mean"',
            'last("pending_age_s") AS "age"',
            detail("gateway_health"),
            by=("gateway",),
        ),
        shown=Shown(unit="s", decimals=0),
        columns={"oldest": Shown(unit="s", scale=common.BACKLOG, decimals=0)},
        last=common.REPORTED,
    )


def _followers() -> Panel:
    return stat(
        "Work on what came in",
        About(
            "How far the slowest follower is behind what is committed.",
            "Readings are safe; accounts, days or this picture are late. Open the platform dashboard.",
        ),
        summed(
            'max("lag") AS "state", max("waiting") AS "waiting"',
            'last("lag_s") AS "lag", last("waiting_count") AS "waiting"',
            detail("follower"),
            by=("follower",),
        ),
        shown=Shown(decimals=0),
        columns={"state": Shown(scale=common.LAG, in_words=True)},
        last=common.SAMPLED,
    )


def _cut_off() -> Panel:
    what = '100 * sum("cut") / sum("accounts") AS "state", sum("cut") AS "cut off", sum("accounts") AS "of"'
    inner = columns("last", cut="cut_off_count", accounts="accounts_count")
    return stat(
        "Cut off for want of credit",
        About(
            "Prepaid accounts without supply because their credit is used up.",
            "A jump means that credits do not reach gateways, or a tariff is wrong: open the prepaid dashboard.",
        ),
        summed(what, inner, history("prepaid_state"), by=("gateway", "currency")),
        shown=Shown(decimals=0),
        columns={"state": _verdict(_CUT_OFF)},
        last=common.BALANCED,
        empty="no accounts",
    )


def _tamper() -> Panel:
    return stat(
        "Tampering",
        About(
            "Tamper events of meters within a day, of all events.",
            "The events dashboard lists them by meter. Several meters of one gateway at once: somebody is there.",
        ),
        counts("tamper", "events", history("event"), part_if=common.TAMPER_BEGUN),
        shown=Shown(decimals=0),
        columns={"tamper": Shown(decimals=0, scale=_TAMPER, nothing=NOTHING)},
        last="24h",
        empty="no events",
    )


def _map() -> Panel:
    what = columns(
        "last", latitude="latitude", longitude="longitude", silent_s="silent_s", silent="meters_silent_count",
        meters="meters_count",
    )  # fmt: skip
    return world(
        "Where the silent ones are",
        About(
            "Every gateway whose place is known (`wattpost cloud place`), by how long it has not been heard.",
            "Neighbours silent together share a carrier or a power line; one alone has a fault of its own.",
        ),
        rows(what, detail(_STATE), by=("gateway",)),
        coloured_by="silent_s",
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "silent_s": common.SINCE,
            "silent": Shown(decimals=0, title="silent meters"),
            "meters": Shown(decimals=0),
        },
        width=14,
        last=common.SAMPLED,
    )


def _longest_silent() -> Panel:
    return table(
        "Gateways by silence",
        About(
            "The 100 gateways that have not been heard for longest.",
            "Open the gateway: its last report says whether disk, clock or line was failing before it went silent.",
        ),
        first_rows(
            '"gateway", top("silent_s", 100) AS "silent_s", "silent", "open"',
            columns("last", silent_s="silent_s", silent="meters_silent_count", open="commands_open_count"),
            detail(_STATE),
            by=("gateway",),
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "silent_s": common.SINCE,
            "silent": Shown(decimals=0, title="silent meters"),
            "open": Shown(decimals=0, title="open commands"),
        },
        width=10,
        last=common.SAMPLED,
        by="not heard for",
    )


def _silence() -> Panel:
    return series(
        "Silent over time",
        About(
            "Gateways and meters not heard for longer than monitoring.silent_s.",
            "A step up is an outage with a beginning: see what happened then. A slow rise is neglect.",
        ),
        over_time(
            columns("max", gateways="gateways_silent_count", meters="meters_silent_count"), history("network_state")
        ),
        shown=Shown(decimals=0, least=0),
        columns={"gateways": Shown(colour=VERMILLION), "meters": Shown(colour=SKY)},
    )


def _intake() -> Panel:
    return series(
        "Batches committed",
        About(
            "New batches that handlers committed, and repeats of those that were committed before.",
            "Nothing: no gateway gets through. Many repeats: acknowledgements do not reach the gateways.",
        ),
        summed_over_time(
            'sum("new") AS "new", sum("repeated") AS "repeated"',
            f"{growth('batches_count', 'new')}, {growth('repeats_count', 'repeated')}",
            detail("handler"),
            by=("handler",),
        ),
        shown=Shown(decimals=0, least=0),
        columns={"new": Shown(colour=SKY), "repeated": Shown(colour=ORANGE)},
        bars=True,
    )


def _latency() -> Panel:
    return series(
        "Time to acknowledgement",
        About(
            "From a gateway's first sending to the cloud's acknowledgement, over all gateways.",
            "The median is the cloud's own time; the 95th percentile is that of bad lines. Both up: look at commits.",
        ),
        over_time(
            'percentile("ack_latency_ms", 50) AS "median", percentile("ack_latency_ms", 95) AS "95th percentile"',
            detail("gateway_health"),
        ),
        shown=Shown(unit="ms", least=0, scale=common.ACK_LATENCY),
        columns={"median": Shown(unit="ms", colour=SKY), "95th percentile": Shown(unit="ms", colour=BLUE)},
        step="15m",
    )


def _meters_by_gateway() -> Panel:
    return table(
        "Gateways by silent meters",
        About(
            "The 50 gateways with the most silent meters.",
            "Gateway heard and many meters silent: a line is down. Open it to see which.",
        ),
        first_rows(
            '"gateway", top("silent", 50) AS "silent", "meters", "waiting"',
            columns("last", silent="meters_silent_count", meters="meters_count", waiting="facts_waiting_count"),
            detail(_STATE),
            by=("gateway",),
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "silent": Shown(decimals=0, title="silent meters"),
            "meters": Shown(decimals=0, title="of"),
            "waiting": Shown(decimals=0, title="credits on the way"),
        },
        last=common.SAMPLED,
        by="silent meters",
    )
