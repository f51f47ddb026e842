"""The cloud's own signing keys, and the registry of everybody's public keys in the database."""

from dataclasses import dataclass

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from wire.keys import PinnedKeys, PublicKey, Purpose, SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudKeys:
    """What the cloud signs with, one key a purpose."""

    ack: SigningKey
    command: SigningKey
    credit: SigningKey


def register_key(connection: sa.Connection, utility: str, key: PublicKey, *, revoked_at_ms: int | None = None) -> None:
    """Put a public key into the registry, or mark it revoked; it is never taken out."""
    row = {
        "utility": utility,
        "kid": key.kid,
        "purpose": key.purpose.value,
        "party": key.party,
        "public": key.public,
        "revoked_at_ms": revoked_at_ms,
    }
    upsert(connection, schema.key, [row])


def load_registry(connection: sa.Connection, utility: str) -> PinnedKeys:
    """Return all keys of a utility, revoked ones included."""
    table = schema.key.c
    rows = connection.execute(
        sa.select(table.purpose, table.party, table.public, table.revoked_at_ms).where(table.utility == utility)
    )
    return PinnedKeys(
        PublicKey(Purpose(row.purpose), row.party, bytes(row.public), revoked=row.revoked_at_ms is not None)
        for row in rows
    )
