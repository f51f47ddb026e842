"""The tables of the meter data room: rows at rest, and what is known of boots' clocks."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from cloud.schema.common import Name, Serial, metadata, utility

meter_day = Table(
    "meter_day",
    metadata,
    utility(),
    Column("meter", Name, primary_key=True),
    Column("day", Integer, primary_key=True, comment="days since 1970-01-01, UTC"),
    Column("body", LargeBinary, nullable=False),
    comment="meter data: one compressed row a meter and day, made from messages",
)
latest = Table(
    "latest",
    metadata,
    utility(),
    Column("meter", Name, primary_key=True),
    Column("utc_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="meter data: the last values of each meter",
)
boot_clock = Table(
    "boot_clock",
    metadata,
    utility(),
    Column("gateway", Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("timeline", LargeBinary, nullable=False),
    comment="meter data: the clock facts by which UTC is derived, as far as messages were read",
)
waiting_boot = Table(
    "waiting_boot",
    metadata,
    utility(),
    Column("gateway", Name, primary_key=True),
    Column("boot", LargeBinary(8), primary_key=True),
    Column("message", BigInteger, nullable=False, comment="the first that waits"),
    comment="meter data: boots whose rows wait for a first clock fact",
)
reread = Table(
    "reread",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("follower", String(60), nullable=False),
    Column("utility", Name, nullable=False),
    Column("gateway", Name, nullable=False),
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
    utility(),
    Column("message", BigInteger, primary_key=True),
    Column("meter", Name, primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("row_count", Integer, nullable=False),
    comment="meter data: readings of meters that were not the reporter's",
)
changed_day = Table(
    "changed_day",
    metadata,
    utility(),
    Column("gateway", Name, primary_key=True),
    Column("day", Integer, primary_key=True, comment="days since 1970-01-01, UTC"),
    Column("hours", Integer, nullable=False, comment="a bit for each hour that rows came to or went from"),
    Column("hours_left", Integer, nullable=False, comment="those of them that rows went from"),
    Column("taken_by", BigInteger, comment="who makes its aggregates anew; null once it changes again"),
    Column("taken_until_ms", BigInteger, comment="until when others leave it to whoever took it"),
    comment="meter data: days of gateways that changed, until their aggregates are made anew",
)
