"""Gateways and meters as they stand: none forgotten, whole and parts agree."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.keys import register_key, revoke_key
from cloud.monitoring.adapters.places import Place, set_places
from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys import network
from tests.rig.surveys import Point, ask, ask_in_spite, scope_of
from tests.unit.cloud.office import GATEWAY, NOW_MS, UTILITY, Office
from wire.keys import Purpose, SigningKey

(SURVEY,) = network.SURVEYS
HOUR_MS = 3_600_000
WINDOW = Window(NOW_MS - 60_000, NOW_MS)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    office.transact(lambda connection: connection.execute(sa.delete(schema.assignment)))
    yield office
    office.engine.dispose()


def put(office: Office, table: sa.Table, *rows: dict[str, Any]) -> None:
    office.transact(lambda connection: upsert(connection, table, [{"utility": UTILITY} | row for row in rows]))


def assign(office: Office, meter: str, gateway: str, *, from_ms: int = 0, until_ms: int | None = None) -> None:
    put(office, schema.assignment, {"meter": meter, "gateway": gateway, "from_ms": from_ms, "until_ms": until_ms})


def read(office: Office, meter: str, utc_ms: int) -> None:
    put(office, schema.latest, {"meter": meter, "utc_ms": utc_ms, "body": b""})


def look(office: Office, **settings: Any) -> list[Point]:
    return ask(office.transact, SURVEY, scope_of(UTILITY, **settings), WINDOW)


def states(points: list[Point]) -> dict[str, dict[str, Any]]:
    return {point.tags["gateway"]: dict(point.fields) for point in points if point.measurement == "gateway_state"}


def whole(points: list[Point]) -> dict[str, Any]:
    (point,) = (point for point in points if point.measurement == "network_state")
    assert point.utc_ms == NOW_MS
    return dict(point.fields)


def silent_meters(points: list[Point]) -> list[tuple[str, str, Any]]:
    return [
        (point.tags["gateway"], point.tags["meter"], point.fields["silent_s"])
        for point in points
        if point.measurement == "meter_silent"
    ]


def test_an_empty_network_is_said_to_be_empty(office: Office) -> None:
    (point,) = look(office)
    assert set(point.fields.values()) == {0.0}


def test_a_gateway_is_told_with_its_meters_and_what_waits_for_it(office: Office) -> None:
    assign(office, "m-1", GATEWAY)
    assign(office, "m-2", GATEWAY, from_ms=NOW_MS - 2 * HOUR_MS)
    assign(office, "m-3", GATEWAY, from_ms=NOW_MS - 30_000)
    read(office, "m-1", NOW_MS - 10_000)
    put(office, schema.gateway, {"name": GATEWAY, "seen_at_ms": NOW_MS - 5_000, "bye_at_ms": NOW_MS - 9_000})
    fact = {"gateway": GATEWAY, "encoded": b"", "issued_at_ms": 1, "due_at_ms": 1}
    put(office, schema.down_fact, {**fact, "id": b"a", "held_at_ms": None}, {**fact, "id": b"b", "held_at_ms": 5})
    office.transact(lambda connection: set_places(connection, UTILITY, [Place(GATEWAY, -1_292_100, 36_821_900)]))

    points = look(office)

    assert states(points) == {
        GATEWAY: {
            "present": 1,
            "silent_s": 5,
            "meters_count": 3,
            "meters_silent_count": 1,
            "facts_waiting_count": 1,
            "commands_open_count": 0,
            "latitude": -1.2921,
            "longitude": 36.8219,
        }
    }
    assert silent_meters(points) == [(GATEWAY, "m-2", 7_200)]
    assert whole(points) == {
        "gateways_count": 1,
        "gateways_silent_count": 0,
        "meters_count": 3,
        "meters_silent_count": 1,
        "facts_waiting_count": 1,
        "commands_open_count": 0,
    }


def test_a_gateway_never_heard_is_silent_since_meters_were_assigned_to_it(office: Office) -> None:
    assign(office, "m-1", "gw-new", from_ms=NOW_MS - 2 * HOUR_MS)
    points = look(office)
    assert states(points)["gw-new"]["silent_s"] == 7_200
    assert states(points)["gw-new"]["present"] == 0
    assert whole(points)["gateways_silent_count"] == 1


def test_silence_counts_when_it_is_longer_than_what_was_set(office: Office) -> None:
    for meter, ago_ms in (("m-1", 600_000), ("m-2", 600_001)):
        assign(office, meter, GATEWAY)
        read(office, meter, NOW_MS - ago_ms)
    assert [meter for _, meter, _ in silent_meters(look(office, silent_s=600))] == ["m-2"]


def test_only_assignments_in_force_at_the_end_of_the_window_count(office: Office) -> None:
    assign(office, "m-1", "gw-old", until_ms=NOW_MS)
    assign(office, "m-1", "gw-next", from_ms=NOW_MS)
    assign(office, "m-2", "gw-later", from_ms=NOW_MS + 1)
    points = look(office)
    assert {name: state["meters_count"] for name, state in states(points).items()} == {"gw-next": 1}
    assert whole(points)["meters_count"] == 1


def test_a_gateway_out_of_service_leaves_the_picture_once_it_has_no_meters(office: Office) -> None:
    key = SigningKey(bytes([7]) * 32, purpose=Purpose.GATEWAY, party=GATEWAY).public
    put(office, schema.gateway, {"name": GATEWAY, "seen_at_ms": 1}, {"name": "gw-2", "seen_at_ms": 1})
    assign(office, "m-1", GATEWAY)
    office.transact(lambda connection: register_key(connection, UTILITY, key))
    office.transact(lambda connection: revoke_key(connection, UTILITY, key.kid.hex(), at_ms=NOW_MS))
    assert set(states(look(office))) == {GATEWAY, "gw-2"}

    office.transact(lambda connection: connection.execute(sa.delete(schema.assignment)))
    assert set(states(look(office))) == {"gw-2"}


def test_another_utility_is_left_out(office: Office) -> None:
    strange = {"utility": "valley", "meter": "m-9", "gateway": "gw-9", "from_ms": 0, "until_ms": None}
    fact = {"utility": "valley", "gateway": GATEWAY, "id": b"a", "encoded": b"", "issued_at_ms": 1, "due_at_ms": 1}
    put(office, schema.assignment, strange)
    put(office, schema.down_fact, fact)
    assert set(whole(look(office)).values()) == {0.0}


@pytest.mark.parametrize("meters_per_part", [1, 7, 10_000])
def test_parts_of_any_size_say_the_same(office: Office, meters_per_part: int) -> None:
    rng = Random(5)
    last: dict[tuple[str, str], int] = {}
    for number in range(400):
        gateway, meter = f"gw-{rng.randrange(40):02}", f"m-{number}"
        last[gateway, meter] = NOW_MS - rng.randrange(9 * HOUR_MS)
        assign(office, meter, gateway)
        read(office, meter, last[gateway, meter])
    expected = sorted((at, gateway, meter) for (gateway, meter), at in last.items() if at < NOW_MS - HOUR_MS)
    assert len(expected) > network.SILENT_METERS_MAX

    in_parts = replace(SURVEY, steps=partial(network.steps, meters_per_part=meters_per_part))
    points = ask(office.transact, in_parts, scope_of(UTILITY), WINDOW)

    found = [(gateway, meter) for gateway, meter, _ in silent_meters(points)]
    assert found == [(gateway, meter) for _, gateway, meter in expected[: network.SILENT_METERS_MAX]]
    assert whole(points)["meters_silent_count"] == len(expected)
    assert whole(points)["gateways_count"] == len(states(points)) == len({gateway for gateway, _ in last})
    assert sum(state["meters_count"] for state in states(points).values()) == 400


def test_without_all_its_parts_nothing_is_said_of_the_whole(office: Office) -> None:
    for number in range(6):
        assign(office, f"m-{number}", f"gw-{number}")
    in_parts = replace(SURVEY, steps=partial(network.steps, meters_per_part=2))
    asked = 0

    def transact(work: Callable[[sa.Connection], Any]) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise ZeroDivisionError
        return office.transact(work)

    points, failed = ask_in_spite(transact, in_parts, scope_of(UTILITY), WINDOW)
    assert failed == 1
    assert 0 < len(states(points)) < 6
    assert "network_state" not in {point.measurement for point in points}
