"""Prepared statements do on either database what SQLAlchemy does with the same statement."""

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import UnfitError, insert_into, insert_new, open_database, upsert
from cloud.migrations import require_current
from cloud.prepared import Prepared

_command = schema.command.c
ROW = {
    "utility": "hillside",
    "client": "billing",
    "request": bytes(16),
    "gateway": "gw-1",
    "meter": "m-1",
    "asked": "disconnect",
    "effect": "relay",
    "version": 2**40,
    "issued_at_ms": 1,
    "not_after_ms": 2,
    "sealed": b"\x00\xff",
    "state": "sent",
    "state_at_ms": 3,
    "detail": "a NUL \x00 that a peer chose",
    "relay_closed": True,
}
ISSUE = Prepared(sa.insert(schema.command), columns=("id", *ROW))
FIND = Prepared(
    sa.select(schema.command).where(_command.utility == sa.bindparam("of"), _command.id == sa.bindparam("named"))
)
OPEN_IT = Prepared(
    sa.update(schema.command).where(_command.id == sa.bindparam("named")), columns=("relay_closed", "detail")
)
COUNT_UP = Prepared(
    lambda dialect: (
        insert_into(dialect, schema.refusal)
        .on_conflict_do_update(
            index_elements=["utility", "reason", "party"], set_={"count": schema.refusal.c.count + 1}
        )
        .returning(schema.refusal.c.count)
    ),
    columns=("utility", "reason", "party", "count"),
)


async def test_values_go_in_and_come_out_as_the_schema_has_them(database_url: str) -> None:
    def work(connection: sa.Connection) -> None:
        ISSUE.run_each(connection, [{"id": bytes([number]) * 16, **ROW} for number in range(3)])
        found = FIND.first(connection, {"of": "hillside", "named": bytes([1]) * 16})
        same = connection.execute(sa.select(schema.command).where(_command.id == bytes([1]) * 16)).one()
        assert tuple(found) == tuple(same)
        assert found.relay_closed is True
        assert (found.version, bytes(found.sealed), "\x00" in found.detail) == (2**40, b"\x00\xff", False)
        assert FIND.first(connection, {"of": "hillside", "named": bytes([9]) * 16}) is None
        assert OPEN_IT.run(connection, {"named": bytes([1]) * 16, "relay_closed": False, "detail": ""}) == 1
        assert OPEN_IT.run(connection, {"named": bytes([9]) * 16, "relay_closed": False, "detail": ""}) == 0
        assert FIND.first(connection, {"of": "hillside", "named": bytes([1]) * 16}).relay_closed is False

    async with open_database(database_url) as database:
        await require_current(database)
        await database.transact(work)


async def test_what_a_statement_returns_is_read(database_url: str) -> None:
    row = {"utility": "hillside", "reason": "expired", "party": "gw-1", "count": 1}
    async with open_database(database_url) as database:
        await require_current(database)
        counts = [await database.transact(lambda c: COUNT_UP.scalar(c, row)) for _ in range(3)]
    assert counts == [1, 2, 3]


async def test_values_that_do_not_fit_are_refused_and_nothing_is_committed(database_url: str) -> None:
    def twice(connection: sa.Connection) -> None:
        ISSUE.run_each(connection, [{"id": bytes(16), **ROW}] * 2)

    def too_much(connection: sa.Connection) -> None:
        upsert(connection, schema.restore, [{"epoch": 1, "position": 1}])
        upsert(connection, schema.restore, [{"epoch": 2, "position": 2**63}])

    def count(connection: sa.Connection, table: sa.Table) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    async with open_database(database_url) as database:
        await require_current(database)
        for work in (twice, too_much):
            with pytest.raises(UnfitError):
                await database.transact(work)
        for table in (schema.command, schema.restore):
            assert await database.transact(lambda connection, table=table: count(connection, table)) == 0  # type: ignore[misc]


async def test_what_is_there_is_left_or_replaced_as_asked(database_url: str) -> None:
    def work(connection: sa.Connection) -> list[tuple[str, str]]:
        insert_new(connection, schema.setting, [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}])
        insert_new(connection, schema.setting, [{"name": "a", "value": "2"}])
        upsert(connection, schema.setting, [{"name": "b", "value": "2"}, {"name": "c", "value": "2"}])
        insert_new(connection, schema.setting, [])
        rows = connection.execute(sa.select(schema.setting.c.name, schema.setting.c.value).order_by("name"))
        return [(row.name, row.value) for row in rows]

    async with open_database(database_url) as database:
        await require_current(database)
        assert await database.transact(work) == [("a", "1"), ("b", "2"), ("c", "2")]
