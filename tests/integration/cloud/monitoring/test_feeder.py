"""The feeder against a real InfluxDB: complete and right, whatever was away in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from cloud import schema
from cloud.database import Database, open_database
from cloud.following import keep_following
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.placement import known_of
from cloud.meterdata.adapters.projector import project_all
from cloud.meterdata.core.placing import Block
from cloud.monitoring.adapters.delivery import Delivered
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.feeder import Feeder, lines_of, read, settle, take
from cloud.monitoring.adapters.influx import InfluxV1Writer, InfluxV2Writer
from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from cloud.tally import Tally
from tests.rig.influx import ORG, InfluxServer
from tests.rig.reporting import MINUTES_15_MS, Reporter, assign, commit_batches
from wire.facts import Event, Health, LineHealth, Metric, UpFact
from wire.runtime.errors import UnavailableError

MIDNIGHT = 1_728_000_000_000
"""Some day of 2024, 00:00 UTC."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'wattpost.sqlite3'}") as opened:

        def prepare(connection: sa.Connection) -> None:
            schema.metadata.create_all(connection)
            assign(connection, "m1", "gw1")

        await opened.transact(prepare)
        yield opened


def v2_writer(server: InfluxServer, copy: str) -> LineWriter:
    return InfluxV2Writer(url=server.url, token=server.token, org=ORG, database=copy)


async def commit(database: Database, *batches: AdmittedBatch) -> None:
    """Commit batches and let the projector read them."""

    def work(connection: sa.Connection) -> None:
        commit_batches(connection, *batches)
        project_all(connection)

    await database.transact(work)


async def feed(feeder: Feeder) -> None:
    while await feeder.step():
        pass


def energies(server: InfluxServer, copy: str) -> dict[int, float]:
    rows = server.query('SELECT active_energy_import_wh, meter FROM "reading"', database=copy)
    return {row["time"]: row["active_energy_import_wh"] for row in rows}


def expected(count: int, *, first: int = 0, start_wh: int = 1_000) -> dict[int, float]:
    return {MIDNIGHT + (first + index) * MINUTES_15_MS: float(start_wh + 10 * index) for index in range(count)}


WAYS = [("v2", False), ("v2", True), ("v1", False), ("v1", True)]
"""Dialect, and whether lines are compressed."""


def writer_to(server: InfluxServer, copy: str, way: tuple[str, bool]) -> LineWriter:
    dialect, gzip = way
    if dialect == "v1":
        return InfluxV1Writer(url=server.v1_url, database=copy, gzip=gzip)
    return InfluxV2Writer(url=server.url, token=server.token, org=ORG, database=copy, gzip=gzip)


def facts_of_everything(gateway: Reporter) -> list[UpFact]:
    """Return one of each fact that makes a point, of meter m1 where it is of one."""
    stamp = {"boot": gateway.boot, "tick_ms": 5}
    return [
        gateway.clock(0, MIDNIGHT),
        gateway.series("m1", count=3),
        Event(**stamp, serial=1, meter="m1", code="3.26.0.85", detail='power "lost"'),  # type: ignore[arg-type]
        Health(**stamp, meter="", metrics=[Metric("pending_count", 7), Metric("brightness", 1)]),  # type: ignore[arg-type]
        Health(**stamp, meter="m1", metrics=[Metric("clock_offset_ms", -3)]),  # type: ignore[arg-type]
        Health(**stamp, meter="m2", metrics=[Metric("clock_offset_ms", -3)]),  # type: ignore[arg-type]
        LineHealth(**stamp, line="bus-1", metrics=[Metric("failures_count", 2)]),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_readings_health_and_events_arrive_as_points(
    database: Database, influx: InfluxServer, way: tuple[str, bool]
) -> None:
    copy = influx.create_database()
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(*facts_of_everything(gateway)))
    writer = writer_to(influx, copy, way)
    feeder = Feeder(database, writer)

    with capture_logs() as logs:
        await feed(feeder)
    writer.close()

    assert energies(influx, copy) == expected(3)
    (reading, *_) = influx.query('SELECT * FROM "detail"."reading"', database=copy)
    assert (reading["utility"], reading["gateway"], reading["meter"]) == ("demo", "gw1", "m1")
    assert reading["voltage_l1_v"] == 230.0
    (point,) = influx.query('SELECT * FROM "history"."event"', database=copy)
    assert (point["time"], point["code"], point["detail"]) == (MIDNIGHT + 5, "3.26.0.85", 'power "lost"')
    assert (point["kind"], point["source"], point["meter"]) == ("power", "gateway", "m1")
    (point,) = influx.query('SELECT * FROM "detail"."gateway_health"', database=copy)
    assert point == {"time": MIDNIGHT + 5, "gateway": "gw1", "utility": "demo", "pending_count": 7}
    (point,) = influx.query('SELECT * FROM "detail"."line_health"', database=copy)
    assert (point["line"], point["failures_count"]) == ("bus-1", 2)
    # Another meter than the gateway's makes no series.
    (point,) = influx.query('SELECT * FROM "detail"."meter_health"', database=copy)
    assert (point["meter"], point["clock_offset_ms"]) == ("m1", -3)
    assert (feeder.delivered, feeder.unlisted_count) == (Delivered(written_count=7), 1)
    assert [entry["metric"] for entry in logs if entry["event"] == "metric.unlisted"] == ["gateway_health.brightness"]


