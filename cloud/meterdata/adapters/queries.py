"""Questions about meter data: last values, a day, presence, what to reconcile, the evidence behind a value."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.following import Followed, messages_by_id
from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.latest import LatestValue, decode_latest
from cloud.meterdata.core.meter_day import Counts, Reading
from wire.signing import digest_of


class Presence(NamedTuple):
    """When a gateway was last heard of."""

    gateway: str
    software: str
    boot: bytes | None
    hello_at_ms: int
    seen_at_ms: int
    bye_at_ms: int
    present: bool
    """Nothing says that it went since it was last heard."""


@dataclass(frozen=True, slots=True)
class MeterCounts:
    """How much there is of a meter."""

    meter: str
    day_count: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Exported:
    """All there is of one channel of a meter, and how much there is of all of them."""

    meter: str
    counts: Counts
    readings: list[Reading]
    """By time."""


class Refused(NamedTuple):
    """Rows of a message that do not count."""

    message: int
    meter: str
    """Empty where the whole message could not be read."""
    reason: str
    row_count: int


class Evidence(NamedTuple):
    """A signed message that states a reading."""

    digest: bytes
    """SHA-256 of the signed bytes."""
    message: Followed


def latest_values(connection: sa.Connection, utility: str, meter: str) -> list[LatestValue]:
    """Return the last value of each channel of a meter, by channel; empty if nothing is known of it."""
    table = schema.latest.c
    body = connection.execute(
        sa.select(table.body).where(table.utility == utility, table.meter == meter)
    ).scalar_one_or_none()
    return [] if body is None else decode_latest(body)


def day_profile(connection: sa.Connection, utility: str, meter: str, day: int) -> list[Reading]:
    """Return what a meter reported of a UTC day (days since 1970-01-01), by time and channel."""
    return list(readings(connection, utility, meter, day_from=day, day_until=day + 1))


def readings(
    connection: sa.Connection, utility: str, meter: str, *, day_from: int | None = None, day_until: int | None = None
) -> Iterator[Reading]:
    """Return what a meter reported from one UTC day until before another, by time and channel."""
    codec = DayCodec()
    table = schema.meter_day.c
    query = sa.select(table.body).where(table.utility == utility, table.meter == meter).order_by(table.day)
    if day_from is not None:
        query = query.where(table.day >= day_from)
    if day_until is not None:
        query = query.where(table.day < day_until)
    for body in connection.execute(query).scalars():
        yield from sorted(codec.decode(body).readings())


def meters(connection: sa.Connection, utility: str) -> list[str]:
    """Return the meters of which there is anything, by name."""
    table = schema.latest.c
    return list(
        connection.execute(sa.select(table.meter).where(table.utility == utility).order_by(table.meter)).scalars()
    )


def reconciliation(connection: sa.Connection, utility: str) -> list[MeterCounts]:
    """Return how much there is of each meter, by name; reads every day there is."""
    codec = DayCodec()
    table = schema.meter_day.c
    found: dict[str, MeterCounts] = {}
    query = sa.select(table.meter, table.body).where(table.utility == utility).order_by(table.meter, table.day)
    for meter, body in connection.execute(query):
        before = found.get(meter) or MeterCounts(meter, 0, Counts())
        before.counts.add(codec.decode(body).counts())
        found[meter] = MeterCounts(meter, before.day_count + 1, before.counts)
    return list(found.values())


def exported(connection: sa.Connection, utility: str, obis: bytes) -> list[Exported]:
    """Return all readings of a channel and the counts of all channels, by meter; reads every day there is."""
    codec = DayCodec()
    table = schema.meter_day.c
    found: dict[str, Exported] = {}
    query = sa.select(table.meter, table.body).where(table.utility == utility).order_by(table.meter, table.day)
    for meter, body in connection.execute(query):
        of_meter = found.setdefault(meter, Exported(meter, Counts(), []))
        day = codec.decode(body)
        of_meter.counts.add(day.counts())
        of_meter.readings.extend(sorted(reading for reading in day.readings() if reading.channel.obis == obis))
    return list(found.values())


def refused_rows(connection: sa.Connection, utility: str) -> list[Refused]:
    """Return what was reported by those who may not, or could not be placed."""
    table = schema.quarantined_row.c
    query = sa.select(table.message, table.meter, table.reason, table.row_count).where(table.utility == utility)
    return [Refused(*row) for row in connection.execute(query.order_by(table.message, table.meter))]


def waiting_boots(connection: sa.Connection, utility: str) -> list[tuple[str, bytes]]:
    """Return gateway and boot of the rows that wait for a clock fact."""
    table = schema.waiting_boot.c
    query = sa.select(table.gateway, table.boot).where(table.utility == utility).order_by(table.gateway, table.boot)
    return [(gateway, boot) for gateway, boot in connection.execute(query)]


def backlog(connection: sa.Connection, utility: str) -> int:
    """Return how many boots have rows to be placed anew; with a cursor at the end and none of these, all is placed."""
    table = schema.reread.c
    query = sa.select(sa.func.count()).where(table.utility == utility, table.follower == "meterdata")
    return int(connection.execute(query).scalar_one())


def presence(connection: sa.Connection, utility: str) -> list[Presence]:
    """Return when each gateway was last heard of, by name."""
    table = schema.gateway.c
    query = (
        sa.select(table.name, table.software, table.boot, table.hello_at_ms, table.seen_at_ms, table.bye_at_ms)
        .where(table.utility == utility)
        .order_by(table.name)
    )
    return [Presence(*row, present=row.seen_at_ms > row.bye_at_ms) for row in connection.execute(query)]


def evidence(connection: sa.Connection, reading: Reading) -> list[Evidence]:
    """Return the signed messages that state something under a reading's key, oldest first."""
    return [Evidence(digest_of(message.sealed), message) for message in messages_by_id(connection, reading.messages)]
