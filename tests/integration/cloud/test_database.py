"""What a database does not take, and what it means that it does not answer."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import UnfitError, open_database
from cloud.migrations import current_revision, head_revision, require_current
from tests.rig.postgres import PostgresServer
from wire.runtime.errors import ConfigError, UnavailableError

SETTING = {"name": "epoch", "value": "1"}


def insert_twice(connection: sa.Connection) -> None:
    connection.execute(sa.insert(schema.setting).values(SETTING))
    connection.execute(sa.insert(schema.setting).values(SETTING))


def insert_too_much(connection: sa.Connection) -> None:
    connection.execute(sa.insert(schema.restore).values(epoch=1, position=2**63))


async def test_values_that_do_not_fit_are_told_from_a_database_that_is_away(database_url: str) -> None:
    async with open_database(database_url) as database:
        await require_current(database)
        for work in (insert_twice, insert_too_much):
            with pytest.raises(UnfitError):
                await database.transact(work)

        count = sa.select(sa.func.count()).select_from(schema.setting)
        assert await database.transact(lambda connection: connection.execute(count).scalar()) == 0


async def test_processes_that_start_at_once_on_an_empty_database_agree_on_its_schema(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        await asyncio.gather(require_current(one), require_current(other))

        assert await one.transact(current_revision) == head_revision()


async def test_a_server_that_does_not_let_us_in_is_waited_for(postgres: PostgresServer) -> None:
    for url in (postgres.url("no-such-database"), postgres.url("postgres").replace("wattpost:", "wattpost:not")):
        async with open_database(url) as database:
            with pytest.raises(UnavailableError):
                await database.transact(current_revision)


async def test_the_server_ends_sessions_whose_machine_vanished(postgres_url: str) -> None:
    query = sa.text(
        "SELECT count(*) FROM pg_settings WHERE source = 'client' "
        "AND name IN ('tcp_keepalives_idle', 'idle_in_transaction_session_timeout')"
    )
    async with open_database(postgres_url) as database:
        assert await database.transact(lambda connection: connection.execute(query).scalar()) == 2


async def test_a_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("a text that is surely no database at all")
    async with open_database(f"sqlite:///{path}") as database:
        with pytest.raises(UnavailableError, match="not a database"):
            await database.transact(current_revision)


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/name", "postgresql://host/name", "sqlite:////proc/a/b"])
async def test_an_address_of_no_database_is_the_operators_to_correct(url: str) -> None:
    with pytest.raises(ConfigError):
        async with open_database(url):
            pass
