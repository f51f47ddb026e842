"""What followers have still to do, and how many messages were refused: `follower`, `refusal`.

Both are sampled. A follower's lag costs what it has not read, 10,000 messages at most, whatever the length of the
history. Each is looked at in a transaction of its own. Days of gateways whose aggregates are to be made anew are
counted by themselves: each hour all that changed wait for their round, so neither their number nor their age is a lag.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters import dispatch
from cloud.meterdata.adapters.changes import changed_count
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, POINTS_FOLLOWER
from cloud.monitoring.adapters.samples import SAMPLES_FOLLOWER
from cloud.monitoring.adapters.survey import Lines, MakeLines, Scope, Step, Survey, Window, at_once, each_sample
from cloud.monitoring.core.points import point
from wire.errors import Reason

WAITING_MAX: Final = 10_000
COMMANDS: Final = "commands"
AGGREGATES: Final = "aggregates"
Waiting = tuple[int, int | None]
"""How much waits, and since when the oldest of it does, UTC in ms."""
Look = Callable[[sa.Connection], Waiting]

_message, _cursor, _receipt, _refusal = schema.message.c, schema.cursor.c, schema.receipt.c, schema.refusal.c
_sample = schema.sample.c
_tx = sa.bindparam("tx", type_=sa.BigInteger)
_POSITION = sa.select(_cursor.tx, _cursor.message).where(_cursor.name == sa.bindparam("name", type_=sa.String))


def _ranges(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what is after a cursor: two ranges, since SQLite bounds a comparison of (tx, id) by tx alone, 0 in all."""
    return (
        sa.and_(table.c.tx == _tx, table.c.id > sa.bindparam("id", type_=sa.BigInteger)),
        table.c.tx > _tx,
    )


def _next(is_after: sa.ColumnElement[bool]) -> sa.Subquery:
    return (
        sa.select(_message.id, _message.utility, _message.received_at_ms)
        .where(is_after, _message.quarantine_reason.is_(None))
        .order_by(_message.tx, _message.id)
        .limit(WAITING_MAX)
        .subquery("unread")
    )


def _unread(is_after: sa.ColumnElement[bool]) -> sa.Select[int, Any]:
    """Return the query of how many messages are unread, and when the oldest came."""
    unread = _next(is_after)
    return sa.select(sa.func.count(), sa.func.min(unread.c.received_at_ms)).select_from(unread)


def _unread_receipts(is_after: sa.ColumnElement[bool]) -> sa.Select[int, Any]:
    """Return the same of those messages that hold receipts, of the next `WAITING_MAX`."""
    unread = _next(is_after)
    has_receipt = sa.exists().where(_receipt.message == unread.c.id)
    is_ours = unread.c.utility == sa.bindparam("of", type_=sa.String)
    return sa.select(sa.func.count(), sa.func.min(unread.c.received_at_ms)).where(is_ours, has_receipt)


def _undelivered(is_after: sa.ColumnElement[bool]) -> sa.Select[int, Any]:
    """Return the same of samples."""
    waiting = sa.select(_sample.at_ms).where(is_after).order_by(_sample.tx, _sample.id).limit(WAITING_MAX)
    undelivered = waiting.subquery("undelivered")
    return sa.select(sa.func.count(), sa.func.min(undelivered.c.at_ms)).select_from(undelivered)


UNREAD: Final = tuple(_unread(is_after) for is_after in _ranges(schema.message))
UNREAD_RECEIPTS: Final = tuple(_unread_receipts(is_after) for is_after in _ranges(schema.message))
"""The dispatcher's cursor stays behind messages without receipts, which are nothing to it."""
UNDELIVERED: Final = tuple(_undelivered(is_after) for is_after in _ranges(schema.sample))


REFUSALS = (
    sa.select(_refusal.reason, sa.func.sum(_refusal.count))
    .where(_refusal.utility == sa.bindparam("of", type_=sa.String))
    .group_by(_refusal.reason)
)


def _steps(_connection: sa.Connection, scope: Scope, window: Window) -> Sequence[Step]:
    of_commands = partial(_waiting, queries=UNREAD_RECEIPTS, cursor=f"{dispatch.CURSOR} {scope.utility}")
    looks: dict[str, Look] = {
        DAYS_FOLLOWER: partial(_waiting, queries=UNREAD, cursor=DAYS_FOLLOWER),
        POINTS_FOLLOWER: partial(_waiting, queries=UNREAD, cursor=POINTS_FOLLOWER),
        COMMANDS: partial(of_commands, of=scope.utility),
        SAMPLES_FOLLOWER: partial(_waiting, queries=UNDELIVERED, cursor=SAMPLES_FOLLOWER),
        AGGREGATES: _days_waiting,
    }
    return [partial(_read, scope.utility, window.until_ms, name, look) for name, look in looks.items()]


def _read(utility: str, at_ms: int, follower: str, look: Look, connection: sa.Connection) -> MakeLines:
    count, oldest_ms = look(connection)

    def make_lines() -> Lines:
        lag_s = 0 if oldest_ms is None else max(0, at_ms - oldest_ms) / 1_000
        of_cursor = {"lag_s": lag_s, "waiting_count": min(count, WAITING_MAX)}
        fields = {"days_count": count} if follower == AGGREGATES else of_cursor
        line = point("follower", {"utility": utility, "follower": follower}, fields, utc_ms=at_ms)
        return [] if line is None else [line]

    return make_lines


def _days_waiting(connection: sa.Connection) -> Waiting:
    return changed_count(connection), None


def _waiting(
    connection: sa.Connection, *, queries: Sequence[sa.Select[int, Any]], cursor: str, **values: str
) -> Waiting:
    """Return how much waits for a follower that reads by a cursor."""
    # No lock, as the follower itself takes: it need not wait for us, nor we for it.
    position = connection.execute(_POSITION, {"name": cursor}).first()
    tx, number = (0, 0) if position is None else position
    rows = [connection.execute(query, {"tx": tx, "id": number, **values}).one() for query in queries]
    count = sum(count for count, _ in rows)
    return count, min((oldest_ms for _, oldest_ms in rows if oldest_ms is not None), default=None)


def look_at_refusals(connection: sa.Connection, scope: Scope, window: Window) -> MakeLines:
    """Read how many messages were refused, of whomever."""
    rows = connection.execute(REFUSALS, {"of": scope.utility})
    return partial(_refusal_lines, scope.utility, window.until_ms, {reason: int(count) for reason, count in rows})


def _refusal_lines(utility: str, at_ms: int, found: dict[str, int]) -> list[str]:
    # Of all reasons, zeros too: the first refusal is one more than none, and that is what is asked for.
    counts = {reason.value: 0 for reason in Reason} | found
    lines = (
        point("refusal", {"utility": utility, "reason": reason}, {"count": count}, utc_ms=at_ms)
        for reason, count in counts.items()
    )
    return [line for line in lines if line is not None]


SURVEYS: tuple[Survey, ...] = (
    Survey(name="followers", width_s=each_sample, steps=_steps, sampled=True),
    Survey(name="refusals", width_s=each_sample, steps=at_once(look_at_refusals), sampled=True),
)
