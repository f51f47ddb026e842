"""Commands: do they get through, how long do they take, and which failed?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.boards import common
from dashboards.colours import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, Scale
from dashboards.page import page, questions, row
from dashboards.panels import NOTHING, About, Panel, series, stat, table
from dashboards.query import (
    chosen,
    columns,
    counts,
    detail,
    first_rows,
    history,
    latest_points,
    over_time,
    share,
    whole,
)
from dashboards.shown import TEXT, Shown
from wire.messages import State

_CHOSEN: Final = chosen("gateway")
_COMMAND: Final = history("command")
_BAD: Final = common.among("state", common.FAILED)
_ENDED: Final = common.among("state", common.FINAL)
_EXECUTED: Final = f"\"state\" = '{State.EXECUTED}'"
_USUAL: Final = 'median("latency_p50_ms") AS "median", max("latency_p95_ms") AS "95th percentile"'
_LATENCY: Final = Scale(look=120_000, act=900_000)


def commands() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.COMMANDS,
        "Wattpost: commands",
        "Whether commands get through, how long they take, and which failed with what answer.",
        variables=(variables.utility(), variables.gateways()),
        rows=(
            questions(
                "Do commands do what was asked? Customers who have paid wait for them.",
                "How long do they take, and how many are open?",
                "Which failed, at which meter, and what was said?",
            ),
            row(5, _outcome(), _refused(), _time_taken(), _open_now()),
            row(8, _by_state(), _by_effect()),
            row(8, _latency(), _open_over_time()),
            row(12, _failures()),
            row(9, _failures_by_gateway(), _open_by_gateway()),
        ),
        span="now-24h",
    )


def _outcome() -> Panel:
    return stat(
        "Outcome",
        About(
            "Commands that failed, came too late or were never answered, of all that ended.",
            "The list below says what was said. Expired or unknown: the gateway was not heard in time.",
        ),
        share("failed", "of", _COMMAND, _CHOSEN, part_if=_BAD, total_if=_ENDED),
        shown=Shown(decimals=0, nothing=NOTHING),
        columns={"state": Shown(unit="percent", scale=common.COMMANDS_FAILED, in_words=True, nothing="all well")},
        empty="none ended",
    )


def _refused() -> Panel:
    return stat(
        "Refused or overtaken",
        About(
            "Commands that a gateway refused, or that a later one of the same kind overtook, of all changes of state.",
            "Refused: the clock of the gateway, a key, or a meter that is not its own; the list says which.",
        ),
        counts("refused or overtaken", "changes of state", _COMMAND, _CHOSEN, part_if=_NOT_RUN),
        shown=Shown(decimals=0, nothing=NOTHING),
        empty="no commands",
    )


_NOT_RUN: Final = common.among("state", (State.REFUSED, State.SUPERSEDED))


def _time_taken() -> Panel:
    return stat(
        "Time to execution",
        About(
            "From issue to execution: the median, and the longest 95th percentile of any gateway.",
            "The median up: the cloud or the broker. Only the percentile up: single gateways, in the curve below.",
        ),
        whole(
            _USUAL,
            _COMMAND,
            _CHOSEN,
            _EXECUTED,
        ),
        shown=Shown(unit="ms", decimals=1),
        columns={"median": Shown(unit="ms", decimals=1, scale=_LATENCY)},
        empty="none executed",
    )


def _open_now() -> Panel:
    return stat(
        "Open now",
        About(
            "Commands in no final state, in the whole network.",
            "They end by their deadlines. Rising while gateways are heard: the handler of commands stands still.",
        ),
        whole('last("commands_open_count") AS "open"', history("network_state")),
        shown=Shown(decimals=0),
        last=common.SAMPLED,
    )


def _by_state() -> Panel:
    return series(
        "By the state they came to",
        About(
            "Commands that came to each state in each interval.",
            "Sent but not delivered: gateways away. Delivered but not executed: meters that do not answer.",
        ),
        over_time('sum("count") AS "commands"', _COMMAND, _CHOSEN, by=("state",), alias="$tag_state"),
        shown=Shown(decimals=0, least=0),
        columns={str(state): Shown(colour=colour) for state, colour in _STATES.items()},
        width=12,
        bars=True,
        empty="no commands",
    )


_STATES: Final = common.STATE_COLOURS | {
    State.UNKNOWN: YELLOW,
    State.REFUSED: BLUE,
}


def _by_effect() -> Panel:
    return series(
        "Executed, by what was asked",
        About(
            "Commands executed in each interval, by effect.",
            "A wave of disconnections that nobody planned: find on the events dashboard where; stop who asks for it.",
        ),
        over_time('sum("count") AS "commands"', _COMMAND, _CHOSEN, _EXECUTED, by=("effect",), alias="$tag_effect"),
        shown=Shown(decimals=0, least=0),
        columns={
            "disconnect": Shown(colour=VERMILLION),
            "reconnect": Shown(colour=BLUE),
            "limit": Shown(colour=ORANGE),
            "read": Shown(colour=GREEN),
            "ping": Shown(colour=PURPLE),
        },
        width=12,
        bars=True,
        empty="none executed",
    )


def _latency() -> Panel:
    return series(
        "Time to execution",
        About(
            "From issue to execution: median, the longest 95th percentile of any gateway, and the longest.",
            "Long ones follow gateways that were away; they are well if they met their deadlines.",
        ),
        over_time(f'{_USUAL}, max("latency_max_ms") AS "longest"', _COMMAND, _CHOSEN, _EXECUTED),
        shown=Shown(unit="ms", least=0, scale=_LATENCY),
        columns={
            "median": Shown(unit="ms", colour=SKY),
            "95th percentile": Shown(unit="ms", colour=BLUE),
            "longest": Shown(unit="ms", colour=PURPLE),
        },
        width=12,
        step="5m",
        empty="none executed",
    )


def _open_over_time() -> Panel:
    return series(
        "Open, and on the way",
        About(
            "Commands in no final state; credits, tariffs and policies that no gateway has said it holds.",
            "Both rise with silent gateways and fall when they are back; rising alone, look at the handlers.",
        ),
        over_time(
            columns("max", commands="commands_open_count", facts="facts_waiting_count"), history("network_state")
        ),
        shown=Shown(decimals=0, least=0),
        columns={
            "commands": Shown(colour=SKY, title="open commands"),
            "facts": Shown(colour=ORANGE, title="credits and tariffs"),
        },
        width=12,
    )


def _failures() -> Panel:
    return table(
        "What failed",
        About(
            "The last 300 times that commands failed, were refused, came too late or got no answer; the meter and the "
            "answer are those of the last of each.",
            "Same meter again and again: its switch or its line. Same answer everywhere: read it, it names the cause.",
        ),
        latest_points(
            '"state", "effect", "gateway", "meter_id", "count", "detail"',
            _COMMAND,
            _CHOSEN,
            common.among("state", (*common.FAILED, State.REFUSED)),
            count_max=300,
        ),
        columns={
            "state": Shown(unit=TEXT, width=100),
            "effect": Shown(unit=TEXT, width=110),
            "gateway": common.GATEWAY_COLUMN,
            "meter_id": common.METER_ID_COLUMN,
            "count": Shown(decimals=0, width=70),
            "detail": Shown(unit=TEXT),
        },
        width=24,
        timed=True,
    )


def _failures_by_gateway() -> Panel:
    return table(
        "Gateways by failed commands",
        About(
            "The 50 gateways at which the most commands failed.",
            "One far ahead of the others: open it, its lines and clock come first.",
        ),
        first_rows(
            '"gateway", top("failed", 50) AS "failed"', 'sum("count") AS "failed"', _COMMAND, _CHOSEN, _BAD, by=_G
        ),
        columns={"gateway": common.GATEWAY_COLUMN, "failed": Shown(decimals=0)},
        by="failed",
    )


_G: Final = ("gateway",)


def _open_by_gateway() -> Panel:
    return table(
        "Gateways by open commands",
        About(
            "The 50 gateways with the most commands in no final state.",
            "Not heard: they wait for it. Heard: it does not answer for them; its events say why.",
        ),
        first_rows(
            '"gateway", top("open", 50) AS "open", "silent_s", "waiting"',
            columns("last", open="commands_open_count", silent_s="silent_s", waiting="facts_waiting_count"),
            detail("gateway_state"),
            _CHOSEN,
            by=_G,
            holds='"open" > 0',
        ),
        columns={
            "gateway": common.GATEWAY_COLUMN,
            "open": Shown(decimals=0, title="open commands"),
            "silent_s": common.SINCE,
            "waiting": Shown(decimals=0, title="credits on the way"),
        },
        last=common.SAMPLED,
        by="open commands",
    )
