"""The projector: follows committed messages and keeps meter days, last values and the list of what was refused.

Each step is one transaction with its cursor, so a crash forgets a step or none of it, and doing one again changes
nothing. Rows whose boot has no clock fact yet wait in their messages. When clock facts change the UTC of rows already
placed, those rows move, a bounded piece in each step. Signatures were checked when the messages were committed.
"""

from asyncio import Event
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
import structlog

from cloud import schema
from cloud.database import Database, upsert
from cloud.following import Followed, advance, facts_in, keep_following, next_messages
from cloud.meterdata.adapters.changes import Changes
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, learn_clocks, record_spans, record_waiting
from cloud.meterdata.adapters.days import DayKey, OpenDays
from cloud.meterdata.adapters.placement import Known, known_of
from cloud.meterdata.adapters.rereads import Reread, next_reread, settle_reread
from cloud.meterdata.core.hours import hour_of, owner_of
from cloud.meterdata.core.meter_day import Source
from cloud.meterdata.core.placing import PlacedRow, Placement, Stated, stated_in
from cloud.meterdata.core.utc import day_of, is_plausible
from wire.errors import WireError

MESSAGES_PER_STEP_MAX = 32
METERS_PER_STEP_MAX = 512
ROWS_PER_STEP_MAX = 2_048
"""A step ends with the message that reaches either bound: on SQLite the head-end waits for it."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """What a step did."""

    message_count: int
    row_count: int
    refused_count: int
    reread_count: int
    """Messages read again."""

    may_be_more: bool
    """Whether something may be left to do; what is committed later brings a notice of its own."""

    @property
    def worked(self) -> bool:
        return bool(self.message_count or self.reread_count)


def project(connection: sa.Connection, *, messages_max: int = MESSAGES_PER_STEP_MAX) -> Projected:
    """Do one step: new messages, then a piece of what is to be read again."""
    new, is_all = _take_new(connection, messages_max)
    changes = Changes()
    placed = _project_new(connection, new, changes) if new else []
    reread = next_reread(connection, DAYS_FOLLOWER, count_max=messages_max)
    if reread is not None:
        _move(connection, reread, changes)
    changes.write(connection)
    return Projected(
        message_count=len(new),
        row_count=sum(len(placement.placed) for placement in placed),
        refused_count=sum(len(placement.refused) for placement in placed),
        reread_count=0 if reread is None else max(1, len(reread.messages)),
        may_be_more=not is_all or reread is not None,
    )


def project_all(connection: sa.Connection) -> None:
    """Do steps until there is nothing left to do, in one transaction: for simulations and tools."""
    while project(connection).worked:
        pass


async def follow(database: Database, *, notice: Event, rng: Random, projected: Callable[[], None]) -> None:
    """Project for ever.

    Args:
        database: Where messages are committed.
        notice: Set by the head-end after each commit of messages.
        rng: For the jitter of the back-off.
        projected: Called after each step that did something, to wake those who read behind.
    """

    async def step() -> bool:
        done = await database.transact(project)
        if done.worked:
            projected()
            _log.debug(
                "messages.projected",
                messages=done.message_count,
                rows=done.row_count,
                refused=done.refused_count,
                reread=done.reread_count,
            )
        return done.may_be_more

    await keep_following(DAYS_FOLLOWER, step, notice=notice, rng=rng)


def _take_new(connection: sa.Connection, messages_max: int) -> tuple[list[tuple[Followed, Stated]], bool]:
    """Return the next messages within all bounds, and whether these are all there are."""
    found = next_messages(connection, DAYS_FOLLOWER, count_max=messages_max)
    taken: list[tuple[Followed, Stated]] = []
    meters: set[tuple[str, str]] = set()
    row_count = 0
    for message in found:
        stated = _read(connection, message)
        taken.append((message, stated))
        meters.update((message.utility, meter) for meter in stated.meters())
        row_count += sum(len(block.meters) for block in stated.blocks)
        if len(meters) >= METERS_PER_STEP_MAX or row_count >= ROWS_PER_STEP_MAX:
            break
    return taken, len(taken) == len(found) < messages_max


def _read(connection: sa.Connection, message: Followed) -> Stated:
    try:
        return stated_in(facts_in(message))
    except WireError as error:
        # It was committed, so its bytes are kept; that its rows do not count must be seen somewhere.
        row = {"utility": message.utility, "message": message.id, "meter": "", "reason": str(error.reason)}
        upsert(connection, schema.quarantined_row, [row | {"row_count": 0}])
        return Stated({}, [], [])


def _project_new(connection: sa.Connection, new: list[tuple[Followed, Stated]], changes: Changes) -> list[Placement]:
    learn_clocks(connection, new)
    record_spans(connection, new)
    known = known_of(connection, new)
    found = [known.place(message, stated) for message, stated in new]
    by_day: dict[DayKey, list[PlacedRow]] = {}
    for (message, _), placement in zip(new, found, strict=True):
        for placed in placement.placed:
            by_day.setdefault(_key(message.utility, placed), []).append(placed)
    days = OpenDays(connection, by_day, moved=False)
    for key, rows in by_day.items():
        day = days[key]
        for placed in rows:
            day.put(placed.row)
        days.finish(key)
    days.write()
    for (message, _), placement in zip(new, found, strict=True):
        changes.came(message.utility, placement.placed, known.tenures[message.utility])
        record_waiting(connection, message, placement)
        _record_refused(connection, message, placement)
    last = new[-1][0]
    advance(connection, DAYS_FOLLOWER, tx=last.tx, message=last.id)
    return found


def _move(connection: sa.Connection, reread: Reread, changes: Changes) -> None:
    """Place the rows of a piece anew, and remove them from where they lay before."""
    messages = [(message, _read(connection, message)) for message in reread.messages]
    known = known_of(connection, messages)
    found = [known.place(message, stated) for message, stated in messages]
    days = OpenDays(connection, _touched(reread, found), moved=True)
    for (message, _), placement in zip(messages, found, strict=True):
        _remove_refused(reread, days, message, placement)
        for placed in placement.placed:
            if reread.covers_row(placed.row.source, placed.row.tick_ms):
                _move_row(reread, days, placed)
        _note_moved(reread, placement, known, changes)
        refused = schema.quarantined_row
        connection.execute(
            sa.delete(refused).where(
                refused.c.utility == message.utility, refused.c.message == message.id, refused.c.meter != ""
            )
        )
        _record_refused(connection, message, placement)
    days.write()
    settle_reread(connection, reread)


def _move_row(reread: Reread, days: OpenDays, placed: PlacedRow) -> None:
    row = placed.row
    here = days[_key(reread.utility, placed)]
    there = _key_before(reread, placed.meter, row.source, row.tick_ms)
    if there is not None and there.day != day_of(placed.utc_ms):
        # The row as it lies there may hold more than this message says.
        taken = days[there].take(row.source, row.tick_ms)
        here.put_day(taken, offset_ms=row.offset_ms, estimated=row.estimated)
    here.put(row)


def _note_moved(reread: Reread, placement: Placement, known: Known, changes: Changes) -> None:
    """Note the hours that rows of a piece came to, and those they may have lain in before."""
    tenures = known.tenures.get(reread.utility, {})
    placed = [row for row in placement.placed if reread.covers_row(row.row.source, row.row.tick_ms)]
    refused = [row for row in placement.refused if reread.covers_row(row.source, row.tick_ms)]
    changes.came(reread.utility, placed, tenures)
    lay: set[tuple[str, int]] = {(row.meter, hour_of(row.utc_ms)) for row in refused if is_plausible(row.utc_ms)}
    stamps = [(row.meter, row.row.source, row.row.tick_ms) for row in placed]
    stamps += [(row.meter, row.source, row.tick_ms) for row in refused]
    for meter, source, tick_ms in stamps:
        offset_ms = reread.offset_before(source)
        if offset_ms is not None and is_plausible(tick_ms + offset_ms):
            lay.add((meter, hour_of(tick_ms + offset_ms)))
    for meter, hour in lay - {(row.meter, hour_of(row.utc_ms)) for row in placed}:
        for gateway in {reread.gateway, owner_of(tenures.get(meter, ()), hour)}:
            changes.note(reread.utility, gateway, hour, left=True)


def _remove_refused(reread: Reread, days: OpenDays, message: Followed, placement: Placement) -> None:
    for refused in placement.refused:
        if not reread.covers_row(refused.source, refused.tick_ms):
            continue
        here = days[DayKey(reread.utility, refused.meter, day_of(refused.utc_ms))]
        if refused.source.by_meter:
            here.disown(refused.source, refused.tick_ms, message.id)
            continue
        here.take(refused.source, refused.tick_ms)
        there = _key_before(reread, refused.meter, refused.source, refused.tick_ms)
        if there is not None:
            days[there].take(refused.source, refused.tick_ms)


def _touched(reread: Reread, found: Sequence[Placement]) -> set[DayKey]:
    keys: set[DayKey] = set()
    for placement in found:
        rows = [(row.meter, row.utc_ms, row.row.source, row.row.tick_ms) for row in placement.placed]
        rows += [(row.meter, row.utc_ms, row.source, row.tick_ms) for row in placement.refused]
        for meter, utc_ms, source, tick_ms in rows:
            if reread.covers_row(source, tick_ms):
                keys.add(DayKey(reread.utility, meter, day_of(utc_ms)))
                before = _key_before(reread, meter, source, tick_ms)
                if before is not None:
                    keys.add(before)
    return keys


def _key(utility: str, placed: PlacedRow) -> DayKey:
    return DayKey(utility, placed.meter, day_of(placed.utc_ms))


def _key_before(reread: Reread, meter: str, source: Source, tick_ms: int) -> DayKey | None:
    offset_ms = reread.offset_before(source)
    return None if offset_ms is None else DayKey(reread.utility, meter, day_of(tick_ms + offset_ms))


def _record_refused(connection: sa.Connection, message: Followed, placement: Placement) -> None:
    """Write down whose rows do not count; where there are several reasons, the first by name stands for all."""
    by_meter: dict[str, list[str]] = {}
    for refused in placement.refused:
        by_meter.setdefault(refused.meter, []).append(refused.reason)
    upsert(
        connection,
        schema.quarantined_row,
        [
            {
                "utility": message.utility,
                "message": message.id,
                "meter": meter,
                "reason": min(reasons),
                "row_count": len(reasons),
            }
            for meter, reasons in sorted(by_meter.items())
        ],
    )
