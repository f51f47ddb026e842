"""The tables of the prepaid room: accounts, what their balances are computed from, the ledger."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from cloud.schema.common import Name, metadata, utility

entry = Table(
    "entry",
    metadata,
    utility(),
    Column("digest", LargeBinary(32), primary_key=True, comment="of the entry, and of its reporter if there is one"),
    Column("account", Name, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    Column("gateway", Name, comment="who reported it; null for what the cloud issued"),
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
    utility(),
    Column("name", Name, primary_key=True),
    Column("meter", Name, nullable=False),
    Column("gateway", Name, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("policy", LargeBinary, nullable=False, comment="the last policy issued, encoded"),
    Column("moved_at_ms", BigInteger, comment="when its meter came to this gateway from another; null if it never did"),
    Column("closing_due_at_ms", BigInteger, nullable=False, server_default="0", comment="when to look for a close"),
    Index(None, "utility", "closing_due_at_ms"),
    Index(None, "utility", "gateway"),
    Index(None, "utility", "moved_at_ms"),
    comment="prepaid: accounts",
)
posting = Table(
    "posting",
    metadata,
    utility(),
    Column("transfer", LargeBinary(16), primary_key=True, comment="id of the credit or adjustment that moved money"),
    Column("ledger_account", String(40), primary_key=True, comment="wallet:NAME, or a book such as cash"),
    Column("amount_minor", BigInteger, nullable=False, comment="the postings of a transfer add up to zero"),
    Column("currency", String(3), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "utility", "at_ms"),
    comment="prepaid: double-entry ledger, append-only",
)
