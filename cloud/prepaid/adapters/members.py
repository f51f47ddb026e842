"""The set S of an account in the database: which rows count, and which a statement stands for.

What the cloud issued counts. Of what gateways reported, register points count and nothing else: those of the gateway
that serves the account, and those of one that served it, taken before the meter was assigned to another. Rows that a
statement stands for stay as evidence, and a balance of an earlier instant is computed from them.
"""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from cloud import schema
from prepay.closing import is_covered
from prepay.entries import INSTANT_MS_MAX, Entry, RegisterPoint, Statement
from wire import codec
from wire.errors import MalformedError

LATEST_MS = INSTANT_MS_MAX
"""No close lies after it."""
NEVER_COUNTS_MS = 0
"""In place of a close: no balance is ever computed from the row."""
ROWS_PER_UPDATE = 500
_entry = schema.entry.c
_COLUMNS = (_entry.digest, _entry.encoded, _entry.gateway)
_OF_ACCOUNT = (_entry.utility == sa.bindparam("of"), _entry.account == sa.bindparam("named"))
MEMBERS = sa.union_all(
    sa.select(*_COLUMNS).where(*_OF_ACCOUNT, _entry.closed_at_ms.is_(None)),
    sa.select(*_COLUMNS).where(*_OF_ACCOUNT, _entry.closed_at_ms > sa.bindparam("at_ms", type_=sa.BigInteger)),
)
"""The rows that a balance at an instant is computed from."""


class Member(NamedTuple):
    """An entry that counts."""

    row: bytes
    """Key of its row."""
    gateway: str | None
    """Who reported it."""
    entry: Entry


class Members(NamedTuple):
    """What a balance of an account is computed from."""

    counting: list[Member]
    foreign: list[Member]
    """Register points of gateways that do not serve the account."""
    void: list[bytes]
    """Keys of the other rows read: they will never count."""

    def entries(self) -> list[Entry]:
        """Return what counts."""
        return [member.entry for member in self.counting]


def members_of(connection: sa.Connection, utility: str, account: str, *, at_ms: int) -> Members:
    """Return what a balance at an instant is computed from: since the latest statement that closes at or before it."""
    rows = connection.execute(MEMBERS, {"of": utility, "named": account, "at_ms": at_ms}).all()
    serving = _Serving(connection, utility, account)
    members = Members([], [], [])
    for row in rows:
        key, entry = bytes(row.digest), _decoded(bytes(row.encoded))
        if entry is None or (row.gateway is not None and not isinstance(entry, RegisterPoint)):
            members.void.append(key)
        elif isinstance(entry, Statement) and entry.closed_at_ms > at_ms:
            continue
        elif (
            isinstance(entry, RegisterPoint) and row.gateway is not None and not serving.may_report(row.gateway, entry)
        ):
            members.foreign.append(Member(key, row.gateway, entry))
        else:
            members.counting.append(Member(key, row.gateway, entry))
    return members


def mark_covered(connection: sa.Connection, utility: str, members: Members, closed_at_ms: int) -> None:
    """Note which rows a statement stands for; no later balance reads them any more."""
    read = members.counting + members.foreign
    covered = [member.row for member in read if is_covered(member.entry, closed_at_ms)]
    _mark(connection, utility, covered, closed_at_ms)
    _mark(connection, utility, members.void, NEVER_COUNTS_MS)


def _mark(connection: sa.Connection, utility: str, rows: list[bytes], closed_at_ms: int) -> None:
    for first in range(0, len(rows), ROWS_PER_UPDATE):
        part = rows[first : first + ROWS_PER_UPDATE]
        connection.execute(
            sa.update(schema.entry)
            .where(_entry.utility == utility, _entry.digest.in_(part))
            .values(closed_at_ms=closed_at_ms)
        )


def _decoded(encoded: bytes) -> Entry | None:
    try:
        entry: Entry = codec.decode_as(encoded, Entry)
    except MalformedError:
        return None
    return entry


class _Serving:
    """Which gateways may report an account's register points."""

    def __init__(self, connection: sa.Connection, utility: str, account: str) -> None:
        self._connection = connection
        self._utility = utility
        table = schema.account.c
        self._now = connection.execute(
            sa.select(table.gateway).where(table.utility == utility, table.name == account)
        ).scalar()
        self._former: dict[str, list[tuple[str, int, int | None]]] = {}
        """By meter: gateway, from, until; read where somebody else reported something."""

    def may_report(self, gateway: str, point: RegisterPoint) -> bool:
        """Tell whether a point of a gateway counts."""
        if gateway == self._now:
            return True
        return any(
            name == gateway and until_ms is not None and from_ms <= point.taken_at_ms < until_ms
            for name, from_ms, until_ms in self._spans(point.meter_serial)
        )

    def _spans(self, meter: str) -> Iterable[tuple[str, int, int | None]]:
        if meter not in self._former:
            table = schema.assignment.c
            rows = self._connection.execute(
                sa.select(table.gateway, table.from_ms, table.until_ms)
                .where(table.utility == self._utility, table.meter == meter)
                .order_by(table.from_ms)
            ).all()
            # A clock that was behind stamps points before the first assignment; they are the first gateway's as well.
            self._former[meter] = [
                (row.gateway, row.from_ms if place else 0, row.until_ms) for place, row in enumerate(rows)
            ]
        return self._former[meter]
