"""What became of commands: `command`, by the window in which it did.

A window counts what stays true of it, so that asked again, a year later, it says the same. A command counts once in the
window in which it came to its final state, which never changes (`lifecycle`). It counts as `unknown` in the window in
which its deadline was `UNKNOWN_AFTER_MS` over, if it had been sent and had not come to a final state by then; that too
stays true when a late receipt ends it, and the end counts in its own window. The states before change, and their time
is not kept: they are not counted here; commands that are open stand in `gateway_state`. Commands that were purged
(`commands_kept_days`) are counted no more.

The percentile p of n latencies is the one with rank ⌈p · n / 100⌉ by length (nearest rank): always one that occurred.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.commands.core.lifecycle import FINAL, UNKNOWN_AFTER_MS
from cloud.monitoring.adapters.survey import MakeLines, Scope, Survey, Window, at_once, each_sample
from cloud.monitoring.core.points import point
from wire.messages import State

NO_GATEWAY: Final = "_none"
"""Stands for the gateway of a command whose meter had none; no name looks like it."""
OVERDUE_DETAIL: Final = "no receipt a minute after the deadline"
LAG_S: Final = 60

_command = schema.command.c
_of, _from = sa.bindparam("of", type_=sa.String), sa.bindparam("from_ms", type_=sa.BigInteger)
_until = sa.bindparam("until_ms", type_=sa.BigInteger)
_COLUMNS = (_command.asked, _command.gateway, _command.issued_at_ms, _command.meter, _command.detail, _command.id)
_IS_FINAL = _command.state.in_(sorted(state.value for state in FINAL))
ENDED = sa.select(_command.state, _command.state_at_ms, *_COLUMNS).where(
    _command.utility == _of, _command.state_at_ms >= _from, _command.state_at_ms < _until, _IS_FINAL
)
OVERDUE = sa.select((_command.not_after_ms + UNKNOWN_AFTER_MS).label("unknown_at_ms"), *_COLUMNS).where(
    _command.utility == _of,
    _command.not_after_ms >= _from - UNKNOWN_AFTER_MS,
    _command.not_after_ms < _until - UNKNOWN_AFTER_MS,
    _command.sent_at_ms.is_not(None),
    sa.or_(~_IS_FINAL, _command.state_at_ms > _command.not_after_ms + UNKNOWN_AFTER_MS),
)


class Outcome(NamedTuple):
    """A command that came to a state; they are in order of time."""

    at_ms: int
    id: bytes
    state: str
    effect: str
    gateway: str
    latency_ms: int
    meter: str
    detail: str


def look(connection: sa.Connection, scope: Scope, window: Window) -> MakeLines:
    """Read the commands of a window by the indexes that bound them; how many there can be is limited by `issuing`."""
    values = {"of": scope.utility, "from_ms": window.from_ms, "until_ms": window.until_ms}
    ended = connection.execute(ENDED, values).all()
    overdue = connection.execute(OVERDUE, values).all()
    return partial(_lines, scope.utility, window, ended, overdue)


def percentile(latencies: Sequence[int], p: int) -> int:
    """Return a percentile of some latencies, shortest first, by nearest rank."""
    return latencies[-(-p * len(latencies) // 100) - 1]


def _lines(utility: str, window: Window, ended: Iterable[Any], overdue: Iterable[Any]) -> list[str]:
    by_series: dict[tuple[str, str, str], list[Outcome]] = {}
    outcomes = [_outcome(row, row.state, row.state_at_ms, row.detail) for row in ended]
    outcomes += [_outcome(row, State.UNKNOWN.value, row.unknown_at_ms, OVERDUE_DETAIL) for row in overdue]
    for outcome in sorted(outcomes):
        by_series.setdefault((outcome.effect, outcome.gateway, outcome.state), []).append(outcome)
    lines = []
    for (effect, gateway, state), found in by_series.items():
        latencies = sorted(outcome.latency_ms for outcome in found)
        tags = {"utility": utility, "gateway": gateway, "effect": effect, "state": state}
        fields: dict[str, float | str] = {
            "count": len(found),
            "latency_p50_ms": percentile(latencies, 50),
            "latency_p95_ms": percentile(latencies, 95),
            "latency_max_ms": latencies[-1],
            "meter_id": found[-1].meter,
            "detail": found[-1].detail,
        }
        lines.append(point("command", tags, fields, utc_ms=window.from_ms))
    return [line for line in lines if line is not None]


def _outcome(row: Any, state: str, at_ms: int, detail: str) -> Outcome:
    return Outcome(
        at_ms=at_ms,
        id=bytes(row.id),
        state=state,
        effect=row.asked,
        gateway=row.gateway or NO_GATEWAY,
        latency_ms=at_ms - row.issued_at_ms,
        meter=row.meter,
        detail=detail,
    )


SURVEYS: tuple[Survey, ...] = (Survey(name="commands", width_s=each_sample, steps=at_once(look), lag_s=LAG_S),)
