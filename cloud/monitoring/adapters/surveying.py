"""When a survey is asked, and what becomes of its lines.

Each survey goes on by itself, so that none waits for another, however long one takes. A sampled one is asked how things
stand, and its answer is kept in the database, whether or not InfluxDB is there (`samples` delivers it). Any other is
asked what the database can tell of each window that is over; that is delivered, and only then recorded as done. Killed
at any instruction, it does its last window again, which changes nothing in InfluxDB. While InfluxDB is away it stays
where it is.

A step that fails for an error of this program is left out of its window, and the others go on: the period is made anew
(`recopying`) by a program that knows better. Where the clock was set back to before what is recorded, a survey goes on
from the last window by the clock as it is now.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import sqlalchemy as sa

from cloud import schema
from cloud.database import Database, upsert
from cloud.following import take_turn
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.samples import keep_sample, packed
from cloud.monitoring.adapters.survey import Lines, Scope, Survey, Window
from wire.runtime.clock import Clock

WINDOWS_PER_STEP_MAX = 50
LINES_TOGETHER = 2_000
"""Lines of several steps that go together: one write for a thousand gateways, not one for each."""
AHEAD_MS_MAX = 60_000
"""By how much more than a window another process's clock may go before this one's."""
Deliver = Callable[[Lines], Awaitable[None]]
"""Writes lines to InfluxDB; raises `UnavailableError` while it is away."""


class Surveyor:
    """Asks one survey.

    Args:
        database: What is asked, and where samples are kept.
        scope: Whom about.
        survey: The question.
        deliver: Where lines go that are not kept.
        clock: Site time.
        failures: Withstands errors of the survey.
    """

    def __init__(
        self,
        database: Database,
        scope: Scope,
        survey: Survey,
        *,
        deliver: Deliver,
        clock: Clock,
        failures: Failures,
    ) -> None:
        self._database = database
        self._scope = scope
        self._survey = survey
        self._deliver = deliver
        self._clock = clock
        self._failures = failures
        self._width_ms = survey.width_s(scope.settings) * 1_000
        self._sampled_until_ms: int | None = None

    async def step(self) -> bool:
        """Ask of windows that are over and not done; tell whether there may be more of them.

        Raises:
            UnavailableError: The database, or InfluxDB where it is delivered to.
        """
        if self._survey.sampled:
            await self._sample()
            return False
        return await self._catch_up()

    async def _sample(self) -> None:
        """Ask how things stand, once a window; windows that were missed stay empty."""
        window = self._last_window()
        if self._sampled_until_ms == window.until_ms:
            return
        if await self._database.transact(partial(self._claim, window=window)):
            with self._withstood(window):
                async for lines in self._ask(window):
                    bodies = await asyncio.to_thread(packed, lines)
                    keep = partial(keep_sample, utility=self._scope.utility, bodies=bodies, at_ms=window.until_ms)
                    await self._database.transact(keep)
        self._sampled_until_ms = window.until_ms

    async def _catch_up(self) -> bool:
        for _ in range(WINDOWS_PER_STEP_MAX):
            # Looked up each time: another process may be at it too.
            window = await self._database.transact(self._next_window)
            if window is None:
                return False
            with self._withstood(window):
                async for lines in self._ask(window):
                    await self._deliver(lines)
            await self._database.transact(partial(self._settle, window=window))
        return True

    def _ask(self, window: Window) -> AsyncIterator[Lines]:
        return ask(self._database, self._scope, self._survey, window, failures=self._failures)

    def _withstood(self, window: Window) -> AbstractContextManager[None]:
        return self._failures.withstood("survey", survey=self._survey.name, window=window)

    def _last_window(self) -> Window:
        until_ms = (self._clock.wall_ms() - self._survey.lag_s * 1_000) // self._width_ms * self._width_ms
        return Window(until_ms - self._width_ms, until_ms)

    # ---- in a transaction --------------------------------------------------------------------------------------------

    def _next_window(self, connection: sa.Connection) -> Window | None:
        """Return the first window that is over and not done; of a survey that was never asked the last one."""
        last = self._last_window()
        done_until_ms = self._done_until(connection)
        if done_until_ms is None:
            return last
        windows = windows_between(self._survey, self._scope, from_ms=done_until_ms, until_ms=last.until_ms)
        return next(windows, None)

    def _claim(self, connection: sa.Connection, *, window: Window) -> bool:
        """Record that a sampled window is this process's to ask, and tell whether it is: of several one asks."""
        done_until_ms = self._done_until(connection)
        if done_until_ms is not None and done_until_ms >= window.until_ms:
            return False
        self._record(connection, window)
        return True

    def _settle(self, connection: sa.Connection, *, window: Window) -> None:
        """Record that a window is done, unless another process came further meanwhile."""
        done_until_ms = self._done_until(connection)
        if done_until_ms is None or done_until_ms < window.until_ms:
            self._record(connection, window)

    def _record(self, connection: sa.Connection, window: Window) -> None:
        row = {"utility": self._scope.utility, "name": self._survey.name, "done_until_ms": window.until_ms}
        upsert(connection, schema.survey, [row])

    def _done_until(self, connection: sa.Connection) -> int | None:
        """Return up to when the survey was asked; None if it never was, or by a clock that was ahead."""
        take_turn(connection, f"survey {self._survey.name}")
        table = schema.survey.c
        query = sa.select(table.done_until_ms).where(
            table.utility == self._scope.utility, table.name == self._survey.name
        )
        done_until_ms: int | None = connection.execute(query).scalar()
        known_ms = self._last_window().until_ms + self._width_ms + AHEAD_MS_MAX
        return None if done_until_ms is None or done_until_ms > known_ms else done_until_ms


async def ask(
    database: Database, scope: Scope, survey: Survey, window: Window, *, failures: Failures
) -> AsyncIterator[Lines]:
    """Ask a survey of one window, step by step; its lines come in pieces.

    Raises:
        UnavailableError: The database.
    """
    together: list[str] = []
    for step in await database.transact(lambda connection: survey.steps(connection, scope, window)):
        with failures.withstood("survey step", survey=survey.name, window=window):
            make_lines = await database.transact(step)
            together += await asyncio.to_thread(make_lines)
        if len(together) >= LINES_TOGETHER:
            yield together
            together = []
    if together:
        yield together


def windows_between(survey: Survey, scope: Scope, *, from_ms: int, until_ms: int) -> Iterator[Window]:
    """Return a survey's windows that begin in a period, oldest first."""
    width_ms = survey.width_s(scope.settings) * 1_000
    first_ms = -(-from_ms // width_ms) * width_ms
    return (Window(at_ms, at_ms + width_ms) for at_ms in range(first_ms, until_ms, width_ms))
