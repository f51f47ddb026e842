"""SQLite and PostgreSQL answer surveys alike."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.clients import set_scope
from cloud.commands.adapters.dispatch import due_commands, take_receipts
from cloud.commands.adapters.issuing import take_request
from cloud.database import Database, open_database, upsert
from cloud.following import advance
from cloud.headend.adapters.sessions import on_bye
from cloud.headend.core.admission import AdmittedRequest
from cloud.migrations import require_current
from cloud.monitoring.adapters.places import Place, set_places
from cloud.monitoring.adapters.survey import Survey, Window
from cloud.monitoring.adapters.surveys import commands, followers, network, sales
from cloud.prepaid.adapters.accounts import NewAccount, credit, open_account
from tests.rig.reporting import UTILITY, Reporter, assign, commit_batches
from tests.rig.surveys import Point, read_line, scope_of
from tests.unit.cloud.office import receipt
from wire.facts import Receipt, Stage
from wire.keys import Purpose, SigningKey
from wire.messages import Disconnect, Request
from wire.topics import TopicTree

KEY = SigningKey(bytes([2]) * 32, purpose=Purpose.CLOUD_COMMAND, party="cloud")
AT_MS = 1_790_000_040_000
WINDOW = Window(AT_MS - 60_000, AT_MS)
HOUR_MS = 3_600_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        await require_current(opened)
        yield opened


async def look(database: Database, surveys: tuple[Survey, ...], window: Window = WINDOW) -> list[Point]:
    """Ask surveys as the surveyor does."""
    scope = scope_of(UTILITY)
    points: list[Point] = []
    for survey in surveys:
        for step in await database.transact(lambda connection: survey.steps(connection, scope, window)):  # noqa: B023
            make_lines = await database.transact(step)
            points += [read_line(line) for line in make_lines()]
    return points


async def test_the_network_is_told(database: Database) -> None:
    def settle(connection: sa.Connection) -> None:
        for number in range(9):
            assign(connection, f"m{number}", f"gw{number // 3}")
        rows = [{"utility": UTILITY, "meter": f"m{number}", "utc_ms": AT_MS, "body": b""} for number in range(1, 9)]
        rows[4]["utc_ms"] = AT_MS - 2 * HOUR_MS
        upsert(connection, schema.latest, rows)
        for number in (0, 1):
            gateway = Reporter(f"gw{number}")
            commit_batches(connection, gateway.batch(gateway.clock(0, AT_MS)), now_ms=AT_MS - 30_000)
        on_bye(connection, UTILITY, "gw1", now_ms=AT_MS)
        set_places(connection, UTILITY, [Place("gw1", 1_000_000, -2_500_000)])
        new = NewAccount(
            name="A-1", meter="m1", currency="KES", exponent=2, price="25", opening_wh=0, rated_power_w=9_000
        )
        open_account(connection, UTILITY, new, now_ms=AT_MS - 30_000)

    await database.transact(settle)
    in_parts = replace(network.SURVEYS[0], steps=partial(network.steps, meters_per_part=2))
    points = await look(database, (in_parts,))

    states = {point.tags["gateway"]: point.fields for point in points if point.measurement == "gateway_state"}
    assert {name: (state["present"], state["meters_silent_count"]) for name, state in states.items()} == {
        "gw0": (1, 1),
        "gw1": (0, 1),
        "gw2": (0, 0),
    }
    assert (states["gw1"]["latitude"], states["gw1"]["longitude"]) == (1, -2.5)
    assert states["gw0"]["silent_s"] == 30
    silent = [point.tags["meter"] for point in points if point.measurement == "meter_silent"]
    assert silent == ["m0", "m5"]
    (whole,) = (point.fields for point in points if point.measurement == "network_state")
    assert whole["meters_count"] == 9
    assert whole["gateways_silent_count"] == 1
    assert whole["facts_waiting_count"] == states["gw0"]["facts_waiting_count"] == 4


async def test_followers_and_refusals_are_told(database: Database) -> None:
    gateway = Reporter("gw1")
    facts: list[Any] = [gateway.clock(0, AT_MS), receipt(bytes(16), Stage.EXECUTED)]
    for ago_s, fact in zip((50, 20), facts, strict=True):
        batch = gateway.batch(fact)
        await database.transact(
            lambda connection, of=batch, ms=ago_s * 1_000: commit_batches(connection, of, now_ms=AT_MS - ms)  # type: ignore[misc]
        )

    def settle(connection: sa.Connection) -> None:
        oldest = connection.execute(sa.select(schema.message).order_by(schema.message.c.id).limit(1)).one()
        advance(connection, "meterdata", tx=oldest.tx, message=oldest.id)
        rows = [{"utility": UTILITY, "reason": "expired", "party": party, "count": 2} for party in ("a", "b")]
        upsert(connection, schema.refusal, rows)

    await database.transact(settle)
    points = await look(database, followers.SURVEYS)

    lags = {point.tags["follower"]: dict(point.fields) for point in points if point.measurement == "follower"}
    assert lags == {
        "meterdata": {"lag_s": 20, "waiting_count": 1},
        "monitoring": {"lag_s": 50, "waiting_count": 2},
        "commands": {"lag_s": 20, "waiting_count": 1},
        "samples": {"lag_s": 0, "waiting_count": 0},
        "aggregates": {"days_count": 0},
    }
    (expired,) = (point for point in points if point.tags.get("reason") == "expired")
    assert expired.fields == {"count": 4}


async def test_commands_and_sales_are_told(database: Database) -> None:
    issued_ms = WINDOW.from_ms - 60_000
    request = Request(
        id=bytes(16),
        issued_at_ms=issued_ms,
        not_after_ms=issued_ms + 30_000,
        meters=["m1", "m2"],
        effect=Disconnect(),
    )
    admitted = AdmittedRequest(utility=UTILITY, client="billing", request=request, sealed=b"as signed")

    def settle(connection: sa.Connection) -> None:
        set_scope(connection, UTILITY, "billing", effects="disconnect", meters="*")
        for meter in ("m1", "m2"):
            assign(connection, meter, "gw1")
        take_request(connection, admitted, KEY, now_ms=issued_ms)
        due_commands(connection, TopicTree(UTILITY), now_ms=issued_ms, timer_ms=issued_ms)
        ids = connection.execute(sa.select(schema.command.c.id).order_by(schema.command.c.meter)).scalars().all()
        heard: list[tuple[str, Receipt]] = [("gw1", receipt(bytes(ids[0]), Stage.EXECUTED))]
        take_receipts(connection, UTILITY, heard, now_ms=WINDOW.from_ms)
        new = NewAccount(
            name="A-1", meter="m1", currency="KES", exponent=2, price="25", opening_wh=0, rated_power_w=9_000
        )
        open_account(connection, UTILITY, new, now_ms=issued_ms)
        credit(connection, UTILITY, "A-1", credit_id=bytes(16), amount_minor=5_000, now_ms=WINDOW.until_ms - 1)

    await database.transact(settle)
    points = await look(database, commands.SURVEYS + sales.SURVEYS)

    said = {point.tags["state"]: dict(point.fields) for point in points if point.measurement == "command"}
    assert {
        state: (fields["count"], fields["latency_max_ms"], fields["meter_id"]) for state, fields in said.items()
    } == {
        "executed": (1, 60_000, "m1"),
        "unknown": (1, 90_000, "m2"),
    }
    (sale,) = (point for point in points if point.measurement == "sale")
    assert (sale.tags, sale.fields) == ({"utility": UTILITY, "currency": "KES"}, {"count": 1, "amount_minor": 5_000})
