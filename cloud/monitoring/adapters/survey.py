"""What a survey is: lines about a window of time, made from what the database holds.

Adding numbers to the operating picture is to write a survey and to name it in `surveys.ALL`; when it runs, what happens
while InfluxDB is away, and how a past period is made anew is the surveyor's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from cloud.config import Monitoring

Lines = Sequence[str]
MakeLines = Callable[[], Lines]
"""Makes lines of what was read, outside of the transaction: on SQLite the head-end waits for every one."""
Step = Callable[[sa.Connection], MakeLines]
"""Reads, in a transaction of its own and as short as can be."""


class Window(NamedTuple):
    """A span of time, UTC; the beginning belongs to it, the end does not."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whom a survey is about, and what its operator set."""

    utility: str
    settings: Monitoring
    meters: bool
    """Whether meters have series of their own."""


Look = Callable[[sa.Connection, Scope, Window], MakeLines]
Steps = Callable[[sa.Connection, Scope, Window], Sequence[Step]]


def each_sample(settings: Monitoring) -> int:
    """Return the width of a survey that is asked as often as the network is looked at."""
    return settings.sample_s


def at_once(look: Look) -> Steps:
    """Return the only step of a survey that reads all it needs in one transaction."""

    def steps(_connection: sa.Connection, scope: Scope, window: Window) -> Sequence[Step]:
        return [lambda connection: look(connection, scope, window)]

    return steps


def no_lines() -> Lines:
    """Make nothing: of a step that only reads."""
    return ()


def _nowhere(_settings: Monitoring) -> int:
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One question asked again and again."""

    name: str
    """Of its cursor."""
    width_s: Callable[[Monitoring], int]
    """How long its windows are; they begin at multiples of it."""
    steps: Steps
    """What it is divided into, found in a transaction and done in order: a step may go on from those before it, since
    all of them are functions of one piece of work. A survey that was stopped begins the window again."""
    sampled: bool = False
    """Whether it looks at how things stand at the window's end, which nobody can tell later: its lines are kept.
    Otherwise it says of any window, whenever asked, what could be known at the window's end."""
    reach_s: Callable[[Monitoring], int] = _nowhere
    """How long before a window the points may lie that it says something of."""
    lag_s: int = 0
    """How long after the window's end it is asked, site time, so that what was on its way is committed."""
