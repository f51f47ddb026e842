"""The cloud's own signing keys, and the registry of everybody's public keys in the database."""

from dataclasses import dataclass

import sqlalchemy as sa

from cloud import schema
from cloud.database import insert_new
from wire.keys import PinnedKeys, PublicKey, Purpose, SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudKeys:
    """What the cloud signs with, one key a purpose."""

    ack: SigningKey
    command: SigningKey
    credit: SigningKey


def register_key(connection: sa.Connection, utility: str, key: PublicKey) -> None:
    """Put a public key into the registry; it is never taken out, and one revoked stays so."""
    row = {
        "utility": utility,
        "kid": key.kid,
        "purpose": key.purpose.value,
        "party": key.party,
        "public": key.public,
    }
    insert_new(connection, schema.key, [row])


def revoke_key(connection: sa.Connection, utility: str, kid: str, *, at_ms: int) -> bool:
    """Mark the key with this id (hex) revoked; False if there is none."""
    table = schema.key
    try:
        name = bytes.fromhex(kid)
    except ValueError:
        return False
    revoked = connection.execute(
        sa.update(table).where(table.c.utility == utility, table.c.kid == name).values(revoked_at_ms=at_ms)
    )
    return revoked.rowcount > 0


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
