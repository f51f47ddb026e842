"""What runs all the time reads by an index that bounds it, however long the history."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from cloud.commands.adapters import dispatch, issuing
from cloud.headend.adapters import down_facts
from tests.unit.cloud.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


@pytest.mark.parametrize(
    ("query", "by"),
    [
        (dispatch._DUE, "ix_command_utility_due_at_ms (utility=? AND due_at_ms<?)"),
        (dispatch._NEXT, "ix_message_tx_id (tx>? AND tx<?)"),
        (dispatch._RECEIPTS.params(those=[1, 2]), "ix_receipt_message (message=?)"),
        (issuing._LIVE, "ix_command_utility_client_due_at_ms (utility=? AND client=? AND due_at_ms>?)"),
        (down_facts._DUE, "ix_down_fact_held_at_ms_due_at_ms (held_at_ms=? AND due_at_ms<?)"),
    ],
)
def test_a_query_that_runs_all_the_time_is_bounded_by_an_index(office: Office, query: sa.Select[Any], by: str) -> None:
    def plan(connection: sa.Connection) -> list[str]:
        text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
        values = tuple(0 for _ in text.positiontup or ())
        return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]

    assert by in office.transact(plan)[0]
