"""Commands, demand reads and reconnections against their targets: each told once, when nothing changes it any more."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.dispatch import take_receipts
from cloud.commands.adapters.issuing import take_request
from cloud.database import upsert
from cloud.headend.adapters.assignments import assign
from cloud.headend.core.admission import AdmittedRequest
from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys.service_levels import EVENT_CREDIT_RESTORED, SURVEYS
from cloud.prepaid.adapters import accounts
from prepay.entries import AdjustmentReason
from tests.rig.surveys import Point, ask, ask_in_spite, scope_of
from tests.unit.cloud.office import CLIENT, COMMAND_KEY, GATEWAY, METER, UTILITY, Office, receipt
from wire.facts import Event, Stage
from wire.messages import Disconnect, Effect, Read, Reconnect, Request

(SURVEY,) = SURVEYS
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
BEGIN_MS = 20_000 * 24 * HOUR_MS
"""The hour in which all begins."""


class Desk(Office):
    """An office whose gateway answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._number = 0
        scope = {"effects": "disconnect,reconnect,read", "meters": "*"}
        self.transact(
            lambda connection: upsert(connection, schema.client, [{"utility": UTILITY, "name": CLIENT} | scope])
        )

    def request(self, effect: Effect, *, minute: float = 0, meters: Sequence[str] = (METER,)) -> list[bytes]:
        """Issue commands; return their ids."""
        self._number += 1
        now_ms = at(minute)
        request = Request(
            id=self._number.to_bytes(16),
            issued_at_ms=now_ms,
            not_after_ms=now_ms + HOUR_MS,
            meters=list(meters),
            effect=effect,
        )
        admitted = AdmittedRequest(utility=UTILITY, client=CLIENT, request=request, sealed=b"as signed")
        self.transact(lambda connection: take_request(connection, admitted, COMMAND_KEY, now_ms=now_ms, timer_ms=0))
        query = sa.select(schema.command.c.id).where(schema.command.c.request == request.id)
        return [bytes(name) for name in self.transact(lambda connection: connection.execute(query).scalars().all())]

    def answer(self, commands: Sequence[bytes], stage: Stage, *, minute: float) -> None:
        """The gateway says what became of commands."""
        receipts = [(GATEWAY, receipt(command, stage)) for command in commands]
        self.transact(lambda connection: take_receipts(connection, UTILITY, receipts, now_ms=at(minute)))

    def hear(self, code: str, *, minute: float, meter: str = METER) -> None:
        """The gateway reports an event of a meter."""
        self._number += 1
        event = Event(boot=bytes(8), tick_ms=self._number, serial=self._number, meter=meter, code=code, detail="")
        self.take(self.batch([event]), now_ms=at(minute))

    def open_account(self, name: str, *, meter: str = METER) -> None:
        new = accounts.NewAccount(
            name=name, meter=meter, currency="KES", exponent=2, price="25.5", opening_wh=0, rated_power_w=5_000
        )

        def work(connection: sa.Connection) -> None:
            assign(connection, UTILITY, GATEWAY, [meter], from_ms=0)
            accounts.open_account(connection, UTILITY, new, now_ms=BEGIN_MS - 24 * HOUR_MS)

        self.transact(work)

    def owe(self, name: str, amount_minor: int) -> None:
        """An account begins with a debt."""
        self.transact(
            lambda connection: accounts.adjust(
                connection,
                UTILITY,
                name,
                adjustment_id=name.encode().ljust(16, b"."),
                amount_minor=-amount_minor,
                reason=AdjustmentReason.DEBT,
                now_ms=BEGIN_MS - HOUR_MS,
            )
        )

    def pay(self, name: str, amount_minor: int, *, minute: float) -> None:
        self._number += 1
        number = self._number.to_bytes(16)
        self.transact(
            lambda connection: accounts.credit(
                connection, UTILITY, name, credit_id=number, amount_minor=amount_minor, now_ms=at(minute)
            )
        )

    def levels(self, hour: int) -> dict[str, Point]:
        """Return what is told of each target in the window of an hour since the beginning."""
        from_ms = BEGIN_MS + hour * HOUR_MS
        told = ask(self.transact, SURVEY, scope_of(UTILITY), Window(from_ms, from_ms + HOUR_MS))
        return {str(point.tags["target"]): point for point in told}

    def counts(self, hour: int, target: str) -> tuple[float, float]:
        """Return how many met a target, and of how many."""
        point = self.levels(hour)[target]
        assert point.utc_ms == BEGIN_MS
        assert point.fields["percent"] == 100 * float(point.fields["met_count"]) / float(point.fields["count"])
        return float(point.fields["met_count"]), float(point.fields["count"])


def at(minute: float) -> int:
    return BEGIN_MS + round(minute * MINUTE_MS)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


def test_a_command_meets_its_target_if_it_was_carried_out_in_time(desk: Desk) -> None:
    desk.answer(desk.request(Disconnect(), minute=0), Stage.EXECUTED, minute=15)
    desk.answer(desk.request(Disconnect(), minute=10), Stage.EXECUTED, minute=26)
    desk.answer(desk.request(Disconnect(), minute=20), Stage.FAILED, minute=21)
    desk.request(Disconnect(), minute=59)

    assert desk.counts(1, "relay-15min") == (1, 4)
    assert "relay-15min" not in desk.levels(0) | desk.levels(2)


