"""Migrations bring both kinds of database to the schema that the program uses."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cloud import schema
from cloud.database import open_database
from cloud.migrations import current_revision, head_revision, require_current, upgrade


def differences(connection: sa.Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, schema.metadata))


async def test_the_migrated_schema_is_the_one_the_program_uses(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.transact(upgrade)

        assert await database.transact(differences) == []


async def test_an_empty_database_is_given_the_schema_at_the_first_start(database_url: str) -> None:
    async with open_database(database_url) as database:
        await require_current(database)

        assert await database.transact(current_revision) == head_revision()


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.transact(upgrade)
        await database.transact(upgrade)

        assert await database.transact(current_revision) == head_revision()
