"""The cloud closes accounts by itself, and box and cloud go on to agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.down_facts import drop_superseded, due_facts
from cloud.prepaid.adapters.accounts import add_entry
from cloud.prepaid.adapters.members import members_of
from prepay.entries import INSTALLATIONS_MAX, Assignment, Statement
from prepay.statement import make_statement
from tests.unit.cloud.office import CREDIT_KEY, GATEWAY, TREE, UTILITY, held
from tests.unit.cloud.prepaid.books import ACCOUNT, DAY_MS, OPENED_MS, Books, point


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = Books(tmp_path)
    yield books
    books.engine.dispose()


def read_rows(books: Books, day: float) -> int:
    """Return how many rows a balance is computed from: its work."""
    members = books.transact(
        lambda connection: members_of(connection, UTILITY, ACCOUNT, at_ms=OPENED_MS + round(day * DAY_MS))
    )
    return len(members.counting) + len(members.foreign) + len(members.void)


def test_a_statement_changes_no_balance_and_goes_down_to_the_box(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 240))
    before = books.balance(hour=240)
    assert books.close(day=10).made == 1
    (statement,) = books.statements()
    assert statement.closed_at_ms == OPENED_MS + 7 * DAY_MS
    assert statement in books.sent_to(GATEWAY)
    after = books.balance(hour=240)
    assert (after.amount_minor, after.charged_wh) == (before.amount_minor, before.charged_wh)
    assert after.digest != before.digest
    assert after == books.box_balance(hour=240)


def test_a_late_point_changes_neither_side(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 240) if hour != 100)
    books.close(day=13)
    shown = books.balance(hour=240)
    books.report([point(100)])
    assert books.balance(hour=240) == shown == books.box_balance(hour=240)


def test_the_work_of_a_balance_does_not_grow_with_history_and_the_evidence_stays(books: Books) -> None:
    work = []
    for day in range(1, 121):
        books.report(point(hour) for hour in range(24 * (day - 1) + 1, 24 * day + 1))
        books.close(day=day + 0.1)
        work.append(read_rows(books, day + 0.1))
    assert max(work[4:]) <= 4 * 24 + 6
    assert work[-1] == work[10]
    assert len(books.statements()) == 117
    (kept,) = books.transact(
        lambda connection: connection.execute(sa.select(sa.func.count()).where(schema.entry.c.gateway == GATEWAY)).one()
    )
    assert kept == 120 * 24
    assert books.balance(hour=120 * 24).charged_wh == 120 * 24 * 300
    assert books.box_balance(hour=120 * 24) == books.balance(hour=120 * 24)


def test_a_balance_of_an_earlier_instant_is_still_what_it_was(books: Books) -> None:
    shown = {}
    for day in range(1, 15):
        books.report(point(hour) for hour in range(24 * (day - 1) + 1, 24 * day + 1))
        books.close(day=day + 0.1)
        shown[day] = books.balance(hour=day * 24)
    assert len(books.statements()) == 11
    for day, balance in shown.items():
        again = books.balance(hour=day * 24)
        assert (again.amount_minor, again.charged_wh) == (balance.amount_minor, balance.charged_wh)


def test_an_account_whose_box_is_away_is_closed_no_further_than_its_points(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 5 * 24 + 1))
    assert books.close(day=20).made == 1
    assert books.statements()[-1].closed_at_ms == OPENED_MS + 4 * DAY_MS
    assert books.close(day=40).made == 0


def test_an_account_is_looked_at_again_after_some_hours_only(books: Books) -> None:
    assert books.close(day=1).looked == 1
    assert books.close(day=1.2).looked == 0
    assert books.close(day=1.3).looked == 1


def test_points_of_strangers_do_not_count_and_are_not_read_for_ever(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 240))
    books.report([point(hour, boot=9, energy_wh=1) for hour in range(1, 100)], gateway="gw-9")
    books.close(day=10)
    assert books.statements()[0].points_count == 7 * 24
    assert read_rows(books, 10) < 100
    assert books.balance(hour=240) == books.box_balance(hour=240)


def test_a_clock_set_back_makes_no_statement_behind_the_latest(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 240))
    books.close(day=10)
    books.transact(lambda connection: connection.execute(sa.update(schema.account).values(closing_due_at_ms=0)))
    assert books.close(day=6).made == 0


def test_an_account_that_cannot_be_closed_is_named_and_holds_up_no_other(books: Books) -> None:
    books.report(point(hour) for hour in range(1, 240))

    def add_meters(connection: sa.Connection) -> None:
        for number in range(INSTALLATIONS_MAX):
            extra = Assignment(
                account=ACCOUNT,
                meter_serial=f"EM-{number}",
                installation=1,
                opening_wh=0,
                from_ms=OPENED_MS,
                rated_power_w=1,
                register_step_wh=1,
                register_modulus_wh=0,
            )
            add_entry(connection, UTILITY, ACCOUNT, extra, now_ms=OPENED_MS)

    books.transact(add_meters)
    turn = books.close(day=10)
    assert (turn.looked, turn.made) == (1, 0)
    assert turn.problems == [(ACCOUNT, "17 installations go on, 16 fit")]


def facts_to(books: Books) -> dict[bytes, bool]:
    """Return the facts for the box, and whether it holds each."""
    table = schema.down_fact.c
    query = sa.select(table.id, table.held_at_ms).where(table.gateway == GATEWAY)
    return books.transact(
        lambda connection: {bytes(row.id): row.held_at_ms is not None for row in connection.execute(query)}
    )


def issue(books: Books, day: int) -> None:
    """Close at the end of a day."""
    statement = make_statement(
        [], account=ACCOUNT, closed_at_ms=OPENED_MS + day * DAY_MS, issued_at_ms=OPENED_MS + (day + 3) * DAY_MS
    )
    books.transact(lambda connection: add_entry(connection, UTILITY, ACCOUNT, statement, now_ms=statement.issued_at_ms))


def test_a_statement_that_was_not_delivered_gives_way_to_the_next(books: Books) -> None:
    for day in (1, 2, 3):
        issue(books, day)
    sent = [entry for entry in books.sent_to(GATEWAY) if isinstance(entry, Statement)]
    assert [entry.closed_at_ms for entry in sent] == [OPENED_MS + 3 * DAY_MS]


def test_a_held_statement_goes_once_its_successor_is_held_as_it_does_on_the_box(books: Books) -> None:
    books.hello(1)
    before = set(facts_to(books))
    issue(books, 1)
    (older,) = set(facts_to(books)) - before
    books.take(*(books.batch([held(name, 1)]) for name in facts_to(books)))
    issue(books, 2)
    (newer,) = set(facts_to(books)) - before - {older}
    books.transact(lambda connection: drop_superseded(connection, UTILITY))
    assert set(facts_to(books)) == before | {older, newer}
    books.take(books.batch([held(newer, 1)]))
    digest = 0
    for name in before | {newer}:
        digest ^= int.from_bytes(name)
    books.hello(2, facts_held=digest.to_bytes(16), journal=2)
    assert facts_to(books) == dict.fromkeys(before | {newer}, True)
    assert books.transact(lambda connection: due_facts(connection, TREE, CREDIT_KEY, timer_ms=OPENED_MS)) == []
