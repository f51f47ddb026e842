"""What a survey says of a window, read back from its lines."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from cloud.config import Monitoring
from cloud.monitoring.adapters.survey import Scope, Survey, Window

T = TypeVar("T")
Transact = Callable[[Callable[[sa.Connection], Any]], Any]
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]*)')


class Point(NamedTuple):
    """A line, taken apart."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, float | str]
    utc_ms: int


def read_line(line: str) -> Point:
    """Take a line apart whose tags need no escaping."""
    labels, rest = line.split(" ", 1)
    fields, utc = rest.rsplit(" ", 1)
    measurement, *tags = labels.split(",")
    return Point(
        measurement,
        dict(tag.split("=", 1) for tag in tags),  # two parts each
        {name: value[1:-1] if value.startswith('"') else float(value) for name, value in _FIELD.findall(fields)},
        int(utc),
    )


def scope_of(utility: str, *, meters: bool = True, **settings: Any) -> Scope:
    """Return whom a survey is about."""
    return Scope(utility=utility, settings=Monitoring(**settings), meters=meters)


def ask_in_spite(transact: Transact, survey: Survey, scope: Scope, window: Window) -> tuple[list[Point], int]:
    """Ask a survey as `ask` does, go on behind steps that fail, and return how many those were."""
    lines: list[str] = []
    failed = 0
    for step in transact(lambda connection: survey.steps(connection, scope, window)):
        try:
            lines += transact(step)()
        except Exception:  # noqa: BLE001 - as the surveyor does
            failed += 1
    return [read_line(line) for line in lines], failed


def ask(transact: Transact, survey: Survey, scope: Scope, window: Window) -> list[Point]:
    """Ask a survey step by step, as the surveyor does."""
    lines: list[str] = []
    for step in transact(lambda connection: survey.steps(connection, scope, window)):
        lines += transact(step)()
    return [read_line(line) for line in lines]
