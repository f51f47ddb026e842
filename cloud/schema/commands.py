"""The tables of the room of commands."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from cloud.schema.common import Name, PeerText, Serial, metadata, utility

client = Table(
    "client",
    metadata,
    utility(),
    Column("name", Name, primary_key=True),
    Column("effects", Text, nullable=False, comment="comma-separated effect names it may request"),
    Column("meters", Text, nullable=False, comment="comma-separated prefixes of meter ids it may address; * is all"),
    comment="commands: integrators and what each may do",
)
request = Table(
    "request",
    metadata,
    utility(),
    Column("client", Name, primary_key=True),
    Column("id", LargeBinary(16), primary_key=True),
    Column("content_digest", LargeBinary(32), nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    comment="commands: requests as signed; the same id never runs twice",
)
command = Table(
    "command",
    metadata,
    utility(),
    Column("id", LargeBinary(16), primary_key=True),
    Column("client", Name, nullable=False),
    Column("request", LargeBinary(16), nullable=False),
    Column("gateway", Name, nullable=False),
    Column("meter", Name, nullable=False),
    Column("asked", String(12), nullable=False, comment="the effect's name"),
    Column("effect", String(8), nullable=False, comment="effect group: relay, limit, read or ping"),
    Column("version", BigInteger, nullable=False),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", String(12), nullable=False),
    Column("state_at_ms", BigInteger, nullable=False),
    Column("detail", PeerText(120), nullable=False, server_default=""),
    Column("relay_closed", Boolean),
    Column("sent_at_ms", BigInteger, comment="null while it was never sent"),
    Column("due_at_ms", BigInteger, comment="when to act next; null in a final state"),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Index(None, "utility", "due_at_ms"),
    Index(None, "utility", "client", "due_at_ms"),
    Index(None, "utility", "gateway", "not_after_ms"),
    Index(None, "utility", "not_after_ms"),
    Index(None, "utility", "client", "request"),
    Index(None, "utility", "state_at_ms"),
    comment="commands: one life cycle for all",
)
effect_version = Table(
    "effect_version",
    metadata,
    utility(),
    Column("meter", Name, primary_key=True),
    Column("effect", String(8), primary_key=True),
    Column("version", BigInteger, nullable=False),
    comment="commands: the last version given out for a meter and effect; starts with the epoch",
)
status_outbox = Table(
    "status_outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("utility", Name, nullable=False),
    Column("client", Name, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    comment="commands: statuses not yet handed to the broker",
)
