"""Sessions: a hello is answered by a welcome with the time, the epoch, and what must not run any more.

A hello names the last session that the gateway's disk remembers. A box restored from a backup, or cloned, names another
than the cloud expects: its facts are sent down again, and the floors in every welcome keep it from running what has run
before. A hello that was late or sent again by somebody can look the same; then facts travel once more for nothing.
"""

from typing import Any

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.epoch import current_epoch, restores
from cloud.headend.core.admission import AdmittedHello
from wire.limits import FLOORS_MAX
from wire.messages import Floor, Hello, Welcome

WINDOW = 16
NONCE_BYTES = 16
NONCES_MAX = 32
"""Sessions offered to a gateway that hears nothing are remembered up to so many."""
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
        "sessions": b"".join(_nonces_after(known, hello)),
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


def _is_set_back(known: Any, hello: Hello) -> bool:
    if known.store is None:
        return False
    nonces = _nonces(known)
    return bytes(known.store) != hello.store or not (hello.previous in nonces or hello.nonce in nonces)


def _nonces(known: Any) -> list[bytes]:
    """Return what the next hello may name, oldest first."""
    sessions = bytes(known.sessions or b"")
    return [sessions[at : at + NONCE_BYTES] for at in range(0, len(sessions), NONCE_BYTES)]


def _nonces_after(known: Any, hello: Hello) -> list[bytes]:
    """Return what the next hello may name: the session that this one names, and those offered since.

    Which of the offered the gateway took only its next hello says. Where this hello names none of them the former line
    stays possible, since a hello out of its time looks like a set-back.
    """
    nonces = _nonces(known) if known is not None else []
    if hello.nonce in nonces:
        return nonces
    if hello.previous in nonces:
        nonces = nonces[nonces.index(hello.previous) :]
    else:
        nonces.append(hello.previous)
    nonces.append(hello.nonce)
    return nonces if len(nonces) <= NONCES_MAX else [nonces[0], *nonces[1 - NONCES_MAX :]]


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
