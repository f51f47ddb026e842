"""An installation at a glance, again and again: who is there, how much has arrived, what just happened.

For people who look on and programs that follow along. It reads what the rooms have committed and decides nothing;
what is wrong with the picture is for the reader to say.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import sqlalchemy as sa

from cloud import schema
from cloud.database import Database
from cloud.meterdata.adapters.queries import presence
from cloud.meterdata.core.day_body import DayCodec
from cloud.prepaid.adapters.accounts import UnknownAccountError, balance_of
from wire.runtime.clock import Clock

EVENTS_MAX = 200
"""Events told at once; the rest stands in the next picture."""


class Happened(msgspec.Struct, frozen=True, array_like=True):
    """An event that a gateway reported."""

    gateway: str
    meter: str
    code: str
    """IEC 61968-9."""
    detail: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """How an installation stands."""

    at_ms: int
    """Site time."""
    gateways: dict[str, bool]
    """Whether each is there, as far as the cloud knows."""
    readings: dict[str, int]
    """Readings stored of each meter, each with all its channels."""
    batches: int
    """Signed messages committed."""
    batch_bytes: int
    """Their bytes as signed."""
    balances: dict[str, int]
    """Of those accounts asked for that are open, in minor units."""
    events: list[Happened]
    """Since the picture before; with several handlers one that commits behind a later one may be left out."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one transaction read."""

    gateways: dict[str, bool]
    bodies: dict[tuple[str, int], bytes]
    batches: int
    batch_bytes: int
    balances: dict[str, int]
    events: list[tuple[int, Happened]]


class Watch:
    """Takes one picture after the other.

    Args:
        utility: Whose installation.
        accounts: Whose balances belong in the picture.
    """

    def __init__(self, utility: str, accounts: Sequence[str]) -> None:
        self._utility = utility
        self._accounts = accounts
        self._codec = DayCodec()
        self._counted: dict[tuple[str, int], tuple[bytes, int]] = {}
        self._told_message = 0

    def look(self, connection: sa.Connection, *, at_ms: int) -> _Found:
        """Read what a picture needs, in as little time as possible: on SQLite the handlers wait meanwhile."""
        day = schema.meter_day.c
        message = schema.message.c
        days = connection.execute(sa.select(day.meter, day.day, day.body).where(day.utility == self._utility))
        batches, batch_bytes = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.length(message.sealed)), 0)).where(
                message.utility == self._utility, message.quarantine_reason.is_(None)
            )
        ).one()
        return _Found(
            gateways={item.gateway: item.present for item in presence(connection, self._utility)},
            bodies={(meter, index): body for meter, index, body in days},
            batches=int(batches),
            batch_bytes=int(batch_bytes),
            balances=self._balances(connection, at_ms),
            events=self._events(connection),
        )

    def picture(self, found: _Found, *, at_ms: int) -> Picture:
        """Return the picture of what was read."""
        readings: dict[str, int] = {}
        for key, body in found.bodies.items():
            readings[key[0]] = readings.get(key[0], 0) + self._row_count(key, body)
        if found.events:
            self._told_message = found.events[-1][0]
        return Picture(
            at_ms=at_ms,
            gateways=found.gateways,
            readings=readings,
            batches=found.batches,
            batch_bytes=found.batch_bytes,
            balances=found.balances,
            events=[event for _, event in found.events],
        )

    def _balances(self, connection: sa.Connection, at_ms: int) -> dict[str, int]:
        balances: dict[str, int] = {}
        for account in self._accounts:
            with suppress(UnknownAccountError):
                balances[account] = balance_of(connection, self._utility, account, at_ms=at_ms).amount_minor
        return balances

    def _events(self, connection: sa.Connection) -> list[tuple[int, Happened]]:
        event = schema.event.c
        query = (
            sa.select(event.message, event.gateway, event.meter, event.code, event.detail)
            .where(event.utility == self._utility, event.message > self._told_message)
            .order_by(event.message, event.serial)
            .limit(EVENTS_MAX)
        )
        rows = [(int(message), Happened(*rest)) for message, *rest in connection.execute(query)]
        if len(rows) == EVENTS_MAX:
            # Of the message that the limit cut through all events stand in the next picture.
            rows = [row for row in rows if row[0] < rows[-1][0]] or rows
        return rows

    def _row_count(self, key: tuple[str, int], body: bytes) -> int:
        known = self._counted.get(key)
        if known is None or known[0] != body:
            known = self._counted[key] = (body, len(self._codec.decode(body).rows))
        return known[1]


async def keep_watching(
    database: Database,
    utility: str,
    accounts: Sequence[str],
    *,
    clock: Clock,
    every_ms: int,
    show: Callable[[str], None],
) -> None:
    """Show a picture as one line of JSON, again and again.

    Raises:
        UnavailableError: The database is away.
    """
    watch = Watch(utility, accounts)
    while True:
        at_ms = clock.wall_ms()
        found = await database.transact(partial(watch.look, at_ms=at_ms))
        show(msgspec.json.encode(watch.picture(found, at_ms=at_ms)).decode())
        await asyncio.sleep(every_ms / 1_000)
