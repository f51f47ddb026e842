"""From requests to commands, once each, and what receipts make of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.dispatch import CURSOR, MESSAGES_PER_ROUND_MAX, due_commands, follow_receipts
from cloud.commands.adapters.issuing import take_request
from cloud.epoch import raise_epoch
from cloud.following import position_of
from cloud.headend.adapters.ingest import ingest
from cloud.headend.core.admission import AdmittedBatch, AdmittedRequest
from tests.unit.cloud.office import CLIENT, COMMAND_KEY, METER, NOW_MS, TREE, UTILITY, Office, receipt
from wire.facts import Stage
from wire.messages import Disconnect, Effect, Ping, Request
from wire.topics import Lane


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


def ask(office: Office, number: int, *, effect: Effect | None = None, meter: str = METER) -> None:
    request = Request(
        id=bytes([number]) * 16,
        issued_at_ms=NOW_MS,
        not_after_ms=NOW_MS + 60_000,
        meters=[meter],
        effect=effect or Disconnect(),
    )
    admitted = AdmittedRequest(utility=UTILITY, client=CLIENT, request=request, sealed=b"as signed")
    office.transact(lambda connection: take_request(connection, admitted, COMMAND_KEY, now_ms=NOW_MS))


def commands(office: Office) -> list[tuple[bytes, str, int]]:
    table = schema.command.c
    query = sa.select(table.id, table.state, table.version).order_by(table.version)
    return [(bytes(row.id), row.state, row.version) for row in office.transact(lambda c: c.execute(query).all())]


def send(office: Office, at_ms: int = NOW_MS) -> int:
    return len(office.transact(lambda connection: due_commands(connection, TREE, now_ms=at_ms, timer_ms=at_ms)))


def follow(office: Office, utility: str = UTILITY) -> None:
    office.transact(lambda connection: follow_receipts(connection, utility, now_ms=NOW_MS))


def test_the_same_request_again_issues_nothing_new(office: Office) -> None:
    ask(office, 1)
    ask(office, 1)
    assert len(commands(office)) == 1


def test_another_request_under_the_same_id_is_refused(office: Office) -> None:
    ask(office, 1)
    ask(office, 1, meter="m-other")
    assert len(commands(office)) == 1


def test_a_request_outside_the_clients_scope_issues_nothing(office: Office) -> None:
    ask(office, 1, effect=Ping())
    assert commands(office) == []


def test_a_command_is_sent_until_its_receipt_is_final(office: Office) -> None:
    ask(office, 1)
    ((name, _, _),) = commands(office)
    assert send(office) == 1
    assert send(office) == 0
    assert send(office, NOW_MS + 10_000) == 1
    office.take(office.batch([receipt(name, Stage.ACCEPTED)]))
    follow(office)
    assert commands(office)[0][1] == "delivered"
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    follow(office)
    assert commands(office)[0][1] == "executed"
    assert send(office, NOW_MS + 600_000) == 0


def test_a_command_that_was_sent_and_not_answered_is_unknown_until_a_late_receipt(office: Office) -> None:
    ask(office, 1)
    ((name, _, _),) = commands(office)
    send(office)
    send(office, NOW_MS + 200_000)
    assert commands(office)[0][1] == "unknown"
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    follow(office)
    assert commands(office)[0][1] == "executed"


def test_a_command_nobody_answers_for_a_month_is_sent_no_more(office: Office) -> None:
    ask(office, 1)
    send(office)
    month_ms = 31 * 86_400_000
    send(office, NOW_MS + month_ms)
    assert send(office, NOW_MS + 2 * month_ms) == 0
    assert commands(office)[0][1] == "unknown"


def test_a_final_state_does_not_change(office: Office) -> None:
    ask(office, 1)
    ((name, _, _),) = commands(office)
    send(office)
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    follow(office)
    office.take(office.batch([receipt(name, Stage.FAILED)]))
    follow(office)
    assert commands(office)[0][1] == "executed"


def test_a_command_issued_again_after_a_restore_takes_the_receipt_that_is_there(office: Office) -> None:
    ask(office, 1)
    ((name, _, _),) = commands(office)
    # The backup held neither request nor command; the gateway's receipt came again before the request did.
    office.transact(lambda connection: [connection.execute(sa.delete(t)) for t in (schema.command, schema.request)])
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    follow(office)
    ask(office, 1)
    assert commands(office) == [(name, "executed", commands(office)[0][2])]


def test_versions_rise_also_across_a_restore(office: Office) -> None:
    ask(office, 1)
    ask(office, 2)
    office.transact(lambda connection: connection.execute(sa.delete(schema.effect_version)))
    office.transact(raise_epoch)
    ask(office, 3)
    versions = [version for _, _, version in commands(office)]
    assert versions == sorted(set(versions))
    assert len(versions) == 3


def test_the_receipts_of_one_utility_are_not_passed_over_for_another(office: Office) -> None:
    ask(office, 1)
    ((name, _, _),) = commands(office)
    other = AdmittedBatch(
        utility="valley",
        gateway="gw-9",
        lane=Lane.URGENT,
        digest=bytes(32),
        sealed=b"as signed",
        facts=[receipt(bytes(16), Stage.EXECUTED)],
    )
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    office.transact(lambda connection: ingest(connection, "valley", [other], [], epoch=1, now_ms=NOW_MS))
    follow(office, "valley")
    follow(office)
    assert commands(office)[0][1] == "executed"


def test_messages_without_receipts_are_read_over_once(office: Office) -> None:
    def position() -> int:
        return office.transact(lambda connection: position_of(connection, f"{CURSOR} {UTILITY}"))[1]

    for _ in range(MESSAGES_PER_ROUND_MAX - 1):
        office.take(office.batch([]))
    follow(office)
    assert position() == 0
    office.take(office.batch([]))
    follow(office)
    assert position() == MESSAGES_PER_ROUND_MAX
    ask(office, 1)
    ((name, _, _),) = commands(office)
    office.take(office.batch([receipt(name, Stage.EXECUTED)]))
    follow(office)
    assert commands(office)[0][1] == "executed"
