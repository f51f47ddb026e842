"""Prepaid accounts read many at once, in a transaction that decodes nothing, to be folded outside of it.

Which entries count is decided by `cloud.prepaid.adapters.members`; accounts for which that takes more than a look at
who serves them now, since another gateway reported something, are read by it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.monitoring.core.standing import Standing
from cloud.prepaid.adapters.members import members_of
from prepay.entries import Entry, RegisterPoint
from wire import codec
from wire.errors import MalformedError
from wire.facts import PrepaidPolicy, decode_down_fact

_account, _entry = schema.account.c, schema.entry.c
ACCOUNT_COLUMNS = (_account.name, _account.meter, _account.gateway, _account.currency, _account.policy)


class Unfolded(NamedTuple):
    """An account as it was read."""

    name: str
    meter: str
    gateway: str
    currency: str
    policy: bytes
    rows: list[tuple[bytes, bool]]
    """Entries, and whether a gateway reported them."""
    known: list[Entry] | None
    """What counts, where that is known already."""

    def folded(self, *, since_ms: int) -> Standing:
        """Return how the account stands, from an instant on."""
        policy = decode_down_fact(self.policy)
        assert isinstance(policy, PrepaidPolicy)
        entries = self.known if self.known is not None else self._entries()
        return Standing(self.name, policy, entries, since_ms=since_ms)

    def _entries(self) -> list[Entry]:
        found: list[Entry] = []
        for encoded, is_reported in self.rows:
            try:
                entry: Entry = codec.decode_as(encoded, Entry)
            except MalformedError:
                continue
            if not is_reported or isinstance(entry, RegisterPoint):
                found.append(entry)
        return found


def read_accounts(connection: sa.Connection, utility: str, accounts: Sequence[Any], *, at_ms: int) -> list[Unfolded]:
    """Read what the balances of accounts from an instant on are computed from.

    Args:
        connection: In a transaction.
        utility: Whose.
        accounts: Rows of `ACCOUNT_COLUMNS`.
        at_ms: The earliest instant.
    """
    found = {
        row.name: Unfolded(row.name, row.meter, row.gateway, row.currency, row.policy, [], None) for row in accounts
    }
    columns = (_entry.account, _entry.encoded, _entry.gateway)
    mine = (_entry.utility == utility, _entry.account.in_(list(found)))
    query = sa.union_all(
        sa.select(*columns).where(*mine, _entry.closed_at_ms.is_(None)),
        sa.select(*columns).where(*mine, _entry.closed_at_ms > at_ms),
    )
    foreign: set[str] = set()
    for name, encoded, reporter in connection.execute(query):
        account = found[name]
        account.rows.append((encoded, reporter is not None))
        if reporter is not None and reporter != account.gateway:
            foreign.add(name)
    for name in foreign:
        entries = members_of(connection, utility, name, at_ms=at_ms).entries()
        found[name] = found[name]._replace(rows=[], known=entries)
    return list(found.values())
