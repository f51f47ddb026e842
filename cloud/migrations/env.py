"""Alembic's entry: runs migrations over the connection that `cloud.migrations` hands in."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import TypeDecorator

from cloud import schema


def _plain_type(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write a type decorator of ours as what it is in the database."""
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=schema.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=_plain_type,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
