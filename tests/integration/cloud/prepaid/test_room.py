"""The prepaid room on both databases: accounts are closed, follow their meters, and leave nothing superseded behind."""

from dataclasses import replace

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.purging import purge
from cloud.database import insert_new, open_database
from cloud.headend.adapters.assignments import assign
from cloud.prepaid.adapters.accounts import NewAccount, accounts, balance_of, open_account
from cloud.prepaid.adapters.room import close_some, tidy
from cloud.prepaid.core.closing import ClosingRules
from prepay.identity import encode, entry_digest
from tests.unit.cloud.office import METER, UTILITY
from tests.unit.cloud.prepaid.books import ACCOUNT, DAY_MS, OPENED_MS, point
from wire.runtime.clock import Clock, clock_from_text


class LaterClock:
    """A clock of some day since the account was opened."""

    def __init__(self, day: float) -> None:
        self._inner: Clock = clock_from_text("")
        self._now_ms = OPENED_MS + round(day * DAY_MS)

    def monotonic_ms(self) -> int:
        return self._inner.monotonic_ms()

    def tick_ms(self) -> int:
        return self._inner.tick_ms()

    def wall_ms(self) -> int:
        return self._now_ms


def _settle(connection: sa.Connection) -> None:
    schema.metadata.create_all(connection)
    assign(connection, UTILITY, "gw-1", [METER], from_ms=0)
    new = NewAccount(
        name=ACCOUNT, meter=METER, currency="KES", exponent=2, price="25.5", opening_wh=0, rated_power_w=5_000
    )
    open_account(connection, UTILITY, new, now_ms=OPENED_MS)
    points = [point(hour) for hour in range(1, 240)]
    rows = [
        {
            "utility": UTILITY,
            "digest": entry_digest(item),
            "account": ACCOUNT,
            "encoded": encode(item),
            "gateway": "gw-1",
            "message": 1,
        }
        for item in points
    ]
    insert_new(connection, schema.entry, rows)


async def test_an_account_is_closed_and_then_follows_its_meter(database_url: str) -> None:
    at_ms = OPENED_MS + 10 * DAY_MS
    rules = ClosingRules()
    async with open_database(database_url) as database:
        await database.transact(_settle)
        before = await database.transact(lambda connection: balance_of(connection, UTILITY, ACCOUNT, at_ms=at_ms))

        for day in (9.0, 10.0):
            assert not await close_some(database, UTILITY, rules=rules, clock=LaterClock(day))
        after = await database.transact(lambda connection: balance_of(connection, UTILITY, ACCOUNT, at_ms=at_ms))

        assert after.closed_at_ms == OPENED_MS + 7 * DAY_MS
        assert replace(after, digest=b"", periods=(), closed_at_ms=0) == replace(
            before, digest=b"", periods=(), closed_at_ms=0
        )

        await database.transact(lambda connection: assign(connection, UTILITY, "gw-2", [METER], from_ms=at_ms))
        await tidy(database, UTILITY, clock=LaterClock(10))
        moved = await database.transact(lambda connection: accounts(connection, UTILITY))
        sent = await database.transact(
            lambda connection: connection.execute(sa.select(schema.down_fact.c.gateway)).scalars().all()
        )

        assert moved == [(ACCOUNT, METER, "gw-2")]
        # Opening, assignment, tariff, statement, policy, and the points of three days.
        assert sent == ["gw-2"] * (5 + 71)
        assert await database.transact(lambda connection: purge(connection, UTILITY, before_ms=at_ms)) == 0
