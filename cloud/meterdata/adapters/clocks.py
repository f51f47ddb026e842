"""What the projector learns of boots: their clocks, which messages hold facts stamped in them, what that makes stale.

When a clock fact changes the UTC of rows already read, every follower of readings is asked to read that span again. A
follower does so piece by piece, at its own pace; new rows are placed by the new clock meanwhile.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from cloud import schema
from cloud.database import insert_new, upsert
from cloud.following import Followed
from cloud.meterdata.adapters.placement import BootKey, timelines
from cloud.meterdata.core.placing import Placement, Stated
from cloud.meterdata.core.utc import Anchor, Change, Timeline
from wire.limits import TICK_MS_MAX

DAYS_FOLLOWER = "meterdata"
"""The projector: it reads first."""
POINTS_FOLLOWER = "monitoring"
"""The feeder: it reads behind the projector."""


def learn_clocks(connection: sa.Connection, messages: Sequence[tuple[Followed, Stated]]) -> None:
    """Take in the clock facts of messages, before their rows are placed."""
    news: dict[BootKey, list[Anchor]] = {}
    for message, stated in messages:
        for boot, anchors in stated.anchors.items():
            news.setdefault(BootKey(message.utility, message.gateway, boot), []).extend(anchors)
    known = timelines(connection, news)
    for key, anchors in news.items():
        before = known.get(key, Timeline())
        after = before.joined(anchors)
        if after.anchors == before.anchors:
            continue
        row = {"utility": key.utility, "gateway": key.gateway, "boot": key.boot, "timeline": after.encode()}
        upsert(connection, schema.boot_clock, [row])
        connection.execute(sa.delete(schema.waiting_boot).where(*_is(schema.waiting_boot, key)))
        for change in after.changes_since(before):
            _ask_to_reread(connection, key, change)


def record_spans(connection: sa.Connection, messages: Sequence[tuple[Followed, Stated]]) -> None:
    """Remember which ticks of which boots each message holds."""
    upsert(
        connection,
        schema.boot_message,
        [
            {
                "utility": message.utility,
                "gateway": message.gateway,
                "boot": boot,
                "message": message.id,
                "tick_min_ms": tick_min_ms,
                "tick_max_ms": tick_max_ms,
            }
            for message, stated in messages
            for boot, (tick_min_ms, tick_max_ms) in stated.spans().items()
        ],
    )


def record_waiting(connection: sa.Connection, message: Followed, placement: Placement) -> None:
    """Remember the boots whose rows wait for a clock fact."""
    insert_new(
        connection,
        schema.waiting_boot,
        [
            {"utility": message.utility, "gateway": message.gateway, "boot": boot, "message": message.id}
            for boot in sorted(placement.waiting)
        ],
    )


def reread_gateway(connection: sa.Connection, *, utility: str, gateway: str, from_ms: int = 0) -> None:
    """Have a gateway's rows of an instant and later placed anew: its assignments changed for times that may have rows.

    Args:
        connection: In a transaction.
        utility: Whose.
        gateway: The gateway that was given or lost a meter.
        from_ms: Since when, UTC; what no row is stamped after costs nothing.
    """
    table = schema.boot_message.c
    boots = connection.execute(
        sa.select(table.boot).distinct().where(table.utility == utility, table.gateway == gateway)
    )
    keys = [BootKey(utility, gateway, bytes(boot)) for boot in boots.scalars().all()]
    known = timelines(connection, keys)
    for key in keys:
        tick_from_ms = known[key].tick_of(from_ms) if key in known else 0
        if tick_from_ms <= TICK_MS_MAX:
            _ask_to_reread(connection, key, Change(tick_from_ms, TICK_MS_MAX + 1, None))


def _ask_to_reread(connection: sa.Connection, key: BootKey, change: Change) -> None:
    table = schema.boot_message.c
    touched = (
        sa.select(table.message)
        .where(*_is(schema.boot_message, key))
        .where(table.tick_max_ms >= change.tick_from_ms, table.tick_min_ms < change.tick_until_ms)
    )
    if connection.execute(touched.limit(1)).first() is None:
        return
    row = {
        "utility": key.utility,
        "gateway": key.gateway,
        "boot": key.boot,
        "tick_from_ms": change.tick_from_ms,
        "tick_until_ms": change.tick_until_ms,
        "offset_before_ms": None if change.before is None else change.before.offset_ms,
    }
    connection.execute(
        sa.insert(schema.reread), [row | {"follower": follower} for follower in (DAYS_FOLLOWER, POINTS_FOLLOWER)]
    )


def _is(table: sa.Table, key: BootKey) -> list[sa.ColumnElement[bool]]:
    return [table.c.utility == key.utility, table.c.gateway == key.gateway, table.c.boot == key.boot]
