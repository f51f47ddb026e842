"""The feeder: makes points of committed messages and writes them, after the commit and behind the projector.

It reads by a cursor of its own, so a server that is down for days is caught up with and slows nobody. Rows and facts
whose UTC is not known yet are left out and written when it is. When the UTC of a boot changes, its points are written
anew at the right time; the old ones stay until the copy is made anew in an empty database (`recopying`). A point is
written at least once, and writing it again changes nothing. A message of which no lines can be made, for an error of
this program, is left out.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from cloud.database import Database
from cloud.following import Followed, advance_from, facts_in, next_messages, position_of
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, POINTS_FOLLOWER
from cloud.meterdata.adapters.placement import BootKey, Known, known_of
from cloud.meterdata.adapters.rereads import Reread, next_reread, settle_reread
from cloud.meterdata.core.meter_day import Source
from cloud.meterdata.core.placing import Stamped, Stated, may_report, stated_in
from cloud.meterdata.core.utc import is_plausible
from cloud.monitoring.adapters.delivery import Outlet
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.core.lines import Happened, event_lines, health_line, reading_lines, unlisted_metrics
from cloud.monitoring.ports import LineWriter
from cloud.tally import Tally
from wire.errors import WireError
from wire.facts import Event, Health, LineHealth, MeterEvent, Receipt, UpFact
from wire.readings import Profile, Readings

MESSAGES_PER_STEP_MAX = 100
MESSAGES_PER_WRITE = 20
"""So many become lines while the server takes those of the ones before."""
UNLISTED_TOLD_MAX = 100
"""Names that are told of; a gateway gone wild could invent any number."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """Messages to make points of."""

    new: list[Followed]
    """The next ones."""
    reread: Reread | None
    """A piece of what is to be read again."""
    position: tuple[int, int]
    """Where the cursor stood."""

    def __bool__(self) -> bool:
        return bool(self.new) or self.reread is not None

    def messages(self) -> list[Followed]:
        """Return all of them."""
        return [*self.new, *(self.reread.messages if self.reread else ())]


Read = list[tuple[Followed, Stated]]


def take(connection: sa.Connection, *, messages_max: int = MESSAGES_PER_STEP_MAX) -> Taken:
    """Return the next messages, none ahead of the projector, and a piece of what is to be read again."""
    new = next_messages(connection, POINTS_FOLLOWER, count_max=messages_max, behind=DAYS_FOLLOWER)
    reread = next_reread(connection, POINTS_FOLLOWER, count_max=messages_max)
    return Taken(new, reread, position_of(connection, POINTS_FOLLOWER))


def read(messages: Sequence[Followed], *, meters: bool, failures: Failures) -> Read:
    """Return what messages state; one that cannot be read is left out, as the projector has written down.

    Args:
        messages: As they were committed.
        meters: Whether anybody wants to know what meters showed.
        failures: Withstands one that nobody thought of.
    """
    found: Read = []
    for message in messages:
        with failures.withstood("message", message=message.id), suppress(WireError):
            facts = facts_in(message)
            found.append((message, stated_in(facts if meters else _without_rows(facts))))
    return found


def lines_of(taken: Taken, messages: Read, known: Known, *, meters: bool, failures: Failures) -> list[str]:
    """Return the lines of messages, by what is known of their clocks and meters.

    Args:
        taken: Where the messages come from.
        messages: All of it, read.
        known: Looked up after they were taken; what becomes known later is asked for as a reread.
        meters: Whether meters have series of their own.
        failures: Withstands a message of which they cannot be made.
    """
    new = {message.id for message in taken.new}
    lines: list[str] = []
    events: list[Happened] = []
    for message, stated in messages:
        reread = None if message.id in new else taken.reread
        with failures.withstood("message", message=message.id):
            if meters:
                lines += _lines_of_rows(message, stated, known, reread)
            for fact in stated.stamped:
                if reread is not None and not reread.covers(fact.boot, fact.tick_ms):
                    continue
                utc_ms = _utc_of(message, fact, known)
                if utc_ms is None:
                    continue
                if isinstance(fact, Event | MeterEvent):
                    assigned = _is_assigned(message, fact, utc_ms, known)
                    events.append(Happened(message.utility, message.gateway, fact, utc_ms, assigned))
                else:
                    lines += _lines_of_health(message, fact, utc_ms, known, meters=meters)
    return lines + event_lines(events, meters=meters)


def settle(connection: sa.Connection, taken: Taken) -> None:
    """Record that the lines were written; the cursor stays where another process moved it meanwhile."""
    if taken.new:
        last = taken.new[-1]
        advance_from(connection, POINTS_FOLLOWER, taken.position, tx=last.tx, message=last.id)
    if taken.reread is not None:
        settle_reread(connection, taken.reread)


class Feeder:
    """Feeds one server, a piece a step.

    Args:
        database: Where messages are committed.
        writer: Where points go; used from other threads, one at a time.
        meters: Whether meters have series of their own.
        failures: Withstands messages of which no lines can be made.
    """

    def __init__(
        self, database: Database, writer: LineWriter, *, meters: bool = True, failures: Failures | None = None
    ) -> None:
        self._database = database
        self._outlet = Outlet(writer, source="messages")
        self._meters = meters
        self._failures = failures or Failures(Tally())
        self._unlisted: set[str] = set()
        self.delivered = self._outlet.delivered
        """Lines since the start."""
        self.unlisted_count = 0
        """Metrics that the catalogue does not have, since the start."""

    async def step(self) -> bool:
        """Write a piece; tell whether there was one.

        Raises:
            UnavailableError: Database or server; nothing is lost, some lines will be written again.
        """
        taken = await self._database.transact(take)
        if not taken:
            return False
        messages = taken.messages()
        # Events of one instant are counted together where meters have no series, so these stay together.
        size = MESSAGES_PER_WRITE if self._meters else max(1, len(messages))
        sending: asyncio.Task[None] | None = None
        try:
            for first in range(0, len(messages), size):
                # While the server takes some lines the next ones are made.
                lines = await self._lines(taken, messages[first : first + size])
                if sending is not None:
                    await sending
                sending = asyncio.create_task(self._outlet.send(lines), name="feeder write")
            if sending is not None:
                await sending
        finally:
            if sending is not None:
                sending.cancel()
        await self._database.transact(lambda connection: settle(connection, taken))
        return True

    async def _lines(self, taken: Taken, followed: Sequence[Followed]) -> list[str]:
        # Transactions only look things up: on SQLite the head-end waits for them.
        messages = await asyncio.to_thread(read, followed, meters=self._meters, failures=self._failures)
        self._note_unlisted(messages)
        known = await self._database.transact(lambda connection: known_of(connection, messages))
        return await asyncio.to_thread(lines_of, taken, messages, known, meters=self._meters, failures=self._failures)

    def _note_unlisted(self, messages: Read) -> None:
        """Count metrics that are left out, and tell of each once: a gateway may be newer than this program."""
        healths = (fact for _, stated in messages for fact in stated.stamped if isinstance(fact, Health | LineHealth))
        for name in (name for fact in healths for name in unlisted_metrics(fact)):
            self.unlisted_count += 1
            if name not in self._unlisted and len(self._unlisted) < UNLISTED_TOLD_MAX:
                self._unlisted.add(name)
                _log.warning("metric.unlisted", metric=name, remedy="update the cloud: a gateway is newer")


def _without_rows(facts: Iterable[UpFact]) -> Iterable[UpFact]:
    return (fact for fact in facts if not isinstance(fact, Readings | Profile))


def _lines_of_rows(message: Followed, stated: Stated, known: Known, reread: Reread | None) -> Iterator[str]:
    for block in stated.blocks:
        instants = known.instants(message, block)
        if reread is not None:
            source = Source("" if block.by_meter else message.gateway, block.boot)
            stamped = zip(instants, block.ticks_ms, strict=True)
            instants = [utc_ms if reread.covers_row(source, tick_ms) else None for utc_ms, tick_ms in stamped]
        yield from reading_lines(message.utility, message.gateway, block, instants)


def _lines_of_health(
    message: Followed, fact: Health | LineHealth | Receipt, utc_ms: int, known: Known, *, meters: bool
) -> list[str]:
    """Return the line of a health, if it is to be drawn; commands are counted from their table, and not by receipts."""
    if isinstance(fact, Receipt):
        return []
    if isinstance(fact, Health) and fact.meter and not (meters and _is_assigned(message, fact, utc_ms, known)):
        return []
    line = health_line(message.utility, message.gateway, fact, utc_ms=utc_ms)
    return [] if line is None else [line]


def _is_assigned(message: Followed, fact: Event | MeterEvent | Health, utc_ms: int, known: Known) -> bool:
    tenures = known.tenures[message.utility].get(fact.meter, ())
    return may_report(tenures, message.gateway, utc_ms, from_history=isinstance(fact, MeterEvent))


def _utc_of(message: Followed, fact: Stamped, known: Known) -> int | None:
    if isinstance(fact, MeterEvent) and is_plausible(fact.captured_s * 1_000):
        return fact.captured_s * 1_000
    timeline = known.clocks.get(BootKey(message.utility, message.gateway, fact.boot))
    moment = None if timeline is None else timeline.at(fact.tick_ms)
    if moment is None or not is_plausible(fact.tick_ms + moment.offset_ms):
        return None
    return fact.tick_ms + moment.offset_ms
