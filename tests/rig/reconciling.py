"""What a gateway's disk holds against what the cloud's database holds: the judge of every end-to-end run.

The disk is the witness: each batch on it is opened again, its signature checked, and its facts looked for in the
database, one by one and exactly once. Differences come back as lines for a person; none means that the two agree.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.ingest import value_digest
from cloud.meterdata.adapters import queries
from cloud.meterdata.core.meter_day import ChannelKey
from cloud.meterdata.core.placing import meter_clock
from prepay.balance import BALANCE_VERSION, Balance, balance
from prepay.entries import Entry
from prepay.holds import Hold
from wire import codec
from wire.address import Address, Direction, Kind
from wire.facts import EntryFact, Event, Receipt, UpFact
from wire.keys import PinnedKeys, PublicKey
from wire.messages import Batch, facts_of, open_message
from wire.readings import QUALITY_MISSING, Profile, Readings, captured, to_rows

T = TypeVar("T")

ReadingKey = tuple[str, bytes, int, ChannelKey]
"""Meter, boot, tick, channel."""


@dataclass(slots=True, kw_only=True)
class Disk:
    """What a gateway's store holds."""

    gateway: str
    batches: dict[bytes, tuple[str, bytes]]
    """State and signed bytes, by digest."""
    unsealed_count: int
    """Facts and rows that no batch holds yet."""
    holds: dict[str, set[Hold]]
    entries: dict[str, list[Entry]]
    """By account."""
    commands: dict[bytes, str]
    """Status by id."""

    def pending_count(self) -> int:
        """Return how many facts, rows and batches still have to go up."""
        return self.unsealed_count + sum(state == "pending" for state, _ in self.batches.values())

    def balance(self, account: str, at_ms: int) -> Balance:
        """Return the balance that the box computes from what is on this disk."""
        return balance(BALANCE_VERSION, self.entries.get(account, []), account=account, at_ms=at_ms)


@dataclass(slots=True)
class Stated:
    """The facts of all batches of a disk."""

    readings: dict[ReadingKey, tuple[int | None, str]] = field(default_factory=dict)
    events: Counter[tuple[bytes, int, bytes]] = field(default_factory=Counter)
    """Boot, serial and digest of the value."""
    receipts: Counter[tuple[bytes, str, bytes]] = field(default_factory=Counter)
    """Command, stage and digest of the value."""
    points: Counter[bytes] = field(default_factory=Counter)
    """Encoded register points."""


def read_disk(path: Path, gateway: str) -> Disk:
    """Return what stands in a store, of a gateway that may be running."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        entries: dict[str, list[Entry]] = {}
        for account, encoded in db.execute("SELECT account, encoded FROM entry"):
            entries.setdefault(account, []).append(codec.decode_as(encoded, Entry))
        holds: dict[str, set[Hold]] = {}
        for meter, hold in db.execute("SELECT meter, hold FROM hold"):
            holds.setdefault(meter, set()).add(Hold(hold))
        (unsealed,) = db.execute("SELECT (SELECT count(*) FROM fact) + (SELECT count(*) FROM reading)").fetchone()
        return Disk(
            gateway=gateway,
            batches={
                bytes(digest): (state, bytes(sealed))
                for digest, state, sealed in db.execute("SELECT digest, state, sealed FROM batch")
            },
            unsealed_count=unsealed,
            holds=holds,
            entries=entries,
            commands={bytes(name): status for name, status in db.execute("SELECT id, status FROM command")},
        )


def stated_on(disk: Disk, utility: str, key: PublicKey) -> Stated:
    """Return the facts of a disk's batches, each signature checked."""
    stated = Stated()
    address = Address(utility, Direction.UP, Kind.BATCH, disk.gateway)
    keys = PinnedKeys([key])
    for _, sealed in disk.batches.values():
        batch, _ = open_message(sealed, address, keys)
        assert isinstance(batch, Batch)
        for fact in facts_of(batch):
            _state(stated, fact)
    return stated


