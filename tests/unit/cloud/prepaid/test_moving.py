"""A meter goes to another gateway, and its account with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.assignments import assign
from cloud.prepaid.adapters.accounts import accounts
from cloud.prepaid.adapters.moving import follow_assignments, forward_points
from prepay.entries import Credit, RegisterPoint
from tests.unit.cloud.office import GATEWAY, METER, UTILITY
from tests.unit.cloud.prepaid.books import ACCOUNT, DAY_MS, HOUR_MS, OPENED_MS, Books, point
from wire.facts import PrepaidPolicy, decode_down_fact

OTHER = "gw-2"


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A household whose first five days were reported, all of it in the cloud."""
    books = Books(tmp_path)
    books.report(point(hour) for hour in range(1, 121))
    yield books
    books.engine.dispose()


def move(books: Books, gateway: str, *, hour: float, noticed: float | None = None) -> int:
    """Assign the meter and let the account follow; return how many did."""
    from_ms = OPENED_MS + round(hour * HOUR_MS)
    now_ms = from_ms if noticed is None else OPENED_MS + round(noticed * HOUR_MS)

    def work(connection: sa.Connection) -> int:
        assign(connection, UTILITY, gateway, [METER], from_ms=from_ms)
        return follow_assignments(connection, UTILITY, now_ms=now_ms)

    return books.transact(work)


def forward(books: Books, *, hour: float) -> None:
    now_ms = OPENED_MS + round(hour * HOUR_MS)
    books.transact(lambda connection: forward_points(connection, UTILITY, now_ms=now_ms))


def test_the_new_box_gets_the_whole_set_and_computes_the_same(books: Books) -> None:
    before = books.balance(hour=120)
    assert move(books, OTHER, hour=120.5) == 1
    assert books.transact(lambda connection: accounts(connection, UTILITY)) == [(ACCOUNT, METER, OTHER)]
    assert books.balance(hour=120) == before == books.box_balance(hour=120, gateway=OTHER)
    books.report((point(hour, boot=2) for hour in range(121, 130)), gateway=OTHER)
    books.credit(2, 500, hour=125)
    after = books.balance(hour=130)
    assert after == books.box_balance(hour=130, gateway=OTHER)
    assert after.charged_wh == 129 * 300


def test_the_new_box_gets_the_latest_statement_and_only_what_came_after_it(books: Books) -> None:
    books.close(day=7)
    assert len(books.statements()) == 1
    move(books, OTHER, hour=170)
    assert sum(isinstance(entry, RegisterPoint) for entry in books.sent_to(OTHER)) == 24
    assert books.balance(hour=170) == books.box_balance(hour=170, gateway=OTHER)


def test_the_new_box_learns_who_decides(books: Books) -> None:
    move(books, OTHER, hour=120.5)
    query = sa.select(schema.down_fact.c.encoded).where(schema.down_fact.c.gateway == OTHER)
    rows = books.transact(lambda connection: list(connection.execute(query).scalars()))
    policies = [fact for row in rows if isinstance(fact := decode_down_fact(bytes(row)), PrepaidPolicy)]
    assert [policy.account for policy in policies] == [ACCOUNT]


def test_what_was_on_its_way_to_the_old_box_is_sent_there_no_more(books: Books) -> None:
    assert books.sent_to(GATEWAY)
    move(books, OTHER, hour=120.5)
    assert books.sent_to(GATEWAY) == []


def test_credits_go_to_the_box_that_serves_the_meter_now(books: Books) -> None:
    move(books, OTHER, hour=120.5)
    books.credit(2, 500, hour=121)
    issued = [entry for entry in books.sent_to(OTHER) if isinstance(entry, Credit)]
    assert sorted(entry.amount_minor for entry in issued) == [500, 1_000_000]
    assert books.sent_to(GATEWAY) == []


def test_an_assignment_that_begins_later_moves_the_account_then(books: Books) -> None:
    assert move(books, OTHER, hour=200, noticed=199.9) == 0
    assert move(books, OTHER, hour=200, noticed=200) == 1
    assert move(books, OTHER, hour=200, noticed=201) == 0


def test_points_that_the_old_box_held_back_reach_the_new_one(books: Books) -> None:
    move(books, OTHER, hour=130)
    books.report(point(hour) for hour in range(121, 130))
    assert books.balance(hour=130) != books.box_balance(hour=130, gateway=OTHER)
    forward(books, hour=140)
    forward(books, hour=141)
    assert books.balance(hour=130) == books.box_balance(hour=130, gateway=OTHER)
    assert books.balance(hour=130).charged_wh == 129 * 300


def test_what_the_old_box_says_of_the_time_after_the_move_does_not_count(books: Books) -> None:
    move(books, OTHER, hour=130)
    books.report(point(hour, energy_wh=10) for hour in range(131, 140))
    forward(books, hour=140)
    assert books.balance(hour=140).charged_wh == 120 * 300
    assert books.balance(hour=140) == books.box_balance(hour=140, gateway=OTHER)


def test_a_meter_that_comes_back_brings_its_account_back(books: Books) -> None:
    move(books, OTHER, hour=130)
    books.report((point(hour, boot=2) for hour in range(131, 150)), gateway=OTHER)
    assert move(books, GATEWAY, hour=150) == 1
    books.report(point(hour, boot=3) for hour in range(151, 160))
    shown = books.balance(hour=160)
    assert shown == books.box_balance(hour=160)
    assert shown.charged_wh == 159 * 300


def test_a_moved_account_is_closed_over_the_points_of_both_boxes(books: Books) -> None:
    move(books, OTHER, hour=120.5)
    books.report((point(hour, boot=2) for hour in range(121, 24 * 12)), gateway=OTHER)
    assert books.close(day=12).made == 1
    assert books.statements()[0].points_count == 9 * 24
    assert books.balance(hour=24 * 12) == books.box_balance(hour=24 * 12, gateway=OTHER)
    assert books.statements()[0].closed_at_ms == OPENED_MS + 9 * DAY_MS
