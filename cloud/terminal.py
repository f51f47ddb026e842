"""What the cloud's commands share: the configuration file they take first, and how they reach the database."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from cloud.config import Config
from cloud.database import UnfitError, open_database
from wire.runtime.errors import ConfigError, UnavailableError

T = TypeVar("T")

file_argument = click.argument("file", type=click.Path(path_type=Path))
"""FILE, the configuration."""


def transact(config: Config, work: Callable[[sa.Connection], T]) -> T:
    """Run one transaction on the configured database.

    Raises:
        ConfigError: The database is away, or has another schema.
    """
    return run_on_database(_transact(config, work))


def run_on_database(work: Coroutine[Any, Any, T]) -> T:
    """Run something that needs the database.

    Raises:
        ConfigError: The database is away, or does not take what it is given.
    """
    try:
        return asyncio.run(work)
    except UnavailableError as error:
        raise ConfigError("database", str(error), "start it, or correct its address") from error
    except UnfitError as error:
        raise ConfigError("database", str(error), "correct what was asked for; nothing was changed") from error


async def _transact(config: Config, work: Callable[[sa.Connection], T]) -> T:
    from cloud.migrations import require_current  # noqa: PLC0415 - Alembic is slow to load

    async with open_database(config.database) as database:
        if work.__name__ != "upgrade":
            await require_current(database)
        return await database.transact(work)
