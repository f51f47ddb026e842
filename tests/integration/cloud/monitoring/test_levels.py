"""Collection, service levels and balances on both databases, asked by the surveyor itself."""

from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.config import Monitoring
from cloud.database import Database, open_database
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.projector import project_all
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.survey import Scope, Survey, Window
from cloud.monitoring.adapters.surveying import ask
from cloud.monitoring.adapters.surveys import collection, prepaid, service_levels
from cloud.prepaid.adapters.accounts import NewAccount, credit, open_account
from cloud.tally import Tally
from prepay.entries import PointReason, RegisterPoint
from prepay.identity import encode
from tests.rig.reporting import MINUTES_15_MS, UTILITY, Reporter, assign, commit_batches
from tests.rig.surveys import Point, read_line
from wire.facts import EntryFact, Event

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIDNIGHT = 20_000 * DAY_MS
DAY_END = MIDNIGHT + DAY_MS
SCOPE = Scope(utility=UTILITY, settings=Monitoring(), meters=True)


async def commit(database: Database, *batches: AdmittedBatch, at_ms: int) -> None:
    await database.transact(lambda connection: commit_batches(connection, *batches, now_ms=at_ms))
    await database.transact(project_all)


async def told(database: Database, survey: Survey, until_ms: int) -> list[Point]:
    failures = Failures(Tally())
    window = Window(until_ms - HOUR_MS, until_ms)
    pieces = ask(database, SCOPE, survey, window, failures=failures)
    found = [read_line(line) async for lines in pieces for line in lines]
    assert failures.count == 0
    return found


def settle(connection: sa.Connection) -> None:
    schema.metadata.create_all(connection)
    for meter, gateway in (("m1", "gw1"), ("m2", "gw1"), ("m3", "gw2")):
        assign(connection, meter, gateway)
    new = NewAccount(name="A-1", meter="m1", currency="KES", exponent=2, price="20", opening_wh=0, rated_power_w=5_000)
    open_account(connection, UTILITY, new, now_ms=MIDNIGHT)


def points(gateway: Reporter) -> list[EntryFact]:
    """Return the hourly points of a day at 100 Wh an hour, which nobody has paid for."""
    made = [
        RegisterPoint(
            meter_serial="m1",
            installation=1,
            boot_id=gateway.boot,
            tick_ms=hour * HOUR_MS,
            taken_at_ms=MIDNIGHT + hour * HOUR_MS,
            energy_wh=100 * hour,
            reason=PointReason.HOURLY,
        )
        for hour in range(1, 25)
    ]
    return [EntryFact(account="A-1", entry=encode(point)) for point in made]


async def test_a_day_of_two_gateways_comes_to_the_same_whenever_it_is_asked(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.transact(settle)
        first, second = Reporter("gw1"), Reporter("gw2")
        clocks = first.clock(0, MIDNIGHT), second.clock(0, MIDNIGHT)
        await commit(database, first.batch(clocks[0], first.series("m1", count=96)), at_ms=DAY_END)
        await commit(database, second.batch(clocks[1], second.series("m3", count=48)), at_ms=DAY_END)
        before = await told(database, collection.SURVEYS[0], DAY_END + 8 * HOUR_MS)
        late = second.series("m3", count=48, first_tick_ms=48 * MINUTES_15_MS)
        await commit(database, second.batch(late), at_ms=DAY_END + 9 * HOUR_MS)

        assert await told(database, collection.SURVEYS[0], DAY_END + 8 * HOUR_MS) == before
        after = await told(database, collection.SURVEYS[0], DAY_END + 12 * HOUR_MS)

    def of_day(lines: list[Point]) -> dict[str, float | str]:
        days = [line for line in lines if line.measurement == "collection" and line.utc_ms == MIDNIGHT]
        return {line.tags["gateway"]: line.fields["percent"] for line in days}

    assert of_day(before) == {"gw1": 50, "gw2": 50}
    assert of_day(after) == {"gw1": 50, "gw2": 100}
    (level,) = [line for line in before if line.measurement == "service_level"]
    assert level.tags["target"] == "intervals-8h"
    assert (level.fields["count"], level.fields["met_count"]) == (3 * 96, 96 + 48)
    (level,) = [line for line in after if line.measurement == "service_level"]
    assert (level.tags["target"], level.fields["met_count"]) == ("intervals-12h", 96 + 96)


async def test_an_account_is_cut_off_pays_and_is_back(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.transact(settle)
        gateway = Reporter("gw1")
        await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), *points(gateway)), at_ms=DAY_END)
        dark = await told(database, prepaid.SURVEYS[0], DAY_END)

        paid_ms = DAY_END + HOUR_MS // 2
        await database.transact(
            lambda connection: credit(
                connection, UTILITY, "A-1", credit_id=bytes(16), amount_minor=10_000, now_ms=paid_ms
            )
        )
        restored = Event(boot=gateway.boot, tick_ms=9, serial=1, meter="m1", code="3.20.8.216", detail="")
        await commit(database, gateway.batch(restored), at_ms=paid_ms + 60_000)
        bright = await told(database, prepaid.SURVEYS[0], DAY_END + HOUR_MS)
        levels = [
            line
            for hour in range(1, 5)
            for line in await told(database, service_levels.SURVEYS[0], DAY_END + hour * HOUR_MS)
        ]

    def of(lines: list[Point]) -> tuple[Any, ...]:
        (account,) = [line for line in lines if line.measurement == "account"]
        (state,) = [line for line in lines if line.measurement == "prepaid_state"]
        return *(account.fields[name] for name in ("balance_minor", "cut_off", "days_left")), state.fields[
            "cut_off_count"
        ]

    assert of(dark) == (-4_800, 1, 0, 1)
    # 23 hours of the day before lie within 24 hours before.
    assert of(bright) == (5_200, 0, pytest.approx(5_200 / 4_600), 0)
    assert [(line.tags["target"], line.fields["met_count"], line.fields["count"]) for line in levels] == [
        ("reconnect-15min", 1, 1),
        ("reconnect-2h", 1, 1),
    ]
