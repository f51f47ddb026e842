"""A UTC day of a gateway, computed anew: its meters' days are read and made into lines of hours and of the day.

The hours since the first that changed are computed, and the whole day once it is over, from all meters that have hours
with the gateway; so a gateway's hour is right when one of 250 meters was late, and doing it again changes nothing.
Meters are read some at a time, in short transactions; what takes long happens outside of them. When it is done is
decided by who calls.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import Database
from cloud.meterdata.adapters.changes import Changed, DayOf
from cloud.meterdata.adapters.placement import in_parts
from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.hours import HOUR_MS, HOURS_PER_DAY, owned_hours, owner_of
from cloud.meterdata.core.placing import Tenure
from cloud.monitoring.core.aggregates import (
    UNKNOWN,
    Aggregate,
    DayRows,
    Heard,
    Registers,
    hours_in,
    hours_of,
    lacks_register,
    nothing,
    together,
)
from cloud.monitoring.core.points import point

METERS_PER_READ_MAX: Final = 128
LOOKBACK_DAYS: Final = 40
"""How far back a register is looked for: what was used in a longer silence is nobody's hour."""
ALL_HOURS: Final = (1 << HOURS_PER_DAY) - 1

Send = Callable[[Sequence[str]], Awaitable[None]]
"""Writes lines to InfluxDB; raises `UnavailableError` while it is away."""
Bodies = Mapping[tuple[str, int], bytes]
"""Of meter days, by meter and day."""

_day = schema.meter_day.c
_assigned = schema.assignment.c
TENURES: Final = (
    sa.select(_assigned.meter, _assigned.from_ms, _assigned.until_ms, _assigned.gateway)
    .where(_assigned.utility == sa.bindparam("of"))
    .where(
        _assigned.meter.in_(
            sa.select(_assigned.meter)
            .where(_assigned.utility == sa.bindparam("of"), _assigned.gateway == sa.bindparam("by"))
            .scalar_subquery()
        )
    )
    .order_by(_assigned.meter, _assigned.from_ms)
)
"""The assignments of all meters that a gateway ever had."""


class _Read(NamedTuple):
    """What was read of some meters."""

    bodies: Bodies
    """Of the day, the one before and the one after."""
    later: Mapping[str, int]
    """For each meter the next day with rows, where that is not the next day."""


_DAY: Final = -1
"""Stands for the day where hours are keys."""


@dataclass(slots=True)
class _Sums:
    """What is known of the gateway so far, by hour since 1970-01-01."""

    hours: dict[int, Aggregate] = field(default_factory=dict)
    day: Aggregate = field(default_factory=Aggregate)
    meters: Counter[int] = field(default_factory=Counter)
    """How many meters there are in each hour, and in the day."""


@dataclass(frozen=True, slots=True)
class _Meter:
    """A meter's day on its way to lines."""

    name: str
    heard: Mapping[int, Heard]
    before: Registers


