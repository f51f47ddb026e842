"""Facts on their way down: credits, tariffs, policies; repeated until the gateway holds them, however long it takes.

A policy takes the place of those of lower versions for the same account and meter, a statement of those of earlier
closes of the same account. One that was superseded before it was held is not sent any more; one that was held goes once
its successor is held, as the gateway dropped it then (`gateway.core.held`, `docs/protocol.md`).
"""

from collections.abc import Iterable

import sqlalchemy as sa

from cloud import schema
from cloud.database import insert_new
from cloud.effects import Publish
from cloud.prepared import Prepared
from prepay.entries import Entry, Statement
from wire import codec
from wire.address import Address, Direction, Kind
from wire.errors import MalformedError
from wire.facts import DownFact, PrepaidPolicy, encode_down_fact, fact_id
from wire.keys import SigningKey
from wire.limits import FACTS_PER_DOWN_MESSAGE_MAX, MESSAGE_BYTES_MAX
from wire.messages import Facts, seal_message
from wire.topics import TopicTree

REPEAT_MS = 10_000
REPEAT_MS_MAX = 600_000
FACTS_PER_ROUND_MAX = 2_000
_fact = schema.down_fact.c
_DUE = Prepared(
    sa.select(_fact.gateway, _fact.id, _fact.encoded, _fact.attempt_count)
    .where(_fact.utility == sa.bindparam("of"), _fact.held_at_ms.is_(None), _fact.due_at_ms <= sa.bindparam("timer_ms"))
    .order_by(_fact.gateway, _fact.issued_at_ms)
    .limit(FACTS_PER_ROUND_MAX)
    .with_for_update(skip_locked=True)
)


def send_down(connection: sa.Connection, utility: str, gateway: str, fact: DownFact, *, now_ms: int) -> bytes:
    """Put a fact on its way to a gateway; the same fact is put there once. Return its id."""
    encoded = encode_down_fact(fact)
    name = fact_id(encoded)
    slot, rank = _slot_of(fact)
    row = {
        "utility": utility,
        "gateway": gateway,
        "id": name,
        "encoded": encoded,
        "issued_at_ms": now_ms,
        "due_at_ms": 0,
        "slot": slot,
        "rank": rank,
    }
    insert_new(connection, schema.down_fact, [row])
    if slot is not None:
        table = schema.down_fact.c
        connection.execute(
            sa.delete(schema.down_fact)
            .where(table.utility == utility, table.gateway == gateway, table.slot == slot)
            .where(table.rank < rank, table.held_at_ms.is_(None))
        )
    return name


def take_back(connection: sa.Connection, utility: str, gateway: str, facts: Iterable[DownFact]) -> None:
    """Send facts no more that a gateway does not hold yet and need not."""
    table = schema.down_fact.c
    names = [fact_id(encode_down_fact(fact)) for fact in facts]
    connection.execute(
        sa.delete(schema.down_fact)
        .where(table.utility == utility, table.gateway == gateway, table.id.in_(names))
        .where(table.held_at_ms.is_(None))
    )


def drop_superseded(connection: sa.Connection, utility: str, gateway: str | None = None) -> int:
    """Drop facts whose successor a gateway holds, as the gateway does; return how many."""
    table, newer = schema.down_fact, schema.down_fact.alias("newer")
    same_slot = sa.and_(
        newer.c.utility == table.c.utility, newer.c.gateway == table.c.gateway, newer.c.slot == table.c.slot
    )
    is_superseded = sa.exists().where(same_slot, newer.c.rank > table.c.rank, newer.c.held_at_ms.is_not(None))
    query = sa.delete(table).where(table.c.utility == utility, table.c.slot.is_not(None), is_superseded)
    if gateway is not None:
        query = query.where(table.c.gateway == gateway)
    return connection.execute(query).rowcount


def _slot_of(fact: DownFact) -> tuple[str | None, int | None]:
    """Return which facts a fact may supersede, and its rank among them."""
    if isinstance(fact, PrepaidPolicy):
        return f"policy {fact.account} {fact.meter}", fact.version
    try:
        entry: Entry = codec.decode_as(fact.entry, Entry)
    except MalformedError:
        return None, None
    return (f"statement {fact.account}", entry.closed_at_ms) if isinstance(entry, Statement) else (None, None)


def due_facts(connection: sa.Connection, tree: TopicTree, key: SigningKey, *, timer_ms: int) -> list[Publish]:
    """Return the messages to send now, each fact's next turn set; `timer_ms` is real Unix time."""
    table = schema.down_fact.c
    rows = _DUE.all(connection, {"of": tree.utility, "timer_ms": timer_ms})
    by_gateway: dict[str, list[bytes]] = {}
    for row in rows:
        by_gateway.setdefault(row.gateway, []).append(bytes(row.encoded))
        wait_ms = min(REPEAT_MS << min(row.attempt_count, 10), REPEAT_MS_MAX)
        connection.execute(
            sa.update(schema.down_fact)
            .where(table.utility == tree.utility, table.gateway == row.gateway, table.id == row.id)
            .values(due_at_ms=timer_ms + wait_ms, attempt_count=row.attempt_count + 1)
        )
    return [_message(tree, key, gateway, part) for gateway, encoded in by_gateway.items() for part in _parts(encoded)]


def _parts(encoded: list[bytes]) -> list[list[bytes]]:
    parts: list[list[bytes]] = [[]]
    room = MESSAGE_BYTES_MAX - 256
    for item in encoded:
        if len(parts[-1]) == FACTS_PER_DOWN_MESSAGE_MAX or room < len(item) + 3:
            parts.append([])
            room = MESSAGE_BYTES_MAX - 256
        parts[-1].append(item)
        room -= len(item) + 3
    return parts


def _message(tree: TopicTree, key: SigningKey, gateway: str, encoded: list[bytes]) -> Publish:
    address = Address(tree.utility, Direction.DOWN, Kind.FACTS, gateway)
    sealed = seal_message(Facts(facts=encoded), address, key)
    return Publish(topic=tree.down(gateway, Kind.FACTS), sealed=sealed)
