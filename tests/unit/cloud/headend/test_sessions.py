"""What a hello leads to: floors, and facts that go down again where a disk lacks them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.down_facts import due_facts, send_down
from tests.unit.cloud.office import CREDIT_KEY, GATEWAY, METER, NOW_MS, TREE, UTILITY, Office, held
from wire.facts import PrepaidPolicy
from wire.messages import Floor

POLICY = PrepaidPolicy(
    account="a-1", meter=METER, version=1, decides="box", currency="INR", emergency_minor=0, low_minor=0
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


def send_policy(office: Office) -> bytes:
    return office.transact(lambda connection: send_down(connection, UTILITY, GATEWAY, POLICY, now_ms=NOW_MS))


def sent(office: Office, *, at_ms: int = NOW_MS) -> int:
    return len(office.transact(lambda connection: due_facts(connection, TREE, CREDIT_KEY, timer_ms=at_ms)))


def test_a_fact_is_repeated_until_the_gateway_holds_it(office: Office) -> None:
    office.hello(1)
    fact = send_policy(office)
    assert sent(office) == 1
    assert sent(office) == 0
    assert sent(office, at_ms=NOW_MS + 10_000) == 1
    office.take(office.batch([held(fact, 1)]))
    assert sent(office, at_ms=NOW_MS + 3_600_000) == 0


def test_a_restart_that_lost_nothing_is_sent_nothing(office: Office) -> None:
    office.hello(1)
    fact = send_policy(office)
    office.take(office.batch([held(fact, 1)]))
    office.hello(2, facts_held=fact, journal=2)
    assert sent(office) == 0


def test_a_disk_set_back_to_before_a_fact_gets_it_again(office: Office) -> None:
    office.hello(1)
    fact = send_policy(office)
    office.take(office.batch([held(fact, 1)]))
    office.hello(2, facts_held=bytes(16), journal=9)
    assert sent(office) == 1


def test_what_an_earlier_run_said_is_not_believed_when_it_comes_late(office: Office) -> None:
    office.hello(1)
    fact = send_policy(office)
    late = office.batch([held(fact, 1)])
    office.hello(2, facts_held=bytes(16), journal=2)
    office.take(late)
    assert sent(office) == 1


@pytest.mark.parametrize(("journal", "store"), [(1, 1), (5, 2)])
def test_an_older_journal_or_another_store_counts_as_set_back(office: Office, journal: int, store: int) -> None:
    office.hello(1, journal=5)
    office.hello(2, journal=journal, store=store)
    count = office.transact(lambda connection: connection.execute(sa.select(schema.gateway.c.set_back_count)).scalar())
    assert count == 1


def put_command(office: Office, version: int, state: str, *, sent_at_ms: int | None) -> None:
    row = {
        "utility": UTILITY,
        "id": version.to_bytes(16),
        "client": "client-1",
        "request": bytes(16),
        "gateway": GATEWAY,
        "meter": METER,
        "asked": "disconnect",
        "effect": "relay",
        "version": version,
        "issued_at_ms": NOW_MS,
        "not_after_ms": NOW_MS + 60_000,
        "sealed": b"",
        "state": state,
        "state_at_ms": NOW_MS,
        "sent_at_ms": sent_at_ms,
    }
    office.transact(lambda connection: connection.execute(sa.insert(schema.command).values(row)))


def test_the_newest_command_that_ended_is_a_floor(office: Office) -> None:
    put_command(office, 3, "executed", sent_at_ms=NOW_MS)
    put_command(office, 2, "sent", sent_at_ms=NOW_MS)
    assert office.hello(1).floors == [Floor(METER, "relay", 3)]


def test_all_before_the_newest_command_that_was_sent_is_below_the_floor(office: Office) -> None:
    put_command(office, 4, "sent", sent_at_ms=NOW_MS)
    put_command(office, 3, "unknown", sent_at_ms=NOW_MS)
    assert office.hello(1).floors == [Floor(METER, "relay", 3)]


def test_a_command_that_was_never_sent_is_no_floor(office: Office) -> None:
    put_command(office, 4, "expired", sent_at_ms=None)
    assert office.hello(1).floors == []
