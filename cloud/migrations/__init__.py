"""Migrations of the cloud's database, by Alembic; `wattpost cloud migrate` runs them."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloud.database import Database
from cloud.following import take_turn
from wire.runtime.errors import ConfigError


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """Return the newest revision this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there is a first migration"
    return head


def current_revision(connection: sa.Connection) -> str | None:
    """Return the revision of a database, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: sa.Connection) -> None:
    """Bring a database to this program's schema, in the connection's transaction; two processes take turns."""
    take_turn(connection, "migrations")
    command.upgrade(_config(connection), "head")


def write_revision(connection: sa.Connection, message: str, revision: str) -> None:
    """Write the migration from a database to `cloud.schema`, for a person to read before it is committed."""
    command.revision(_config(connection), message, rev_id=revision, autogenerate=True)


async def require_current(database: Database) -> None:
    """Make sure that a database fits this program; an empty one is given its schema.

    Raises:
        ConfigError: It is of an older or newer program.
        UnavailableError: It cannot be reached.
    """
    found = await database.transact(current_revision)
    if found is None:
        await database.transact(upgrade)
        return
    if found != head_revision():
        raise ConfigError(
            "database",
            f"has schema {found}, this program needs {head_revision()}",
            "run `wattpost cloud migrate`, or the program that fits it",
        )
