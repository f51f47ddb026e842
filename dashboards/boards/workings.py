"""The platform itself: do the handlers work, keep up, and reach their database and InfluxDB?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards import links, variables
from dashboards.alerting import limits
from dashboards.boards import common
from dashboards.colours import BLUE, ORANGE, SKY, VERMILLION, Scale
from dashboards.page import page, questions, row
from dashboards.panels import NOTHING, About, Panel, series, stat, table
from dashboards.query import (
    Query,
    chosen,
    columns,
    detail,
    growth,
    over_time,
    rate,
    rows,
    summed,
    summed_over_time,
    where,
    whole,
)
from dashboards.shown import Shown

_HANDLER: Final = detail("handler")
_CHOSEN: Final = chosen("handler")
_EACH: Final = ("handler",)
_COMMIT: Final = Scale(look=250, act=1_000)
_WRITE: Final = Scale(look=1_000, act=5_000)
_DISK: Final = Scale(look=2 * limits.CLOUD_DISK_FREE_PERCENT, act=limits.CLOUD_DISK_FREE_PERCENT)
_ANY: Final = Scale(look=1, act=100)
_FAILED: Final = Scale(look=1, act=limits.WRITES_FAILED_COUNT)
_REPORTING: Final = "5m"
"""Handlers report each minute."""


def workings() -> dashboard.Dashboard:
    """Return the dashboard."""
    return page(
        links.PLATFORM,
        "Wattpost: the platform",
        "Whether the handlers work, keep up, and reach their database and InfluxDB.",
        variables=(variables.utility(), variables.handlers()),
        rows=(
            questions(
                "Do all handlers run, and does work on what came in keep up?",
                "Is anything refused, and why?",
                "Are the database, InfluxDB and the disks well?",
            ),
            row(5, _running(), _lag(), _refused(), _influx(), _database(), _disk()),
            row(8, _messages(), _batches(), _refusals()),
            row(8, _commits(), _writes(), _lags()),
            row(8, _lines(), _processor(), _memory()),
            row(8, _handlers()),
        ),
        refresh="30s",
    )


def _running() -> Panel:
    return stat(
        "Handlers",
        About(
            "Processes that reported within the last five minutes, and the youngest's age.",
            "Fewer than you run: look at their logs. A young one that you did not start has crashed: so its log says.",
        ),
        summed(
            'count("up") AS "running", min("up") AS "youngest"',
            'last("uptime_s") AS "up"',
            _HANDLER,
            _CHOSEN,
            by=_EACH,
        ),
        shown=Shown(decimals=0),
        columns={
            "running": Shown(decimals=0, scale=Scale(look=1, act=0)),
            "youngest": Shown(unit="s", decimals=1),
        },
        width=4,
        last=_REPORTING,
        empty="no handler reports",
    )


def _lag() -> Panel:
    return stat(
        "Work on what came in",
        About(
            "How far the slowest follower is behind what is committed.",
            "Nothing is lost. Growing: the database is slow, or the process with that room does not run.",
        ),
        summed('max("lag") AS "state", max("lag") AS "behind"', 'last("lag_s") AS "lag"', detail("follower"), by=_WHO),
        shown=Shown(unit="s", decimals=0),
        columns={"state": Shown(unit="s", scale=common.LAG, in_words=True)},
        width=4,
        last=common.SAMPLED,
    )


_WHO: Final = ("follower",)


def _refused() -> Panel:
    return stat(
        "Refused in the time shown",
        About(
            "Messages refused in the time shown.",
            "The panel by reason says why. Bad signatures or unknown keys: strangers, or a gateway set up anew.",
        ),
        _total('sum("each") AS "refused"', "refused_count"),
        shown=Shown(decimals=0, scale=_ANY),
        width=4,
        empty=NOTHING,
    )


def _influx() -> Panel:
    return stat(
        "InfluxDB",
        About(
            "Writes that InfluxDB did not answer well, and lines it refused for good, in the time shown.",
            "Failed writes are tried again. Refused lines miss in this picture only: a field has another type there.",
        ),
        _total('sum("each") AS "failed writes"', "writes_failed_count"),
        _total('sum("each") AS "lines refused"', "lines_dropped_count"),
        shown=Shown(decimals=0, scale=_FAILED),
        width=4,
        empty=NOTHING,
    )


def _database() -> Panel:
    return stat(
        "Database",
        About(
            "Mean time of a commit by any handler, and the longest, in the last five minutes.",
            "Slow: its disk, or another user of it. Acknowledgements wait for commits; nothing is lost.",
        ),
        whole('mean("commit_ms") AS "mean", max("commit_max_ms") AS "longest"', _HANDLER, _CHOSEN),
        shown=Shown(unit="ms", decimals=1),
        columns={"mean": Shown(unit="ms", decimals=1, scale=_COMMIT)},
        width=4,
        last=_REPORTING,
        empty="no commits",
    )


def _disk() -> Panel:
    return stat(
        "Least free disk",
        About(
            "What is free of the fullest disk that a handler works on.",
            "When it is full nothing is committed any more. Make room: old backups and logs first, never the database.",
        ),
        whole('min("disk_free_percent") AS "free"', _HANDLER, _CHOSEN),
        shown=Shown(unit="percent", decimals=0, least=0, most=100, scale=_DISK),
        width=4,
        last=_REPORTING,
        empty="no handler reports",
    )


def _messages() -> Panel:
    return series(
        "Messages taken",
        About(
            "Messages taken from the broker, each second, by handler.",
            "None at one while others have some: it lost its session. None at all: the broker, or all gateways.",
        ),
        _of_each(rate("messages_count", "messages")),
        shown=Shown(unit="cps", least=0),
    )


def _batches() -> Panel:
    return series(
        "Batches committed",
        About(
            "New batches and repeats of known ones, each second, all handlers chosen together.",
            "Repeats above new ones: acknowledgements are late or lost; look at commits, then at the broker.",
        ),
        summed_over_time(
            'sum("new") AS "new", sum("repeated") AS "repeated"',
            f"{rate('batches_count', 'new')}, {rate('repeats_count', 'repeated')}",
            _HANDLER,
            _CHOSEN,
            by=_EACH,
        ),
        shown=Shown(unit="cps", least=0),
        columns={"new": Shown(unit="cps", colour=SKY), "repeated": Shown(unit="cps", colour=ORANGE)},
    )


def _refusals() -> Panel:
    # There is a point for each reason, whether it ever occurred or not.
    grown = over_time(growth("count", "refused"), detail("refusal"), by=("reason",))
    return series(
        "Refused, by reason",
        About(
            "Messages refused in each interval, by reason.",
            "`bad-signature`, `unknown-key`: keys or strangers. `expired`: clocks. `quota-exceeded`: a loop.",
        ),
        Query(
            f'SELECT "refused" FROM ({grown.text}) WHERE $timeFilter AND "refused" > 0 GROUP BY "reason"', "$tag_reason"
        ),
        shown=Shown(decimals=0, least=0, colour=VERMILLION),
        step="5m",
        bars=True,
        empty=NOTHING,
    )


def _commits() -> Panel:
    return series(
        "Time of a commit",
        About(
            "Mean time of a commit by handler, and the longest of all.",
            "All slow: the database or its disk. One slow: its way to it. Backups show as a daily hump.",
        ),
        _of_each('mean("commit_ms") AS "mean"'),
        over_time('max("commit_max_ms") AS "longest"', _HANDLER, _CHOSEN),
        shown=Shown(unit="ms", least=0, scale=_COMMIT),
        columns={"longest": Shown(unit="ms", colour=BLUE)},
    )


def _writes() -> Panel:
    return series(
        "Time of a write to InfluxDB",
        About(
            "Mean time of a write by handler, and the longest of all.",
            "Slow or failing delays this picture and nothing else; see InfluxDB's memory and number of series.",
        ),
        _of_each('mean("write_ms") AS "mean"'),
        over_time('max("write_max_ms") AS "longest"', _HANDLER, _CHOSEN),
        shown=Shown(unit="ms", least=0, scale=_WRITE),
        columns={"longest": Shown(unit="ms", colour=BLUE)},
    )


def _lags() -> Panel:
    return series(
        "Followers behind",
        About(
            "Age of the oldest committed message that each follower has not read.",
            "One rising by itself: its room does not run or fails on a message; its log says. All: the database.",
        ),
        over_time('max("lag_s") AS "behind"', detail("follower"), by=_WHO, alias="$tag_follower"),
        shown=Shown(unit="s", least=0, scale=common.LAG),
    )


def _lines() -> Panel:
    return series(
        "Lines taken by InfluxDB",
        About(
            "Lines that InfluxDB took, each second, by handler.",
            "None while messages come in: InfluxDB is down; what it misses is written when it is back.",
        ),
        _of_each(rate("lines_count", "lines")),
        shown=Shown(unit="cps", least=0, decimals=0),
    )


def _processor() -> Panel:
    return series(
        "Processor",
        About(
            "Share of one processor that each handler uses.",
            "Near 100 % for long: share the rooms out to more processes, or start another of the same.",
        ),
        _of_each(rate("cpu_s", "processor")),
        shown=Shown(unit="percentunit", least=0, decimals=1, scale=Scale(look=0.7, act=0.95)),
    )


def _memory() -> Panel:
    return series(
        "Memory",
        About(
            "Memory of each handler.",
            "It levels off. If it only grows, restart the process, which loses nothing, and report it.",
        ),
        _of_each('mean("resident_bytes") AS "memory"'),
        shown=Shown(unit="bytes", least=0),
    )


def _handlers() -> Panel:
    return table(
        "Each handler",
        About(
            "Each process that reported within the last five minutes.",
            "One is missing: look at its log and at what supervises it. Gateways keep what they have meanwhile.",
        ),
        rows(
            columns(
                "last",
                up="uptime_s",
                commit="commit_ms",
                write="write_ms",
                free="disk_free_percent",
                memory="resident_bytes",
                refused="refused_count",
                errors="failures_count",
            ),
            _HANDLER,
            _CHOSEN,
            by=_EACH,
        ),
        columns={
            "up": Shown(unit="s", decimals=1, title="running for"),
            "commit": Shown(unit="ms", decimals=1, scale=_COMMIT, nothing="none"),
            "write": Shown(unit="ms", decimals=1, scale=_WRITE, nothing="none"),
            "free": Shown(unit="percent", decimals=0, scale=_DISK, title="disk free"),
            "memory": Shown(unit="bytes", decimals=1),
            "refused": Shown(decimals=0, title="refused since its start"),
            "errors": Shown(decimals=0, scale=Scale(look=1, act=10), title="errors of the program"),
        },
        width=24,
        last=_REPORTING,
        by="running for",
        falling=False,
        empty="no handler reports",
    )


def _of_each(what: str) -> Query:
    return over_time(what, _HANDLER, _CHOSEN, by=_EACH, alias="$tag_handler")


def _total(what: str, counter: str) -> Query:
    """Return how much a counter grew over the whole of the time, over all handlers chosen."""
    each = (
        f'SELECT non_negative_difference("{counter}") AS "each" FROM {_HANDLER} '
        f'WHERE {where(_CHOSEN)} GROUP BY "handler"'
    )
    return Query(f"SELECT {what} FROM ({each}) WHERE $timeFilter")