def _state(stated: Stated, fact: UpFact) -> None:
    match fact:
        case Readings():
            channels = [
                ChannelKey(column.channel.obis, column.channel.scaler, column.channel.unit) for column in fact.columns
            ]
            for row in to_rows(fact):
                flagged = dict(row.qualities)
                for index, (channel, value) in enumerate(zip(channels, row.values, strict=True)):
                    key = (row.meter, fact.boot, row.tick_ms, channel)
                    assert key not in stated.readings, f"the gateway states {key} twice"
                    quality = QUALITY_MISSING if value is None else flagged.get(index, "")
                    stated.readings[key] = (value, quality)
        case Profile():
            captured_s, columns = captured(fact)
            coded = {(item.row, item.column): item.quality for item in fact.exceptions}
            for at, column in enumerate(fact.columns):
                channel = ChannelKey(column.channel.obis, column.channel.scaler, column.channel.unit)
                for index, instant_s in enumerate(captured_s):
                    key = (fact.meter, meter_clock(fact.profile), instant_s * 1_000, channel)
                    quality = coded.get((index, at), "")
                    stated.readings[key] = (None if quality == QUALITY_MISSING else columns[at][index], quality)
        case Event():
            stated.events[fact.boot, fact.serial, value_digest(fact)] += 1
        case Receipt():
            stated.receipts[fact.command, fact.stage.value, value_digest(fact)] += 1
        case EntryFact():
            stated.points[fact.entry] += 1
        case _:
            pass


def differences(connection: sa.Connection, utility: str, disk: Disk, stated: Stated) -> Iterator[str]:
    """Yield a line for everything of a disk that is not in the database exactly once, and the other way round."""
    yield from _message_differences(connection, utility, disk)
    yield from _reading_differences(connection, utility, disk.gateway, stated)
    event, receipt, entry = schema.event.c, schema.receipt.c, schema.entry.c
    mine = (utility, disk.gateway)
    rows = connection.execute(
        sa.select(event.boot, event.serial, event.value_digest).where(
            event.utility == utility, event.gateway == mine[1]
        )
    )
    yield from _set_differences("event", stated.events, [(bytes(b), s, bytes(d)) for b, s, d in rows])
    rows = connection.execute(
        sa.select(receipt.command, receipt.stage, receipt.value_digest).where(
            receipt.utility == utility, receipt.gateway == mine[1]
        )
    )
    yield from _set_differences("receipt", stated.receipts, [(bytes(c), s, bytes(d)) for c, s, d in rows])
    points = connection.execute(
        sa.select(entry.encoded).where(entry.utility == utility, entry.gateway == mine[1])
    ).scalars()
    yield from _set_differences("register point", stated.points, [bytes(point) for point in points])


def _message_differences(connection: sa.Connection, utility: str, disk: Disk) -> Iterator[str]:
    table = schema.message.c
    rows = connection.execute(
        sa.select(table.digest, table.sealed, table.quarantine_reason).where(
            table.utility == utility, table.gateway == disk.gateway
        )
    ).all()
    held = Counter(bytes(row.digest) for row in rows)
    yield from _set_differences("batch", dict.fromkeys(disk.batches, 1), list(held.elements()))
    for row in rows:
        if row.quarantine_reason is not None:
            yield f"batch {bytes(row.digest).hex()} is quarantined: {row.quarantine_reason}"
        elif bytes(row.sealed) != disk.batches.get(bytes(row.digest), ("", b""))[1]:
            yield f"batch {bytes(row.digest).hex()} has other bytes than were signed"
    for digest, (state, _) in disk.batches.items():
        if state != "committed":
            yield f"batch {digest.hex()} is {state} on the disk"
    if disk.unsealed_count:
        yield f"{disk.unsealed_count} facts and rows are in no batch yet"


def _reading_differences(connection: sa.Connection, utility: str, gateway: str, stated: Stated) -> Iterator[str]:
    found: dict[ReadingKey, tuple[int | None, str]] = {}
    for meter in sorted({key[0] for key in stated.readings}):
        for reading in queries.readings(connection, utility, meter):
            if reading.source.gateway not in {gateway, ""}:
                continue
            key = (meter, reading.source.boot, reading.tick_ms, reading.channel)
            if key in found:
                yield f"reading {key} is there twice"
            if reading.others:
                yield f"reading {key} is in conflict with {reading.others}"
            found[key] = (reading.value, reading.quality)
    missing, extra = stated.readings.keys() - found.keys(), found.keys() - stated.readings.keys()
    if missing:
        yield f"{len(missing)} of {len(stated.readings)} readings are missing, such as {min(missing)}"
    if extra:
        yield f"{len(extra)} readings are not on the disk, such as {min(extra)}"
    other = [key for key in stated.readings.keys() & found.keys() if stated.readings[key] != found[key]]
    if other:
        yield f"{len(other)} readings have another value, such as {min(other)}"
    for refused in queries.refused_rows(connection, utility):
        yield f"rows are refused: {refused}"


def _set_differences(what: str, on_disk: Mapping[T, int], in_database: Sequence[T]) -> Iterator[str]:
    held = Counter(in_database)
    for item in on_disk.keys() - held.keys():
        yield f"{what} {item!r} is missing"
    for item in held.keys() - on_disk.keys():
        yield f"{what} {item!r} is not on the disk"
    for item, count in held.items():
        if count > 1:
            yield f"{what} {item!r} is there {count} times"
