"""What became of commands is counted in exactly one window, and that window says the same for ever."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import schema
from cloud.commands.adapters.dispatch import due_commands, take_receipts
from cloud.commands.adapters.issuing import take_request
from cloud.commands.core.lifecycle import FINAL, UNKNOWN_AFTER_MS
from cloud.headend.core.admission import AdmittedRequest
from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys import commands
from tests.rig.surveys import Point, ask, scope_of
from tests.unit.cloud.office import CLIENT, COMMAND_KEY, GATEWAY, METER, NOW_MS, TREE, UTILITY, Office, receipt
from wire.facts import Stage
from wire.messages import Disconnect, Request, State

(SURVEY,) = commands.SURVEYS
BEGIN_MS = NOW_MS // 60_000 * 60_000
WINDOW = Window(BEGIN_MS, BEGIN_MS + 60_000)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


def issue(office: Office, number: int, *, at_ms: int, valid_ms: int = 60_000, meter: str = METER) -> bytes:
    """Issue a command and return its id."""
    request = Request(
        id=number.to_bytes(16), issued_at_ms=at_ms, not_after_ms=at_ms + valid_ms, meters=[meter], effect=Disconnect()
    )
    admitted = AdmittedRequest(utility=UTILITY, client=CLIENT, request=request, sealed=b"as signed")
    office.transact(lambda connection: take_request(connection, admitted, COMMAND_KEY, now_ms=at_ms))
    table = schema.command.c
    query = sa.select(table.id).where(table.request == request.id)
    return office.transact(lambda connection: bytes(connection.execute(query).scalar_one()))


def send(office: Office, *, at_ms: int) -> None:
    """The dispatcher looks for what is due."""
    office.transact(lambda connection: due_commands(connection, TREE, now_ms=at_ms, timer_ms=at_ms))


def hear(office: Office, command: bytes, stage: Stage, *, at_ms: int) -> None:
    """A receipt comes."""
    heard = [(GATEWAY, receipt(command, stage))]
    office.transact(lambda connection: take_receipts(connection, UTILITY, heard, now_ms=at_ms))


def look(office: Office, window: Window = WINDOW) -> list[Point]:
    return ask(office.transact, SURVEY, scope_of(UTILITY), window)


def counts(points: Sequence[Point]) -> dict[str, Any]:
    return {point.tags["state"]: point.fields["count"] for point in points}


@pytest.mark.parametrize(("p", "expected"), [(1, 10), (50, 30), (60, 30), (61, 40), (95, 50), (100, 50)])
def test_a_percentile_is_the_value_at_its_nearest_rank(p: int, expected: int) -> None:
    assert commands.percentile([10, 20, 30, 40, 50], p) == expected
    assert commands.percentile([7], p) == 7


def test_ends_are_told_with_how_long_they_took(office: Office) -> None:
    for number in range(1, 21):
        command = issue(office, number, at_ms=BEGIN_MS)
        send(office, at_ms=BEGIN_MS)
        hear(office, command, Stage.EXECUTED, at_ms=BEGIN_MS + number * 1_000)
    (point,) = look(office)
    assert point.utc_ms == BEGIN_MS
    assert point.tags == {"utility": UTILITY, "gateway": GATEWAY, "effect": "disconnect", "state": "executed"}
    assert point.fields == {
        "count": 20,
        "latency_p50_ms": 10_000,
        "latency_p95_ms": 19_000,
        "latency_max_ms": 20_000,
        "meter_id": METER,
        "detail": "",
    }


def test_a_command_that_was_refused_for_want_of_a_gateway_is_told(office: Office) -> None:
    issue(office, 1, at_ms=BEGIN_MS, meter="m-unknown")
    (point,) = look(office)
    assert (point.tags["gateway"], point.tags["state"]) == (commands.NO_GATEWAY, "refused")
    assert (point.fields["meter_id"], point.fields["detail"]) == ("m-unknown", "unknown-meter")


def test_what_is_still_open_is_in_no_window(office: Office) -> None:
    command = issue(office, 1, at_ms=BEGIN_MS)
    assert look(office) == []
    send(office, at_ms=BEGIN_MS + 1)
    assert look(office) == []
    hear(office, command, Stage.ACCEPTED, at_ms=BEGIN_MS + 2)
    assert look(office) == []


def test_a_late_receipt_leaves_what_was_said_before_as_it_is(office: Office) -> None:
    command = issue(office, 1, at_ms=BEGIN_MS - UNKNOWN_AFTER_MS, valid_ms=1_000)
    send(office, at_ms=BEGIN_MS - UNKNOWN_AFTER_MS)
    send(office, at_ms=BEGIN_MS + 2_000)
    before = look(office)
    assert counts(before) == {"unknown": 1}
    assert before[0].fields["latency_p50_ms"] == UNKNOWN_AFTER_MS + 1_000

    hear(office, command, Stage.EXECUTED, at_ms=BEGIN_MS + 70_000)

    assert look(office) == before
    assert counts(look(office, Window(WINDOW.until_ms, WINDOW.until_ms + 60_000))) == {"executed": 1}


def test_the_borders_of_a_window_belong_to_one_window_each(office: Office) -> None:
    for number, at_ms in enumerate((WINDOW.from_ms, WINDOW.until_ms), start=1):
        hear(office, issue(office, number, at_ms=at_ms - 5), Stage.FAILED, at_ms=at_ms)
    assert counts(look(office)) == {"failed": 1}
    assert counts(look(office, Window(WINDOW.until_ms, WINDOW.until_ms + 60_000))) == {"failed": 1}


class Life(NamedTuple):
    """What happens to a command, in seconds since the beginning."""

    issued_s: int
    valid_s: int
    heard_s: int
    """After it was issued."""
    stage: Stage | None
    """None if nothing is ever heard."""


SECONDS = 600
LIVES = st.lists(
    st.builds(
        Life,
        issued_s=st.integers(0, 200),
        valid_s=st.integers(1, 120),
        heard_s=st.integers(0, 390),
        stage=st.none() | st.sampled_from(Stage),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30)
@given(lives=LIVES, sender_away=st.tuples(st.integers(0, 300), st.integers(0, 200)), width_s=st.sampled_from((10, 60)))
def test_every_end_is_in_one_window_and_windows_say_the_same_for_ever(
    lives: list[Life], sender_away: tuple[int, int], width_s: int
) -> None:
    with TemporaryDirectory() as folder:
        office = Office(Path(folder))
        first: dict[Window, list[Point]] = {}
        ids: dict[int, bytes] = {}
        for second in range(SECONDS):
            at_ms = BEGIN_MS + second * 1_000
            for number, life in enumerate(lives):
                if second == life.issued_s:
                    ids[number] = issue(office, number, at_ms=at_ms, valid_ms=life.valid_s * 1_000)
                if second == life.issued_s + life.heard_s and life.stage is not None:
                    hear(office, ids[number], life.stage, at_ms=at_ms)
            if second % 5 == 0 and not 0 <= second - sender_away[0] < sender_away[1]:
                send(office, at_ms=at_ms)
            if second % width_s == 0 and second:
                window = Window(at_ms - width_s * 1_000, at_ms)
                first[window] = look(office, window)

        again = {window: look(office, window) for window in first}
        assert again == first
        said = sum((Counter(counts(points)) for points in again.values()), Counter[str]())
        assert said == _ended(office, before_ms=max(first).until_ms)
        office.engine.dispose()


def _ended(office: Office, *, before_ms: int) -> Counter[str]:
    """Return what the table of commands says itself."""
    rows = office.transact(lambda connection: connection.execute(sa.select(schema.command)).all())
    found: Counter[str] = Counter()
    for row in rows:
        ended_ms = row.state_at_ms if State(row.state) in FINAL else before_ms
        unknown_ms = row.not_after_ms + UNKNOWN_AFTER_MS
        found["unknown"] += row.sent_at_ms is not None and unknown_ms < min(ended_ms, before_ms)
        found[row.state] += ended_ms < before_ms
    return +found
