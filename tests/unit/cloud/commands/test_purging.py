"""What is long over is forgotten, and runs no second time for that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.issuing import take_request
from cloud.commands.adapters.purging import purge
from cloud.headend.core.admission import AdmittedRequest
from tests.unit.cloud.office import CLIENT, COMMAND_KEY, METER, NOW_MS, UTILITY, Office
from wire.messages import Disconnect, Request

DAY_MS = 86_400_000
DEADLINE_MS = NOW_MS + 60_000


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An office in which one disconnection of two meters is over."""
    office = Office(tmp_path)
    row = {"utility": UTILITY, "meter": "m-2", "from_ms": 0, "gateway": "gw-1", "until_ms": None}
    office.transact(lambda connection: connection.execute(sa.insert(schema.assignment).values(row)))
    ask(office, at_ms=NOW_MS)
    end(office, METER)
    end(office, "m-2")
    yield office
    office.engine.dispose()


def ask(office: Office, *, at_ms: int) -> None:
    """The same request comes, once more or for the first time."""
    request = Request(
        id=bytes(16), issued_at_ms=NOW_MS, not_after_ms=DEADLINE_MS, meters=[METER, "m-2"], effect=Disconnect()
    )
    admitted = AdmittedRequest(utility=UTILITY, client=CLIENT, request=request, sealed=b"as signed")
    office.transact(lambda connection: take_request(connection, admitted, COMMAND_KEY, now_ms=at_ms))


def end(office: Office, meter: str, *, due_at_ms: int | None = None) -> None:
    table = schema.command
    values = {"state": "executed", "due_at_ms": due_at_ms}
    office.transact(
        lambda connection: connection.execute(sa.update(table).where(table.c.meter == meter).values(**values))
    )


def forget(office: Office, *, before_ms: int) -> int:
    return office.transact(lambda connection: purge(connection, UTILITY, before_ms=before_ms))


def left(office: Office) -> tuple[int, int]:
    return office.count(schema.request), office.count(schema.command)


def test_what_is_long_over_is_forgotten_with_its_request(office: Office) -> None:
    assert forget(office, before_ms=DEADLINE_MS) == 0
    assert left(office) == (1, 2)
    assert forget(office, before_ms=DEADLINE_MS + 1) == 2
    assert left(office) == (0, 0)


def test_what_still_has_something_to_do_stays_and_its_request_too(office: Office) -> None:
    end(office, METER, due_at_ms=0)
    assert forget(office, before_ms=DEADLINE_MS + 1) == 1
    assert left(office) == (1, 1)


def test_a_request_that_comes_again_after_it_was_forgotten_does_not_run(office: Office) -> None:
    forget(office, before_ms=DEADLINE_MS + 1)
    ask(office, at_ms=DEADLINE_MS + 400 * DAY_MS)
    assert left(office) == (0, 0)
    count = office.transact(lambda connection: connection.execute(sa.select(schema.refusal.c.reason)).scalar())
    assert count == "expired"
