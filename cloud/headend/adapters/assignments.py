"""Assignments: which gateway reports and commands a meter; a new one ends the one before."""

from collections.abc import Iterable

import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters.changes import Changes
from cloud.meterdata.adapters.clocks import reread_gateway
from cloud.meterdata.core.hours import HOUR_MS
from cloud.meterdata.core.utc import is_plausible
from cloud.prepared import Prepared

_assignment = schema.assignment.c
_SERVING = Prepared(
    sa.select(_assignment.gateway)
    .where(_assignment.utility == sa.bindparam("of"), _assignment.meter == sa.bindparam("named"))
    .where(_assignment.from_ms <= sa.bindparam("now_ms"))
    .where(sa.or_(_assignment.until_ms.is_(None), _assignment.until_ms > sa.bindparam("now_ms")))
    .order_by(_assignment.from_ms.desc())
    .limit(1)
)


def assign(connection: sa.Connection, utility: str, gateway: str, meters: Iterable[str], *, from_ms: int) -> None:
    """Assign meters to a gateway from an instant on; doing it again changes nothing.

    Readings since then are placed anew, for this gateway and for those that lost a meter. Prepaid accounts follow by
    themselves (`cloud.prepaid.adapters.moving`).
    """
    table = schema.assignment.c
    concerned: set[str] = set()
    changes = Changes()
    for meter in meters:
        standing = connection.execute(
            sa.select(table.gateway).where(table.utility == utility, table.meter == meter, table.until_ms.is_(None))
        ).scalar()
        if standing == gateway:
            continue
        connection.execute(
            sa.update(schema.assignment)
            .where(table.utility == utility, table.meter == meter, table.until_ms.is_(None))
            .values(until_ms=from_ms)
        )
        row = {"utility": utility, "meter": meter, "from_ms": from_ms, "gateway": gateway, "until_ms": None}
        connection.execute(sa.insert(schema.assignment).values(row))
        concerned |= {gateway, standing or gateway}
        if standing is not None and is_plausible(from_ms):
            # The hour is the new gateway's as a whole, whether or not a row is placed anew.
            changes.note(utility, standing, from_ms // HOUR_MS, left=True)
            changes.note(utility, gateway, from_ms // HOUR_MS)
    changes.write(connection)
    for name in sorted(concerned):
        reread_gateway(connection, utility=utility, gateway=name, from_ms=from_ms)


def gateway_of(connection: sa.Connection, utility: str, meter: str, *, now_ms: int) -> str:
    """Return the gateway a meter is assigned to, or an empty name."""
    found = _SERVING.scalar(connection, {"of": utility, "named": meter, "now_ms": now_ms})
    return str(found) if found is not None else ""
