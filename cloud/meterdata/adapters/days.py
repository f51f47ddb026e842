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
    """The days a transaction works on.

    Args:
        connection: In a transaction.
        keys: All days that will be asked for.
    """

    def __init__(self, connection: sa.Connection, keys: Iterable[DayKey]) -> None:
        self._connection = connection
        self._codec = DayCodec()
        self._bodies: dict[DayKey, bytes] = {}
        self._days: dict[DayKey, Day] = {}
        wanted = set(keys)
        for utility, day in sorted({(key.utility, key.day) for key in wanted}):
            meters = [key.meter for key in wanted if (key.utility, key.day) == (utility, day)]
            self._read(utility, day, meters)
        for key in wanted:
            body = self._bodies.get(key)
            self._days[key] = Day() if body is None else self._codec.decode(body)

    def __getitem__(self, key: DayKey) -> Day:
        return self._days[key]

    def write(self, *, moved: bool) -> None:
        """Write what changed.

        Args:
            moved: Rows may have left days, so that the last values are looked for anew.
        """
        changed: list[DayKey] = []
        bodies: list[dict[str, object]] = []
        for key, day in sorted(self._days.items()):
            body = self._codec.encode(day) if day else None
            if body == self._bodies.get(key):
                continue
            changed.append(key)
            if body is None:
                self._delete(key)
            else:
                bodies.append({**key._asdict(), "body": body})
        upsert(self._connection, schema.meter_day, bodies)
        self._write_latest(changed, moved=moved)

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

    def _write_latest(self, changed: list[DayKey], *, moved: bool) -> None:
        newest = {(key.utility, key.meter): key for key in changed}  # ascending, so the last day wins
        known = {} if moved else self._known_latest(newest)
        rows: list[dict[str, object]] = []
        for (utility, meter), key in newest.items():
            before = known.get((utility, meter), [])
            if moved:
                values = self._searched(utility, meter)
            elif _outlives(before, self._days[key], key.day):
                continue
            else:
                values = newer(before, latest_of(self._days[key]))
            if values and values != before:
                utc_ms = max(value.utc_ms for value in values)
                rows.append({"utility": utility, "meter": meter, "utc_ms": utc_ms, "body": encode_latest(values)})
            elif not values:
                table = schema.latest.c
                self._connection.execute(sa.delete(schema.latest).where(table.utility == utility, table.meter == meter))
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
