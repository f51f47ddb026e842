"""The feeder against a real InfluxDB: complete and right, whatever was away in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import Database, open_database
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.projector import project_all
from cloud.monitoring.adapters.feeder import Feeder, rewind, settle, take
from cloud.monitoring.adapters.influx import InfluxV1Writer, InfluxV2Writer
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from tests.rig.influx import ORG, InfluxServer
from tests.rig.reporting import MINUTES_15_MS, Reporter, assign, commit_batches
from wire.facts import Event, Health, Metric
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


def v2_writer(server: InfluxServer, bucket: str) -> LineWriter:
    return InfluxV2Writer(url=server.url, token=server.token, org=ORG, bucket=bucket)


async def commit(database: Database, *batches: AdmittedBatch) -> None:
    """Commit batches and let the projector read them."""

    def work(connection: sa.Connection) -> None:
        commit_batches(connection, *batches)
        project_all(connection)

    await database.transact(work)


async def feed(feeder: Feeder) -> None:
    while await feeder.step():
        pass


def energies(server: InfluxServer, bucket: str) -> dict[int, float]:
    rows = server.query('SELECT active_energy_import_wh, meter FROM "reading"', database=bucket)
    return {row["time"]: row["active_energy_import_wh"] for row in rows}


def expected(count: int, *, first: int = 0, start_wh: int = 1_000) -> dict[int, float]:
    return {MIDNIGHT + (first + index) * MINUTES_15_MS: float(start_wh + 10 * index) for index in range(count)}


@pytest.mark.parametrize("dialect", ["v2", "v1"])
async def test_readings_health_and_events_arrive_as_points(
    database: Database, influx: InfluxServer, dialect: str
) -> None:
    bucket = influx.create_database()
    gateway = Reporter("gw1")
    stamp = {"boot": gateway.boot, "tick_ms": 5}
    event = Event(**stamp, serial=1, meter="m1", code="3.26.0.85", detail='power "lost"')  # type: ignore[arg-type]
    health = Health(**stamp, meter="", metrics=[Metric("spool_rows", 7)])  # type: ignore[arg-type]
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3), event, health))
    upstream = influx.url if dialect == "v2" else influx._upstream
    writer: LineWriter = v2_writer(influx, bucket) if dialect == "v2" else InfluxV1Writer(url=upstream, database=bucket)
    feeder = Feeder(database, writer)

    await feed(feeder)
    writer.close()

    assert energies(influx, bucket) == expected(3)
    (reading, *_) = influx.query('SELECT * FROM "reading"', database=bucket)
    assert (reading["utility"], reading["gateway"], reading["meter"]) == ("demo", "gw1", "m1")
    assert reading["voltage_l1_v"] == 230.0
    (point,) = influx.query('SELECT * FROM "event"', database=bucket)
    assert (point["time"], point["code"], point["detail"]) == (MIDNIGHT + 5, "3.26.0.85", 'power "lost"')
    (point,) = influx.query('SELECT * FROM "gateway_health"', database=bucket)
    assert point["spool_rows"] == 7
    assert (feeder.written_count, feeder.dropped_count) == (5, 0)


async def test_a_server_that_was_down_is_complete_again_with_no_gap(
    database: Database, own_influx: InfluxServer
) -> None:
    bucket = own_influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(own_influx, bucket)
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
        task = group.create_task(feeder.follow(notice=notice, rng=Random(1)))
        await asyncio.to_thread(own_influx.start)
        while await database.transact(take):  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.05)
        task.cancel()
    writer.close()

    assert energies(own_influx, bucket) == expected(200)


async def test_rows_without_a_clock_are_written_when_it_comes(database: Database, influx: InfluxServer) -> None:
    bucket = influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(influx, bucket)
    feeder = Feeder(database, writer)
    health = Health(boot=gateway.boot, tick_ms=9, meter="m1", metrics=[Metric("polls", 1)])
    await commit(database, gateway.batch(gateway.series("m1", count=3), health))
    await feed(feeder)
    assert energies(influx, bucket) == {}

    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    await feed(feeder)
    writer.close()

    assert energies(influx, bucket) == expected(3)
    assert len(influx.query('SELECT * FROM "meter_health"', database=bucket)) == 1


async def test_rows_of_a_corrected_clock_are_written_at_the_right_time_too(
    database: Database, influx: InfluxServer
) -> None:
    bucket = influx.create_database()
    gateway = Reporter("gw1")
    writer = v2_writer(influx, bucket)
    feeder = Feeder(database, writer)
    wrong = gateway.clock(0, MIDNIGHT - 1_000_000_000, welcome=False)
    await commit(database, gateway.batch(wrong, gateway.series("m1", count=3)))
    await feed(feeder)

    await commit(database, gateway.batch(gateway.clock(1, MIDNIGHT + 1)))
    await feed(feeder)
    assert expected(3).items() <= energies(influx, bucket).items()

    # The points at the wrong time go with the copy, which can be made anew.
    fresh = influx.create_database()
    await database.transact(rewind)
    await feed(Feeder(database, v2_writer(influx, fresh)))
    writer.close()
    assert energies(influx, fresh) == expected(3)


async def test_a_feeder_at_work_does_not_undo_that_the_copy_is_made_anew(database: Database) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    first = await database.transact(take)
    await database.transact(lambda connection: settle(connection, first))
    await commit(database, gateway.batch(gateway.series("m1", count=3)))
    second = await database.transact(take)
    await database.transact(rewind)
    await database.transact(lambda connection: settle(connection, second))

    again = await database.transact(take)
    assert again.new == [*first.new, *second.new]


async def test_a_row_the_meter_of_another_gateway_is_no_point(database: Database, influx: InfluxServer) -> None:
    bucket = influx.create_database()
    stranger = Reporter("gw9")
    writer = v2_writer(influx, bucket)
    await commit(database, stranger.batch(stranger.clock(0, MIDNIGHT), stranger.series("m1", count=3)))

    await feed(Feeder(database, writer))
    writer.close()

    assert energies(influx, bucket) == {}


@pytest.mark.parametrize("dialect", ["v2", "v1"])
async def test_a_line_the_server_refuses_is_left_out_and_the_rest_arrives(
    database: Database, influx: InfluxServer, dialect: str
) -> None:
    bucket = influx.create_database()
    gateway = Reporter("gw1")
    writer: LineWriter = (
        v2_writer(influx, bucket) if dialect == "v2" else InfluxV1Writer(url=influx._upstream, database=bucket)
    )
    # Somebody else made the field an integer, for ever.
    writer.write([f"meter_health,meter=m0 polls=1i {MIDNIGHT}"])
    health = Health(boot=gateway.boot, tick_ms=9, meter="m1", metrics=[Metric("polls", 1)])
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3), health))
    feeder = Feeder(database, writer)

    await feed(feeder)
    with pytest.raises(RefusedLinesError):
        writer.write(["this is no line"])
    writer.close()

    assert energies(influx, bucket) == expected(3)
    assert (feeder.written_count, feeder.dropped_count) == (3, 1)


async def test_a_bucket_that_is_not_there_is_waited_for(database: Database, influx: InfluxServer) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=3)))
    writer = v2_writer(influx, "not_yet")
    feeder = Feeder(database, writer)
    with pytest.raises(UnavailableError):
        await feeder.step()

    influx.query('CREATE DATABASE "not_yet"', database="not_yet")
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
