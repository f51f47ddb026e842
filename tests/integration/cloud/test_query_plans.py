"""What runs all the time reads by an index that bounds it, however long the history."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from cloud import following
from cloud.commands.adapters import dispatch, issuing, purging
from cloud.headend.adapters import down_facts
from cloud.monitoring.adapters import gateway_days, samples
from cloud.prepaid.adapters import closing, members, moving
from cloud.prepared import Prepared
from tests.unit.cloud.office import Office

OF_WHAT_WAS_FOUND = ("SCAN CONSTANT ROW", "SCAN anon_")
"""Rows of values, or of a part of the query that an index bounded."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


@pytest.mark.parametrize(
    ("query", "by"),
    [
        (dispatch._DUE, "ix_command_utility_due_at_ms (utility=? AND due_at_ms<?)"),
        (dispatch._NEXT, "ix_message_tx_id (tx=? AND id>?)"),
        (following._NEXT, "ix_message_tx_id (tx=? AND id>?)"),
        (samples.NEXT, "ix_sample_tx_id (tx=? AND id>?)"),
        (dispatch._RECEIPTS.params(those=[1, 2]), "ix_receipt_message (message=?)"),
        (issuing._STANDING, "ix_command_utility_client_due_at_ms (utility=? AND client=? AND due_at_ms>?)"),
        (down_facts._DUE, "ix_down_fact_held_at_ms_due_at_ms (held_at_ms=? AND due_at_ms<?)"),
        (closing.DUE, "ix_account_utility_closing_due_at_ms (utility=? AND closing_due_at_ms<?)"),
        (moving.FORWARDED, "ix_account_utility_moved_at_ms (utility=? AND moved_at_ms>?)"),
        (purging.OVER, "ix_command_utility_not_after_ms (utility=? AND not_after_ms<?)"),
        (gateway_days.TENURES, "ix_assignment_utility_gateway (utility=? AND gateway=?)"),
        (gateway_days.TENURES, "sqlite_autoindex_assignment_1 (utility=? AND meter=?)"),
    ],
)
def test_a_query_that_runs_all_the_time_is_bounded_by_an_index(
    office: Office, query: sa.Select[Any] | Prepared, by: str
) -> None:
    steps = plan(office, query)
    assert any(by in step for step in steps)
    assert not [step for step in steps if step.startswith("SCAN ") and not step.startswith(OF_WHAT_WAS_FOUND)]


def test_a_balance_reads_neither_half_of_its_rows_beyond_an_index(office: Office) -> None:
    found = " ".join(plan(office, members.MEMBERS))
    assert "ix_entry_utility_account_closed_at_ms (utility=? AND account=? AND closed_at_ms=?)" in found
    assert "ix_entry_utility_account_closed_at_ms (utility=? AND account=? AND closed_at_ms>?)" in found
    assert "SCAN" not in found


def plan(office: Office, query: sa.Select[Any] | sa.CompoundSelect[Any] | Prepared) -> list[str]:
    """Return the steps by which SQLite would run a query."""
    statement: Any = query.statement_for("sqlite") if isinstance(query, Prepared) else query

    def explain(connection: sa.Connection) -> list[str]:
        text = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
        values = tuple(0 for _ in text.positiontup or ())
        return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]

    return office.transact(explain)
