"""What several dashboards show alike: scales, columns, and the panels that are the same but for whose they are.

Limits for action are those of the alert rules; the limits for a look come before them.
"""

from typing import Final

from dashboards import links
from dashboards.alerting import limits
from dashboards.colours import GREEN, ORANGE, PURPLE, SKY, VERMILLION, Scale
from dashboards.event_codes import NAMES
from dashboards.panels import About, Panel, table
from dashboards.query import detail, history, latest_points, rows
from dashboards.shown import TEXT, Shown
from wire.messages import State

SAMPLED: Final = "15m"
"""How far back a panel looks for what is sampled each minute, or each five minutes in a large network."""
REPORTED: Final = "1h"
"""The same for what gateways report each quarter of an hour."""
BALANCED: Final = "26h"
"""The same for balances, which are sampled hourly, or daily where somebody set it so."""
RECENT_DAYS: Final = "4d"
"""The same for days and for service levels, which are judged up to two days later."""

HEARD: Final = Scale(look=limits.REPORT_S * 1.5, act=limits.GATEWAY_SILENT_S, words=("heard", "late", "silent"))
METERS_SILENT: Final = Scale(look=2, act=limits.METERS_SILENT_PERCENT)
BACKLOG: Final = Scale(look=limits.BACKLOG_AGE_S / 2, act=limits.BACKLOG_AGE_S)
ACK_LATENCY: Final = Scale(look=limits.ACK_LATENCY_MS / 3, act=limits.ACK_LATENCY_MS)
COMMANDS_FAILED: Final = Scale(look=2, act=limits.COMMANDS_FAILED_PERCENT)
MARGIN: Final = Scale(look=0, act=-5, words=("met", "missed", "missed by far"))
LAG: Final = Scale(look=60, act=limits.FOLLOWER_LAG_S)
COLLECTED: Final = Scale(look=98, act=90, words=("complete", "gaps", "much is missing"))

FAILED: Final = (State.FAILED, State.EXPIRED, State.UNKNOWN)
"""States in which a command did not do what was asked."""
TAMPER_ENDS: Final = ("16", "216", "243", "291")
"""Last numbers of the codes that say that tampering is over."""
TAMPER_BEGUN: Final = f'"kind" = \'tamper\' AND "code" !~ /\\.({"|".join(TAMPER_ENDS)})$/'
"""The condition that an event says that tampering began; those of its end are left out."""
FINAL: Final = (State.EXECUTED, *FAILED)
STATE_COLOURS: Final = {
    State.EXECUTED: SKY,
    State.SENT: GREEN,
    State.DELIVERED: PURPLE,
    State.FAILED: VERMILLION,
    State.EXPIRED: ORANGE,
}

GATEWAY_COLUMN: Final = Shown(link=links.to_gateway_of_row(), link_title="Open gateway", width=170)
METER_COLUMN: Final = Shown(link=links.to_meter_of_row(), link_title="Open meter", width=170)
METER_ID_COLUMN: Final = Shown(
    link=links.to_meter_of_row("meter_id"), link_title="Open meter", title="meter", width=150
)
EVENT: Final = Shown(words=NAMES, title="event", width=210)
SINCE: Final = Shown(unit="s", decimals=1, scale=HEARD, title="not heard for")
"""Seconds, which Grafana writes as hours and days."""


def among(tag: str, values: tuple[str, ...]) -> str:
    """Return the condition that a tag is one of these words."""
    return f'"{tag}" =~ /^({"|".join(values)})$/'


def latest_events(title: str, about: About, *conditions: str, count_max: int, width: int) -> Panel:
    """Return the last events, newest first."""
    what = '"code", "kind", "gateway", "meter_id", "count", "detail"'
    return table(
        title,
        about,
        latest_points(what, history("event"), *conditions, count_max=count_max),
        columns={
            "code": EVENT,
            "kind": Shown(width=110),
            "gateway": GATEWAY_COLUMN,
            "meter_id": METER_ID_COLUMN,
            "count": Shown(decimals=0, width=60),
            "detail": Shown(unit=TEXT),
        },
        width=width,
        timed=True,
    )


def silent_meters(about: About, *conditions: str, width: int) -> Panel:
    """Return the meters of which nothing is heard, the longest silent first."""
    return table(
        "Silent meters",
        about,
        rows('last("silent_s") AS "silent_s"', detail("meter_silent"), *conditions, by=("gateway", "meter")),
        columns={"gateway": GATEWAY_COLUMN, "meter": METER_COLUMN, "silent_s": SINCE},
        width=width,
        last=SAMPLED,
        by="not heard for",
    )


def service_levels(about: About, *, width: int) -> Panel:
    """Return how each target was met last."""
    what = (
        'last("percent") AS "percent", last("target_percent") AS "target_percent", '
        'last("percent") - last("target_percent") AS "margin", last("count") AS "count", last("sourced") AS "sourced"'
    )
    return table(
        "Service levels",
        about,
        rows(what, history("service_level"), by=("target",)),
        columns={
            "target": Shown(unit=TEXT, width=220),
            "percent": Shown(unit="percent", decimals=2, title="reached"),
            "target_percent": Shown(unit="percent", decimals=1, title="asked for"),
            "margin": Shown(scale=MARGIN, in_words=True, title="state", width=110),
            "count": Shown(decimals=0, title="of"),
            "sourced": Shown(words={"0": "working value of ours", "1": "sourced"}, title="where the target is from"),
        },
        width=width,
        last=RECENT_DAYS,
        by="asked for",
        empty="no target was judged yet",
    )
