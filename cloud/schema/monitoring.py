"""The tables of the room of monitoring."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from cloud.schema.common import Name, Serial, metadata, utility

survey = Table(
    "survey",
    metadata,
    utility(),
    Column("name", String(40), primary_key=True),
    Column("done_until_ms", BigInteger, nullable=False),
    comment="monitoring: up to when each survey was delivered",
)
sample = Table(
    "sample",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tx", BigInteger, nullable=False),
    Column("utility", Name, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="lines, compressed"),
    Index(None, "tx", "id"),
    Index(None, "utility", "at_ms"),
    comment="monitoring: how things stood, for what cannot be computed later; kept for some days",
)
handler = Table(
    "handler",
    metadata,
    utility(),
    Column("name", Name, primary_key=True),
    Column("reported_at_ms", BigInteger, nullable=False),
    comment="monitoring: when each process of the cloud last said how it is doing",
)
place = Table(
    "place",
    metadata,
    utility(),
    Column("gateway", Name, primary_key=True),
    Column("latitude_e6", Integer, nullable=False, comment="millionths of a degree, north positive"),
    Column("longitude_e6", Integer, nullable=False, comment="millionths of a degree, east positive"),
    comment="monitoring: where gateways stand, for the map",
)
