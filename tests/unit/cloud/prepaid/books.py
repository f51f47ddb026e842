"""An office with a prepaid household: register points that boxes report, and what a box there would compute."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from cloud import schema
from cloud.prepaid.adapters import accounts
from cloud.prepaid.adapters.closing import Closed, close_due
from cloud.prepaid.core.closing import ClosingRules
from prepay.account import Account
from prepay.balance import Balance
from prepay.entries import Entry, PointReason, RegisterPoint, Statement
from prepay.identity import encode
from tests.unit.cloud.office import GATEWAY, METER, UTILITY, Office
from wire import codec
from wire.facts import EntryFact, decode_down_fact

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OPENED_MS = 20_000 * DAY_MS
"""A midnight."""
ACCOUNT = "A-1"


def point(hour: float, *, boot: int = 1, energy_wh: int | None = None) -> RegisterPoint:
    """Return the point of an hour since the opening; 300 W are always drawn."""
    at_ms = round(hour * HOUR_MS)
    return RegisterPoint(
        meter_serial=METER,
        installation=1,
        boot_id=bytes([boot]) * 8,
        tick_ms=at_ms,
        taken_at_ms=OPENED_MS + at_ms,
        energy_wh=round(hour * 300) if energy_wh is None else energy_wh,
        reason=PointReason.HOURLY,
    )


class Books(Office):
    """The office of the household."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reported: dict[str, list[RegisterPoint]] = {}
        new = accounts.NewAccount(
            name=ACCOUNT, meter=METER, currency="KES", exponent=2, price="25.5", opening_wh=0, rated_power_w=5_000
        )
        self.transact(lambda connection: accounts.open_account(connection, UTILITY, new, now_ms=OPENED_MS))
        self.credit(1, 1_000_000, hour=0)

    def credit(self, number: int, amount_minor: int, *, hour: float) -> None:
        self.transact(
            lambda connection: accounts.credit(
                connection,
                UTILITY,
                ACCOUNT,
                credit_id=number.to_bytes(16),
                amount_minor=amount_minor,
                now_ms=OPENED_MS + round(hour * HOUR_MS),
            )
        )

    def report(self, points: Iterable[RegisterPoint], *, gateway: str = GATEWAY) -> None:
        """A box reports points that it keeps, too."""
        known = list(points)
        self.reported.setdefault(gateway, []).extend(known)
        for first in range(0, len(known), 100):
            facts = [EntryFact(account=ACCOUNT, entry=encode(item)) for item in known[first : first + 100]]
            self.take(replace(self.batch(facts), gateway=gateway))

    def close(self, *, day: float, rules: ClosingRules | None = None) -> Closed:
        """Look at the accounts as the room does, at the end of a day since the opening."""
        now_ms = OPENED_MS + round(day * DAY_MS)
        return self.transact(
            lambda connection: close_due(connection, UTILITY, rules=rules or ClosingRules(), now_ms=now_ms)
        )

    def balance(self, *, hour: float) -> Balance:
        at_ms = OPENED_MS + round(hour * HOUR_MS)
        return self.transact(lambda connection: accounts.balance_of(connection, UTILITY, ACCOUNT, at_ms=at_ms))

    def statements(self) -> list[Statement]:
        """Return all statements ever made, by close."""
        query = sa.select(schema.entry.c.encoded).where(schema.entry.c.gateway.is_(None))
        entries = self.transact(lambda connection: [_entry(row.encoded) for row in connection.execute(query)])
        found = [entry for entry in entries if isinstance(entry, Statement)]
        return sorted(found, key=lambda statement: statement.closed_at_ms)

    def sent_to(self, gateway: str) -> list[Entry]:
        """Return the entries on their way to a box, or there."""
        query = sa.select(schema.down_fact.c.encoded).where(schema.down_fact.c.gateway == gateway)
        facts = self.transact(
            lambda connection: [decode_down_fact(bytes(row.encoded)) for row in connection.execute(query)]
        )
        return [_entry(fact.entry) for fact in facts if isinstance(fact, EntryFact)]

    def box_balance(self, *, hour: float, gateway: str = GATEWAY) -> Balance:
        """Return what a box shows that got everything."""
        account = Account(ACCOUNT)
        account.update(self.reported.get(gateway, []))
        account.update(self.sent_to(gateway))
        return account.balance(OPENED_MS + round(hour * HOUR_MS))


def _entry(encoded: bytes) -> Entry:
    entry: Entry = codec.decode_as(encoded, Entry)
    return entry
