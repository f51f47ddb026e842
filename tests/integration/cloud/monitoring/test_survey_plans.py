"""Surveys are asked all the time: however long the history, each reads by an index that bounds it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloud.monitoring.adapters.surveys import commands, followers, network, sales
from tests.unit.cloud.office import Office

VALUES = {
    "of": "hillside",
    "at_ms": 1,
    "before_ms": 1,
    "from_ms": 0,
    "until_ms": 1,
    "after": "",
    "to": "gw-2",
    "those": ["gw-1", "gw-2"],
    "tx": 0,
    "id": 5,
    "skipped": 3,
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


@pytest.mark.parametrize(
    ("query", "by"),
    [
        (network.PART_END, "ix_assignment_utility_gateway (utility=? AND gateway>?)"),
        (network.METERS_OF_PART[False], "ix_assignment_utility_gateway (utility=? AND gateway>?)"),
        (network.METERS_OF_PART[True], "ix_assignment_utility_gateway (utility=? AND gateway>? AND gateway<?)"),
        (network.METERS_OF_PART[True], "autoindex_latest_1 (utility=? AND meter=?)"),
        (network.SEEN_OF_PART[True], "autoindex_gateway_1 (utility=? AND name>? AND name<?)"),
        (network.PLACES_OF_PART[True], "autoindex_place_1 (utility=? AND gateway>? AND gateway<?)"),
        (network.QUIET_METERS, "ix_assignment_utility_gateway (utility=? AND gateway=?)"),
        (network.FACTS_WAITING, "ix_down_fact_held_at_ms_due_at_ms (held_at_ms=? AND due_at_ms>?)"),
        (network.COMMANDS_OPEN, "ix_command_utility_due_at_ms (utility=? AND due_at_ms>?)"),
        (followers.UNREAD[0], "ix_message_tx_id (tx=? AND id>?)"),
        (followers.UNREAD[1], "ix_message_tx_id (tx>?)"),
        (followers.UNREAD_RECEIPTS[0], "ix_message_tx_id (tx=? AND id>?)"),
        (followers.UNREAD_RECEIPTS[0], "ix_receipt_message (message=?)"),
        (followers.UNREAD_RECEIPTS[1], "ix_message_tx_id (tx>?)"),
        (followers.UNREAD_RECEIPTS[1], "ix_receipt_message (message=?)"),
        (followers.UNDELIVERED[0], "ix_sample_tx_id (tx=? AND id>?)"),
        (followers.UNDELIVERED[1], "ix_sample_tx_id (tx>?)"),
        (followers.REFUSALS, "autoindex_refusal_1 (utility=?)"),
        (commands.ENDED, "ix_command_utility_state_at_ms (utility=? AND state_at_ms>? AND state_at_ms<?)"),
        (commands.OVERDUE, "ix_command_utility_not_after_ms (utility=? AND not_after_ms>? AND not_after_ms<?)"),
        (sales.SALES, "ix_posting_utility_at_ms (utility=? AND at_ms>? AND at_ms<?)"),
    ],
)
def test_a_survey_reads_by_an_index_and_never_a_whole_table(office: Office, query: sa.Select[Any], by: str) -> None:
    steps = office.transact(lambda connection: plan(connection, query))
    assert any(by in step for step in steps), steps
    # What a limited part of `message` is made of is gone through once more, to be counted.
    assert {step for step in steps if step.startswith("SCAN ")} <= {"SCAN unread", "SCAN undelivered"}


def plan(connection: sa.Connection, query: sa.Select[Any]) -> list[str]:
    """Return the steps by which SQLite runs a query with its values."""
    run: list[tuple[str, Any]] = []

    @sa.event.listens_for(connection, "before_cursor_execute")
    def remember(_connection: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        run.append((text, values))

    connection.execute(query, VALUES).all()
    text, values = run[0]
    return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
