"""The copy of a past period made anew, in the foreground, while everything else goes on.

Writes source after source (`recopy_sources`); broken off, it is simply run again, since writing a point again changes
nothing. Points that are wrong now stay: whoever wants to be rid of them empties InfluxDB before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from cloud.monitoring.adapters.delivery import deliver
from cloud.monitoring.adapters.recopy_sources import Past, Section
from cloud.monitoring.adapters.survey import Lines, Survey
from cloud.monitoring.ports import LineWriter
from wire.runtime.backoff import Backoff
from wire.runtime.errors import UnavailableError

ATTEMPTS_MAX: Final = 8
"""How often a piece is tried before an operator is told that the server is away."""
RETRY_DELAY_MS: Final = 500
RETRY_DELAY_MS_MAX: Final = 30_000


class Watcher(Protocol):
    """Sees how it goes on."""

    def begin(self, section: str, steps: int) -> None:
        """Hear that a section begins, and of how many steps."""

    def advance(self, section: str, steps: int, lines_count: int) -> None:
        """Hear how many steps are done now, and how many lines that were."""


@dataclass(slots=True)
class Recopied:
    """What was written."""

    lines: dict[str, int] = field(default_factory=dict)
    """By section."""
    dropped_count: int = 0
    """Lines that the server refused."""
    problem: str = ""
    """What it said of the first."""
    failures_count: int = 0
    """What was left out for errors of this program."""


class CopyUnavailableError(Exception):
    """Raised when InfluxDB stayed away for longer than is waited for."""


async def recopy(
    past: Past, surveys: Sequence[Survey], writer: LineWriter, *, watcher: Watcher, rng: Random
) -> Recopied:
    """Write everything of a period.

    Args:
        past: The period.
        surveys: All of them; those that compute are asked again.
        writer: Where points go.
        watcher: Told of each step.
        rng: For the jitter of waits for InfluxDB.

    Raises:
        UnavailableError: The database.
        CopyUnavailableError: InfluxDB, for long; what was written stays.
    """
    sections: dict[str, Callable[[], Awaitable[Section]]] = {
        "events and health": past.stamped,
        "aggregates": past.aggregates,
        "surveys": lambda: past.surveys(surveys),
        "samples": past.samples,
    }
    if past.scope.meters:
        sections = {"readings": past.readings, **sections}
    done = Recopied()
    for name, make in sections.items():
        section = await make()
        done.lines[name] = 0
        watcher.begin(name, section.steps)
        async for piece in section.pieces:
            written_count = await _write(writer, piece.lines, done, rng)
            done.lines[name] += written_count
            watcher.advance(name, piece.done, written_count)
    done.failures_count = past.failures.count
    return done


async def _write(writer: LineWriter, lines: Lines, done: Recopied, rng: Random) -> int:
    """Write lines, and wait for a server that comes back soon."""
    backoff = Backoff(rng=rng, delay_ms=RETRY_DELAY_MS, delay_ms_max=RETRY_DELAY_MS_MAX)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            delivered = await asyncio.to_thread(deliver, writer, lines)
        except UnavailableError as error:
            if attempt == ATTEMPTS_MAX:
                raise CopyUnavailableError(str(error)) from error
            await asyncio.sleep(backoff.next_delay_ms() / 1_000)
        else:
            done.dropped_count += delivered.dropped_count
            done.problem = done.problem or delivered.problem
            return delivered.written_count
    raise AssertionError("the last attempt returns or raises")