async def test_without_series_of_meters_none_is_written(database: Database, influx: InfluxServer) -> None:
    copy = influx.create_database()
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(*facts_of_everything(gateway)))
    writer = v2_writer(influx, copy)
    feeder = Feeder(database, writer, meters=False)

    await feed(feeder)
    writer.close()

    written = {row["name"] for row in influx.query("SHOW MEASUREMENTS", database=copy)}
    assert written == {"event", "gateway_health", "line_health"}
    assert "meter" not in {row["tagKey"] for row in influx.query("SHOW TAG KEYS", database=copy)}
    (point,) = influx.query('SELECT * FROM "history"."event"', database=copy)
    assert (point["count"], point["meter_id"]) == (1, "m1")


async def test_a_server_that_was_down_is_complete_again_with_no_gap(
    database: Database, own_influx: InfluxServer
) -> None:
    copy = own_influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(own_influx, copy)
    feeder = Feeder(database, writer)
    notice = asyncio.Event()
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=4)))
    await feed(feeder)

    await asyncio.to_thread(own_influx.stop)
    for index in range(4, 200):
        block = gateway.series("m1", count=1, first_tick_ms=index * MINUTES_15_MS, start_wh=1_000 + 10 * index)
        await commit(database, gateway.batch(block))
    with pytest.raises(UnavailableError):
        await feeder.step()
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        task = group.create_task(keep_following("monitoring", feeder.step, notice=notice, rng=Random(1)))
        await asyncio.to_thread(own_influx.start)
        while await database.transact(take):  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.05)
        task.cancel()
    writer.close()

    assert energies(own_influx, copy) == expected(200)


async def test_rows_without_a_clock_are_written_when_it_comes(database: Database, influx: InfluxServer) -> None:
    copy = influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(influx, copy)
    feeder = Feeder(database, writer)
    health = Health(boot=gateway.boot, tick_ms=9, meter="m1", metrics=[Metric("clock_offset_ms", 1)])
    await commit(database, gateway.batch(gateway.series("m1", count=3), health))
    await feed(feeder)
    assert energies(influx, copy) == {}

    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    await feed(feeder)
    writer.close()

    assert energies(influx, copy) == expected(3)
    assert len(influx.query('SELECT * FROM "meter_health"', database=copy)) == 1


async def test_rows_of_a_corrected_clock_are_written_at_the_right_time_too(
    database: Database, influx: InfluxServer
) -> None:
    copy = influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(influx, copy)
    feeder = Feeder(database, writer)
    wrong = gateway.clock(0, MIDNIGHT - 1_000_000_000, welcome=False)
    await commit(database, gateway.batch(wrong, gateway.series("m1", count=3)))
    await feed(feeder)

    await commit(database, gateway.batch(gateway.clock(1, MIDNIGHT + 1)))
    await feed(feeder)
    writer.close()
    assert expected(3).items() <= energies(influx, copy).items()


