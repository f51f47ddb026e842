"""Integrators: what each may request."""

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert


def set_scope(connection: sa.Connection, utility: str, name: str, *, effects: str, meters: str) -> None:
    """Give a client its scope, in the place of the one before; both are comma-separated lists."""
    upsert(connection, schema.client, [{"utility": utility, "name": name, "effects": effects, "meters": meters}])
