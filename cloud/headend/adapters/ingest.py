"""The way in: a group of checked messages becomes one transaction, and only then acknowledgements.

Facts are stored once, whatever comes twice: the batch by its digest, each fact by reporter, key and value. Readings
stay in the batch; the meter data room makes its rows from there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import current_tx, insert, insert_into, insert_new, upsert
from cloud.headend.core.admission import AdmittedBatch, Refused
from cloud.prepared import Prepared
from wire import codec
from wire.errors import Reason
from wire.facts import ClockFact, EntryFact, Event, FactsHeld, Health, LineHealth, MeterEvent, Receipt, UpFact
from wire.messages import Ack, Quarantined
from wire.readings import Profile, Readings
from wire.signing import digest_of


@dataclass(slots=True, kw_only=True)
class Ingested:
    """What a group came to, once committed."""

    acks: dict[str, Ack] = field(default_factory=dict)
    """By gateway."""
    batches_new: int = 0
    batches_known: int = 0
    batches_quarantined: int = 0
    refused: int = 0
    receipts: list[tuple[str, Receipt]] = field(default_factory=list)
    """Those that are new, with the gateways they are of."""


def ingest(
    connection: sa.Connection,
    utility: str,
    batches: Sequence[AdmittedBatch],
    refusals: Sequence[Refused],
    *,
    epoch: int,
    now_ms: int,
) -> Ingested:
    """Store a group of one utility's messages and return what to acknowledge after the commit."""
    result = Ingested(refused=len(refusals))
    aside = {digest_of(item.set_aside): item for item in refusals if item.set_aside}
    held, fresh = _store_messages(connection, utility, batches, aside, now_ms)
    new = [batch for batch in batches if batch.digest in fresh]
    _store_facts(connection, utility, new, held, now_ms)
    result.receipts = [(batch.gateway, fact) for batch in new for fact in batch.facts if isinstance(fact, Receipt)]
    count_refusals(connection, utility, refusals)
    _see(connection, utility, {batch.gateway for batch in batches}, now_ms)
    committed: dict[str, list[bytes]] = {}
    quarantined: dict[str, list[Quarantined]] = {}
    senders = {batch.digest: batch.gateway for batch in batches} | {
        digest: item.party for digest, item in aside.items()
    }
    for digest, gateway in senders.items():
        # What is told is what the database holds: where a key is revoked, two handlers may judge a batch differently.
        reason = held[digest].quarantine_reason
        if reason is None:
            committed.setdefault(gateway, []).append(digest)
        else:
            quarantined.setdefault(gateway, []).append(Quarantined(digest, reason))
    position = max((message.id for message in held.values()), default=0)
    for name in committed.keys() | quarantined.keys():
        result.acks[name] = Ack(
            epoch=epoch,
            position=position,
            committed=committed.get(name, []),
            quarantined=quarantined.get(name, []),
        )
    result.batches_new = len({batch.digest for batch in batches} & fresh)
    result.batches_known = len(batches) - result.batches_new
    result.batches_quarantined = len(aside)
    return result


class _Held(NamedTuple):
    """How the database holds a message."""

    id: int
    quarantine_reason: str | None
    """None where it is committed."""


def _store_messages(
    connection: sa.Connection,
    utility: str,
    batches: Sequence[AdmittedBatch],
    aside: dict[bytes, Refused],
    now_ms: int,
) -> tuple[dict[bytes, _Held], set[bytes]]:
    """Insert what is new; return how all are held by digest, and which digests are new."""
    tx = current_tx(connection)
    rows: dict[bytes, dict[str, Any]] = {}
    for batch in batches:
        rows[batch.digest] = _message_row(utility, batch.digest, batch.gateway, batch.lane, None, batch.sealed)
    for digest, item in aside.items():
        rows[digest] = _message_row(utility, digest, item.party, item.lane, item.reason, item.set_aside)
    if not rows:
        return {}, set()
    for row in rows.values():
        row["tx"] = tx
        row["received_at_ms"] = now_ms
    inserted = _insert_messages(connection, list(rows.values()))
    held = {bytes(row.digest): _Held(int(row.id), rows[bytes(row.digest)]["quarantine_reason"]) for row in inserted}
    fresh = set(held)
    missing = [digest for digest in rows if digest not in held]
    if missing:
        known = connection.execute(
            sa.select(schema.message.c.id, schema.message.c.digest, schema.message.c.quarantine_reason)
            .where(schema.message.c.utility == utility)
            .where(schema.message.c.digest.in_(missing))
        )
        held.update({bytes(row.digest): _Held(int(row.id), row.quarantine_reason) for row in known})
    return held, fresh


_MESSAGE_COLUMNS = ("utility", "digest", "gateway", "lane", "quarantine_reason", "sealed", "tx", "received_at_ms")


@cache
def _message_insert(dialect: str) -> sa.Executable:
    statement = insert_into(dialect, schema.message).on_conflict_do_nothing()
    return statement.returning(schema.message.c.id, schema.message.c.digest)


_ONE_MESSAGE = Prepared(_message_insert, columns=_MESSAGE_COLUMNS)


def _insert_messages(connection: sa.Connection, rows: list[dict[str, Any]]) -> Sequence[Any]:
    """Insert what is new and return its ids and digests; many in one statement, which saves round trips."""
    if len(rows) == 1:
        return _ONE_MESSAGE.all(connection, rows[0])
    return connection.execute(_message_insert(connection.dialect.name), rows).all()


