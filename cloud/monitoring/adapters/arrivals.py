"""When messages came in."""

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters.placement import in_parts
from cloud.prepared import Prepared

OUT_OF_ORDER_MS: Final = 60_000
"""Messages that several processes took side by side may be numbered out of order by less."""
_message = schema.message.c
_NEXT = Prepared(
    sa.select(_message.id, _message.received_at_ms)
    .where(_message.id >= sa.bindparam("least"))
    .order_by(_message.id)
    .limit(1)
)


def arrivals(connection: sa.Connection, ids: Iterable[int]) -> dict[int, int]:
    """Return when messages came in, by id."""
    found: dict[int, int] = {}
    for part in in_parts(sorted(ids)):
        query = sa.select(_message.id, _message.received_at_ms).where(_message.id.in_(part))
        found.update((row.id, row.received_at_ms) for row in connection.execute(query))
    return found


def message_since(connection: sa.Connection, at_ms: int) -> int:
    """Return an id before which no message came in at an instant or later; a few after it may have come in earlier."""
    since_ms = at_ms - OUT_OF_ORDER_MS
    low, high = 0, int(connection.execute(sa.select(sa.func.max(_message.id))).scalar() or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = _NEXT.first(connection, {"least": middle})
        if row is not None and row.received_at_ms < since_ms:
            low = row.id + 1
        else:
            high = middle
    return low
