"""Statements made by the cloud itself: accounts whose points are in are closed, some at a time.

A statement is an entry like any other: into the set and down to the box in one transaction, repeated until the box
holds it. The rows it stands for stay and are no longer read.
"""

from dataclasses import dataclass, field

import sqlalchemy as sa

from cloud import schema
from cloud.prepaid.adapters.accounts import add_entry
from cloud.prepaid.adapters.members import LATEST_MS, mark_covered, members_of
from cloud.prepaid.core.closing import ClosingRules, closable_ms
from prepay.closing import latest_close_ms
from prepay.entries import RegisterPoint, Statement
from prepay.identity import encode
from prepay.statement import make_statement
from wire.limits import DOWN_FACT_BYTES_MAX, NAME_BYTES_MAX

ACCOUNTS_PER_TURN = 20
"""A statement costs each side a fold; commands and readings go between."""
LOOKS_PER_CLOSE = 4
_FACT_OVERHEAD_BYTES = NAME_BYTES_MAX + 16
_account = schema.account.c
DUE = (
    sa.select(_account.name)
    .where(_account.utility == sa.bindparam("of"), _account.closing_due_at_ms <= sa.bindparam("now_ms"))
    .order_by(_account.closing_due_at_ms)
    .limit(sa.bindparam("count_max", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


class UnfitStatementError(ValueError):
    """Raised when a statement is too long for a fact, or a figure out of its bounds."""


@dataclass(slots=True, kw_only=True)
class Closed:
    """What a turn came to."""

    looked: int = 0
    made: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Accounts that cannot be closed, with the reason."""


def close_due(
    connection: sa.Connection, utility: str, *, rules: ClosingRules, now_ms: int, count_max: int = ACCOUNTS_PER_TURN
) -> Closed:
    """Look at the accounts that are due and close those that can be."""
    names = connection.execute(DUE, {"of": utility, "now_ms": now_ms, "count_max": count_max}).scalars().all()
    turn = Closed(looked=len(names))
    for name in names:
        try:
            turn.made += close_account(connection, utility, name, rules=rules, now_ms=now_ms) is not None
        except ValueError as error:
            turn.problems.append((name, str(error)))
        connection.execute(
            sa.update(schema.account)
            .where(_account.utility == utility, _account.name == name)
            .values(closing_due_at_ms=now_ms + max(rules.every_ms // LOOKS_PER_CLOSE, 1))
        )
    return turn


def close_account(
    connection: sa.Connection, utility: str, account: str, *, rules: ClosingRules, now_ms: int
) -> Statement | None:
    """Close an account as late as its points allow, or return None.

    Raises:
        TooMuchToCarryError: More of its installations go on than a statement carries.
        UnfitStatementError: The statement is too long, or a figure out of its bounds.
    """
    members = members_of(connection, utility, account, at_ms=LATEST_MS)
    entries = members.entries()
    closed_at_ms = closable_ms(
        (entry for entry in entries if isinstance(entry, RegisterPoint)),
        closed_at_ms=latest_close_ms(entries),
        now_ms=now_ms,
        rules=rules,
    )
    if closed_at_ms is None:
        return None
    statement = make_statement(entries, account=account, closed_at_ms=closed_at_ms, issued_at_ms=now_ms)
    if len(encode(statement)) > DOWN_FACT_BYTES_MAX - _FACT_OVERHEAD_BYTES:
        raise UnfitStatementError(f"the statement takes {len(encode(statement))} bytes")
    add_entry(connection, utility, account, statement, now_ms=now_ms)
    mark_covered(connection, utility, members, closed_at_ms)
    return statement
