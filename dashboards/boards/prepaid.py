"""Prepaid accounts: who is without supply, who will be soon, and does money arrive?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.boards import common
from dashboards.colours import BLUE, ORANGE, PURPLE, SKY, VERMILLION, Scale
from dashboards.page import page, questions, row
from dashboards.panels import About, Panel, series, stat, table
from dashboards.query import (
    Query,
    as_table,
    chosen,
    columns,
    detail,
    first_rows,
    history,
    over_time,
    summed,
    summed_over_time,
    whole,
)
from dashboards.shown import TEXT, Shown

_CHOSEN: Final = chosen("gateway")
_STATE: Final = history("prepaid_state")
_EACH: Final = ("gateway", "currency")
_CUT_OFF: Final = Scale(look=10, act=25)
_SOON: Final = Scale(look=10, act=30)
_DAYS: Final = Scale(look=3, act=1)
_MINOR: Final = Shown(unit="locale", decimals=0)
_CREDIT_EVENTS: Final = "\"kind\" = 'credit'"
_NOTE: Final = (
    "Amounts are in minor units of their currency (cents, paise), each currency by itself. The two lists of accounts "
    "need `influx.meters`; where it is off, `wattpost cloud balance cloud.toml ACCOUNT` answers."
)


def prepaid() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.PREPAID,
        "Wattpost: prepaid",
        "Who is without supply for want of credit, who will be soon, and whether money arrives.",
        variables=(variables.utility(), variables.gateways()),
        rows=(
            questions(
                "How many are cut off, and is that more than usual?",
                "Who runs out next, and when?",
                "Are credits sold, and do they reach the gateways?",
                note=_NOTE,
            ),
            row(5, _cut_off(), _soon(), _sales(), _on_the_way()),
            row(8, _cut_over_time(), _days_left(), _credit_events()),
            row(8, _sold(), _used(), _balances()),
            row(10, _accounts_cut_off(), _accounts_next()),
            row(9, _by_gateway()),
        ),
        span="now-7d",
        refresh="5m",
    )


def _cut_off() -> Panel:
    what = '100 * sum("cut") / sum("accounts") AS "state", sum("cut") AS "cut off", sum("accounts") AS "of"'
    return stat(
        "Cut off",
        About(
            "Accounts without supply because their credit is used up.",
            "A jump at one gateway: its credits do not arrive. At all of them: a tariff, or the sales system stands.",
        ),
        summed(what, columns("last", cut="cut_off_count", accounts="accounts_count"), _STATE, _CHOSEN, by=_EACH),
        shown=Shown(decimals=0),
        columns={"state": Shown(unit="percent", scale=_CUT_OFF, in_words=True)},
        last=common.BALANCED,
        empty="no accounts",
    )


def _soon() -> Panel:
    what = (
        '100 * sum("one") / sum("accounts") AS "state", sum("one") AS "within a day", sum("three") AS "within 3 days", '
        'sum("low") AS "warned"'
    )
    inner = columns(
        "last",
        one="days_left_below_1_count",
        three="days_left_below_3_count",
        low="low_count",
        accounts="accounts_count",
    )
    return stat(
        "Run out soon",
        About(
            "Accounts in credit that last less than a day, less than three, and those below their warning level.",
            "Many before a holiday: see that the sales system and its people are there.",
        ),
        summed(what, inner, _STATE, _CHOSEN, by=_EACH),
        shown=Shown(decimals=0),
        columns={"state": Shown(unit="percent", scale=_SOON, in_words=True)},
        last=common.BALANCED,
        empty="no accounts",
    )


def _sales() -> Panel:
    return stat(
        "Sold in a day",
        About(
            "Credits booked within 24 hours, and their amount, by currency.",
            "None in business hours: payments do not reach us; ask the sales system, then look at refusals.",
        ),
        whole('sum("count") AS "credits"', history("sale"), by=("currency",), alias="credits, $tag_currency"),
        whole('sum("amount_minor") AS "amount"', history("sale"), by=("currency",), alias="minor units, $tag_currency"),
        shown=_MINOR,
        last="24h",
        empty="nothing sold",
    )


def _on_the_way() -> Panel:
    return stat(
        "On the way",
        About(
            "Credits, tariffs and policies that no gateway has said it holds.",
            "More than the silent gateways explain: a gateway refuses them; the list by gateway below says which.",
        ),
        whole('last("facts_waiting_count") AS "waiting"', history("network_state")),
        shown=Shown(decimals=0),
        last=common.SAMPLED,
    )


def _cut_over_time() -> Panel:
    return series(
        "Cut off over time",
        About(
            "Accounts cut off, and accounts below their warning level.",
            "Compare with the same hour a week ago (7 days are shown); friendly hours show as plateaus.",
        ),
        _state_over_time(cut="cut_off_count", low="low_count"),
        shown=Shown(decimals=0, least=0),
        columns={
            "cut": Shown(colour=VERMILLION, title="cut off"),
            "low": Shown(colour=ORANGE, title="below warning"),
        },
        step="1h",
    )


def _days_left() -> Panel:
    return series(
        "Days left",
        About(
            "Accounts in credit whose credit lasts less than a day, and less than three.",
            "A wave that comes each month is pay day; a wave that does not break means that nobody can pay.",
        ),
        _state_over_time(one="days_left_below_1_count", three="days_left_below_3_count"),
        shown=Shown(decimals=0, least=0),
        columns={
            "one": Shown(colour=ORANGE, title="less than a day"),
            "three": Shown(colour=SKY, title="less than 3 days"),
        },
        step="1h",
    )


def _credit_events() -> Panel:
    return series(
        "Cut off and restored",
        About(
            "Events about credit: used up, low, there again, and accounts that differ from the cloud's.",
            "Used up, sold, and not there again: credits do not arrive. Accounts that differ: report it.",
        ),
        over_time(
            'sum("count") AS "events"', history("event"), _CHOSEN, _CREDIT_EVENTS, by=("code",), alias="$tag_code"
        ),
        shown=Shown(decimals=0, least=0),
        columns={
            "3.20.8.150": Shown(colour=VERMILLION, title="credit used up"),
            "3.20.8.216": Shown(colour=SKY, title="credit again"),
            "3.20.8.223": Shown(colour=ORANGE, title="credit low"),
            "5.20.0.79": Shown(colour=PURPLE, title="account differs"),
        },
        step="1h",
        bars=True,
        empty="no events of credit",
    )


def _sold() -> Panel:
    return series(
        "Sales",
        About(
            "Amount of credits booked, in minor units, by currency.",
            "A gap in the day's usual shape: payments stand still. Booking again is safe; an id never counts twice.",
        ),
        over_time('sum("amount_minor") AS "sold"', history("sale"), by=("currency",), alias="$tag_currency"),
        shown=Shown(unit="locale", decimals=0, least=0),
        step="1h",
        bars=True,
    )


def _used() -> Panel:
    return series(
        "Used in the day before",
        About(
            "What all accounts used in the 24 hours before, in minor units, by currency.",
            "A fall with meters silent: it is not known yet. A fall without: supply is out, or accounts are cut off.",
        ),
        _money("spent_day_minor"),
        shown=Shown(unit="locale", decimals=0, least=0),
        step="1h",
    )


def _balances() -> Panel:
    return series(
        "All balances together",
        About(
            "What customers have paid and not used, in minor units, by currency.",
            "It is owed to them. A step that no sale explains: look for a wrong tariff or a booking by hand.",
        ),
        _money("balance_minor"),
        shown=Shown(unit="locale", decimals=0, colour=BLUE),
        step="1h",
    )


def _money(field: str) -> Query:
    what = 'sum("each") AS "sum"'
    each = f'last("{field}") AS "each"'
    return summed_over_time(what, each, _STATE, _CHOSEN, by=_EACH, keep="currency", alias="$tag_currency")


def _state_over_time(**fields: str) -> Query:
    sums = ", ".join(f'sum("{name}") AS "{name}"' for name in fields)
    return summed_over_time(sums, columns("last", **fields), _STATE, _CHOSEN, by=_EACH)


def _accounts_cut_off() -> Panel:
    inner = columns("last", cut="cut_off", balance="balance_minor")
    listed = summed(
        '"account", "meter", "gateway", "balance", "currency"',
        inner,
        detail("account"),
        _CHOSEN,
        by=("account", "meter", "gateway", "currency"),
        holds='"cut" = 1',
    )
    return table(
        "Accounts cut off",
        About(
            "Accounts that are cut off now, the highest balance first: those above zero should not be.",
            "A balance above zero: open the meter and its gateway; the credit has not arrived, or the switch failed.",
        ),
        as_table(Query(f"{listed.text} LIMIT 500")),
        columns=_ACCOUNT | {"balance": _MINOR},
        last=common.BALANCED,
        by="balance",
    )


def _accounts_next() -> Panel:
    return table(
        "Accounts that run out next",
        About(
            "The 100 accounts in credit that last the shortest at yesterday's use.",
            "Nothing is wrong with it; who asks customers to recharge in time starts here.",
        ),
        first_rows(
            '"account", "meter", "gateway", bottom("days", 100) AS "days", "balance", "currency"',
            columns("last", days="days_left", balance="balance_minor", cut="cut_off"),
            detail("account"),
            _CHOSEN,
            by=("account", "meter", "gateway", "currency"),
            holds='"cut" = 0',
        ),
        columns=_ACCOUNT | {"days": Shown(unit="d", decimals=1, scale=_DAYS, title="lasts"), "balance": _MINOR},
        last=common.BALANCED,
        by="lasts",
        falling=False,
    )


_ACCOUNT: Final = {
    "account": Shown(unit=TEXT),
    "meter": common.METER_COLUMN,
    "gateway": common.GATEWAY_COLUMN,
    "currency": Shown(unit=TEXT, width=80),
}


def _by_gateway() -> Panel:
    return table(
        "By gateway",
        About(
            "The 200 gateways with the most accounts cut off.",
            "One that stands out against its size: open it, and see whether credits wait for it.",
        ),
        first_rows(
            '"gateway", "currency", top("cut", 200) AS "cut", "accounts", "low", "one", "three"',
            columns(
                "last",
                cut="cut_off_count",
                accounts="accounts_count",
                low="low_count",
                one="days_left_below_1_count",
                three="days_left_below_3_count",
            ),
            _STATE,
            _CHOSEN,
            by=_EACH,
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "currency": Shown(unit=TEXT, width=80),
            "cut": Shown(decimals=0, title="cut off"),
            "accounts": Shown(decimals=0, title="of"),
            "low": Shown(decimals=0, title="below warning"),
            "one": Shown(decimals=0, title="less than a day"),
            "three": Shown(decimals=0, title="less than 3 days"),
        },
        width=24,
        last=common.BALANCED,
        by="cut off",
    )
