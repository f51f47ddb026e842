"""One meter: is it read, what does it show, has it credit?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.alerting import limits
from dashboards.boards import common
from dashboards.colours import BLUE, GREEN, ORANGE, PURPLE, SKY, Scale
from dashboards.page import page, questions, row
from dashboards.panels import About, Panel, series, stat
from dashboards.query import Query, columns, detail, exactly, history, over_time, whole
from dashboards.shown import Shown

_THIS: Final = (exactly("gateway"), exactly("meter"))
_READING: Final = detail("reading")
_CLOCK_MS: Final = limits.METER_CLOCK_OFFSET_MS
_PHASES: Final = {"L1": SKY, "L2": ORANGE, "L3": GREEN}
_NO_SERIES: Final = "no series: ask the database"
_NOTE: Final = (
    "Where `influx.meters` is off (beyond some 50,000 meters), meters have no series and only events show here. "
    "Then the database answers: `wattpost cloud ask cloud.toml latest METER`, or `profile METER YYYY-MM-DD` for a day."
)


def meter() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.METER,
        "Wattpost: a meter",
        "Whether a meter is read, what it shows, and whether it has credit.",
        variables=(variables.utility(), variables.gateway(), variables.meter()),
        rows=(
            questions(
                "Is the meter read, and when was it last?",
                "What does it show: register, power, voltage, current?",
                "Has its account credit, and what happened to it?",
                note=_NOTE,
            ),
            row(4, _read(), _register(), _power_now(), _voltage_now(), _credit()),
            row(8, _power(), _voltage(), _current()),
            row(8, _by_hour(), _by_day(), _balance()),
            row(8, _trust(), _events()),
        ),
        span="now-24h",
    )


def _read() -> Panel:
    return stat(
        "Last read",
        About(
            "When the register was read last.",
            "Older than two intervals: open its gateway; other meters of the line silent too mean the line.",
        ),
        whole('last("active_energy_import_wh") AS "register"', _READING, *_THIS),
        shown=Shown(unit="dateTimeFromNow"),
        width=4,
        last="30d",
        empty=_NO_SERIES,
        fields="/^Time$/",
    )


def _register() -> Panel:
    return stat(
        "Register",
        About(
            "The register of active energy import, as read last.",
            "Standing still while power is drawn: the meter is faulty or bypassed; look at its events.",
        ),
        whole('last("active_energy_import_wh") AS "imported"', _READING, *_THIS),
        shown=Shown(unit="watth", decimals=2),
        width=4,
        last="30d",
        empty=_NO_SERIES,
    )


def _power_now() -> Panel:
    return stat(
        "Power",
        About(
            "Active power as read last.",
            "None, with the switch closed and voltage there: nobody is at home, or a bypass.",
        ),
        whole('last("active_power_w") AS "drawn"', _READING, *_THIS),
        shown=Shown(unit="watt", decimals=0),
        width=4,
        last=common.REPORTED,
        empty=_NO_SERIES,
    )


def _voltage_now() -> Panel:
    return stat(
        "Voltage",
        About(
            "Voltage of each phase as read last.",
            "A phase far from the others: a loose neutral. Low everywhere on the line: the feeder.",
        ),
        *(
            whole(f'last("{field}") AS "{name}"', _READING, *_THIS)
            for name, field in {"all": "voltage_v", **_of_phases("voltage", "v")}.items()
        ),
        shown=Shown(unit="volt", decimals=1),
        width=4,
        last=common.REPORTED,
        empty=_NO_SERIES,
    )


def _credit() -> Panel:
    return stat(
        "Credit",
        About(
            "The balance in minor units of the currency, and how many days it lasts at yesterday's use.",
            "Cut off with a balance above zero: the credit has not reached the gateway; see its commands and facts.",
        ),
        whole(columns("last", days="days_left", balance="balance_minor", cut="cut_off"), detail("account"), *_THIS),
        shown=Shown(decimals=0),
        columns={
            "days": Shown(unit="d", decimals=1, scale=Scale(look=3, act=1), title="lasts"),
            "balance": Shown(unit="locale", decimals=0, title="balance (minor units)"),
            "cut": Shown(
                scale=Scale(look=0.5, act=1, words=("supplied", "cut off", "cut off")), in_words=True, title="supply"
            ),
        },
        width=8,
        last=common.BALANCED,
        empty="no prepaid account, or no series",
    )


def _power() -> Panel:
    return series(
        "Power",
        About(
            "Active power, mean and greatest of each interval.",
            "A cap at one value is a load limit; gaps are missing readings or an outage.",
        ),
        over_time('mean("active_power_w") AS "mean", max("active_power_w") AS "greatest"', _READING, *_THIS),
        shown=Shown(unit="watt"),
        columns={"mean": Shown(unit="watt", colour=SKY), "greatest": Shown(unit="watt", colour=BLUE)},
        empty=_NO_SERIES,
    )


def _voltage() -> Panel:
    return series(
        "Voltage",
        About(
            "Voltage of each phase, or of the meter where it does not tell phases apart.",
            "One phase up while another falls: a broken neutral, which burns appliances; disconnect and send a crew.",
        ),
        over_time('mean("voltage_v") AS "all"', _READING, *_THIS),
        *_phase_queries("voltage", "v"),
        shown=Shown(unit="volt"),
        columns={"all": Shown(unit="volt", colour=BLUE), **_phase_columns("volt")},
        empty=_NO_SERIES,
    )


def _current() -> Panel:
    return series(
        "Current",
        About(
            "Current of each phase, of the meter as a whole, and of the neutral where it is measured.",
            "Neutral and phases that do not agree: current takes another way; look at the tamper events.",
        ),
        over_time('mean("current_a") AS "all"', _READING, *_THIS),
        *_phase_queries("current", "a"),
        over_time('mean("current_neutral_a") AS "neutral"', _READING, *_THIS),
        shown=Shown(unit="amp", least=0),
        columns={
            "all": Shown(unit="amp", colour=BLUE),
            "neutral": Shown(unit="amp", colour=PURPLE),
            **_phase_columns("amp"),
        },
        empty=_NO_SERIES,
    )


def _by_hour() -> Panel:
    return series(
        "Energy by hour",
        About(
            "Energy imported and exported in each hour, by the registers.",
            "An hour of zero among others: a gap filled later, or an outage; compare with the voltage.",
        ),
        over_time(
            'sum("energy_import_wh") AS "imported", sum("energy_export_wh") AS "exported"',
            history("meter_hour"),
            *_THIS,
        ),
        shown=Shown(unit="watth", least=0),
        columns=_ENERGY,
        step="1h",
        last="3d",
        bars=True,
        empty=_NO_SERIES,
    )


def _by_day() -> Panel:
    return series(
        "Energy by day",
        About(
            "Energy imported and exported in each UTC day of the last month.",
            "A drop that lasts, with people at home: a bypass. Compare with last month before you send anybody.",
        ),
        over_time(
            'sum("energy_import_wh") AS "imported", sum("energy_export_wh") AS "exported"', history("meter_day"), *_THIS
        ),
        shown=Shown(unit="watth", least=0),
        columns=_ENERGY,
        step="1d",
        last="31d",
        bars=True,
        empty=_NO_SERIES,
    )


_ENERGY: Final = {"imported": Shown(unit="watth", colour=SKY), "exported": Shown(unit="watth", colour=ORANGE)}


def _balance() -> Panel:
    return series(
        "Balance",
        About(
            "The balance, and what was used in the day before, in minor units of the currency.",
            "A step down that no use explains: a wrong tariff. No step up after a payment: it is still on the way.",
        ),
        over_time(columns("last", balance="balance_minor", used="spent_day_minor"), detail("account"), *_THIS),
        shown=Shown(unit="locale", decimals=0),
        columns={"balance": Shown(unit="locale", colour=SKY), "used": Shown(unit="locale", colour=ORANGE)},
        step="1h",
        last="14d",
        empty="no prepaid account, or no series",
    )


def _trust() -> Panel:
    counted = 'count("active_energy_import_wh") AS "rows read", sum("flagged") AS "flagged values"'
    offset = over_time('last("clock_offset_ms") AS "clock offset"', detail("meter_health"), *_THIS)
    return series(
        "Can its numbers be trusted?",
        About(
            "Rows read, values with a quality code, which are not drawn, and by how much the meter's clock was off.",
            f"Beyond {_CLOCK_MS / 1000:g} s its intervals are wrong: have the gateway set it, or replace the meter.",
        ),
        over_time(counted, _READING, *_THIS),
        offset,
        shown=Shown(decimals=0),
        columns={
            "rows read": Shown(decimals=0, least=0, colour=SKY),
            "flagged values": Shown(decimals=0, least=0, colour=ORANGE),
            "clock offset": Shown(unit="ms", colour=BLUE, right=True),
        },
        last="14d",
        step="1h",
        empty=_NO_SERIES,
    )


def _events() -> Panel:
    return common.latest_events(
        "What happened",
        About(
            "The last events of this meter, from its own log and from its gateway.",
            "Tampering: send somebody. Switch opened without credit used up: see who asked for it (commands).",
        ),
        exactly("gateway"),
        "\"meter_id\" = '$meter'",
        count_max=200,
        width=16,
    )


def _of_phases(stem: str, unit: str) -> dict[str, str]:
    return {name: f"{stem}_{name.lower()}_{unit}" for name in _PHASES}


def _phase_queries(stem: str, unit: str) -> tuple[Query, ...]:
    fields = _of_phases(stem, unit).items()
    return tuple(over_time(f'mean("{field}") AS "{name}"', _READING, *_THIS) for name, field in fields)


def _phase_columns(unit: str) -> dict[str, Shown]:
    return {name: Shown(unit=unit, colour=colour) for name, colour in _PHASES.items()}
