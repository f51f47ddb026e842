"""The rig's PostgreSQL: a real server, fresh databases, and data that outlive a kill."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.rig.postgres import PostgresServer


async def run_sql(url: str, *statements: str) -> list[object]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements[:-1]:
                await connection.execute(text(statement))
            return list((await connection.execute(text(statements[-1]))).scalars())
    finally:
        await engine.dispose()


async def test_the_address_serves_sqlalchemy_with_asyncpg(postgres_url: str) -> None:
    assert await run_sql(postgres_url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1), (2) RETURNING n") == [1, 2]


@pytest.mark.parametrize("_round", [1, 2])
async def test_each_test_gets_an_empty_database(postgres_url: str, _round: int) -> None:
    assert await run_sql(postgres_url, "CREATE TABLE only_once (n int)", "SELECT count(*) FROM only_once") == [0]


async def test_a_database_can_be_a_copy_of_a_prepared_one(postgres: PostgresServer) -> None:
    prepared = postgres.create_database()
    await run_sql(postgres.url(prepared), "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7) RETURNING n")
    copy = await asyncio.to_thread(postgres.create_database, template=prepared)
    assert await run_sql(postgres.url(copy), "SELECT n FROM t") == [7]


async def test_committed_rows_outlive_a_kill_under_load(own_postgres: PostgresServer) -> None:
    database = own_postgres.create_database()
    url = own_postgres.url(database)
    await run_sql(url, "CREATE TABLE t (n int)", "SELECT 1")
    engine = create_async_engine(url)
    committed = 0
    while committed < 50:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": committed})
        committed += 1
    own_postgres.kill()
    await engine.dispose()
    own_postgres.start()
    assert await run_sql(url, "SELECT n FROM t ORDER BY n") == list(range(50))


def test_stop_and_start_keep_the_data(own_postgres: PostgresServer) -> None:
    database = own_postgres.create_database()
    own_postgres.query("CREATE TABLE t AS SELECT 5 AS n", database=database)
    own_postgres.stop()
    own_postgres.start()
    assert own_postgres.query("SELECT n FROM t", database=database) == [["5"]]


async def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    head, _, tail = postgres_url.partition("@")
    wrong = f"{head}wrong@{tail}"
    with pytest.raises(Exception, match="password authentication failed"):
        await run_sql(wrong, "SELECT 1")


async def test_every_engine_gets_a_turn(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql+asyncpg://"))
