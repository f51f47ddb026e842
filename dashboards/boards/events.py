"""Events and tampering: what happened, to which meter, and is it a crime, an outage or a fault?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.boards import common
from dashboards.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, Scale
from dashboards.event_codes import NAMES
from dashboards.page import page, questions, row
from dashboards.panels import NOTHING, About, Panel, series, stat, table
from dashboards.query import chosen, counts, first_rows, history, over_time
from dashboards.shown import Shown

_CHOSEN: Final = chosen("gateway")
_EVENT: Final = history("event")
_POWER_FAILED: Final = '"code" =~ /^[35]\\.26\\.0\\.85$/'
_LOST: Final = '"code" =~ /^[35]\\.1\\.0\\.85$/'
_REFUSED: Final = "\"code\" = '5.12.0.38'"
_TAMPER: Final = "\"kind\" = 'tamper'"


def events() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.EVENTS,
        "Wattpost: events and tampering",
        "What happened, to which meter, and whether it is a crime, an outage or a fault.",
        variables=(variables.utility(), variables.gateways()),
        rows=(
            questions(
                "Is anybody tampering with meters, and where?",
                "Is there an outage: of power, of lines, of gateways?",
                "What happened at this meter or gateway, in order?",
                note="Meters' own logs are read some times a day; their events stand at the time that the meter says.",
            ),
            row(
                5,
                _tile("Tampering", "tamper", common.TAMPER_BEGUN, _ABOUT_TAMPER, Scale(look=1, act=10)),
                _tile("Power failed", "outages", _POWER_FAILED, _ABOUT_POWER, Scale(look=1, act=100)),
                _tile("Meters and lines lost", "lost", _LOST, _ABOUT_LOST, Scale(look=10, act=100)),
                _tile("Refused by gateways", "refused", _REFUSED, _ABOUT_REFUSED, Scale(look=1, act=10)),
            ),
            row(8, _by_kind(), _tamper_by_code()),
            row(8, _by_code(), _by_gateway(), _tamper_by_gateway()),
            row(12, _latest_tamper(), _latest()),
        ),
        span="now-24h",
    )


_ABOUT_TAMPER: Final = About(
    "Events that say that tampering with a meter began, of all events.",
    "See the list for the meters. Check for crews at work before you send anybody.",
)
_ABOUT_POWER: Final = About(
    "Failures of power that meters and gateways told of, of all events.",
    "Many at one gateway: an outage of its street. Tell the network's control room; our part recovers by itself.",
)
_ABOUT_LOST: Final = About(
    "Times that a meter or a line stopped answering its gateway, of all events.",
    "Many at one gateway: open it and look at its lines. The same meter again and again: a bad joint.",
)
_ABOUT_REFUSED: Final = About(
    "Messages of the cloud that gateways refused, of all events.",
    "A gateway's clock or the cloud's keys: the detail says which. Commands and credits do not arrive meanwhile.",
)


def _tile(title: str, name: str, condition: str, about: About, scale: Scale) -> Panel:
    return stat(
        title,
        about,
        counts(name, "events", _EVENT, _CHOSEN, part_if=condition),
        shown=Shown(decimals=0),
        columns={name: Shown(decimals=0, scale=scale, nothing=NOTHING)},
        empty="no events",
    )


def _by_kind() -> Panel:
    return series(
        "By kind",
        About(
            "Events in each interval, by what they are about.",
            "A wall of one kind at one instant is an outage; the table of codes says of what.",
        ),
        over_time('sum("count") AS "events"', _EVENT, _CHOSEN, by=("kind",), alias="$tag_kind"),
        shown=Shown(decimals=0, least=0),
        columns={
            "tamper": Shown(colour=VERMILLION),
            "power": Shown(colour=BLUE),
            "quality": Shown(colour=SKY),
            "relay": Shown(colour=ORANGE),
            "credit": Shown(colour=GREEN),
            "communication": Shown(colour=PURPLE),
            "gateway": Shown(colour=YELLOW),
            "setting": Shown(colour=GREY),
        },
        width=12,
        step="5m",
        bars=True,
        empty="no events",
    )


def _tamper_by_code() -> Panel:
    return series(
        "Tampering",
        About(
            "Events about tampering, begun and ended, by code.",
            "Begun without an end: it lasts. Several meters in one interval: somebody goes from door to door.",
        ),
        over_time('sum("count") AS "events"', _EVENT, _CHOSEN, _TAMPER, by=("code",), alias="$tag_code"),
        shown=Shown(decimals=0, least=0),
        columns={
            code: Shown(title=name, colour=_tamper_colour(code))
            for code, name in NAMES.items()
            if code.startswith("3.12.") and code.split(".")[2] in _PART_COLOURS
        },
        width=12,
        step="5m",
        bars=True,
        empty="no tampering",
    )


_PART_COLOURS: Final = {
    "0": VERMILLION,
    "6": ORANGE,
    "29": BLUE,
    "66": PURPLE,
    "137": YELLOW,
    "141": SKY,
}
"""What was tampered with, by the code's third number: the whole, current, cover, magnet, neutral, terminals."""


def _tamper_colour(code: str) -> str:
    """Return the colour of a code: what begins has that of its part, what ends is grey; the legend names both."""
    _, _, part, action = code.split(".")
    return GREY if action in common.TAMPER_ENDS else _PART_COLOURS[part]


def _by_code() -> Panel:
    return table(
        "By what happened",
        About(
            "How often each event happened in the time shown.",
            "A code that was not there yesterday is worth a look; the list below shows at which meters.",
        ),
        first_rows('"code", top("events", 60) AS "events"', _COUNTED, _EVENT, _CHOSEN, by=("code",)),
        columns={"code": common.EVENT, "events": Shown(decimals=0)},
        width=8,
        by="events",
    )


def _by_gateway() -> Panel:
    return table(
        "Gateways by events",
        About(
            "The 50 gateways with the most events in the time shown.",
            "One that stands out has an outage of its own, or a meter that cries wolf; open it.",
        ),
        first_rows('"gateway", top("events", 50) AS "events"', _COUNTED, _EVENT, _CHOSEN, by=("gateway",)),
        columns={"gateway": common.GATEWAY_COLUMN, "events": Shown(decimals=0)},
        width=8,
        by="events",
    )


def _tamper_by_gateway() -> Panel:
    return table(
        "Gateways by tampering",
        About(
            "The 50 gateways whose meters told most often that tampering began.",
            "Several meters of one gateway: send a crew to the street, not to one house.",
        ),
        first_rows(
            '"gateway", top("events", 50) AS "events"', _COUNTED, _EVENT, _CHOSEN, common.TAMPER_BEGUN, by=("gateway",)
        ),
        columns={"gateway": common.GATEWAY_COLUMN, "events": Shown(decimals=0)},
        width=8,
        by="events",
        empty="no tampering",
    )


_COUNTED: Final = 'sum("count") AS "events"'


def _latest_tamper() -> Panel:
    return common.latest_events(
        "Tampering, newest first",
        About(
            "The last 200 events about tampering, with their meters.",
            "Open the meter: power and register before and after say whether energy goes unmetered.",
        ),
        _CHOSEN,
        _TAMPER,
        count_max=200,
        width=12,
    )


def _latest() -> Panel:
    return common.latest_events(
        "Everything, newest first",
        About(
            "The last 300 events of all kinds.",
            "Choose a gateway on top to read its story in order.",
        ),
        _CHOSEN,
        count_max=300,
        width=12,
    )