class GatewayDay:
    """One computation.

    Args:
        database: Where meter days are.
        send: Where lines go.
        meters: Whether meters have series of their own.
        changed: Which day, and what changed of it. Hours before all changes are not written; hours that rows left
            are, even if nothing is there now.
        is_over: Whether the day is, and has points of its own.
    """

    def __init__(self, database: Database, send: Send, *, meters: bool, changed: Changed, is_over: bool) -> None:
        self._database = database
        self._send = send
        self._with_meters = meters
        self._changed = changed
        self._is_over = is_over
        self._key = changed.key
        self._hours = hours_in(self._key.day)
        # Energies begin with the register of the hour before, so those after a change may be others too.
        self._written = self._hours[_lowest_bit(changed.hours) :] if changed.hours else self._hours[:0]
        self._sums = _Sums()
        self._codec = DayCodec()
        self.later: set[DayOf] = set()
        """Days whose first energies begin with a register of this day, which may be another one now."""
        self.meters_count = 0
        """Meter days that were computed."""

    async def renew(self) -> None:
        """Compute the day and send its lines.

        Raises:
            UnavailableError: Database or InfluxDB; some lines may be written.
        """
        tenures = await self._database.transact(self._tenures)
        concerned = [meter for meter, of_meter in tenures.items() if self._concerns(of_meter)]
        for first in range(0, len(concerned), METERS_PER_READ_MAX):
            names = concerned[first : first + METERS_PER_READ_MAX]
            read = await self._database.transact(partial(self._read, meters=names))
            meters = await asyncio.to_thread(self._heard, names, read)
            meters = await self._look_back(meters)
            lines = await asyncio.to_thread(self._take, meters, tenures, read)
            if lines:
                await self._send(lines)
        if lines := self._gateway_lines():
            await self._send(lines)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _tenures(self, connection: sa.Connection) -> dict[str, list[Tenure]]:
        found: dict[str, list[Tenure]] = {}
        parameters = {"of": self._key.utility, "by": self._key.gateway}
        for meter, from_ms, until_ms, gateway in connection.execute(TENURES, parameters):
            found.setdefault(meter, []).append(Tenure(from_ms, until_ms, gateway))
        return found

    def _concerns(self, tenures: Sequence[Tenure]) -> bool:
        """Tell whether a meter has hours of the day with the gateway, or may have had."""
        if self._changed.hours_left:
            return True
        return bool(owned_hours(tenures, self._hours, self._key.gateway))

    def _read(self, connection: sa.Connection, meters: Sequence[str]) -> _Read:
        day = self._key.day
        bodies = self._bodies(connection, meters, [day - 1, day, day + 1])
        last = [meter for meter in meters if (meter, day + 1) not in bodies]
        found = self._days(connection, sa.func.min(_day.day), last, day + 2, day + 1 + LOOKBACK_DAYS)
        return _Read(bodies, found)

    def _before(self, connection: sa.Connection, until: Mapping[str, int]) -> Bodies:
        """Return for each meter its last day before a day."""
        found: dict[tuple[str, int], bytes] = {}
        for day in sorted(set(until.values())):
            names = [meter for meter, of_meter in until.items() if of_meter == day]
            first = self._key.day - LOOKBACK_DAYS
            days = self._days(connection, sa.func.max(_day.day), names, first, day)
            for at in sorted(set(days.values())):
                found |= self._bodies(connection, [meter for meter in names if days.get(meter) == at], [at])
        return found

    def _days(
        self,
        connection: sa.Connection,
        choose: sa.ColumnElement[int],
        meters: Iterable[str],
        first: int,
        until: int,
    ) -> dict[str, int]:
        """Return for each meter that has days from one until before another the one that is chosen."""
        query = (
            sa.select(_day.meter, choose)
            .where(_day.utility == self._key.utility, _day.day >= first, _day.day < until)
            .group_by(_day.meter)
        )
        return {
            meter: day
            for names in in_parts(meters)
            for meter, day in connection.execute(query.where(_day.meter.in_(names)))
        }

    def _bodies(
        self, connection: sa.Connection, meters: Iterable[str], days: Sequence[int]
    ) -> dict[tuple[str, int], bytes]:
        found: dict[tuple[str, int], bytes] = {}
        for names in in_parts(meters):
            query = sa.select(_day.meter, _day.day, _day.body).where(
                _day.utility == self._key.utility, _day.meter.in_(names), _day.day.in_(days)
            )
            found.update(((meter, day), body) for meter, day, body in connection.execute(query))
        return found

    async def _look_back(self, meters: Sequence[_Meter]) -> list[_Meter]:
        """Return the meters with the registers of before the day, as far as there are any."""
        known = {meter.name: meter for meter in meters}
        until = {meter.name: self._key.day - 1 for meter in meters if lacks_register(meter.heard, meter.before)}
        while until:
            found = await self._database.transact(partial(self._before, until=until))
            until = await asyncio.to_thread(self._complete, known, found)
        return list(known.values())

    # ---- computing ---------------------------------------------------------------------------------------------------

    def _heard(self, meters: Sequence[str], read: _Read) -> list[_Meter]:
        return [meter for name in meters if (meter := self._meter(name, read.bodies)) is not None]

    def _meter(self, name: str, bodies: Bodies) -> _Meter | None:
        day = self._key.day
        heard: dict[int, Heard] = {}
        before = UNKNOWN
        if (body := bodies.get((name, day))) is not None:
            rows = self._rows(body)
            hours = self._hours if self._is_over or rows.has_intervals else self._written
            heard, before = rows.heard(hours), rows.registers_before(hours.start)
        if (body := bodies.get((name, day + 1))) is not None:
            heard |= self._on_the_hour(self._rows(body), heard)
        if not heard and not self._changed.hours_left:
            return None
        if lacks_register(heard, before) and (body := bodies.get((name, day - 1))) is not None:
            before = self._rows(body).registers_before(self._hours.start, later=before)
        return _Meter(name, heard, before)

    def _rows(self, body: bytes) -> DayRows:
        return DayRows(self._codec.decode(body))

    def _on_the_hour(self, next_day: DayRows, heard: Mapping[int, Heard]) -> Mapping[int, Heard]:
        """Return the last hour with the rows of the day's very end, which lie in the day after."""
        last = self._hours[-1]
        closing = next_day.heard(self._hours[-1:])
        if last in heard and closing:
            closing[last].join(heard[last])
        return closing

    def _complete(self, known: dict[str, _Meter], found: Bodies) -> dict[str, int]:
        """Complete what is known by days before, and return which meters still lack a register, before which day."""
        until: dict[str, int] = {}
        for (name, day), body in found.items():
            before = self._rows(body).registers_before(hours_in(day).stop, later=known[name].before)
            known[name] = _Meter(name, known[name].heard, before)
            if lacks_register(known[name].heard, before):
                until[name] = day
        return until

    def _take(self, meters: Iterable[_Meter], tenures: Mapping[str, Sequence[Tenure]], read: _Read) -> list[str]:
        """Add meters to the gateway, and return their own lines."""
        lines: list[str] = []
        for meter in meters:
            self.meters_count += 1
            owned = owned_hours(tenures[meter.name], self._hours, self._key.gateway)
            found = hours_of(meter.heard, meter.before)
            hours = {hour: aggregate for hour, aggregate in found.items() if hour in owned}
            day = together(hours.values()) if self._is_over else None
            self._add(hours, day)
            self._pass_on(meter, tenures[meter.name], read)
            if self._with_meters:
                lines += self._meter_lines(meter.name, hours, day)
        return lines

    def _add(self, hours: Mapping[int, Aggregate], day: Aggregate | None) -> None:
        sums = self._sums
        for hour in self._written:
            if (aggregate := hours.get(hour)) is not None:
                sums.hours.setdefault(hour, Aggregate()).add(aggregate)
                sums.meters[hour] += 1
        if hours and day is not None:
            sums.day.add(day)
            sums.meters[_DAY] += 1

    def _pass_on(self, meter: _Meter, tenures: Sequence[Tenure], read: _Read) -> None:
        """Note the meter's next day, if the last register of this one may have changed."""
        day = self._key.day
        next_day = day + 1 if (meter.name, day + 1) in read.bodies else read.later.get(meter.name)
        if next_day is None:
            return
        last_changed = self._hours.start + self._changed.hours.bit_length() - 1
        if any(hour > last_changed for hour, heard in meter.heard.items() if any(heard.closing)):
            return
        owners = {owner_of(tenures, hour) for hour in hours_in(next_day)} - {""}
        self.later |= {DayOf(self._key.utility, gateway, next_day) for gateway in owners}

    # ---- lines -------------------------------------------------------------------------------------------------------

    def _meter_lines(self, meter: str, hours: Mapping[int, Aggregate], day: Aggregate | None) -> list[str]:
        tags = {"gateway": self._key.gateway, "meter": meter, "utility": self._key.utility}
        return self._lines("meter", tags, hours, day, None)

    def _gateway_lines(self) -> list[str]:
        tags, sums = {"gateway": self._key.gateway, "utility": self._key.utility}, self._sums
        return self._lines("gateway", tags, sums.hours, sums.day if self._is_over else None, sums.meters)

    def _lines(
        self,
        of: str,
        tags: Mapping[str, str],
        hours: Mapping[int, Aggregate],
        day: Aggregate | None,
        meters: Counter[int] | None,
    ) -> list[str]:
        """Return the lines of a meter or, with a count of its meters, of the gateway."""

        def line(width: str, key: int, aggregate: Aggregate, hour: int) -> str | None:
            fields = aggregate.fields() | ({} if meters is None else {"meters_count": meters[key]})
            return point(f"{of}_{width}", tags, fields, utc_ms=hour * HOUR_MS)

        told: list[str | None] = []
        left = self._changed.hours_left
        for hour in self._written:
            aggregate = hours.get(hour)
            if aggregate is None and left >> hour - self._hours.start & 1:
                aggregate = nothing()
            if aggregate is not None:
                told.append(line("hour", hour, aggregate, hour))
        if day is not None and (day.rows_count or left):
            told.append(line("day", _DAY, day if day.rows_count else nothing(), self._hours.start))
        return [made for made in told if made is not None]


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
