"""The feeder: makes points of committed messages and writes them, after the commit and behind the projector.

It reads by a cursor of its own, so a server that is down for days is caught up with and slows nobody. Rows and facts
whose UTC is not known yet are left out and written when it is. When the UTC of a boot changes, its points are written
anew at the right time; the old ones stay until the copy is rebuilt (`rewind` and an empty database). A point is written
at least once, and writing it again changes nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import Database
from cloud.following import Followed, advance, facts_in, keep_following, next_messages, position_of
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, POINTS_FOLLOWER
from cloud.meterdata.adapters.placement import BootKey, Known, known_of
from cloud.meterdata.adapters.rereads import Reread, next_reread, settle_reread
from cloud.meterdata.core.placing import Stamped, Stated, stated_in
from cloud.meterdata.core.utc import is_plausible
from cloud.monitoring.core.lines import in_batches, reading_lines, stamped_line
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from wire.errors import WireError
from wire.facts import MeterEvent

MESSAGES_PER_STEP_MAX = 32
LINES_PER_WRITE_MAX = 5_000
BYTES_PER_WRITE_MAX = 1_000_000

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


@dataclass(slots=True)
class Delivered:
    """What became of lines."""

    written_count: int = 0
    dropped_count: int = 0
    problem: str = ""
    """What the server said of the first that it did not take."""


def take(connection: sa.Connection, *, messages_max: int = MESSAGES_PER_STEP_MAX) -> Taken:
    """Return the next messages, none ahead of the projector, and a piece of what is to be read again."""
    new = next_messages(connection, POINTS_FOLLOWER, count_max=messages_max, behind=DAYS_FOLLOWER)
    reread = next_reread(connection, POINTS_FOLLOWER, count_max=messages_max)
    return Taken(new, reread, position_of(connection, POINTS_FOLLOWER))


def read(messages: Sequence[Followed]) -> Read:
    """Return what messages state; one that cannot be read is left out, as the projector has written down."""
    found: Read = []
    for message in messages:
        with suppress(WireError):
            found.append((message, stated_in(facts_in(message))))
    return found


def lines_of(taken: Taken, messages: Read, known: Known) -> list[str]:
    """Return the lines of messages, by what is known of their clocks and meters.

    Args:
        taken: Where the messages come from.
        messages: All of it, read.
        known: Looked up after they were taken; what becomes known later is asked for as a reread.
    """
    new = {message.id for message in taken.new}
    lines: list[str] = []
    for message, stated in messages:
        reread = None if message.id in new else taken.reread
        rows = known.place(message, stated).placed
        if reread is not None:
            rows = [item for item in rows if reread.covers_row(item.row.source, item.row.tick_ms)]
        lines += reading_lines(message.utility, message.gateway, rows)
        lines += (
            stamped_line(message.utility, message.gateway, fact, utc_ms=utc_ms)
            for fact in stated.stamped
            if (reread is None or reread.covers(fact.boot, fact.tick_ms))
            and (utc_ms := _utc_of(message, fact, known)) is not None
        )
    return lines


def settle(connection: sa.Connection, taken: Taken) -> None:
    """Record that the lines were written; the cursor stays where someone moved it meanwhile, as `rewind` does."""
    if taken.new and position_of(connection, POINTS_FOLLOWER) == taken.position:
        advance(connection, POINTS_FOLLOWER, tx=taken.new[-1].tx, message=taken.new[-1].id)
    if taken.reread is not None:
        settle_reread(connection, taken.reread)


def rewind(connection: sa.Connection) -> None:
    """Have everything written again, from the first message on."""
    connection.execute(sa.delete(schema.cursor).where(schema.cursor.c.name == POINTS_FOLLOWER))
    connection.execute(sa.delete(schema.reread).where(schema.reread.c.follower == POINTS_FOLLOWER))


def deliver(writer: LineWriter, lines: Sequence[str]) -> Delivered:
    """Write lines in bounded pieces; a piece that is refused is halved until the bad lines stand alone, and those left.

    Raises:
        UnavailableError: The server does not answer; some lines may be written.
    """
    delivered = Delivered()
    for batch in in_batches(lines, lines_max=LINES_PER_WRITE_MAX, bytes_max=BYTES_PER_WRITE_MAX):
        pieces: list[Sequence[str]] = [batch]
        while pieces:
            piece = pieces.pop()
            try:
                writer.write(piece)
            except RefusedLinesError as error:
                delivered.problem = delivered.problem or error.problem
                if error.dropped_count is None and len(piece) > 1:
                    half = len(piece) // 2
                    pieces += [piece[half:], piece[:half]]
                    continue
                dropped_count = min(len(piece), error.dropped_count or 1)
            else:
                dropped_count = 0
            delivered.dropped_count += dropped_count
            delivered.written_count += len(piece) - dropped_count
    return delivered


class Feeder:
    """Feeds one server for ever.

    Args:
        database: Where messages are committed.
        writer: Where points go; used from other threads, one at a time.
    """

    def __init__(self, database: Database, writer: LineWriter) -> None:
        self._database = database
        self._writer = writer
        self._dropping = False
        self.written_count = 0
        """Lines since the start."""
        self.dropped_count = 0
        """Lines that the server refused, since the start."""

    async def step(self) -> bool:
        """Write a piece; tell whether there was one.

        Raises:
            UnavailableError: Database or server; nothing is lost, some lines will be written again.
        """
        taken = await self._database.transact(take)
        if not taken:
            return False
        # Transactions only look things up: on SQLite the head-end waits for them.
        messages = await asyncio.to_thread(read, taken.messages())
        known = await self._database.transact(lambda connection: known_of(connection, messages))
        self._count(await asyncio.to_thread(self._deliver, taken, messages, known))
        await self._database.transact(lambda connection: settle(connection, taken))
        return True

    async def follow(self, *, notice: asyncio.Event, rng: Random) -> None:
        """Feed for ever.

        Args:
            notice: Set after each step of the projector.
            rng: For the jitter of the back-off.
        """
        await keep_following(POINTS_FOLLOWER, self.step, notice=notice, rng=rng)

    def _deliver(self, taken: Taken, messages: Read, known: Known) -> Delivered:
        return deliver(self._writer, lines_of(taken, messages, known))

    def _count(self, delivered: Delivered) -> None:
        self.written_count += delivered.written_count
        self.dropped_count += delivered.dropped_count
        dropping = delivered.dropped_count > 0
        if dropping and not self._dropping:
            _log.warning("lines.dropped", lines=delivered.dropped_count, problem=delivered.problem)
        self._dropping = dropping


def _utc_of(message: Followed, fact: Stamped, known: Known) -> int | None:
    if isinstance(fact, MeterEvent) and is_plausible(fact.captured_s * 1_000):
        return fact.captured_s * 1_000
    timeline = known.clocks.get(BootKey(message.utility, message.gateway, fact.boot))
    moment = None if timeline is None else timeline.at(fact.tick_ms)
    if moment is None or not is_plausible(fact.tick_ms + moment.offset_ms):
        return None
    return fact.tick_ms + moment.offset_ms
