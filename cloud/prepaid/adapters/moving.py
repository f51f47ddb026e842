"""An account follows its meter: when that is assigned to another gateway, the set goes down to the box there.

The new box gets what the account is made of since its latest statement, the former box's register points among it, so
that both compute the same. What the former box still holds back and sends later goes to the new one when it arrives.
What was on its way to the former box is sent there no more.
"""

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.down_facts import send_down, take_back
from cloud.prepaid.adapters.members import LATEST_MS, Member, members_of
from prepay.closing import is_covered, latest_close_ms
from prepay.identity import encode
from wire.facts import DownFact, EntryFact, decode_down_fact

FORWARD_FOR_MS = 400 * 86_400_000
"""For so long after a move points of former boxes are looked for."""
_account, _assignment = schema.account.c, schema.assignment.c
_MOVED = (
    sa.select(_account.name, _account.gateway.label("former"), _assignment.gateway, _account.policy)
    .join_from(
        schema.account,
        schema.assignment,
        sa.and_(_assignment.utility == _account.utility, _assignment.meter == _account.meter),
    )
    .where(_account.utility == sa.bindparam("of"), _assignment.gateway != _account.gateway)
    .where(_assignment.from_ms <= sa.bindparam("now_ms"))
    .where(sa.or_(_assignment.until_ms.is_(None), _assignment.until_ms > sa.bindparam("now_ms")))
)
FORWARDED = sa.select(_account.name, _account.gateway).where(
    _account.utility == sa.bindparam("of"), _account.moved_at_ms > sa.bindparam("since_ms")
)


def follow_assignments(connection: sa.Connection, utility: str, *, now_ms: int) -> int:
    """Move the accounts whose meters another gateway serves by now; return how many."""
    moved = connection.execute(_MOVED, {"of": utility, "now_ms": now_ms}).all()
    for row in moved:
        connection.execute(
            sa.update(schema.account)
            .where(_account.utility == utility, _account.name == row.name)
            .values(gateway=row.gateway, moved_at_ms=now_ms)
        )
        facts = [*_facts(row.name, _counting(connection, utility, row.name)), decode_down_fact(bytes(row.policy))]
        take_back(connection, utility, row.former, facts)
        for fact in facts:
            send_down(connection, utility, row.gateway, fact, now_ms=now_ms)
    return len(moved)


def forward_points(connection: sa.Connection, utility: str, *, now_ms: int) -> None:
    """Send points of former boxes that came after the move down to the boxes that serve the accounts now."""
    rows = connection.execute(FORWARDED, {"of": utility, "since_ms": now_ms - FORWARD_FOR_MS}).all()
    for row in rows:
        late = [
            member
            for member in _counting(connection, utility, row.name)
            if member.gateway is not None and member.gateway != row.gateway
        ]
        for fact in _facts(row.name, late):
            send_down(connection, utility, row.gateway, fact, now_ms=now_ms)


def _counting(connection: sa.Connection, utility: str, account: str) -> list[Member]:
    """Return what counts and no statement stands for."""
    members = members_of(connection, utility, account, at_ms=LATEST_MS)
    closed_at_ms = latest_close_ms(members.entries())
    return [member for member in members.counting if not is_covered(member.entry, closed_at_ms)]


def _facts(account: str, members: Iterable[Member]) -> Iterator[DownFact]:
    return (EntryFact(account=account, entry=encode(member.entry)) for member in members)