def test_what_comes_after_the_deadline_does_not_change_a_level(desk: Desk) -> None:
    late = desk.request(Disconnect(), minute=59)
    before = desk.levels(1)
    desk.answer(late, Stage.EXECUTED, minute=200)

    assert desk.levels(1) == before
    assert desk.counts(1, "relay-15min") == (0, 1)


def test_nobody_waits_for_a_superseded_command_or_for_a_meter_without_a_gateway(desk: Desk) -> None:
    desk.answer(desk.request(Disconnect()), Stage.SUPERSEDED, minute=5)
    desk.request(Disconnect(), meters=["nobodys"])

    assert desk.levels(1) == {}


def test_large_requests_have_targets_of_their_own(desk: Desk) -> None:
    meters = [f"m-{number}" for number in range(20)]
    desk.transact(lambda connection: assign(connection, UTILITY, GATEWAY, meters, from_ms=0))
    commands = desk.request(Disconnect(), minute=30, meters=meters)
    desk.answer(commands[:18], Stage.EXECUTED, minute=300)
    desk.answer(commands[18:19], Stage.EXECUTED, minute=600)

    assert "relay-15min" not in desk.levels(1)
    assert desk.counts(6, "relay-bulk-6h") == (18, 20)
    assert desk.counts(24, "relay-bulk-24h") == (19, 20)


def test_demand_reads_are_told_by_themselves(desk: Desk) -> None:
    desk.answer(desk.request(Read([]), minute=1), Stage.EXECUTED, minute=2)
    desk.answer(desk.request(Read([]), minute=1), Stage.EXECUTED, minute=10)

    assert desk.counts(1, "read-1min") == (1, 2)
    assert desk.counts(1, "read-10min") == (2, 2)
    assert "relay-15min" not in desk.levels(1)


def test_an_hour_in_which_nothing_was_asked_for_is_not_told(desk: Desk) -> None:
    assert [desk.levels(hour) for hour in range(30)] == [{}] * 30


def test_supply_back_after_a_credit_is_counted_by_how_long_it_took(desk: Desk) -> None:
    for name in ("A", "B", "C"):
        desk.open_account(name, meter=f"m-{name}")
        desk.owe(name, 500)
        desk.pay(name, 1_000, minute=10)
    desk.hear(EVENT_CREDIT_RESTORED, minute=12, meter="m-A")
    desk.hear(EVENT_CREDIT_RESTORED, minute=100, meter="m-B")

    assert desk.counts(1, "reconnect-15min") == (1, 3)
    assert desk.counts(2, "reconnect-2h") == (2, 3)
    assert desk.levels(2)["reconnect-2h"].fields["sourced"] == 1


def test_a_credit_counts_only_where_it_ends_a_cut(desk: Desk) -> None:
    desk.open_account("A")
    desk.owe("A", 500)
    desk.pay("A", 100, minute=1)  # too little
    desk.hear(EVENT_CREDIT_RESTORED, minute=2)  # of an earlier credit
    desk.pay("A", 500, minute=5)
    desk.pay("A", 500, minute=6)  # was in credit

    assert desk.counts(1, "reconnect-15min") == (0, 1)


def test_a_debt_or_correction_is_no_payment(desk: Desk) -> None:
    desk.open_account("A")
    desk.transact(
        lambda connection: accounts.adjust(
            connection,
            UTILITY,
            "A",
            adjustment_id=bytes(16),
            amount_minor=700,
            reason=AdjustmentReason.CORRECTION,
            now_ms=at(3),
        )
    )

    assert desk.levels(1) == {}


def test_a_relay_closed_by_command_is_supply_back_too(desk: Desk) -> None:
    desk.open_account("A")
    desk.pay("A", 100, minute=1)
    (command,) = desk.request(Reconnect(), minute=2)
    desk.transact(
        lambda connection: connection.execute(
            sa.update(schema.command)
            .where(schema.command.c.id == command)
            .values(state="executed", state_at_ms=at(3), relay_closed=True)
        )
    )

    assert desk.counts(1, "reconnect-15min") == (1, 1)


def test_what_is_heard_after_the_window_does_not_change_it(desk: Desk) -> None:
    desk.open_account("A")
    desk.pay("A", 100, minute=59)
    before = desk.levels(1)
    desk.hear(EVENT_CREDIT_RESTORED, minute=300)

    assert desk.levels(1) == before
    assert desk.counts(1, "reconnect-15min") == (0, 1)


def test_without_all_accounts_nothing_is_said_of_reconnections(desk: Desk) -> None:
    for name, meter in (("A-1", METER), ("A-2", "m-2")):
        desk.open_account(name, meter=meter)
        desk.owe(name, 100)
        desk.pay(name, 500, minute=10)
    window = Window(BEGIN_MS + HOUR_MS, BEGIN_MS + 2 * HOUR_MS)
    whole, failed = ask_in_spite(desk.transact, SURVEY, scope_of(UTILITY), window)
    assert failed == 0
    assert "reconnect" in " ".join(point.tags["target"] for point in whole)

    spoilt = sa.update(schema.account).where(schema.account.c.name == "A-2").values(policy=b"")
    desk.transact(lambda connection: connection.execute(spoilt))
    points, failed = ask_in_spite(desk.transact, SURVEY, scope_of(UTILITY), window)
    assert failed == 1
    assert "reconnect" not in " ".join(point.tags["target"] for point in points)
