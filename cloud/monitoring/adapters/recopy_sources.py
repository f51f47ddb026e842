"""Where the points of a past period come from: each source yields its lines piece by piece, in bounded memory.

What was read comes from meter days, so it stands as it counts now, at the times that hold now; events and health come
from the messages that hold ticks of the period; aggregates and what can be computed later are computed; samples are
those that were kept. Transactions are short, and no cursor moves. What an error of this program leaves out is counted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import Database
from cloud.following import messages_by_id
from cloud.meterdata.adapters.changes import Changed, DayOf
from cloud.meterdata.adapters.placement import BootKey, in_parts, known_of, timelines
from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.meter_day import Day
from cloud.meterdata.core.utc import Timeline, day_of
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.feeder import Taken, lines_of, read
from cloud.monitoring.adapters.gateway_days import ALL_HOURS, GatewayDay
from cloud.monitoring.adapters.samples import lines_of_samples, samples_between
from cloud.monitoring.adapters.survey import Lines, Scope, Survey, Window
from cloud.monitoring.adapters.surveying import ask, windows_between
from cloud.monitoring.core.lines import reading_lines
from cloud.monitoring.core.rebuilt import messages_of_meters, rebuilt
from cloud.tally import Tally
from wire.limits import TIME_MS_MAX, TIME_MS_MIN
from wire.runtime.clock import Clock

METERS_PER_PAGE: Final = 64
BODIES_PER_READ_MAX: Final = 256
MESSAGES_PER_READ_MAX: Final = 32
SAMPLES_MS: Final = 600_000
"""How much of the samples is read at once, in site time."""
WHOLE: Final = Window(TIME_MS_MIN, TIME_MS_MAX)
"""Everything there is."""


class Piece(NamedTuple):
    """Some lines of a source."""

    done: int
    """Steps of the source that are over with this piece."""
    lines: Lines


class Section(NamedTuple):
    """All pieces of a source."""

    steps: int
    pieces: AsyncIterator[Piece]


class _Body(NamedTuple):
    """A meter day."""

    meter: str
    day: int
    body: bytes


class _Span(NamedTuple):
    """The ticks of a boot that a message holds."""

    boot: bytes
    message: int
    tick_min_ms: int
    tick_max_ms: int


@dataclass(frozen=True, slots=True)
class Past:
    """A period as the database has it.

    Args:
        database: Where it is.
        scope: Whom it is about.
        period: Which points.
        clock: Site time.
        failures: Withstands errors of this program.
    """

    database: Database
    scope: Scope
    period: Window
    clock: Clock
    failures: Failures = field(default_factory=lambda: Failures(Tally()))

    def within(self, lines: Iterable[str]) -> list[str]:
        """Return the lines whose points lie in the period."""
        first_ms, until_ms = self.period
        return [line for line in lines if first_ms <= int(line.rpartition(" ")[2]) < until_ms]

    # ---- readings ----------------------------------------------------------------------------------------------------

    async def readings(self) -> Section:
        """Return what meters showed, by meter."""
        table = schema.latest.c
        query = sa.select(table.meter).where(table.utility == self.scope.utility).order_by(table.meter)
        meters = await self.database.transact(lambda connection: list(connection.execute(query).scalars()))
        return Section(len(meters), self._readings(meters))

    async def _readings(self, meters: Sequence[str]) -> AsyncIterator[Piece]:
        for first in range(0, len(meters), METERS_PER_PAGE):
            page = meters[first : first + METERS_PER_PAGE]
            bodies = [_Body("", 0, b"")]
            while bodies:
                after = bodies[-1]
                bodies = await self.database.transact(partial(self._bodies, meters=page, after=after))
                decoded = await asyncio.to_thread(_decoded, bodies)
                wanted = set().union(*(messages_of_meters(day) for _, day in decoded))
                gateways = await self.database.transact(partial(_gateways_of, messages=wanted)) if wanted else {}
                yield Piece(0, await asyncio.to_thread(self._reading_lines, decoded, gateways))
            yield Piece(len(page), ())

    def _bodies(self, connection: sa.Connection, *, meters: Sequence[str], after: _Body) -> list[_Body]:
        table = schema.meter_day.c
        query = (
            sa.select(table.meter, table.day, table.body)
            .where(table.utility == self.scope.utility, table.meter.in_(meters))
            .where(table.day.between(day_of(self.period.from_ms), day_of(self.period.until_ms)))
            .where(sa.tuple_(table.meter, table.day) > (after.meter, after.day))
            .order_by(table.meter, table.day)
            .limit(BODIES_PER_READ_MAX)
        )
        return [_Body(*row) for row in connection.execute(query)]

    def _reading_lines(self, days: Iterable[tuple[str, Day]], gateways: Mapping[int, str]) -> list[str]:
        lines: list[str] = []
        for meter, day in days:
            for gateway, block, instants in rebuilt(meter, day, gateways):
                lines += reading_lines(self.scope.utility, gateway, block, instants)
        return self.within(lines)

    # ---- events and health -------------------------------------------------------------------------------------------

    async def stamped(self) -> Section:
        """Return events and health, by gateway."""
        table = schema.boot_message.c
        query = sa.select(table.gateway).distinct().where(table.utility == self.scope.utility).order_by(table.gateway)
        gateways = await self.database.transact(lambda connection: list(connection.execute(query).scalars()))
        logged = await self.database.transact(self._logged)
        return Section(len(gateways), self._stamped(gateways, logged))

    async def _stamped(self, gateways: Sequence[str], logged: Mapping[str, set[int]]) -> AsyncIterator[Piece]:
        for gateway in gateways:
            held = await self.database.transact(partial(self._held, gateway=gateway))
            ids = sorted(held | logged.get(gateway, set()))
            for first in range(0, len(ids), MESSAGES_PER_READ_MAX):
                yield Piece(0, await self._stamped_lines(ids[first : first + MESSAGES_PER_READ_MAX]))
            yield Piece(1, ())

    async def _stamped_lines(self, ids: Sequence[int]) -> Lines:
        found = await self.database.transact(partial(messages_by_id, ids=ids))
        messages = await asyncio.to_thread(read, found, meters=False, failures=self.failures)
        known = await self.database.transact(lambda connection: known_of(connection, messages))
        taken = Taken(found, None, (0, 0))
        made = partial(lines_of, taken, messages, known, meters=self.scope.meters, failures=self.failures)
        return self.within(await asyncio.to_thread(made))

    def _logged(self, connection: sa.Connection) -> dict[str, set[int]]:
        """Return by gateway the messages with entries of meters' logs of the period, whenever they were read."""
        table = schema.meter_event.c
        found: dict[str, set[int]] = {}
        query = sa.select(table.gateway, table.message).distinct().where(table.utility == self.scope.utility)
        query = query.where(table.captured_s.between(self.period.from_ms // 1_000, self.period.until_ms // 1_000))
        for gateway, message in connection.execute(query):
            found.setdefault(gateway, set()).add(message)
        return found

    def _held(self, connection: sa.Connection, *, gateway: str) -> set[int]:
        """Return the messages of a gateway that hold ticks of the period."""
        table = schema.boot_message.c
        query = (
            sa.select(table.boot, table.message, table.tick_min_ms, table.tick_max_ms)
            .where(table.utility == self.scope.utility, table.gateway == gateway)
            .where(table.tick_min_ms.is_not(None), table.tick_max_ms.is_not(None))
        )
        spans = [_Span(*row) for row in connection.execute(query)]
        keys = {span.boot: BootKey(self.scope.utility, gateway, span.boot) for span in spans}
        clocks = timelines(connection, keys.values())
        return {
            span.message
            for span in spans
            if (clock := clocks.get(keys[span.boot])) is not None and _reaches(clock, span, self.period)
        }

    # ---- aggregates --------------------------------------------------------------------------------------------------

    async def aggregates(self) -> Section:
        """Return hours and days of meters and gateways, by gateway."""
        table = schema.assignment.c
        query = sa.select(table.gateway).distinct().where(table.utility == self.scope.utility).order_by(table.gateway)
        gateways = await self.database.transact(lambda connection: list(connection.execute(query).scalars()))
        return Section(len(gateways), self._aggregates(gateways))

    async def _aggregates(self, gateways: Sequence[str]) -> AsyncIterator[Piece]:
        for gateway in gateways:
            for day in await self.database.transact(partial(self._days, gateway=gateway)):
                lines: list[str] = []

                async def keep(more: Sequence[str], kept: list[str] = lines) -> None:
                    kept += more

                changed = Changed(DayOf(self.scope.utility, gateway, day), ALL_HOURS, 0)
                is_over = day < day_of(self.clock.wall_ms())
                work = GatewayDay(self.database, keep, meters=self.scope.meters, changed=changed, is_over=is_over)
                with self.failures.withstood("aggregates", gateway=gateway, day=day):
                    await work.renew()
                yield Piece(0, self.within(lines))
            yield Piece(1, ())

    def _days(self, connection: sa.Connection, *, gateway: str) -> list[int]:
        """Return the days of the period of which there may be anything of a gateway's meters."""
        day, assigned = schema.meter_day.c, schema.assignment.c
        meters = connection.execute(
            sa.select(assigned.meter)
            .distinct()
            .where(assigned.utility == self.scope.utility, assigned.gateway == gateway)
        )
        first, last = day_of(self.period.from_ms), day_of(self.period.until_ms - 1)
        found: set[int] = set()
        for names in in_parts(meters.scalars()):
            query = sa.select(day.day).distinct().where(day.utility == self.scope.utility, day.meter.in_(names))
            # A row that ends a day lies in the day after.
            for at in connection.execute(query.where(day.day.between(first, last + 1))).scalars():
                found |= {at - 1, at}
        return sorted(at for at in found if first <= at <= last)

    # ---- surveys and samples -----------------------------------------------------------------------------------------

    async def surveys(self, surveys: Sequence[Survey]) -> Section:
        """Return what the surveys that compute say of their windows that are over."""
        first_ms = await self.database.transact(self._first_ms)
        computed = [survey for survey in surveys if not survey.sampled]
        steps = sum(1 for survey in computed for _ in self._windows(survey, first_ms))
        return Section(steps, self._surveys(computed, first_ms))

    async def _surveys(self, surveys: Sequence[Survey], first_ms: int) -> AsyncIterator[Piece]:
        for survey in surveys:
            for window in self._windows(survey, first_ms):
                async for lines in ask(self.database, self.scope, survey, window, failures=self.failures):
                    yield Piece(0, self.within(lines))
                yield Piece(1, ())

    def _first_ms(self, connection: sa.Connection) -> int:
        """Return since when there is anything to ask of."""
        table = schema.message.c
        query = sa.select(table.received_at_ms).where(table.utility == self.scope.utility).order_by(table.id).limit(1)
        received_at_ms: int | None = connection.execute(query).scalar()
        return self.clock.wall_ms() if received_at_ms is None else received_at_ms

    def _windows(self, survey: Survey, first_ms: int) -> Iterator[Window]:
        """Return the windows that say something of the period, from the first message's to the last that is over."""
        width_ms = survey.width_s(self.scope.settings) * 1_000
        from_ms = max(self.period.from_ms, first_ms // width_ms * width_ms)
        reach_ms = survey.reach_s(self.scope.settings) * 1_000
        until_ms = min(self.period.until_ms + reach_ms, self.clock.wall_ms() - survey.lag_s * 1_000 - width_ms + 1)
        return windows_between(survey, self.scope, from_ms=from_ms, until_ms=until_ms)

    async def samples(self) -> Section:
        """Return what was kept of how things stood."""
        table = schema.sample.c
        query = sa.select(sa.func.min(table.at_ms), sa.func.max(table.at_ms)).where(table.utility == self.scope.utility)
        first_ms, last_ms = await self.database.transact(lambda connection: tuple(connection.execute(query).one()))
        if first_ms is None:
            return Section(0, self._samples([]))
        starts = range(max(first_ms, self.period.from_ms), min(last_ms + 1, self.period.until_ms), SAMPLES_MS)
        return Section(len(starts), self._samples(starts))

    async def _samples(self, starts: Sequence[int]) -> AsyncIterator[Piece]:
        for from_ms in starts:
            until_ms = min(from_ms + SAMPLES_MS, self.period.until_ms)
            kept = partial(samples_between, utility=self.scope.utility, from_ms=from_ms, until_ms=until_ms)
            found = await self.database.transact(kept)
            yield Piece(1, await asyncio.to_thread(lines_of_samples, found, failures=self.failures))


def _decoded(bodies: Iterable[_Body]) -> list[tuple[str, Day]]:
    codec = DayCodec()
    return [(body.meter, codec.decode(body.body)) for body in bodies]


def _gateways_of(connection: sa.Connection, *, messages: Iterable[int]) -> dict[int, str]:
    table = schema.message.c
    return {
        number: gateway
        for part in in_parts(sorted(messages))
        for number, gateway in connection.execute(sa.select(table.id, table.gateway).where(table.id.in_(part)))
    }


def _reaches(clock: Timeline, span: _Span, period: Window) -> bool:
    """Tell whether any tick of a span may lie in a period."""
    inner = [start for start in clock.starts if span.tick_min_ms < start <= span.tick_max_ms]
    bounds = [span.tick_min_ms, *inner, span.tick_max_ms + 1]
    for begin, end in pairwise(bounds):
        moment = clock.at(begin)
        if (
            moment is not None
            and begin + moment.offset_ms < period.until_ms
            and end + moment.offset_ms > period.from_ms
        ):
            return True
    return False
