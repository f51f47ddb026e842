"""The tables of the cloud, for SQLite and PostgreSQL alike; each belongs to one room, named in its comment.

Every row belongs to a utility. Rooms meet through committed rows of `message` and cursors over them: `tx` with `id`
orders messages so that none becomes visible behind a cursor (on PostgreSQL ids are given out before they commit;
SQLite has one writer and `tx` is 0).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _PeerText(TypeDecorator[str]):
    """Text that a peer chose; PostgreSQL holds no NUL, and the true text stands in the signed message."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\x00", "\N{REPLACEMENT CHARACTER}")


_Serial = BigInteger().with_variant(Integer, "sqlite")
_Name = String(32)


def _utility() -> Column[str]:
    return Column("utility", _Name, primary_key=True)


# ---- the installation ------------------------------------------------------------------------------------------------

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
    _utility(),
    Column("kid", LargeBinary(8), primary_key=True),
    Column("purpose", String(20), nullable=False),
    Column("party", _Name, nullable=False),
    Column("public", LargeBinary(32), nullable=False),
    Column("revoked_at_ms", BigInteger, comment="null while it is in force; rows are never deleted"),
    comment="installation: public keys that messages are verified with",
)

# ---- head-end --------------------------------------------------------------------------------------------------------

gateway = Table(
    "gateway",
    metadata,
    _utility(),
    Column("name", _Name, primary_key=True),
    Column("boot", LargeBinary(8)),
    Column("store", LargeBinary(8)),
    Column("software", _PeerText(40), nullable=False, server_default=""),
    Column("journal_index", BigInteger, nullable=False, server_default="0"),
    Column("journal_digest", LargeBinary(32)),
    Column("set_back_count", Integer, nullable=False, server_default="0"),
    Column("hello_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("seen_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("bye_at_ms", BigInteger, nullable=False, server_default="0", comment="the broker's hint that it went"),
    comment="head-end: presence and last session of each gateway",
)
assignment = Table(
    "assignment",
    metadata,
    _utility(),
    Column("meter", _Name, primary_key=True),
    Column("from_ms", BigInteger, primary_key=True),
    Column("gateway", _Name, nullable=False),
    Column("until_ms", BigInteger),
    comment="head-end: which gateway may report a meter, and when",
)
message = Table(
    "message",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("tx", BigInteger, nullable=False),
    Column("utility", _Name, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("gateway", _Name, nullable=False),
    Column("lane", String(8), nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("quarantine_reason", String(32), comment="null when committed"),
    Column("sealed", LargeBinary, nullable=False, comment="the signed bytes as sent: the evidence"),
    UniqueConstraint("utility", "digest"),
    Index(None, "tx", "id"),
    comment="head-end: every batch a gateway signed, once",
)
boot_message = Table(
    "boot_message",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("message", BigInteger, primary_key=True),
    Column("tick_min_ms", BigInteger, comment="null until meter data has read the message"),
    Column("tick_max_ms", BigInteger),
    comment="meter data: the messages that hold facts stamped in a boot, and the ticks they span",
)
event = Table(
    "event",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("serial", BigInteger, primary_key=True),
    Column("value_digest", LargeBinary(16), primary_key=True, comment="two values under one key are both kept"),
    Column("tick_ms", BigInteger, nullable=False),
    Column("meter", _Name, nullable=False),
    Column("code", String(20), nullable=False),
    Column("detail", _PeerText(120), nullable=False),
    Column("message", BigInteger, nullable=False),
    Index(None, "utility", "message"),
    comment="head-end: events by IEC 61968-9 code",
)
meter_event = Table(
    "meter_event",
    metadata,
    _utility(),
    Column("meter", _Name, primary_key=True),
    Column("log", LargeBinary(6), primary_key=True, comment="logical name of the event log"),
    Column("captured_s", BigInteger, primary_key=True, comment="by the meter's clock"),
    Column("number", Integer, primary_key=True, comment="the meter's event code"),
    Column("value_digest", LargeBinary(16), primary_key=True, comment="two values under one key are both kept"),
    Column("gateway", _Name, nullable=False, comment="that reported it first"),
    Column("code", String(20), nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    Column("message", BigInteger, nullable=False),
    Index(None, "utility", "message"),
    comment="head-end: entries of meters' own event logs",
)
receipt = Table(
    "receipt",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("command", LargeBinary(16), primary_key=True),
    Column("stage", String(12), primary_key=True),
    Column("value_digest", LargeBinary(16), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
    Column("message", BigInteger, nullable=False, index=True),
    comment="head-end: what gateways said became of commands",
)
health = Table(
    "health",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("meter", _Name, primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    comment="head-end: the last health of a gateway and of each meter",
)
refusal = Table(
    "refusal",
    metadata,
    _utility(),
    Column("reason", String(32), primary_key=True),
    Column("party", _Name, primary_key=True, comment="empty where the signature did not hold"),
    Column("count", BigInteger, nullable=False),
    comment="head-end: messages refused, counted by reason",
)
down_fact = Table(
    "down_fact",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("id", LargeBinary(16), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("held_at_ms", BigInteger, comment="null until the gateway says it holds it"),
    Column("due_at_ms", BigInteger, nullable=False, comment="when to send it next"),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("slot", String(80), comment="facts of one slot supersede one another; null for what stands by itself"),
    Column("rank", BigInteger, comment="in its slot the highest counts"),
    Index(None, "held_at_ms", "due_at_ms"),
    Index(None, "utility", "gateway", "slot"),
    comment="head-end: credits, tariffs, policies on their way to a gateway",
)

# ---- commands --------------------------------------------------------------------------------------------------------

client = Table(
    "client",
    metadata,
    _utility(),
    Column("name", _Name, primary_key=True),
    Column("effects", Text, nullable=False, comment="comma-separated effect names it may request"),
    Column("meters", Text, nullable=False, comment="comma-separated prefixes of meter ids it may address; * is all"),
    comment="commands: integrators and what each may do",
)
request = Table(
    "request",
    metadata,
    _utility(),
    Column("client", _Name, primary_key=True),
    Column("id", LargeBinary(16), primary_key=True),
    Column("content_digest", LargeBinary(32), nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    comment="commands: requests as signed; the same id never runs twice",
)
command = Table(
    "command",
    metadata,
    _utility(),
    Column("id", LargeBinary(16), primary_key=True),
    Column("client", _Name, nullable=False),
    Column("request", LargeBinary(16), nullable=False),
    Column("gateway", _Name, nullable=False),
    Column("meter", _Name, nullable=False),
    Column("effect", String(8), nullable=False, comment="effect group: relay, limit, read or ping"),
    Column("version", BigInteger, nullable=False),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", String(12), nullable=False),
    Column("state_at_ms", BigInteger, nullable=False),
    Column("detail", _PeerText(120), nullable=False, server_default=""),
    Column("relay_closed", Boolean),
    Column("sent_at_ms", BigInteger, comment="null while it was never sent"),
    Column("due_at_ms", BigInteger, comment="when to act next; null in a final state"),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Index(None, "utility", "due_at_ms"),
    Index(None, "utility", "client", "due_at_ms"),
    Index(None, "utility", "gateway", "not_after_ms"),
    Index(None, "utility", "not_after_ms"),
    Index(None, "utility", "client", "request"),
    comment="commands: one life cycle for all",
)
effect_version = Table(
    "effect_version",
    metadata,
    _utility(),
    Column("meter", _Name, primary_key=True),
    Column("effect", String(8), primary_key=True),
    Column("version", BigInteger, nullable=False),
    comment="commands: the last version given out for a meter and effect; starts with the epoch",
)
status_outbox = Table(
    "status_outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("utility", _Name, nullable=False),
    Column("client", _Name, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    comment="commands: statuses not yet handed to the broker",
)

# ---- prepaid ---------------------------------------------------------------------------------------------------------

entry = Table(
    "entry",
    metadata,
    _utility(),
    Column("digest", LargeBinary(32), primary_key=True, comment="of the entry, and of its reporter if there is one"),
    Column("account", _Name, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    Column("gateway", _Name, comment="who reported it; null for what the cloud issued"),
    Column("message", BigInteger, comment="where it was reported; null for what the cloud issued"),
    Column(
        "closed_at_ms", BigInteger, comment="close of the statement that stands for it; null while it counts itself"
    ),
    Index(None, "utility", "account", "closed_at_ms"),
    comment="prepaid: the set S of each account",
)
account = Table(
    "account",
    metadata,
    _utility(),
    Column("name", _Name, primary_key=True),
    Column("meter", _Name, nullable=False),
    Column("gateway", _Name, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("policy", LargeBinary, nullable=False, comment="the last policy issued, encoded"),
    Column("moved_at_ms", BigInteger, comment="when its meter came to this gateway from another; null if it never did"),
    Column("closing_due_at_ms", BigInteger, nullable=False, server_default="0", comment="when to look for a close"),
    Index(None, "utility", "closing_due_at_ms"),
    Index(None, "utility", "moved_at_ms"),
    comment="prepaid: accounts",
)

posting = Table(
    "posting",
    metadata,
    _utility(),
    Column("transfer", LargeBinary(16), primary_key=True, comment="id of the credit or adjustment that moved money"),
    Column("ledger_account", String(40), primary_key=True, comment="wallet:NAME, or a book such as cash"),
    Column("amount_minor", BigInteger, nullable=False, comment="the postings of a transfer add up to zero"),
    Column("currency", String(3), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    comment="prepaid: double-entry ledger, append-only",
)

# ---- meter data ------------------------------------------------------------------------------------------------------

meter_day = Table(
    "meter_day",
    metadata,
    _utility(),
    Column("meter", _Name, primary_key=True),
    Column("day", Integer, primary_key=True, comment="days since 1970-01-01, UTC"),
    Column("body", LargeBinary, nullable=False),
    comment="meter data: one compressed row a meter and day, made from messages",
)
latest = Table(
    "latest",
    metadata,
    _utility(),
    Column("meter", _Name, primary_key=True),
    Column("utc_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="meter data: the last values of each meter",
)
boot_clock = Table(
    "boot_clock",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("timeline", LargeBinary, nullable=False),
    comment="meter data: the clock facts by which UTC is derived, as far as messages were read",
)
waiting_boot = Table(
    "waiting_boot",
    metadata,
    _utility(),
    Column("gateway", _Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("message", BigInteger, nullable=False, comment="the first that waits"),
    comment="meter data: boots whose rows wait for a first clock fact",
)
reread = Table(
    "reread",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("follower", String(60), nullable=False),
    Column("utility", _Name, nullable=False),
    Column("gateway", _Name, nullable=False),
    Column("boot", LargeBinary(8), nullable=False),
    Column("tick_from_ms", BigInteger, nullable=False),
    Column("tick_until_ms", BigInteger, nullable=False),
    Column("offset_before_ms", BigInteger, comment="UTC less tick as it was; null where rows waited"),
    Column("after_message", BigInteger, nullable=False, server_default="0", comment="how far it has come"),
    Index(None, "follower", "id"),
    comment="meter data: spans of boots whose UTC changed after their rows were read, for each follower to read again",
)
quarantined_row = Table(
    "quarantined_row",
    metadata,
    _utility(),
    Column("message", BigInteger, primary_key=True),
    Column("meter", _Name, primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("row_count", Integer, nullable=False),
    comment="meter data: readings of meters that were not the reporter's",
)