def _message_row(
    utility: str, digest: bytes, gateway: str, lane: str, reason: Reason | None, sealed: bytes
) -> dict[str, Any]:
    return {
        "utility": utility,
        "digest": digest,
        "gateway": gateway,
        "lane": str(lane),
        "quarantine_reason": reason.value if reason is not None else None,
        "sealed": sealed,
    }


def _store_facts(
    connection: sa.Connection, utility: str, batches: Sequence[AdmittedBatch], held: dict[bytes, _Held], now_ms: int
) -> None:
    events: list[dict[str, Any]] = []
    meter_events: list[dict[str, Any]] = []
    receipts: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    healths: dict[tuple[str, str, str], dict[str, Any]] = {}
    for batch in batches:
        message = held[batch.digest].id
        origin = {"utility": utility, "gateway": batch.gateway}
        for fact in batch.facts:
            match fact:
                case Readings() | Profile() | ClockFact():
                    pass  # the meter data room follows them in the message
                case Event():
                    events.append(origin | _event_row(fact) | {"message": message})
                case MeterEvent():
                    meter_events.append(origin | _meter_event_row(fact) | {"message": message})
                case Receipt():
                    receipts.append(origin | _receipt_row(fact) | {"message": message})
                case EntryFact():
                    entries.append(origin | _entry_row(batch.gateway, fact) | {"message": message})
                case FactsHeld():
                    _mark_held(connection, utility, batch.gateway, fact, now_ms)
                case Health():
                    healths[batch.gateway, fact.meter, ""] = origin | _health_row(fact, now_ms, meter=fact.meter)
                case LineHealth():
                    healths[batch.gateway, "", fact.line] = origin | _health_row(fact, now_ms, line=fact.line)
    insert_new(connection, schema.event, events)
    insert_new(connection, schema.meter_event, meter_events)
    insert_new(connection, schema.receipt, receipts)
    insert_new(connection, schema.entry, entries)
    upsert(connection, schema.health, list(healths.values()))


def value_digest(fact: UpFact) -> bytes:
    """Return what tells two values under one key apart."""
    return hashlib.sha256(codec.encode(fact)).digest()[:16]


def _event_row(fact: Event) -> dict[str, Any]:
    return {
        "boot": fact.boot,
        "serial": fact.serial,
        "value_digest": value_digest(fact),
        "tick_ms": fact.tick_ms,
        "meter": fact.meter,
        "code": fact.code,
        "detail": fact.detail,
    }


def _meter_event_row(fact: MeterEvent) -> dict[str, Any]:
    # When and by whom it was read is no part of what the meter says.
    said = hashlib.sha256(codec.encode([fact.code, fact.values])).digest()[:16]
    return {
        "meter": fact.meter,
        "log": fact.log,
        "captured_s": fact.captured_s,
        "number": fact.number,
        "value_digest": said,
        "code": fact.code,
        "encoded": codec.encode(fact),
    }


def _receipt_row(fact: Receipt) -> dict[str, Any]:
    return {
        "command": fact.command,
        "stage": fact.stage.value,
        "value_digest": value_digest(fact),
        "encoded": codec.encode(fact),
    }


def _health_row(fact: Health | LineHealth, now_ms: int, *, meter: str = "", line: str = "") -> dict[str, Any]:
    return {"meter": meter, "line": line, "received_at_ms": now_ms, "encoded": codec.encode(fact)}


def _entry_row(gateway: str, fact: EntryFact) -> dict[str, Any]:
    # By reporter, so that what one gateway claims never stands in the way of another's, or of what the cloud issues.
    digest = hashlib.sha256(f"{gateway}\n{fact.account}\n".encode() + fact.entry).digest()
    return {"digest": digest, "account": fact.account, "encoded": fact.entry}


def _mark_held(connection: sa.Connection, utility: str, gateway: str, fact: FactsHeld, now_ms: int) -> None:
    """Believe what the gateway's present run says it holds; what an earlier one said may be gone with its disk."""
    table = schema.down_fact
    session = schema.gateway.c
    boot = connection.execute(
        sa.select(session.boot).where(session.utility == utility, session.name == gateway)
    ).scalar()
    if boot is None or bytes(boot) != fact.boot:
        return
    connection.execute(
        sa.update(table)
        .where(table.c.utility == utility, table.c.gateway == gateway, table.c.id.in_(fact.facts))
        .where(table.c.held_at_ms.is_(None))
        .values(held_at_ms=now_ms)
    )


def count_refusals(connection: sa.Connection, utility: str, refusals: Sequence[Refused]) -> None:
    """Count what did not hold, by reason and by whoever signed it."""
    counts: dict[tuple[str, str], int] = {}
    for item in refusals:
        key = (item.reason.value, item.party)
        counts[key] = counts.get(key, 0) + 1
    for (reason, party), count in counts.items():
        statement = insert(connection, schema.refusal).values(utility=utility, reason=reason, party=party, count=count)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["utility", "reason", "party"],
                set_={"count": schema.refusal.c.count + statement.excluded.count},
            )
        )


def _see(connection: sa.Connection, utility: str, gateways: Iterable[str], now_ms: int) -> None:
    rows = [{"utility": utility, "name": name, "seen_at_ms": now_ms} for name in sorted(gateways)]
    upsert(connection, schema.gateway, rows)
