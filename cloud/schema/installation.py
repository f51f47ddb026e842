"""The tables of the installation as a whole: settings, followers' cursors, keys."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table, Text

from cloud.schema.common import Name, metadata, utility

setting = Table(
    "setting",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    comment="installation: epoch and other single values",
)
restore = Table(
    "restore",
    metadata,
    Column("epoch", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    comment="installation: each time the database was set back to a backup, and the commit counter it then held",
)
cursor = Table(
    "cursor",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("tx", BigInteger, nullable=False),
    Column("message", BigInteger, nullable=False),
    comment="installation: how far a follower has read `message`, by (tx, id)",
)
key = Table(
    "key",
    metadata,
    utility(),
    Column("kid", LargeBinary(8), primary_key=True),
    Column("purpose", String(20), nullable=False),
    Column("party", Name, nullable=False),
    Column("public", LargeBinary(32), nullable=False),
    Column("revoked_at_ms", BigInteger, comment="null while it is in force; rows are never deleted"),
    comment="installation: public keys that messages are verified with",
)
