"""Runs the InfluxQL of a panel or an alert rule as Grafana's InfluxDB data source does, against a real server.

Decides what macros and variables become and how an answer becomes series; what is asked is the business of the
dashboards, what is judged by it of `expressions` and `rules`.

    asker = Asker(influx.url, database="wattpost", token=influx.token)
    answer = asker.ask('SELECT mean("a") FROM "detail"."m" WHERE $timeFilter GROUP BY time($__interval), "gateway"',
                       Span(from_ms, to_ms), variables={"gateway": ["gw-1", "gw-2"]})
    answer.frames[0].labels, answer.frames[0].values, answer.seconds
"""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

Labels = frozenset[tuple[str, str]]
"""Tags of a series, as something that can be compared and be a key."""
Value = float | str | None
Choice = str | Sequence[str]
"""What is chosen of a variable: one value as it stands, or several, which become a regular expression."""

MAX_DATA_POINTS: Final = 1_000
"""As wide as a panel is, in points."""
_TIME_OUT_S: Final = 60

# Up to which interval Grafana takes which round one, both in ms.
_ROUND_MS: Final = (
    *((15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000), (3_500, 2_000)),
    *((7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000)),
    *((210_000, 120_000), (450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000)),
    *((2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000)),
    *((32_400_000, 21_600_000), (64_800_000, 43_200_000), (604_800_000, 86_400_000)),
    *((1_814_400_000, 604_800_000), (3_628_800_000, 2_592_000_000)),
)
_YEAR_MS: Final = 31_536_000_000
_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_NAMED = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\[\[(?P<old>\w+)\]\]|\$(?P<bare>\w+)(?P<call>\(\))?")
_REGEX_SPECIAL = re.compile(r"([\\^$*+?.()|\[\]{}/])")


