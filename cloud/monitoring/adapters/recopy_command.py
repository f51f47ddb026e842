"""`wattpost cloud recopy` on a terminal: which period, how it goes on, what was written."""

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from structlog.typing import FilteringBoundLogger

from cloud.config import Config, Influx, influx_of, load_config
from cloud.database import open_database
from cloud.migrations import require_current
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.influx import open_writer
from cloud.monitoring.adapters.recopy_sources import WHOLE, Past
from cloud.monitoring.adapters.recopying import CopyUnavailableError, Recopied, Watcher, recopy
from cloud.monitoring.adapters.survey import Scope, Window
from cloud.monitoring.adapters.surveys import ALL
from cloud.tally import Tally
from cloud.terminal import run_on_database
from wire.runtime.clock import clock_from_text
from wire.runtime.errors import ConfigError
from wire.runtime.logging import cap_values


def run_recopy(file: Path, *, from_text: str | None, until_text: str | None, as_json: bool) -> None:
    """Write a period anew and say what was written.

    Raises:
        ConfigError: There is no copy to write, or database or InfluxDB are away.
    """
    config = load_config(file)
    influx = influx_of(config, file)
    period = period_of(from_text, until_text)
    console = Console(stderr=True)
    with _progress(console, is_shown=not as_json and console.is_terminal) as watcher:
        done = run_on_database(_recopy(config, influx, period, watcher))
    if as_json:
        found = {
            "lines": done.lines,
            "dropped": done.dropped_count,
            "problem": done.problem,
            "failures": done.failures_count,
        }
        click.echo(json.dumps({"from": _text(period.from_ms), "until": _text(period.until_ms), **found}))
    else:
        for section, lines_count in done.lines.items():
            click.echo(f"{section}: {lines_count} lines")
    if done.dropped_count:
        raise click.ClickException(f"InfluxDB refused {done.dropped_count} lines, the first with: {done.problem}")
    if done.failures_count:
        raise click.ClickException(f"{done.failures_count} pieces were left out for errors of this program, told above")


def period_of(from_text: str | None, until_text: str | None) -> Window:
    """Return the period between two instants, UTC; without one everything before or after the other.

    Raises:
        click.BadParameter: A text is no instant, or nothing lies between the two.
    """
    from_ms = WHOLE.from_ms if from_text is None else _instant_ms(from_text, "--from")
    until_ms = WHOLE.until_ms if until_text is None else _instant_ms(until_text, "--until")
    if from_ms >= until_ms:
        raise click.BadParameter("nothing lies between the two", param_hint="--from, --until")
    return Window(from_ms, until_ms)


async def _recopy(config: Config, influx: Influx, period: Window, watcher: Watcher) -> Recopied:
    scope = Scope(utility=config.utility, settings=config.monitoring, meters=influx.meters)
    writer = open_writer(influx)
    rng = Random(secrets.randbits(64))  # noqa: S311 - jitter
    try:
        async with open_database(config.database) as database:
            await require_current(database)
            past = Past(database, scope, period, clock_from_text(config.clock), Failures(Tally(), log=_log()))
            return await recopy(past, ALL, writer, watcher=watcher, rng=rng)
    except CopyUnavailableError as error:
        raise ConfigError("influx", str(error), "start it, or correct its address, and run this again") from error
    finally:
        writer.close()


def _log() -> FilteringBoundLogger:
    """Return a log on standard error, a line of JSON each, since what is printed may be for a machine."""
    told = (cap_values, structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    log: FilteringBoundLogger = structlog.wrap_logger(structlog.WriteLogger(sys.stderr), processors=told)
    return log


class _Quiet:
    """Says nothing."""

    def begin(self, section: str, steps: int) -> None:
        """Say nothing."""

    def advance(self, section: str, steps: int, lines_count: int) -> None:
        """Say nothing."""


class _Bars:
    """A bar for each section."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, int] = {}

    def begin(self, section: str, steps: int) -> None:
        self._tasks[section] = self._progress.add_task(section, total=steps, lines=0)
        self._lines[section] = 0

    def advance(self, section: str, steps: int, lines_count: int) -> None:
        self._lines[section] += lines_count
        self._progress.update(self._tasks[section], advance=steps, lines=self._lines[section])


@contextmanager
def _progress(console: Console, *, is_shown: bool) -> Iterator[Watcher]:
    if not is_shown:
        yield _Quiet()
        return
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[lines]} lines"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


def _instant_ms(text: str, option: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r}: write 2026-11-01 or 2026-11-01T06:30, UTC", param_hint=option) from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return min(max(int(instant.timestamp() * 1_000), WHOLE.from_ms), WHOLE.until_ms)


def _text(utc_ms: int) -> str | None:
    return None if utc_ms in WHOLE else datetime.fromtimestamp(utc_ms / 1_000, UTC).isoformat()
