"""One gateway and its lines: why is it silent, slow or incomplete?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.alerting import limits
from dashboards.boards import common
from dashboards.colours import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, Scale
from dashboards.page import page, questions, row
from dashboards.panels import About, Panel, series, stat, table, timeline
from dashboards.query import chosen, columns, detail, exactly, growth, over_time, rate, rows, whole
from dashboards.shown import Shown

_THIS: Final = exactly("gateway")
_HEALTH: Final = detail("gateway_health")
_LINES: Final = (_THIS, chosen("line"))
_STORE: Final = Scale(look=limits.STORE_USED_PERCENT / 2, act=limits.STORE_USED_PERCENT)
_DISK: Final = Scale(look=2 * limits.DISK_FREE_PERCENT, act=limits.DISK_FREE_PERCENT)
_CLOCK: Final = Scale(look=limits.CLOCK_ERROR_MS / 10, act=limits.CLOCK_ERROR_MS)
_SYNCED: Final = Scale(look=1, act=0, words=("synchronised", "not synchronised", "not synchronised"))
_LOST: Final = Scale(look=2, act=10)


def gateway() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.GATEWAY,
        "Wattpost: a gateway and its lines",
        "Why a gateway is silent, slow or incomplete, and which of its lines or meters it is.",
        variables=(variables.utility(), variables.gateway(), variables.lines()),
        rows=(
            questions(
                "Is the gateway heard, and does what it sends get through?",
                "Is it the gateway (store, disk, clock), its way to us (backlog, sessions), or a line to its meters?",
                "Which meters are silent, and what happened before?",
            ),
            row(5, _heard(), _meters(), _backlog(), _store(), _clock()),
            row(4, _presence()),
            row(8, _waiting(), _latency(), _trouble()),
            row(8, _lines(), _busy(), _failures()),
            row(9, common.silent_meters(_ABOUT_SILENT, _THIS, width=8), _events()),
            row(7, _process(), _given_up()),
        ),
        span="now-24h",
    )


_ABOUT_SILENT: Final = About(
    "Meters of this gateway that have not been read for longer than monitoring.silent_s.",
    "All of one line: the line or its converter. Single ones: the meter; open it for its last values and events.",
)


def _heard() -> Panel:
    return stat(
        "Heard",
        About(
            "Whether the gateway is heard, and for how long it has not been.",
            "Silent: look at its last numbers below. Neighbours silent too: the carrier or the power (see the map).",
        ),
        whole(columns("last", state="silent_s", ago="silent_s"), detail("gateway_state"), _THIS),
        shown=Shown(unit="s", decimals=0),
        columns={"state": Shown(unit="s", scale=common.HEARD, in_words=True)},
        width=4,
        last=common.SAMPLED,
    )


def _meters() -> Panel:
    what = (
        '100 * last("meters_silent_count") / last("meters_count") AS "state", '
        'last("meters_silent_count") AS "silent", last("meters_count") AS "of"'
    )
    return stat(
        "Meters",
        About(
            "Meters of this gateway without a recent reading, of those that are assigned to it.",
            "See which line has lost its meters, then the list of silent meters.",
        ),
        whole(what, detail("gateway_state"), _THIS),
        shown=Shown(decimals=0),
        columns={"state": Shown(unit="percent", scale=common.METERS_SILENT, in_words=True)},
        width=5,
        last=common.SAMPLED,
    )


def _backlog() -> Panel:
    return stat(
        "Backlog",
        About(
            "Batches that no acknowledgement has named, and the age of the oldest.",
            "It shrinks by itself when the way to us is open again; if it is heard and it grows, its line is too slow.",
        ),
        whole(columns("last", oldest="pending_age_s", batches="pending_count"), _HEALTH, _THIS),
        shown=Shown(decimals=0),
        columns={"oldest": Shown(unit="s", decimals=0, scale=common.BACKLOG)},
        width=5,
        last=common.REPORTED,
    )


def _store() -> Panel:
    return stat(
        "Store and disk",
        About(
            "How full its store is with what is not acknowledged, and what is free of its disk.",
            "At 100 % of the store the oldest readings are given up. Open the way out, or visit it before that.",
        ),
        whole(columns("last", store="store_used_percent", free="disk_free_percent"), _HEALTH, _THIS),
        shown=Shown(unit="percent", decimals=0, least=0, most=100),
        columns={
            "store": Shown(unit="percent", decimals=0, scale=_STORE, title="store used"),
            "free": Shown(unit="percent", decimals=0, scale=_DISK, title="disk free"),
        },
        width=5,
        last=common.REPORTED,
    )


def _clock() -> Panel:
    return stat(
        "Clock",
        About(
            "Whether its clock is synchronised, the bound on its error, and by how much it was off when last set.",
            "Not synchronised: commands with a deadline wait, readings are put right later. Replace its battery.",
        ),
        whole(columns("last", state="clock_synced", error="clock_error_ms", step="clock_step_ms"), _HEALTH, _THIS),
        shown=Shown(unit="ms", decimals=0),
        columns={
            "state": Shown(scale=_SYNCED, in_words=True),
            "error": Shown(unit="ms", decimals=0, scale=_CLOCK),
        },
        width=5,
        last=common.REPORTED,
    )


def _presence() -> Panel:
    return timeline(
        "When it was there",
        About(
            "Whether anything said that the gateway went, since it was last heard.",
            "Short gaps at fixed hours are a carrier's resets; gaps at dusk are power; one long gap wants a visit.",
        ),
        over_time('min("present") AS "gateway"', detail("gateway_state"), _THIS),
        shown=Shown(scale=Scale(look=1, act=0, words=("there", "gone", "gone")), in_words=True),
    )


def _waiting() -> Panel:
    return series(
        "What waits",
        About(
            "Batches that wait for their acknowledgement, and the age of the oldest.",
            "A saw is an outage that was caught up with; a slope that never falls means too slow a line.",
        ),
        over_time(columns("max", batches="pending_count", oldest="pending_age_s"), _HEALTH, _THIS),
        shown=Shown(decimals=0, least=0),
        columns={
            "batches": Shown(decimals=0, least=0, colour=SKY),
            "oldest": Shown(unit="s", least=0, colour=ORANGE, right=True),
        },
    )


def _latency() -> Panel:
    return series(
        "Time to acknowledgement",
        About(
            "From first sending to the cloud's acknowledgement, mean and longest of each report.",
            "High here only: this gateway's line. High everywhere (overview): the cloud's commits.",
        ),
        over_time(
            'mean("ack_latency_ms") AS "mean", max("ack_latency_max_ms") AS "longest"',
            _HEALTH,
            _THIS,
        ),
        shown=Shown(unit="ms", least=0, scale=common.ACK_LATENCY),
        columns={"mean": Shown(unit="ms", colour=SKY), "longest": Shown(unit="ms", colour=BLUE)},
    )


def _trouble() -> Panel:
    grown = (
        growth("connects_count", "sessions opened"),
        growth("resends_count", "sent again"),
        growth("refused_count", "refused by it"),
        growth("pushes_refused", "pushes refused"),
        growth("pushes_turned_away", "strangers"),
    )
    return series(
        "Trouble on the wire",
        About(
            "Sessions opened, batches sent again, messages of the cloud and pushes of meters that it refused.",
            "Many sessions: a bad line, or two gateways with one name. Refusals: keys or clock; its events say which.",
        ),
        over_time(", ".join(grown), _HEALTH, _THIS),
        shown=Shown(decimals=0, least=0),
        columns={
            "sessions opened": Shown(colour=SKY),
            "sent again": Shown(colour=BLUE),
            "refused by it": Shown(colour=VERMILLION),
            "pushes refused": Shown(colour=ORANGE),
            "strangers": Shown(colour=PURPLE),
        },
        step="15m",
        bars=True,
    )


def _lines() -> Panel:
    return table(
        "Lines",
        About(
            "Each line to meters: how many are on it, how many do not answer, how much of the time it is in use.",
            "All lost: cable, converter or power. Busy near 100 %: too many meters or too short a period for the line.",
        ),
        rows(
            columns("last", meters="meters_count", lost="meters_lost_count", busy="busy_percent"),
            detail("line_health"),
            *_LINES,
            by=("line",),
        ),
        columns={
            "meters": Shown(decimals=0),
            "lost": Shown(decimals=0, scale=Scale(look=1, act=3)),
            "busy": Shown(unit="percent", decimals=0, scale=_BUSY),
        },
        last=common.REPORTED,
        width=8,
        by="lost",
    )


_BUSY: Final = Scale(look=80, act=95)


def _busy() -> Panel:
    return series(
        "Lines in use",
        About(
            "Share of the time in which each line was in use.",
            "Near 100 % polls come late: spread the meters over more lines, or read them less often.",
        ),
        over_time('mean("busy_percent") AS "busy"', detail("line_health"), *_LINES, by=("line",), alias="$tag_line"),
        shown=Shown(unit="percent", least=0, most=100, decimals=0, scale=_BUSY),
        step="15m",
    )


def _failures() -> Panel:
    failed = 'non_negative_difference(last("failures_count"))'
    asked = 'non_negative_difference(last("transactions_count"))'
    return series(
        "Questions without a good answer",
        About(
            "Share of the questions on each line that got no good answer.",
            "Some per cent: noise, termination, a bad joint. All of it: the line is down. One dead meter is a few.",
        ),
        over_time(
            f'100 * {failed} / {asked} AS "failed"', detail("line_health"), *_LINES, by=("line",), alias="$tag_line"
        ),
        shown=Shown(unit="percent", least=0, most=100, decimals=1, scale=_LOST),
        step="15m",
    )


def _events() -> Panel:
    return common.latest_events(
        "What happened",
        About(
            "The last 200 events of this gateway and its meters.",
            "Power failed at several meters: an outage, not our fault. Refusals and lost lines: see the panels above.",
        ),
        _THIS,
        count_max=200,
        width=16,
    )


def _process() -> Panel:
    return series(
        "The gateway's process",
        About(
            "Memory, and share of one processor, that the gateway's process uses.",
            "Memory that only grows is a fault of ours: keep the journal and report it. It starts anew by itself.",
        ),
        over_time(f'mean("resident_bytes") AS "memory", {rate("cpu_s", "processor")}', _HEALTH, _THIS),
        shown=Shown(unit="bytes", least=0),
        columns={
            "memory": Shown(unit="bytes", least=0, colour=SKY),
            "processor": Shown(unit="percentunit", least=0, decimals=1, colour=ORANGE, right=True),
        },
        width=12,
        step="15m",
    )


def _given_up() -> Panel:
    grown = f"{growth('dropped_bytes', 'given up')}, " + 'max("store_bytes") AS "kept"'
    return series(
        "Readings kept and given up",
        About(
            "Bytes of signed batches on its disk, and of readings that it gave up because the store was full.",
            "Anything given up is lost but for what the meters keep: have their profiles read again when it is heard.",
        ),
        over_time(grown, _HEALTH, _THIS),
        shown=Shown(unit="bytes", least=0),
        columns={
            "kept": Shown(unit="bytes", least=0, colour=GREEN),
            "given up": Shown(unit="bytes", least=0, colour=VERMILLION),
        },
        width=12,
        step="15m",
    )
