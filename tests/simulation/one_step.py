"""A database that answers at once, so that coroutines which wait for nothing else run to their end in one step."""

from collections.abc import Callable, Coroutine
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from cloud.database import sqlite_engine
from tests.simulation.agenda import ORIGIN_MS, Agenda
from wire.runtime.errors import UnavailableError

T = TypeVar("T")


class HandlerDiedError(Exception):
    """Raised where a handler is killed."""


class Death(Enum):
    """Where in its next transaction a handler dies."""

    BEFORE = 0
    WITHIN = 1
    COMMITTED = 2
    AWAY = 3
    """It lives, but the database does not answer."""


class CloudClock:
    """The clock of the cloud's machines."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.offset_ms = 0

    def monotonic_ms(self) -> int:
        return self._agenda.now_ms

    def tick_ms(self) -> int:
        return self._agenda.now_ms

    def wall_ms(self) -> int:
        return ORIGIN_MS + self._agenda.now_ms + self.offset_ms


class OneStepDatabase:
    """The database as the shells see it, answering at once."""

    def __init__(self, path: Path) -> None:
        self.engine = sqlite_engine(f"sqlite:///{path}")
        self.death: Death | None = None

    async def transact(self, work: Callable[[sa.Connection], T], /) -> T:
        death, self.death = self.death, None
        if death is Death.AWAY:
            raise UnavailableError("the database is away")
        if death is Death.BEFORE:
            raise HandlerDiedError
        with self.engine.begin() as connection:
            result = work(connection)
            if death is Death.WITHIN:
                raise HandlerDiedError
        if death is Death.COMMITTED:
            raise HandlerDiedError
        return result


def in_one_step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waited")