async def test_of_two_feeders_the_slower_one_does_not_move_the_cursor_back(database: Database) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    first = await database.transact(take)
    await database.transact(lambda connection: settle(connection, first))
    await commit(database, gateway.batch(gateway.series("m1", count=3)))
    second = await database.transact(take)
    await database.transact(lambda connection: settle(connection, second))
    await database.transact(lambda connection: settle(connection, first))

    assert not await database.transact(take)


async def test_a_row_the_meter_of_another_gateway_is_no_point(database: Database, influx: InfluxServer) -> None:
    copy = influx.create_database()
    stranger = Reporter("gw9")
    writer = v2_writer(influx, copy)
    await commit(database, stranger.batch(stranger.clock(0, MIDNIGHT), stranger.series("m1", count=3)))

    await feed(Feeder(database, writer))
    writer.close()

    assert energies(influx, copy) == {}


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_line_the_server_refuses_is_left_out_and_the_rest_arrives(
    database: Database, influx: InfluxServer, way: tuple[str, bool]
) -> None:
    copy = influx.create_database()
    gateway = Reporter("gw1")
    writer = writer_to(influx, copy, way)
    # Somebody else made the field an integer, for ever.
    writer.write([f"meter_health,meter=m0 clock_offset_ms=1i {MIDNIGHT}"], retention=Retention.DETAIL)
    health = Health(boot=gateway.boot, tick_ms=9, meter="m1", metrics=[Metric("clock_offset_ms", 1)])
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3), health))
    feeder = Feeder(database, writer)

    await feed(feeder)
    with pytest.raises(RefusedLinesError):
        writer.write(["this is no line"], retention=Retention.DETAIL)
    writer.close()

    assert energies(influx, copy) == expected(3)
    assert (feeder.delivered.written_count, feeder.delivered.dropped_count) == (3, 1)


async def test_a_copy_that_is_not_there_is_waited_for(database: Database, influx: InfluxServer) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3)))
    writer = v2_writer(influx, "not_yet")
    feeder = Feeder(database, writer)
    with pytest.raises(UnavailableError):
        await feeder.step()

    influx.query('CREATE DATABASE "not_yet" WITH NAME "detail"', database="not_yet")
    await feed(feeder)
    writer.close()

    assert energies(influx, "not_yet") == expected(3)


async def test_the_feeder_never_reads_ahead_of_the_projector(database: Database) -> None:
    gateway = Reporter("gw1")
    batch = gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3))
    await database.transact(lambda connection: commit_batches(connection, batch))

    assert not await database.transact(take)
    await database.transact(project_all)
    assert len((await database.transact(take)).new) == 1


async def test_a_message_of_which_no_lines_can_be_made_holds_up_no_other(database: Database) -> None:
    gateway = Reporter("gw1")
    await commit(database, *(gateway.batch(gateway.clock(at, MIDNIGHT + at), _event(gateway, at)) for at in range(3)))
    taken = await database.transact(take)
    tally = Tally()
    messages = read(taken.messages(), meters=True, failures=Failures(tally))
    # Nothing that passes the head-end does this: a block whose columns are not as long as each other.
    (_, stated) = messages[1]
    stated.blocks.append(Block(gateway.boot, (), ["m1"], [], [], {}))
    known = await database.transact(lambda connection: known_of(connection, [messages[0], messages[2]]))

    lines = lines_of(taken, messages, known, meters=True, failures=Failures(tally))

    assert [line.rpartition(" ")[2] for line in lines] == [str(MIDNIGHT), str(MIDNIGHT + 2)]
    assert tally.failures_count == 1


def _event(gateway: Reporter, tick_ms: int) -> Event:
    return Event(boot=gateway.boot, tick_ms=tick_ms, serial=tick_ms, meter="", code="5.26.0.85", detail="")
