"""Meter days in the database: those that a transaction touches, read once, changed in memory, written once.

Keeps `latest` in step. Who may put which row where is the projector's business.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.meterdata.adapters.placement import in_parts
from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.latest import LatestValue, decode_latest, encode_latest, latest_of, newer
from cloud.meterdata.core.meter_day import Day
from cloud.meterdata.core.utc import DAY_MS

LATEST_DAYS_MAX = 32
"""How many days with data are searched for a channel's last value after rows were moved away."""


class DayKey(NamedTuple):
    """One UTC day of one meter."""

    utility: str
    meter: str
    day: int


class OpenDays:
    """The days a transaction works on; a day is opened when it is asked for and may be finished before the others.

    Args:
        connection: In a transaction.
        keys: All days that will be asked for.
        moved: Rows may leave days, so that last values are looked for anew.
    """

    def __init__(self, connection: sa.Connection, keys: Iterable[DayKey], *, moved: bool) -> None:
        self._connection = connection
        self._moved = moved
        self._codec = DayCodec()
        self._bodies: dict[DayKey, bytes] = {}
        self._open: dict[DayKey, Day] = {}
        self._changed: dict[DayKey, bytes | None] = {}
        wanted = set(keys)
        for utility, day in sorted({(key.utility, key.day) for key in wanted}):
            self._read(utility, day, [key.meter for key in wanted if (key.utility, key.day) == (utility, day)])
        known = {} if moved else self._known_latest({(key.utility, key.meter) for key in wanted})
        self._latest_before = known
        self._latest = dict(known)

    def __getitem__(self, key: DayKey) -> Day:
        if key not in self._open:
            body = self._bodies.get(key)
            self._open[key] = Day() if body is None else self._codec.decode(body)
        return self._open[key]

    def finish(self, key: DayKey) -> None:
        """Close a day: it is not asked for again."""
        day = self._open.pop(key)
        body = self._codec.encode(day) if day else None
        if body == self._bodies.get(key):
            return
        self._changed[key] = body
        meter = (key.utility, key.meter)
        known = self._latest.get(meter, [])
        if not self._moved and not _outlives(known, day, key.day):
            self._latest[meter] = newer(known, latest_of(day))

    def write(self) -> None:
        """Close what is open, and write what changed."""
        for key in list(self._open):
            self.finish(key)
        bodies = [{**key._asdict(), "body": body} for key, body in sorted(self._changed.items()) if body is not None]
        upsert(self._connection, schema.meter_day, bodies)
        for key, body in self._changed.items():
            if body is None:
                self._delete(key)
        self._write_latest()

    def _read(self, utility: str, day: int, meters: list[str]) -> None:
        table = schema.meter_day.c
        for names in in_parts(sorted(meters)):
            query = sa.select(table.meter, table.body).where(
                table.utility == utility, table.day == day, table.meter.in_(names)
            )
            for meter, body in self._connection.execute(query):
                self._bodies[DayKey(utility, meter, day)] = body

    def _delete(self, key: DayKey) -> None:
        table = schema.meter_day.c
        self._connection.execute(
            sa.delete(schema.meter_day).where(
                table.utility == key.utility, table.meter == key.meter, table.day == key.day
            )
        )

    def _write_latest(self) -> None:
        rows: list[dict[str, object]] = []
        for utility, meter in sorted({(key.utility, key.meter) for key in self._changed}):
            values = self._searched(utility, meter) if self._moved else self._latest.get((utility, meter), [])
            if not values:
                table = schema.latest.c
                self._connection.execute(sa.delete(schema.latest).where(table.utility == utility, table.meter == meter))
            elif values != self._latest_before.get((utility, meter)):
                utc_ms = max(value.utc_ms for value in values)
                rows.append({"utility": utility, "meter": meter, "utc_ms": utc_ms, "body": encode_latest(values)})
        upsert(self._connection, schema.latest, rows)

    def _known_latest(self, meters: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[LatestValue]]:
        table = schema.latest.c
        wanted = sorted(meters)
        found: dict[tuple[str, str], list[LatestValue]] = {}
        for utility in sorted({utility for utility, _ in wanted}):
            for names in in_parts([meter for owner, meter in wanted if owner == utility]):
                query = sa.select(table.meter, table.body).where(table.utility == utility, table.meter.in_(names))
                found.update(((utility, meter), decode_latest(body)) for meter, body in self._connection.execute(query))
        return found

    def _searched(self, utility: str, meter: str) -> list[LatestValue]:
        """Return the last values as the days say."""
        values: list[LatestValue] = []
        for day in self._days_backwards(utility, meter):
            values = newer(latest_of(day), values)
        return values

    def _days_backwards(self, utility: str, meter: str) -> Iterator[Day]:
        table = schema.meter_day.c
        query = (
            sa.select(table.body)
            .where(table.utility == utility, table.meter == meter)
            .order_by(table.day.desc())
            .limit(LATEST_DAYS_MAX)
        )
        return (self._codec.decode(body) for body in self._connection.execute(query).scalars())


def _outlives(known: list[LatestValue], day: Day, day_index: int) -> bool:
    """Tell whether every channel of a day has a last value known to be later than the day."""
    later = {value.channel for value in known if value.utc_ms >= (day_index + 1) * DAY_MS}
    return bool(later) and later.issuperset(day.channels)
