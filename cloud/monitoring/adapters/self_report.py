"""How a process of the cloud says how it is doing: into the database like all samples, whatever becomes of InfluxDB.

Every process does, whatever its rooms; who has the room of monitoring delivers it. Whoever runs the process asks the
database whether it still reports.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import sqlalchemy as sa

from cloud import schema
from cloud.config import Config
from cloud.database import Database, upsert
from cloud.following import keep_following
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.samples import keep_sample, packed, prune_samples
from cloud.monitoring.core.points import point
from cloud.tally import Tally
from wire.limits import NAME_BYTES_MAX
from wire.runtime.clock import AcceleratedClock, Clock
from wire.runtime.errors import UnavailableError
from wire.runtime.machine import Machine, look

DAY_MS = 86_400_000
GOODBYE_S_MAX = 2.0
REPORT_EVERY_MS = 60_000
"""Site time; there are few processes, so this is not for operators to set."""
REPORT_EVERY_REAL_MS = 10_000
"""Where site time goes fast, reports come more seldom by it: each second or so of real time."""
REPORTS_MISSED_MAX = 3
"""After so many reports that did not come, a process counts as gone."""


def handler_name(config: Config) -> str:
    """Return what this process is called in the picture."""
    return config.monitoring.handler or re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())[:NAME_BYTES_MAX] or "cloud"


class SelfReport:
    """Reports for one process.

    Args:
        database: Where reports are kept.
        config: Its own.
        tally: What it counts.
        clock: Site time.
        machine: Says how the process and its disk stand.
    """

    def __init__(
        self,
        database: Database,
        config: Config,
        *,
        tally: Tally,
        clock: Clock,
        machine: Callable[[], Machine] = lambda: look(Path()),
    ) -> None:
        self._database = database
        self._config = config
        self._tally = tally
        self._clock = clock
        self._machine = machine
        self._name = handler_name(config)
        self._begun_ms = clock.monotonic_ms()
        self._reported_at_ms = 0

    async def follow(self, *, rng: Random) -> None:
        """Report for ever; while the database is away the next report waits."""
        step = partial(Failures(self._tally).step, "self report", self.step)
        try:
            await keep_following("self report", step, notice=asyncio.Event(), rng=rng)
        except asyncio.CancelledError:
            await self.say_goodbye()
            raise

    async def say_goodbye(self) -> None:
        """Report for the last time, as one that is up for no time: whoever is stopped on purpose is not missed."""
        now_ms = self._clock.wall_ms()
        line = self._line(now_ms, await asyncio.to_thread(self._machine), uptime_s=0.0)
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S_MAX):
                await self._database.transact(partial(self._write, line=line, now_ms=now_ms))

    async def step(self) -> bool:
        """Report if it is time.

        Raises:
            UnavailableError: The database.
        """
        now_ms = self._clock.wall_ms()
        if 0 <= now_ms - self._reported_at_ms < REPORT_EVERY_MS:
            return False
        uptime_s = (self._clock.monotonic_ms() - self._begun_ms) / 1_000
        line = self._line(now_ms, await asyncio.to_thread(self._machine), uptime_s=uptime_s)
        await self._database.transact(partial(self._write, line=line, now_ms=now_ms))
        self._reported_at_ms = now_ms
        return False

    def _write(self, connection: sa.Connection, *, line: str, now_ms: int) -> None:
        utility, kept_ms = self._config.utility, self._config.monitoring.samples_kept_days * DAY_MS
        keep_sample(connection, utility, packed([line]), at_ms=now_ms)
        upsert(connection, schema.handler, [{"utility": utility, "name": self._name, "reported_at_ms": now_ms}])
        prune_samples(connection, utility, before_ms=now_ms - kept_ms)

    def _line(self, now_ms: int, machine: Machine, *, uptime_s: float) -> str:
        tally = self._tally
        commit_ms, commit_max_ms = tally.commits.take()
        write_ms, write_max_ms = tally.writes.take()
        fields = {
            "messages_count": tally.messages_count,
            "batches_count": tally.batches_count,
            "repeats_count": tally.repeats_count,
            "refused_count": tally.refused_count,
            "commits_count": tally.commits.total_count,
            "commit_ms": commit_ms,
            "commit_max_ms": commit_max_ms,
            "lines_count": tally.lines_count,
            "lines_dropped_count": tally.lines_dropped_count,
            "write_ms": write_ms,
            "write_max_ms": write_max_ms,
            "writes_failed_count": tally.writes_failed_count,
            "failures_count": tally.failures_count,
            "cpu_s": machine.cpu_s,
            "resident_bytes": machine.resident_bytes,
            "disk_free_percent": machine.disk_free_percent,
            "uptime_s": uptime_s,
        }
        line = point("handler", {"utility": self._config.utility, "handler": self._name}, fields, utc_ms=now_ms)
        assert line is not None, "counters always have a value"
        return line


def reports(connection: sa.Connection, config: Config, *, clock: Clock) -> bool:
    """Tell whether the process of a configuration still reports."""
    table = schema.handler.c
    query = sa.select(table.reported_at_ms).where(table.utility == config.utility, table.name == handler_name(config))
    reported_at_ms = connection.execute(query).scalar()
    if reported_at_ms is None:
        return False
    # A fast clock leaves no time for a report each minute. One from the future is of before the clock was set back.
    rate = clock.rate if isinstance(clock, AcceleratedClock) else 1
    late_ms = REPORTS_MISSED_MAX * max(REPORT_EVERY_MS, REPORT_EVERY_REAL_MS * rate)
    return bool(abs(clock.wall_ms() - reported_at_ms) <= late_ms)
