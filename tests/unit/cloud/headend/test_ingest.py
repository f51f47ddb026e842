"""A group of batches becomes one transaction; whatever comes twice is there once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.headend.adapters.ingest import ingest
from cloud.headend.core.admission import Refused
from tests.unit.cloud.office import GATEWAY, NOW_MS, UTILITY, Office, receipt
from wire import codec
from wire.errors import Reason
from wire.facts import EntryFact, Event, Health, LineHealth, Metric, Stage, UpFact
from wire.messages import Quarantined
from wire.topics import Lane

EVENT = Event(boot=bytes(8), tick_ms=1, serial=1, meter="", code="5.26.0.216", detail="")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


def test_a_batch_that_comes_again_is_acknowledged_again_and_stored_once(office: Office) -> None:
    batch = office.batch([EVENT])
    first, again = office.take(batch), office.take(batch)
    assert (first.batches_new, again.batches_new, again.batches_known) == (1, 0, 1)
    assert first.acks[GATEWAY].committed == again.acks[GATEWAY].committed == [batch.digest]
    assert office.count(schema.message) == office.count(schema.event) == 1


def test_a_batch_twice_in_one_group_is_stored_once(office: Office) -> None:
    batch = office.batch([EVENT])
    assert office.take(batch, batch).acks[GATEWAY].committed == [batch.digest]
    assert office.count(schema.message) == 1


def test_the_same_fact_in_two_batches_is_stored_once(office: Office) -> None:
    office.take(office.batch([EVENT]), office.batch([EVENT, receipt(bytes(16), Stage.EXECUTED)]))
    office.take(office.batch([receipt(bytes(16), Stage.EXECUTED)]))
    assert office.count(schema.event) == office.count(schema.receipt) == 1


def test_two_values_under_one_key_are_both_kept(office: Office) -> None:
    office.take(office.batch([EVENT]), office.batch([msgspec.structs.replace(EVENT, detail="other")]))
    assert office.count(schema.event) == 2


def test_the_position_of_an_acknowledgement_covers_all_it_names(office: Office) -> None:
    first, second = office.batch([EVENT]), office.batch([EVENT])
    before = office.take(first).acks[GATEWAY].position
    assert office.take(second).acks[GATEWAY].position > before
    assert office.take(first).acks[GATEWAY].position >= before


def test_what_is_told_of_a_batch_is_what_the_database_holds(office: Office) -> None:
    """One handler knew already that the key was revoked, another did not; or the other way round."""
    aside, taken = office.batch([EVENT]), office.batch([EVENT])
    refused = [
        Refused(utility=UTILITY, reason=Reason.REVOKED_KEY, party=GATEWAY, set_aside=batch.sealed, lane=Lane.URGENT)
        for batch in (aside, taken)
    ]
    office.transact(lambda connection: ingest(connection, UTILITY, [], refused[:1], epoch=1, now_ms=NOW_MS))
    late = office.take(aside, taken).acks[GATEWAY]
    assert late.committed == [taken.digest]
    assert late.quarantined == [Quarantined(aside.digest, "revoked-key")]
    again = office.transact(lambda connection: ingest(connection, UTILITY, [], refused[1:], epoch=1, now_ms=NOW_MS))
    assert again.acks[GATEWAY].committed == [taken.digest]


def test_an_entry_that_another_gateway_claimed_before_counts_all_the_same(office: Office) -> None:
    entry = EntryFact(account="A-1", entry=b"a register point")
    batch = office.batch([entry])
    office.take(replace(batch, gateway="gw-other"))
    office.take(office.batch([entry]))
    assert office.count(schema.entry) == 2


def test_of_each_gateway_and_each_line_the_last_health_is_kept(office: Office) -> None:
    def of_gateway(tick_ms: int) -> Health:
        return Health(boot=bytes(8), tick_ms=tick_ms, meter="", metrics=[Metric("rows_count", tick_ms)])

    def of_line(tick_ms: int, line: str) -> LineHealth:
        return LineHealth(boot=bytes(8), tick_ms=tick_ms, line=line, metrics=[Metric("bytes_count", tick_ms)])

    office.take(office.batch([of_gateway(1), of_line(1, "l-1"), of_line(1, "l-2"), of_line(2, "l-2")]))
    office.take(office.batch([of_gateway(3), of_line(3, "l-1")]))
    office.take(replace(office.batch([of_line(4, "l-1")]), gateway="gw-other"))
    rows = office.transact(lambda connection: connection.execute(sa.select(schema.health)).all())
    kept: dict[tuple[str, str, str], UpFact] = {
        (row.gateway, row.meter, row.line): codec.decode_as(row.encoded, UpFact) for row in rows
    }
    assert kept == {
        (GATEWAY, "", ""): of_gateway(3),
        (GATEWAY, "", "l-1"): of_line(3, "l-1"),
        (GATEWAY, "", "l-2"): of_line(2, "l-2"),
        ("gw-other", "", "l-1"): of_line(4, "l-1"),
    }
