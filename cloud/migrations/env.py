"""Alembic's entry: runs migrations over the connection that `cloud.migrations` hands in."""

from alembic import context

from cloud import schema

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=schema.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
