"""Credits are counted once, in the window in which they were booked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys import sales
from cloud.prepaid.adapters.accounts import NewAccount, adjust, credit, open_account
from prepay.entries import AdjustmentReason
from tests.rig.surveys import ask, scope_of
from tests.unit.cloud.office import METER, NOW_MS, UTILITY, Office

(SURVEY,) = sales.SURVEYS
BEGIN_MS = NOW_MS // 60_000 * 60_000


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An office with an account in each of two currencies."""
    office = Office(tmp_path)
    for name, currency in (("A-1", "KES"), ("A-2", "USD")):
        new = NewAccount(
            name=name, meter=METER, currency=currency, exponent=2, price="25.5", opening_wh=0, rated_power_w=10_000
        )
        office.transact(lambda connection, of=new: open_account(connection, UTILITY, of, now_ms=1))  # type: ignore[misc]
    yield office
    office.engine.dispose()


def pay(office: Office, account: str, number: int, *, amount_minor: int, at_ms: int) -> None:
    name = number.to_bytes(16)
    office.transact(
        lambda connection: credit(connection, UTILITY, account, credit_id=name, amount_minor=amount_minor, now_ms=at_ms)
    )


def look(office: Office, from_ms: int, utility: str = UTILITY) -> dict[str, tuple[Any, Any]]:
    points = ask(office.transact, SURVEY, scope_of(utility), Window(from_ms, from_ms + 60_000))
    assert all(point.utc_ms == from_ms for point in points)
    return {point.tags["currency"]: (point.fields["count"], point.fields["amount_minor"]) for point in points}


def test_credits_are_counted_once_by_currency(office: Office) -> None:
    pay(office, "A-1", 1, amount_minor=50_000, at_ms=BEGIN_MS)
    pay(office, "A-1", 1, amount_minor=50_000, at_ms=BEGIN_MS + 5)
    pay(office, "A-1", 2, amount_minor=70_000, at_ms=BEGIN_MS + 59_999)
    pay(office, "A-2", 3, amount_minor=900, at_ms=BEGIN_MS + 30_000)
    assert look(office, BEGIN_MS) == {"KES": (2, 120_000), "USD": (1, 900)}
    assert look(office, BEGIN_MS, "valley") == {}


def test_the_next_window_begins_where_one_ends(office: Office) -> None:
    pay(office, "A-1", 1, amount_minor=50_000, at_ms=BEGIN_MS + 60_000)
    assert look(office, BEGIN_MS) == {}
    assert look(office, BEGIN_MS + 60_000) == {"KES": (1, 50_000)}


def test_a_correction_is_no_sale(office: Office) -> None:
    reason = next(iter(AdjustmentReason))
    office.transact(
        lambda connection: adjust(
            connection, UTILITY, "A-1", adjustment_id=bytes(16), amount_minor=500, reason=reason, now_ms=BEGIN_MS
        )
    )
    assert look(office, BEGIN_MS) == {}
