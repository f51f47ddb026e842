"""Delivery of lines to InfluxDB: bounded pieces, each to its retention policy, and what is done with lines it refuses.

Everything that writes, delivers here: the feeder, surveys, what makes a period anew. Decides nothing about when; who
calls waits and comes again where the server is away.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import structlog

from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.core.points import retention_of
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from cloud.tally import Tally
from wire.runtime.errors import UnavailableError
from wire.runtime.threads import in_daemon_thread

LINES_PER_WRITE_MAX = 5_000
CHARS_PER_WRITE_MAX = 2_000_000
SHOWN_CHARS_MAX = 100
DAY_MS = 86_400_000
TIME_DIGITS = 13
"""Of milliseconds since 1970, from 2001 to 2286."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Delivered:
    """What became of lines."""

    written_count: int = 0
    dropped_count: int = 0
    problem: str = ""
    """What the server said of the first that it did not take."""

    def add(self, other: "Delivered") -> None:
        """Take in what became of more lines."""
        self.written_count += other.written_count
        self.dropped_count += other.dropped_count
        self.problem = self.problem or other.problem


class Outlet:
    """The way to InfluxDB of one of those who write; says so when lines begin to be dropped.

    Args:
        writer: Writes; it may be shared.
        source: Whose lines they are, for the log.
    """

    def __init__(self, writer: LineWriter, *, source: str) -> None:
        self._writer = writer
        self._source = source
        self._dropping = False
        self.delivered = Delivered()
        """All since the start."""

    async def send(self, lines: Sequence[str]) -> None:
        """Deliver lines.

        Raises:
            UnavailableError: The server does not answer; some lines may be written.
        """
        # A thread that hangs with the server holds up neither other work nor the end of the process.
        done = await in_daemon_thread(partial(deliver, self._writer, lines), name="influxdb", discard=_forget)
        self.delivered.add(done)
        dropping = done.dropped_count > 0
        if dropping and not self._dropping:
            _log.warning("lines.dropped", source=self._source, lines=done.dropped_count, problem=done.problem)
        self._dropping = dropping


class CountedWriter:
    """A writer that counts what it does; it may be shared by threads.

    Args:
        writer: Does the work.
        tally: Where it is counted, with the time of each write that was answered.
    """

    def __init__(self, writer: LineWriter, tally: Tally) -> None:
        self._writer = writer
        self._tally = tally
        self._lock = threading.Lock()

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        begun_s = perf_counter()
        try:
            self._writer.write(lines, retention=retention)
        except UnavailableError:
            with self._lock:
                self._tally.writes_failed_count += 1
            raise
        except RefusedLinesError as error:
            dropped_count = _dropped(lines, error)
            # Where it is not known which lines are bad, the pieces they are halved into are counted.
            self._count(begun_s, 0 if dropped_count is None else len(lines), dropped_count or 0)
            raise
        self._count(begun_s, len(lines), 0)

    def close(self) -> None:
        self._writer.close()

    def _count(self, begun_s: float, lines_count: int, dropped_count: int) -> None:
        with self._lock:
            self._tally.writes.add((perf_counter() - begun_s) * 1_000)
            self._tally.lines_count += lines_count - dropped_count
            self._tally.lines_dropped_count += dropped_count


class WithinRetention:
    """A writer that leaves out what the server would not keep, which it would refuse line by line.

    Args:
        writer: Does the work.
        days: How long points of each policy stay.
        now_ms: The server's time; a second more or less is no matter.
    """

    def __init__(self, writer: LineWriter, *, days: Mapping[Retention, int], now_ms: Callable[[], int]) -> None:
        self._writer = writer
        self._days = days
        self._now_ms = now_ms

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        # Times of this century have as many digits each, and compare as text.
        oldest = f"{max(0, self._now_ms() - self._days[retention] * DAY_MS):0{TIME_DIGITS}}"
        kept = [line for line in lines if line[-TIME_DIGITS:] >= oldest]
        if kept:
            self._writer.write(kept, retention=retention)

    def close(self) -> None:
        self._writer.close()


def deliver(writer: LineWriter, lines: Sequence[str]) -> Delivered:
    """Write lines in bounded pieces; a piece that is refused is halved until the bad lines stand alone, and those left.

    Raises:
        UnavailableError: The server does not answer; some lines may be written.
    """
    delivered = Delivered()
    for retention, kept in _by_retention(lines, delivered).items():
        for batch in in_batches(kept, lines_max=LINES_PER_WRITE_MAX, chars_max=CHARS_PER_WRITE_MAX):
            _write(writer, batch, retention, delivered)
    return delivered


def in_batches(lines: Sequence[str], *, lines_max: int, chars_max: int) -> Iterator[Sequence[str]]:
    """Return lines in pieces of bounded count and size; a line longer than the bound goes alone."""
    pieces = [lines[first : first + lines_max] for first in range(0, len(lines), lines_max)][::-1]
    while pieces:
        piece = pieces.pop()
        if len(piece) > 1 and sum(map(len, piece)) > chars_max:
            half = len(piece) // 2
            pieces += [piece[half:], piece[:half]]
        else:
            yield piece


def _forget(_: Delivered) -> None:
    """Do nothing about what nobody waits for any more: it is delivered again."""


def _by_retention(lines: Sequence[str], delivered: Delivered) -> Mapping[Retention, Sequence[str]]:
    kept: dict[Retention, list[str]] = {}
    measurement, same = ",", kept.setdefault(Retention.DETAIL, [])
    for line in lines:
        # Lines of a measurement mostly stand together: one look serves them all.
        if not line.startswith(measurement):
            try:
                retention = retention_of(line)
            except LookupError:
                # Of a sample that another version of this program kept.
                delivered.add(Delivered(dropped_count=1, problem=f"not in the catalogue: {line[:SHOWN_CHARS_MAX]}"))
                continue
            measurement = line[: line.index(",") + 1]
            same = kept.setdefault(retention, [])
        same.append(line)
    return kept


def _write(writer: LineWriter, batch: Sequence[str], retention: Retention, delivered: Delivered) -> None:
    pieces = [batch]
    while pieces:
        piece = pieces.pop()
        dropped_count: int | None = 0
        try:
            writer.write(piece, retention=retention)
        except RefusedLinesError as error:
            delivered.problem = delivered.problem or error.problem
            dropped_count = _dropped(piece, error)
        if dropped_count is None:
            half = len(piece) // 2
            pieces += [piece[half:], piece[:half]]
        else:
            delivered.dropped_count += dropped_count
            delivered.written_count += len(piece) - dropped_count


def _dropped(piece: Sequence[str], error: RefusedLinesError) -> int | None:
    """Return how many lines of a piece are left out for good; None where that has to be found out."""
    if error.dropped_count is not None:
        return min(len(piece), error.dropped_count)
    return 1 if len(piece) == 1 else None
