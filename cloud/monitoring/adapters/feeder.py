"""The feeder: makes points of committed messages and writes them, after the commit and behind the projector.

It reads by a cursor of its own, so a server that is down for days is caught up with and slows nobody. Rows and facts
whose UTC is not known yet are left out and written when it is. When the UTC of a boot changes, its points are written
anew at the right time; the old ones stay until the copy is rebuilt (`rewind` and an empty database). A point is written
at least once, and writing it again changes nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import Database
from cloud.following import Followed, advance, facts_in, keep_following, next_messages
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, POINTS_FOLLOWER
from cloud.meterdata.adapters.placement import BootKey, placements, timelines
from cloud.meterdata.adapters.rereads import Reread, next_reread, settle_reread
from cloud.meterdata.core.placing import Stated, stated_in
from cloud.meterdata.core.utc import is_plausible
from cloud.monitoring.core.lines import in_batches, reading_lines, stamped_line
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from wire.errors import WireError

MESSAGES_PER_STEP_MAX = 32
LINES_PER_WRITE_MAX = 5_000
BYTES_PER_WRITE_MAX = 1_000_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Points:
    """A piece of work: lines, and what they were made of."""

    lines: list[str]
    last: Followed | None
    """The last message they come from."""
    reread: Reread | None

    def __bool__(self) -> bool:
        return self.last is not None or self.reread is not None


@dataclass(slots=True)
class Delivered:
    """What became of lines."""

    written_count: int = 0
    dropped_count: int = 0
    problem: str = ""
    """What the server said of the first that it did not take."""


def next_points(connection: sa.Connection, *, messages_max: int = MESSAGES_PER_STEP_MAX) -> Points:
    """Return the lines of the next messages, and of a piece of what is to be read again."""
    new = next_messages(connection, POINTS_FOLLOWER, count_max=messages_max, behind=DAYS_FOLLOWER)
    lines = _lines_of(connection, new, None)
    reread = next_reread(connection, POINTS_FOLLOWER, count_max=messages_max)
    if reread is not None:
        lines += _lines_of(connection, reread.messages, reread)
    return Points(lines, new[-1] if new else None, reread)


def settle(connection: sa.Connection, points: Points) -> None:
    """Record that the lines were written."""
    if points.last is not None:
        advance(connection, POINTS_FOLLOWER, tx=points.last.tx, message=points.last.id)
    if points.reread is not None:
        settle_reread(connection, points.reread)


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
        points = await self._database.transact(next_points)
        if not points:
            return False
        if points.lines:
            self._count(await asyncio.to_thread(deliver, self._writer, points.lines))
        await self._database.transact(lambda connection: settle(connection, points))
        return True

    async def follow(self, *, notice: asyncio.Event, rng: Random) -> None:
        """Feed for ever.

        Args:
            notice: Set after each step of the projector.
            rng: For the jitter of the back-off.
        """
        await keep_following(POINTS_FOLLOWER, self.step, notice=notice, rng=rng)

    def _count(self, delivered: Delivered) -> None:
        self.written_count += delivered.written_count
        self.dropped_count += delivered.dropped_count
        dropping = delivered.dropped_count > 0
        if dropping and not self._dropping:
            _log.warning("lines.dropped", lines=delivered.dropped_count, problem=delivered.problem)
        self._dropping = dropping


def _lines_of(connection: sa.Connection, messages: Sequence[Followed], reread: Reread | None) -> list[str]:
    read = [(message, stated) for message in messages if (stated := _stated(message)) is not None]
    lines: list[str] = []
    boots = {
        BootKey(message.utility, message.gateway, fact.boot) for message, stated in read for fact in stated.stamped
    }
    clocks = timelines(connection, boots)
    for (message, stated), placement in zip(read, placements(connection, read), strict=True):
        rows = placement.placed
        if reread is not None:
            rows = [item for item in rows if reread.covers(item.row.source.boot, item.row.tick_ms)]
        lines += reading_lines(message.utility, rows)
        for fact in stated.stamped:
            timeline = clocks.get(BootKey(message.utility, message.gateway, fact.boot))
            moment = None if timeline is None else timeline.at(fact.tick_ms)
            if moment is None or (reread is not None and not reread.covers(fact.boot, fact.tick_ms)):
                continue
            utc_ms = fact.tick_ms + moment.offset_ms
            if is_plausible(utc_ms):
                lines.append(stamped_line(message.utility, message.gateway, fact, utc_ms=utc_ms))
    return lines


def _stated(message: Followed) -> Stated | None:
    try:
        return stated_in(facts_in(message))
    except WireError:
        return None  # the projector has written it down
