"""How accounts stand: cut off and low by the rule of the box, days left by yesterday's use."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.assignments import assign
from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys.prepaid import ACCOUNTS_PER_STEP, SURVEYS
from cloud.prepaid.adapters import accounts
from cloud.prepaid.adapters.moving import follow_assignments
from prepay.entries import AdjustmentReason
from tests.rig.surveys import Point, ask, ask_in_spite, scope_of
from tests.unit.cloud.office import GATEWAY, METER, UTILITY
from tests.unit.cloud.prepaid.books import ACCOUNT, HOUR_MS, OPENED_MS, Books, point

(SURVEY,) = SURVEYS
SPENT_DAY_MINOR = 18_360
"""24 hours of 300 W at 25.5 a kilowatt hour."""
CREDITED_MINOR = 1_000_000


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = Books(tmp_path)
    yield books
    books.engine.dispose()


def at(hour: float) -> int:
    return OPENED_MS + round(hour * HOUR_MS)


def tell(books: Books, *, hour: float, meters: bool = True) -> tuple[list[Point], dict[tuple[str, str], Point]]:
    """Return what is told of each account, and of each gateway and currency."""
    scope = scope_of(UTILITY, meters=meters)
    lines = ask(books.transact, SURVEY, scope, Window(at(hour) - HOUR_MS, at(hour)))
    of_gateways = {
        (line.tags["gateway"], line.tags["currency"]): line for line in lines if line.measurement == "prepaid_state"
    }
    return [line for line in lines if line.measurement == "account"], of_gateways


def open_more(books: Books, name: str, *, emergency: int = 0, low: int = 0, decides: str = "box", credit: int) -> None:
    """Open an account that uses nothing."""
    new = accounts.NewAccount(
        name=name,
        meter=f"m-{name}",
        currency="KES",
        exponent=2,
        price="25.5",
        opening_wh=0,
        rated_power_w=5_000,
        decides=decides,
        emergency_minor=emergency,
        low_minor=low,
    )

    def work(connection: sa.Connection) -> None:
        assign(connection, UTILITY, GATEWAY, [new.meter], from_ms=0)
        accounts.open_account(connection, UTILITY, new, now_ms=OPENED_MS)
        if credit:
            book(connection, name, credit, hour=1)

    books.transact(work)


def book(connection: sa.Connection, name: str, amount_minor: int, *, hour: float) -> None:
    """Book a payment, or a debt where it is below zero."""
    number = f"{name}{hour}".encode().ljust(16, b".")
    if amount_minor > 0:
        accounts.credit(connection, UTILITY, name, credit_id=number, amount_minor=amount_minor, now_ms=at(hour))
        return
    accounts.adjust(
        connection,
        UTILITY,
        name,
        adjustment_id=number,
        amount_minor=amount_minor,
        reason=AdjustmentReason.DEBT,
        now_ms=at(hour),
    )


def test_an_account_shows_its_balance_and_what_it_used_in_a_day(books: Books) -> None:
    books.report([point(hour) for hour in range(1, 60)])

    (account,), states = tell(books, hour=59)

    assert account.utc_ms == at(59)
    assert account.tags == {
        "account": ACCOUNT,
        "currency": "KES",
        "gateway": GATEWAY,
        "meter": METER,
        "utility": UTILITY,
    }
    balance_minor = books.balance(hour=59).amount_minor
    assert account.fields["balance_minor"] == balance_minor < CREDITED_MINOR
    assert account.fields["spent_day_minor"] == pytest.approx(SPENT_DAY_MINOR, abs=1)
    assert account.fields["days_left"] == pytest.approx(balance_minor / SPENT_DAY_MINOR, rel=1e-3)
    assert account.fields["cut_off"] == 0
    state = states[GATEWAY, "KES"]
    assert (state.fields["accounts_count"], state.fields["balance_minor"]) == (1, balance_minor)
    assert state.fields["days_left_below_3_count"] == 0


def test_an_account_that_was_closed_by_a_statement_shows_the_same(books: Books) -> None:
    books.report([point(hour) for hour in range(1, 240)])
    before = tell(books, hour=239)

    assert books.close(day=10).made == 1

    assert tell(books, hour=239) == before
    assert before[0][0].fields["balance_minor"] == books.balance(hour=239).amount_minor


def test_what_comes_later_is_not_in_the_sample(books: Books) -> None:
    books.report([point(hour) for hour in range(1, 30)])
    books.credit(2, 5_000, hour=29)

    (account,), _ = tell(books, hour=28)

    assert account.fields["balance_minor"] == books.balance(hour=28).amount_minor


def test_an_account_that_used_nothing_has_no_days_left(books: Books) -> None:
    (account,), states = tell(books, hour=30)

    assert account.fields["spent_day_minor"] == 0
    assert "days_left" not in account.fields
    assert states[GATEWAY, "KES"].fields["days_left_below_1_count"] == 0


@pytest.mark.parametrize(
    ("emergency", "low", "decides", "credit", "cut_off", "is_low"),
    [
        (0, 0, "box", 0, 1, 0),
        (0, 0, "box", 1, 0, 0),
        (0, 500, "box", 500, 0, 1),
        (0, 500, "box", 501, 0, 0),
        (300, 500, "box", 0, 0, 1),
        (300, 500, "box", -299, 0, 1),
        (300, 500, "box", -300, 1, 0),
        # Its box does not hold the relay: who decides may or may not have disconnected it.
        (0, 0, "cloud", 0, 0, 1),
        (0, 0, "external", 0, 0, 1),
    ],
)
def test_cut_off_and_low_go_by_the_policy(
    books: Books, emergency: int, low: int, decides: str, credit: int, cut_off: int, is_low: int
) -> None:
    open_more(books, "B-1", emergency=emergency, low=low, decides=decides, credit=credit)

    lines, states = tell(books, hour=2)

    (account,) = [line for line in lines if line.tags["account"] == "B-1"]
    assert account.fields["cut_off"] == cut_off
    assert states[GATEWAY, "KES"].fields["cut_off_count"] == cut_off
    assert states[GATEWAY, "KES"].fields["low_count"] == is_low


@pytest.mark.parametrize(
    ("moves", "cut_off"),
    [
        # Fell to where emergency credit lasts.
        ([(1, 100), (2, -200)], 0),
        # Was cut off, and too little was paid to lift that.
        ([(1, -300), (2, 200)], 1),
        ([(1, -300), (2, 100), (3, 100)], 1),
        # Was cut off, was above zero, and fell again.
        ([(1, -300), (2, 400), (3, -200)], 0),
    ],
)
def test_between_zero_and_the_end_of_emergency_credit_the_relay_stays_as_it_was(
    books: Books, moves: list[tuple[int, int]], cut_off: int
) -> None:
    open_more(books, "B-1", emergency=300, credit=0)
    for hour, amount_minor in moves:
        books.transact(partial(book, name="B-1", amount_minor=amount_minor, hour=hour))

    lines, _ = tell(books, hour=9)

    (account,) = [line for line in lines if line.tags["account"] == "B-1"]
    assert -300 < float(account.fields["balance_minor"]) <= 0
    assert account.fields["cut_off"] == cut_off


def test_an_account_about_to_run_out_is_counted(books: Books) -> None:
    books.report([point(hour) for hour in range(1, 60)])
    spare_minor = books.balance(hour=59).amount_minor - 2 * SPENT_DAY_MINOR
    books.transact(lambda connection: book(connection, ACCOUNT, -spare_minor, hour=58))

    _, states = tell(books, hour=59)

    state = states[GATEWAY, "KES"]
    assert (state.fields["days_left_below_1_count"], state.fields["days_left_below_3_count"]) == (0, 1)


def test_many_accounts_are_added_up_and_small_installations_name_each(books: Books) -> None:
    count = ACCOUNTS_PER_STEP + 3
    for number in range(count):
        open_more(books, f"B-{number}", credit=number + 1)

    lines, states = tell(books, hour=2)
    few, same = tell(books, hour=2, meters=False)

    assert len({line.tags["account"] for line in lines}) == len(lines) == count + 1
    assert states == same
    assert few == []
    fields = states[GATEWAY, "KES"].fields
    assert (fields["accounts_count"], fields["cut_off_count"]) == (count + 1, 0)
    assert fields["balance_minor"] == CREDITED_MINOR + count * (count + 1) // 2


def test_points_of_the_former_box_count_and_a_strangers_do_not(books: Books) -> None:
    books.report([point(hour) for hour in range(1, 30)])
    books.report([point(hour, boot=9, energy_wh=100 * hour) for hour in range(1, 20)], gateway="gw-9")
    alone = tell(books, hour=29)[0][0]
    assert alone.fields["balance_minor"] == books.balance(hour=29).amount_minor

    def move(connection: sa.Connection) -> None:
        assign(connection, UTILITY, "gw-2", [METER], from_ms=at(29.5))
        assert follow_assignments(connection, UTILITY, now_ms=at(29.5)) == 1

    books.transact(move)
    (moved,), states = tell(books, hour=29)

    assert moved.tags["gateway"] == "gw-2"
    assert moved.fields == alone.fields
    assert list(states) == [("gw-2", "KES")]


def test_one_bad_account_costs_the_sums_of_its_gateway_and_nothing_of_others(books: Books) -> None:
    for number in range(2 * ACCOUNTS_PER_STEP):
        open_more(books, f"B-{number:03}", credit=5)
    elsewhere = sa.update(schema.account).where(schema.account.c.name == ACCOUNT).values(gateway="gw-other")
    spoilt = sa.update(schema.account).where(schema.account.c.name == "B-007").values(policy=b"")
    books.transact(lambda connection: [connection.execute(change) for change in (elsewhere, spoilt)])

    points, failed = ask_in_spite(books.transact, SURVEY, scope_of(UTILITY), Window(at(1), at(2)))

    assert failed == 1
    assert [line.tags["gateway"] for line in points if line.measurement == "prepaid_state"] == ["gw-other"]
    accounts_told = [line.tags["account"] for line in points if line.measurement == "account"]
    assert sorted(accounts_told) == [ACCOUNT, *(f"B-{number:03}" for number in range(50, 100))]