class QueryError(Exception):
    """Raised when a query names a variable that nobody chose, or InfluxDB does not take it."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is looked at, both ends included, Unix ms."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One series: a column of InfluxDB's answer for one set of tags."""

    name: str
    labels: Labels
    times_ms: tuple[int, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query brought."""

    influxql: str
    """As it was sent."""
    frames: tuple[Frame, ...]
    seconds: float
    """From asking to having read the answer."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no value in it."""
        return all(value is None for frame in self.frames for value in frame.values)


def labels_of(**tags: str) -> Labels:
    """Return tags as the labels of a series."""
    return frozenset(tags.items())


def interval_of(span: Span, *, points_max: int = MAX_DATA_POINTS, least_ms: int = 1) -> int:
    """Return the interval by which Grafana groups a span, in ms: so that few enough points come, and a round one."""
    wanted = max((span.to_ms - span.from_ms) / points_max, 1)
    rounded = next((interval for limit, interval in _ROUND_MS if wanted < limit), _YEAR_MS)
    return max(rounded, least_ms)


def written(interval_ms: int) -> str:
    """Return an interval as InfluxQL takes it."""
    return next(f"{interval_ms // length}{unit}" for unit, length in _UNITS_MS if interval_ms % length == 0)


def substitute(text: str, span: Span, *, interval_ms: int, variables: Mapping[str, Choice] | None = None) -> str:
    """Return the query as the data source sends it.

    Args:
        text: InfluxQL with `$timeFilter`, `$__interval`, `$__from`, `$variable`, `${variable}`, `${variable:format}`
            and so on. Formats are `regex`, `raw`, `pipe`, `csv`, `singlequote`, `doublequote` and `text`.
        span: Of the dashboard or of the rule.
        interval_ms: What `$__interval` is.
        variables: What is chosen of each. One string stands as it is, several values as a regular expression, as for a
            variable that allows several; a variable's own value for all (`.*`) is one string.

    Raises:
        QueryError: A variable is not among them.
    """
    macros = {
        "timeFilter": f"time >= {span.from_ms}ms and time <= {span.to_ms}ms",
        "__timeFilter": f"time >= {span.from_ms}ms and time <= {span.to_ms}ms",
        "interval": written(interval_ms),
        "__interval": written(interval_ms),
        "__interval_ms": str(interval_ms),
        "__from": str(span.from_ms),
        "__to": str(span.to_ms),
        "__timeFrom": f"'{_stamp(span.from_ms)}'",
        "__timeTo": f"'{_stamp(span.to_ms)}'",
        "__range": written(max(span.to_ms - span.from_ms, 1)),
        "__range_ms": str(span.to_ms - span.from_ms),
        "__range_s": str((span.to_ms - span.from_ms) // 1_000),
    }
    chosen = variables or {}

    def replaced(match: re.Match[str]) -> str:
        name = match["braced"] or match["old"] or match["bare"]
        if name in chosen:
            return _formatted(chosen[name], match["format"] or "") + (match["call"] or "")
        if name in macros:
            return macros[name]
        raise QueryError(f"{text}: nobody chose a value of ${name}")

    return _NAMED.sub(replaced, text)


class Asker:
    """Puts queries to an InfluxDB at `/query`, as Grafana's data source is configured to.

    Args:
        url: Address of the server.
        database: The data source's database.
        token: Of InfluxDB 2, sent in the header that the data source adds; none where the server asks for none.
    """

    def __init__(self, url: str, *, database: str, token: str = "") -> None:
        self._url = url
        self._database = database
        self._headers = {"Authorization": f"Token {token}"} if token else {}

    def ask(
        self,
        text: str,
        span: Span,
        *,
        variables: Mapping[str, Choice] | None = None,
        interval_ms: int | None = None,
    ) -> Answer:
        """Run a query.

        Args:
            text: As it stands in the panel or rule.
            span: The time to look at.
            variables: As `substitute` takes them.
            interval_ms: What `$__interval` is; None for what Grafana would take for a panel of usual width.

        Raises:
            QueryError: InfluxDB does not take it.
        """
        interval = interval_of(span) if interval_ms is None else interval_ms
        influxql = substitute(text, span, interval_ms=interval, variables=variables)
        began = time.perf_counter()
        frames = self._frames(influxql)
        return Answer(influxql, frames, time.perf_counter() - began)

    def _frames(self, influxql: str) -> tuple[Frame, ...]:
        asked = urllib.parse.urlencode({"db": self._database, "epoch": "ms", "q": influxql})
        request = urllib.request.Request(f"{self._url}/query?{asked}", headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIME_OUT_S) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raise QueryError(f"{influxql}: {exc.read().decode()}") from exc
        frames: list[Frame] = []
        for result in document["results"]:
            if "error" in result:
                raise QueryError(f"{influxql}: {result['error']}")
            for series in result.get("series", ()):
                frames.extend(_columns(series))
        return tuple(frames)


def _columns(series: Mapping[str, object]) -> list[Frame]:
    names, rows = series["columns"], series.get("values", [])
    tags = series.get("tags", {})
    assert isinstance(names, list), series
    assert isinstance(rows, list), series
    assert isinstance(tags, dict), series
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    by_name = dict(zip(names, columns, strict=True))
    times = by_name.pop("time", ())
    return [Frame(name, frozenset(tags.items()), times, values) for name, values in by_name.items()]


def _formatted(choice: Choice, wanted: str) -> str:
    values = [choice] if isinstance(choice, str) else list(choice)
    match wanted:
        case "" if isinstance(choice, str):
            return choice
        case "" | "regex":
            escaped = [_REGEX_SPECIAL.sub(r"\\\1", value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        case "pipe":
            return "|".join(values)
        case "csv" | "raw" | "text":
            return ",".join(values)
        case "singlequote":
            return ",".join(f"'{value}'" for value in values)
        case "doublequote":
            return ",".join(f'"{value}"' for value in values)
        case _:
            raise QueryError(f"variables have no format {wanted!r} here")


def _stamp(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
