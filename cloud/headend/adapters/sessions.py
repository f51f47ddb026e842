"""Sessions: a hello is answered by a welcome with the time, the epoch, and what must not run any more.

A box whose disk was restored from a backup, or cloned, shows by the journal's head and by the facts it holds that it
is not as the cloud knew it: its facts are sent down again, and the floors in every welcome keep it from running what
has run before.
"""

from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.epoch import current_epoch, restores
from cloud.headend.adapters.down_facts import drop_superseded
from cloud.headend.core.admission import AdmittedHello
from wire.limits import FLOORS_MAX
from wire.messages import Floor, Hello, Welcome

WINDOW = 16
ID_BYTES = 16
FLOOR_GRACE_MS = 86_400_000
"""Floors are told for so long after a command's deadline, in case the gateway's clock is late."""


def open_session(connection: sa.Connection, admitted: AdmittedHello, *, now_ms: int) -> Welcome:
    """Record a gateway's session and return the welcome to send after the commit."""
    hello = admitted.hello
    utility, name = admitted.utility, admitted.gateway
    table = schema.gateway
    known = connection.execute(sa.select(table).where(table.c.utility == utility, table.c.name == name)).one_or_none()
    set_back = known is not None and _is_set_back(known, hello)
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
    lacks_facts = set_back or _lacks_facts(connection, known, admitted)
    _send_again(connection, utility, name, everything=lacks_facts, now_ms=now_ms)
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


def _is_set_back(known: Any, hello: Hello) -> bool:
    if known.store is None:
        return False
    if bytes(known.store) != hello.store or hello.journal_index < known.journal_index:
        return True
    return hello.journal_index == known.journal_index and bytes(known.journal_digest) != hello.journal_digest


def _lacks_facts(connection: sa.Connection, known: Any, admitted: AdmittedHello) -> bool:
    """Tell whether a gateway that started anew holds other facts than it said: a disk is set back only while it is off.

    What it said in an earlier run and is still on its way does not count any more (`ingest`), so nothing slips between.
    """
    hello, table = admitted.hello, schema.down_fact.c
    if known is not None and known.boot is not None and bytes(known.boot) == hello.boot:
        return False
    drop_superseded(connection, admitted.utility, admitted.gateway)
    ids = connection.execute(
        sa.select(table.id)
        .where(table.utility == admitted.utility, table.gateway == admitted.gateway)
        .where(table.held_at_ms.is_not(None))
    )
    believed = 0
    for row in ids:
        believed ^= int.from_bytes(row.id)
    return believed.to_bytes(ID_BYTES) != hello.facts_held


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
    """Return for each meter and effect up to which version commands are over, of those that could still be replayed.

    That is the newest that ended, and all before the newest that was sent: where the disk was set back it may have run,
    and no older one may undo it.
    """
    table = schema.command.c
    is_final = table.state.in_(("executed", "failed", "expired", "superseded", "refused"))
    over = sa.case((is_final, table.version), else_=table.version - 1)
    rows = connection.execute(
        sa.select(table.meter, table.effect, sa.func.max(over).label("version"))
        .where(table.utility == utility, table.gateway == gateway)
        .where(table.not_after_ms >= now_ms - FLOOR_GRACE_MS)
        .where(sa.or_(table.sent_at_ms.is_not(None), sa.and_(is_final, table.state != "expired")))
        .group_by(table.meter, table.effect)
        .order_by(sa.func.max(table.not_after_ms).desc())
        .limit(FLOORS_MAX)
    )
    return [Floor(row.meter, row.effect, row.version) for row in rows if row.version > 0]
