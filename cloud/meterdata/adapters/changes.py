"""Which days of which gateways changed: written down with the change itself, kept until someone has made use of it.

What is computed of whole days follows this list and needs to read no message. An entry is there before anybody can see
the rows that changed, and goes only when it did not change again while somebody worked on it, so nothing is passed
over, whoever is killed when. A day that goes on stays on the list with no hours changed, and is given out once more
when it is over. There is one entry a gateway and day, however often it changes and however long nobody asks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import insert_into
from cloud.meterdata.core.hours import HOURS_PER_DAY, hour_of, owner_of
from cloud.meterdata.core.placing import PlacedRow, Tenure
from cloud.meterdata.core.utc import day_of
from cloud.prepared import Prepared

_table = schema.changed_day.c
_KEY = ("utility", "gateway", "day")


def _noting(dialect: str) -> sa.Executable:
    inserting = insert_into(dialect, schema.changed_day)
    return inserting.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={
            "hours": _table.hours.op("|")(inserting.excluded.hours),
            "hours_left": _table.hours_left.op("|")(inserting.excluded.hours_left),
            "taken_by": sa.null(),
            "taken_until_ms": sa.null(),
        },
    )


_NOTE = Prepared(_noting, columns=(*_KEY, "hours", "hours_left"))
_TAKE = Prepared(
    sa.update(schema.changed_day)
    .where(*(_table[name] == sa.bindparam(f"of_{name}") for name in _KEY))
    .values(taken_by=sa.bindparam("taken_by"), taken_until_ms=sa.bindparam("taken_until_ms")),
    columns=("taken_by", "taken_until_ms"),
)
_IS_TAKEN = (*(_table[name] == sa.bindparam(f"of_{name}") for name in _KEY), _table.taken_by == sa.bindparam("by"))
_REMOVE = Prepared(sa.delete(schema.changed_day).where(*_IS_TAKEN))
_CLEAR = Prepared(
    sa.update(schema.changed_day)
    .where(*_IS_TAKEN)
    .values(hours=0, hours_left=0, taken_by=sa.null(), taken_until_ms=sa.null())
)


class DayOf(NamedTuple):
    """A UTC day of a gateway."""

    utility: str
    gateway: str
    day: int
    """In days since 1970-01-01."""


class Changed(NamedTuple):
    """A day that changed."""

    key: DayOf
    hours: int
    """A bit for each hour that rows came to or went from; none where the day is over and all hours are done."""
    hours_left: int
    """Those of them that rows went from, so that there may be nothing now."""


@dataclass(slots=True)
class Changes:
    """What one transaction changes; written once, at its end."""

    _days: dict[DayOf, list[int]] = field(default_factory=dict)

    def came(self, utility: str, rows: Iterable[PlacedRow], tenures: Mapping[str, Sequence[Tenure]]) -> None:
        """Note the hours that rows belong to now.

        Args:
            utility: Whose.
            rows: As they were placed.
            tenures: By meter.
        """
        for meter, hour in {(row.meter, hour_of(row.utc_ms)) for row in rows}:
            self.note(utility, owner_of(tenures.get(meter, ()), hour), hour)

    def note(self, utility: str, gateway: str, hour: int, *, left: bool = False) -> None:
        """Note an hour.

        Args:
            utility: Whose.
            gateway: Whose hour it is; empty for nobody's, which nobody asks for.
            hour: In hours since 1970-01-01.
            left: Rows went from it.
        """
        if gateway:
            day, bit = divmod(hour, HOURS_PER_DAY)
            bits = self._days.setdefault(DayOf(utility, gateway, day), [0, 0])
            bits[0] |= 1 << bit
            bits[1] |= left << bit

    def write(self, connection: sa.Connection) -> None:
        """Add it to the list, by key, so that two transactions never wait for each other."""
        _NOTE.run_each(
            connection,
            [
                {**key._asdict(), "hours": hours, "hours_left": hours_left}
                for key, (hours, hours_left) in sorted(self._days.items())
            ],
        )


def take_changes(
    connection: sa.Connection, *, after: DayOf | None, by: int, now_ms: int, until_ms: int, count_max: int
) -> list[Changed]:
    """Take the next days that changed or are over, by key, and leave them to be settled.

    Args:
        connection: In a transaction.
        after: The last one taken before; None to begin.
        by: Who takes them; its own number. It may take what it has taken already.
        now_ms: Site time.
        until_ms: Until when nobody else takes them, unless they change again.
        count_max: How many at most.
    """
    is_free = sa.or_(
        _table.taken_by.is_(None),
        _table.taken_by == by,
        _table.taken_until_ms <= now_ms,
        # Taken by a clock that was ahead, and has been set back since.
        _table.taken_until_ms > until_ms + (until_ms - now_ms),
    )
    is_due = sa.or_(_table.hours != 0, _table.day < day_of(now_ms))
    query = sa.select(*(_table[name] for name in _KEY), _table.hours, _table.hours_left).where(is_free, is_due)
    if after is not None:
        query = query.where(sa.tuple_(*(_table[name] for name in _KEY)) > after)
    query = query.order_by(*(_table[name] for name in _KEY)).limit(count_max).with_for_update()
    found = [Changed(DayOf(*row[:3]), row.hours, row.hours_left) for row in connection.execute(query)]
    taken = {"taken_by": by, "taken_until_ms": until_ms}
    _TAKE.run_each(connection, [_of(changed.key) | taken for changed in found])
    return found


def settle_changes(connection: sa.Connection, changes: Sequence[Changed], *, by: int, now_ms: int) -> None:
    """Record that days are done; one that changed since it was taken, or that another took meanwhile, stays as it is.

    Args:
        connection: In a transaction.
        changes: As they were taken.
        by: Who took them.
        now_ms: When, site time: which days were over then.
    """
    today = day_of(now_ms)
    for statement, is_over in ((_REMOVE, True), (_CLEAR, False)):
        done = [changed.key for changed in changes if (changed.key.day < today) is is_over]
        statement.run_each(connection, [_of(key) | {"by": by} for key in done])


def changed_count(connection: sa.Connection) -> int:
    """Return how many days of gateways changed and are not done."""
    query = sa.select(sa.func.count()).select_from(schema.changed_day).where(_table.hours != 0)
    return int(connection.execute(query).scalar_one())


def _of(key: DayOf) -> dict[str, str | int]:
    return {f"of_{name}": value for name, value in key._asdict().items()}
