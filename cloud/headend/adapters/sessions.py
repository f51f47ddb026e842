"""Sessions: a hello is answered by a welcome with the time, the epoch, and what must not run any more.

The journal head that a hello shows tells a box that was restored from a backup, or cloned, from the one the cloud
knows: its facts are sent down again, and the floors in every welcome keep it from running what has run before.
"""

from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.epoch import current_epoch, restores
from cloud.headend.core.admission import AdmittedHello
from wire.limits import FLOORS_MAX
from wire.messages import Floor, Welcome

WINDOW = 16
FLOOR_GRACE_MS = 86_400_000
"""Floors are told for so long after a command's deadline, in case the gateway's clock is late."""


def open_session(connection: sa.Connection, admitted: AdmittedHello, *, now_ms: int) -> Welcome:
    """Record a gateway's session and return the welcome to send after the commit."""
    hello = admitted.hello
    utility, name = admitted.utility, admitted.gateway
    table = schema.gateway
    known = connection.execute(sa.select(table).where(table.c.utility == utility, table.c.name == name)).one_or_none()
    set_back = known is not None and _is_set_back(known, admitted)
    row: dict[str, Any] = {
        "utility": utility,
        "name": name,
        "boot": hello.boot,
        "store": hello.store,
        "software": hello.software,
        "journal_index": hello.journal_index,
        "journal_digest": hello.journal_digest,
        "set_back_count": (known.set_back_count if known is not None else 0) + int(set_back),
        "hello_at_ms": now_ms,
        "seen_at_ms": now_ms,
    }
    upsert(connection, table, [row])
    _send_again(connection, utility, name, everything=set_back, now_ms=now_ms)
    return Welcome(
        nonce=hello.nonce,
        cloud_utc_ms=now_ms,
        epoch=current_epoch(connection),
        window=WINDOW,
        restores=restores(connection),
        floors=_floors(connection, utility, name, now_ms),
    )


def on_bye(connection: sa.Connection, utility: str, gateway: str, *, now_ms: int) -> None:
    """Note the broker's hint that a gateway went."""
    table = schema.gateway
    connection.execute(
        sa.update(table).where(table.c.utility == utility, table.c.name == gateway).values(bye_at_ms=now_ms)
    )


def _is_set_back(known: Any, admitted: AdmittedHello) -> bool:
    hello = admitted.hello
    if known.store is None:
        return False
    if bytes(known.store) != hello.store:
        return True
    if hello.journal_index < known.journal_index:
        return True
    return hello.journal_index == known.journal_index and bytes(known.journal_digest) != hello.journal_digest


def _send_again(connection: sa.Connection, utility: str, gateway: str, *, everything: bool, now_ms: int) -> None:
    """A gateway that just came back need not wait for a timer; one that was set back needs all facts again."""
    fact = schema.down_fact
    mine = (fact.c.utility == utility, fact.c.gateway == gateway)
    if everything:
        connection.execute(sa.update(fact).where(*mine).values(held_at_ms=None, due_at_ms=0, attempt_count=0))
    else:
        pending = fact.c.held_at_ms.is_(None)
        connection.execute(sa.update(fact).where(*mine, pending).values(due_at_ms=0, attempt_count=0))
    command = schema.command
    connection.execute(
        sa.update(command)
        .where(command.c.utility == utility, command.c.gateway == gateway, command.c.due_at_ms.is_not(None))
        .where(command.c.not_after_ms >= now_ms)
        .values(due_at_ms=0, attempt_count=0)
    )


def _floors(connection: sa.Connection, utility: str, gateway: str, now_ms: int) -> list[Floor]:
    """Return the highest version that is over for each meter and effect, of commands that could still be replayed."""
    table = schema.command.c
    rows = connection.execute(
        sa.select(table.meter, table.effect, sa.func.max(table.version).label("version"))
        .where(table.utility == utility, table.gateway == gateway)
        .where(table.not_after_ms >= now_ms - FLOOR_GRACE_MS)
        .where(table.state.in_(("executed", "failed", "expired", "superseded", "refused")))
        .group_by(table.meter, table.effect)
        .order_by(sa.func.max(table.not_after_ms).desc())
        .limit(FLOORS_MAX)
    )
    return [Floor(row.meter, row.effect, row.version) for row in rows]
