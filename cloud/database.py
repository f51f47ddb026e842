"""One way to run a transaction on SQLite and on PostgreSQL: hand over a function of a connection.

The function is plain synchronous SQLAlchemy Core. On SQLite it runs in the one writer thread; on PostgreSQL in a
connection of an asyncio pool. What must happen after the commit happens after `transact` returns.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cloud.prepared import Prepared, run_text
from wire.runtime.errors import ConfigError, UnavailableError
from wire.runtime.sqlite import lengthen_log, make_durable
from wire.runtime.threads import WorkerThread

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000
POOL_SIZE = 4
_SERVER_SETTINGS = {
    # A process whose machine vanished in a transaction would hold its turn for hours otherwise.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "300000",
}


class UnfitError(Exception):
    """Raised when the database does not take the values it was given, nor would another time; nothing was committed."""


class Database(Protocol):
    """Where transactions run."""

    async def transact(self, work: Callable[[sa.Connection], T], /) -> T:
        """Return what `work` returned, once it is committed.

        Raises:
            UnavailableError: The database cannot be reached or refused for now; nothing was committed.
            UnfitError: It does not take the values; nothing was committed.
        """


def sqlite_engine(url: str, *, lasts: bool = False) -> sa.Engine:
    """Return an engine whose transactions take the write lock at once and survive a power cut once committed.

    Args:
        url: The file.
        lasts: Whether it is for a process that goes on and on; that is worth some preparation of each connection.
    """
    file = sa.make_url(url).database
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the begin event below opens transactions
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        make_durable(connection)
        if lasts:
            lengthen_log(connection)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        run_text(connection, "BEGIN IMMEDIATE")

    return engine


class SqliteDatabase:
    """SQLite behind one thread: its writer lock as a queue."""

    def __init__(self, url: str, *, lasts: bool = False) -> None:
        self._engine = sqlite_engine(url, lasts=lasts)
        self._thread = WorkerThread("database")
        # The thread's own, since a pool takes as long over lending one as a small transaction takes.
        self._connection: sa.Connection | None = None

    async def transact(self, work: Callable[[sa.Connection], T], /) -> T:
        return await self._thread.run(lambda: self._run(work))

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                return work(self._connection)
        except sa.exc.OperationalError as error:
            self._let_go()
            raise UnavailableError(f"database: {str(error.orig)[:200]}") from error
        except (sa.exc.IntegrityError, sa.exc.DataError, OverflowError) as error:
            raise UnfitError(f"database: {str(error)[:200]}") from error
        except sa.exc.DatabaseError as error:
            # No database, or a damaged one: what was a file of ours may be put back.
            self._let_go()
            raise UnavailableError(f"database: {str(error.orig)[:200]}") from error

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    async def close(self) -> None:
        await self._thread.run(self._let_go)
        self._thread.stop()


class PostgresqlDatabase:
    """PostgreSQL behind a small pool; the same functions, run by greenlets."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url, pool_size=POOL_SIZE, pool_pre_ping=True, connect_args={"server_settings": _SERVER_SETTINGS}
        )

    async def transact(self, work: Callable[[sa.Connection], T], /) -> T:
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)
        except (OSError, sa.exc.InterfaceError, sa.exc.OperationalError, sa.exc.TimeoutError) as error:
            # The last is what the pool says when all its connections hang.
            raise UnavailableError(f"database: {str(error)[:200]}") from error
        except DBAPIError as error:
            if error.connection_invalidated or _passes(error):
                raise UnavailableError(f"database: {str(error)[:200]}") from error
            if _state(error).startswith(_UNFIT_STATES):
                raise UnfitError(f"database: {str(error)[:200]}") from error
            raise

    async def close(self) -> None:
        await self._engine.dispose()


_PASSING_STATES = ("08", "25006", "25P03", "28", "3D", "40", "53", "55", "57", "58")
"""Of SQLSTATE (PostgreSQL appendix A), after which the same may work: connection, a standby, idle for too long, not let
in, no such database, deadlock, load, locks, shutdown, disks."""
_UNFIT_STATES = ("22", "23")
"""Classes of SQLSTATE: values that do not fit their type, or a constraint."""


def _passes(error: DBAPIError) -> bool:
    return _state(error).startswith(_PASSING_STATES)


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


@asynccontextmanager
async def open_database(url: str, *, lasts: bool = False) -> AsyncIterator[SqliteDatabase | PostgresqlDatabase]:
    """Open the database that `url` names, `sqlite:///FILE` or `postgresql+asyncpg://…`.

    Args:
        url: Its address.
        lasts: Whether it is for a process that goes on and on.

    Raises:
        ConfigError: It names none.
    """
    require_url(url)
    database: SqliteDatabase | PostgresqlDatabase
    try:
        database = SqliteDatabase(url, lasts=lasts) if url.startswith("sqlite") else PostgresqlDatabase(url)
    except OSError as error:
        raise ConfigError("database", f"its folder cannot be made: {error}", "correct its address") from error
    try:
        yield database
    finally:
        await database.close()


def require_url(url: str) -> sa.URL:
    """Return an address of a database that this program can use.

    Raises:
        ConfigError: It is none.
    """
    try:
        made = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        made = None
    if made is None or made.drivername not in ("sqlite", "postgresql+asyncpg"):
        raise ConfigError(
            "database",
            "is no address that this program knows",
            "write sqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME",
        )
    return made


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of the connection's dialect, for `ON CONFLICT`."""
    return insert_into(connection.dialect.name, table)


def insert_into(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of a dialect by name, for statements that are kept."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert_new(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    return Prepared(lambda dialect: insert_into(dialect, table).on_conflict_do_nothing(), columns=columns)


@cache
def _upsert(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    keys = [column.name for column in table.primary_key.columns]

    def statement(dialect: str) -> sa.Executable:
        inserting = insert_into(dialect, table)
        rest = {name: inserting.excluded[name] for name in columns if name not in keys}
        return inserting.on_conflict_do_update(index_elements=keys, set_=rest)

    return Prepared(statement, columns=columns)


def insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows whose key is not there yet; all name the same columns."""
    if rows:
        _insert_new(table, tuple(rows[0])).run_each(connection, rows)


def upsert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or replace the other columns of those whose primary key is there; all name the same columns."""
    if rows:
        _upsert(table, tuple(rows[0])).run_each(connection, rows)


def current_tx(connection: sa.Connection) -> int:
    """Return the number that orders this transaction's messages; 0 where there is one writer."""
    if connection.dialect.name != "postgresql":
        return 0
    return int(connection.execute(sa.text("SELECT pg_current_xact_id()::text::bigint")).scalar_one())


def visible_below(connection: sa.Connection) -> int:
    """Return the `tx` below which no message can appear any more."""
    if connection.dialect.name != "postgresql":
        return 1
    return int(connection.execute(sa.text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one())
