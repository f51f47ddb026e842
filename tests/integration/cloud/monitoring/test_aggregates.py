"""Hours and days in a real InfluxDB: right whatever came late, moved, or was killed, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from random import Random

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import Database, open_database
from cloud.following import keep_following
from cloud.headend.adapters.assignments import assign as assign_meters
from cloud.meterdata.adapters.changes import changed_count
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER
from cloud.monitoring.adapters.aggregates import LEASE_MS, Aggregator
from cloud.monitoring.adapters.influx import InfluxV2Writer
from cloud.monitoring.core.catalogue import Retention
from tests.integration.cloud.monitoring.copies import (
    DAY_MS,
    HOUR_MS,
    MIDNIGHT,
    Point,
    RecordingWriter,
    SiteClock,
    commit,
    everything_in,
    hours,
    points_of,
    writer_to,
)
from tests.rig.influx import InfluxServer
from tests.rig.reporting import MINUTES_15_MS, UTILITY, Reporter, assign
from wire.runtime.errors import UnavailableError

QUARTERS = 96


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:

        def prepare(connection: sa.Connection) -> None:
            schema.metadata.create_all(connection)
            for meter in ("m1", "m2"):
                assign(connection, meter, "gw1")

        await opened.transact(prepare)
        yield opened


@pytest.fixture
def copy(influx: InfluxServer) -> str:
    return influx.create_database()


@pytest.fixture
def writer(influx: InfluxServer, copy: str) -> Iterator[InfluxV2Writer]:
    opened = writer_to(influx, copy)
    yield opened
    opened.close()


def aggregator(database: Database, writer: InfluxV2Writer | RecordingWriter, **more: object) -> Aggregator:
    return Aggregator(database, writer, **({"meters": True, "clock": SiteClock()} | more))  # type: ignore[arg-type]


async def round_of(database: Database, writer: InfluxV2Writer | RecordingWriter, **more: object) -> Aggregator:
    """Go through the list once."""
    made = aggregator(database, writer, **more)
    while await made.step():
        pass
    return made


def points(influx: InfluxServer, copy: str, measurement: str, **tags: str) -> list[Point]:
    found = points_of(influx, copy, measurement, Retention.HISTORY)
    return [point for point in found if tags.items() <= point.items()]


async def test_hours_and_days_of_meters_and_their_gateway_arrive(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    one = gateway.series("m1", count=QUARTERS + 1)
    other = gateway.series("m2", count=QUARTERS + 1, start_wh=50_000)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), one, other))

    made = await round_of(database, writer)

    # The reading at midnight is what the day begins with, and the one 24 hours later ends it.
    (of_one, *_) = points(influx, copy, "meter_hour", meter="m1")
    assert hours(points(influx, copy, "meter_hour", meter="m1")) == {-1: None} | dict.fromkeys(range(24), 40.0)
    (_, day) = points(influx, copy, "meter_day", meter="m1")
    assert (day["time"], day["energy_import_wh"], day["rows_count"]) == (MIDNIGHT, 960.0, QUARTERS)
    assert (of_one["gateway"], of_one["utility"]) == ("gw1", UTILITY)
    assert hours(points(influx, copy, "gateway_hour")) == {-1: None} | dict.fromkeys(range(24), 80.0)
    (_, day) = points(influx, copy, "gateway_day")
    assert day["energy_import_wh"] == 1_920.0
    assert (day["rows_count"], day["meters_count"], day["voltage_mean_v"]) == (2 * QUARTERS, 2, 230.0)
    assert await database.transact(changed_count) == 0
    assert made.renewed.delivered.dropped_count == 0


async def test_without_series_of_meters_only_those_of_gateways_are_written(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=9)))

    await round_of(database, writer, meters=False)

    assert set(everything_in(influx, copy)) == {"gateway_hour", "gateway_day"}
    assert hours(points(influx, copy, "gateway_hour")) == {-1: None, 0: 40.0, 1: 40.0}


async def test_late_rows_of_one_meter_make_the_hours_of_its_gateway_right(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    whole = gateway.series("m2", count=40, first_tick_ms=HOUR_MS)
    early, late = ((1_000 + 10 * index, 2_300) for index in (0, 39))
    await commit(
        database,
        gateway.batch(
            gateway.clock(0, MIDNIGHT), whole, gateway.readings("m1", {HOUR_MS: early, 10 * HOUR_MS + 2_700_000: late})
        ),
    )
    await round_of(database, writer)
    assert hours(points(influx, copy, "gateway_hour"))[10] == 30.0 + 390.0

    await commit(database, gateway.batch(gateway.series("m1", count=40, first_tick_ms=HOUR_MS)))
    await round_of(database, writer)

    expected: dict[int, float | None] = {0: None} | dict.fromkeys(range(1, 10), 80.0) | {10: 60.0}
    assert hours(points(influx, copy, "gateway_hour")) == expected
    assert set(hours(points(influx, copy, "gateway_hour"), "meters_count").values()) == {2}


async def test_late_rows_of_a_day_change_what_a_later_day_begins_with(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    after = 4 * DAY_MS + 5 * HOUR_MS
    await commit(
        database,
        gateway.batch(
            gateway.clock(0, MIDNIGHT), gateway.readings("m1", {1: (1_000, 2_300), after + 1: (1_500, 2_300)})
        ),
    )
    await round_of(database, writer, clock=SiteClock(MIDNIGHT + 6 * DAY_MS))
    assert hours(points(influx, copy, "meter_hour")) == {0: None, 101: 500.0}

    await commit(database, gateway.batch(gateway.readings("m1", {2 * DAY_MS + 1: (1_400, 2_300)})))
    await round_of(database, writer, clock=SiteClock(MIDNIGHT + 6 * DAY_MS))

    assert hours(points(influx, copy, "meter_hour")) == {0: None, 48: 400.0, 101: 100.0}
    assert hours(points(influx, copy, "gateway_day")) == {0: None, 48: 400.0, 96: 100.0}


async def test_a_corrected_clock_empties_the_hours_that_rows_left(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    rows: dict[int, Sequence[int | None]] = {
        tick: (1_000 + tick // 10_000, 2_300) for tick in range(1, 2 * HOUR_MS, MINUTES_15_MS)
    }
    wrong = gateway.clock(0, MIDNIGHT - 30 * HOUR_MS, welcome=False)
    await commit(database, gateway.batch(wrong, gateway.readings("m1", rows)))
    await round_of(database, writer)
    assert hours(points(influx, copy, "gateway_hour"), "rows_count") == {-30: 4, -29: 4}

    await commit(database, gateway.batch(gateway.clock(1, MIDNIGHT + 1)))
    await round_of(database, writer)

    for measurement in ("meter_hour", "gateway_hour"):
        of_m1 = [point for point in points(influx, copy, measurement) if point.get("meter", "m1") == "m1"]
        assert hours(of_m1, "rows_count") == {-30: 0, -29: 0, 0: 4, 1: 4}
        assert hours(of_m1) == {-30: 0.0, -29: 0.0, 0: None, 1: 360.0}
    assert hours(points(influx, copy, "gateway_day"), "meters_count") == {-48: 0, 0: 1}


async def test_a_meter_that_moved_takes_the_hour_of_its_move_along(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    old, new = Reporter("gw1"), Reporter("gw2")
    moved_at = HOUR_MS + 1_800_000
    before: dict[int, Sequence[int | None]] = {
        tick: (tick // 36_000, 2_300) for tick in range(1, moved_at, MINUTES_15_MS)
    }
    after: dict[int, Sequence[int | None]] = {
        tick: (tick // 36_000, 2_300) for tick in range(moved_at + 1, 3 * HOUR_MS, MINUTES_15_MS)
    }
    await commit(database, old.batch(old.clock(0, MIDNIGHT), old.readings("m1", before)))
    await round_of(database, writer)
    assert set(hours(points(influx, copy, "gateway_hour", gateway="gw1"))) == {0, 1}

    await database.transact(
        lambda connection: assign_meters(connection, UTILITY, "gw2", ["m1"], from_ms=MIDNIGHT + moved_at)
    )
    await round_of(database, writer)
    assert hours(points(influx, copy, "gateway_hour", gateway="gw1"), "rows_count") == {0: 4, 1: 0}
    assert hours(points(influx, copy, "gateway_hour", gateway="gw2"), "rows_count") == {1: 2}

    await commit(database, new.batch(new.clock(0, MIDNIGHT), new.readings("m1", after)))
    await round_of(database, writer)

    assert hours(points(influx, copy, "gateway_hour", gateway="gw1"), "rows_count") == {0: 4, 1: 0}
    assert hours(points(influx, copy, "gateway_hour", gateway="gw2")) == {1: 100.0, 2: 100.0}
    assert hours(points(influx, copy, "meter_day", gateway="gw2")) == {0: 200.0}


async def test_rows_that_a_new_assignment_refuses_leave_the_old_gateways_hours(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    series = (gateway.series("m1", count=8, first_tick_ms=1), gateway.series("m2", count=4, first_tick_ms=1))
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), *series))
    await round_of(database, writer)
    assert hours(points(influx, copy, "gateway_hour"), "meters_count") == {0: 2, 1: 1}

    # It had been given to another gateway before it reported, only nobody had said so.
    await database.transact(lambda connection: assign_meters(connection, UTILITY, "gw2", ["m1"], from_ms=MIDNIGHT))
    await commit(database)
    await round_of(database, writer)

    assert hours(points(influx, copy, "gateway_hour", gateway="gw1"), "meters_count") == {0: 1, 1: 0}
    assert hours(points(influx, copy, "meter_hour", meter="m1", gateway="gw1"), "rows_count") == {0: 0, 1: 0}


async def test_a_meters_own_block_read_by_its_next_gateway_counts_where_the_meter_was(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    old, new = Reporter("gw1"), Reporter("gw2")
    captured = {(MIDNIGHT + index * HOUR_MS) // 1_000: 100 * index for index in range(6)}
    await commit(database, old.batch(old.clock(0, MIDNIGHT), old.profile("m1", dict(list(captured.items())[:2]))))
    await database.transact(
        lambda connection: assign_meters(connection, UTILITY, "gw2", ["m1"], from_ms=MIDNIGHT + 3 * HOUR_MS)
    )
    await commit(database, new.batch(new.clock(0, MIDNIGHT + 6 * HOUR_MS), new.profile("m1", captured)))

    await round_of(database, writer)

    assert hours(points(influx, copy, "gateway_hour", gateway="gw1")) == {
        -1: None,
        0: 100.0,
        1: 100.0,
        2: 100.0,
        3: 0.0,
    }
    assert hours(points(influx, copy, "gateway_hour", gateway="gw2")) == {3: 100.0, 4: 100.0}


async def test_killed_after_writing_and_before_it_is_recorded_it_is_done_again(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=9)))
    killed = RecordingWriter(writer)
    killed.fails_with = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await aggregator(database, killed).step()
    assert await database.transact(changed_count) == 2

    # What the dead one took is left to it for a while.
    await round_of(database, writer)
    assert await database.transact(changed_count) == 2
    again = RecordingWriter(writer)
    await round_of(database, again, clock=SiteClock(SiteClock().now_ms + LEASE_MS))

    assert set(killed.lines) <= set(again.lines)
    assert hours(points(influx, copy, "gateway_hour")) == {-1: None, 0: 40.0, 1: 40.0}
    assert await database.transact(changed_count) == 0


async def test_a_day_that_changes_while_it_is_written_stays_on_the_list(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=4, first_tick_ms=1)))
    loop, more = asyncio.get_running_loop(), gateway.batch(gateway.series("m2", count=4, first_tick_ms=1))

    class Meanwhile(RecordingWriter):
        def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
            asyncio.run_coroutine_threadsafe(commit(database, more), loop).result()
            super().write(lines, retention=retention)

    assert await aggregator(database, Meanwhile(writer)).step()
    assert await database.transact(changed_count) == 1

    await round_of(database, writer)

    assert hours(points(influx, copy, "gateway_hour"), "meters_count") == {0: 2}


async def test_a_server_that_was_away_gets_everything(database: Database, own_influx: InfluxServer) -> None:
    copy = own_influx.create_database()
    writer = writer_to(own_influx, copy)
    gateway = Reporter("gw1")
    made = aggregator(database, writer)
    await asyncio.to_thread(own_influx.stop)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    for index in range(QUARTERS):
        rows: dict[int, Sequence[int | None]] = {index * MINUTES_15_MS + 1: (1_000 + 10 * index, 2_300)}
        await commit(database, gateway.batch(gateway.readings("m1", rows)))
        if index % 32 == 0:
            with pytest.raises(UnavailableError):
                await made.step()
    assert await database.transact(changed_count) == 1

    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        task = group.create_task(keep_following("aggregates", made.step, notice=asyncio.Event(), rng=Random(1)))
        await asyncio.to_thread(own_influx.start)
        while await database.transact(changed_count):  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.05)
        task.cancel()
    writer.close()

    expected: dict[int, float | None] = {0: None} | dict.fromkeys(range(1, 24), 40.0)
    assert hours(points(own_influx, copy, "meter_hour")) == expected


async def test_a_day_has_its_point_when_it_is_over_even_if_nothing_came_since(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateway = Reporter("gw1")
    clock = SiteClock(MIDNIGHT + 3 * HOUR_MS)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=8, first_tick_ms=1)))
    made = await round_of(database, writer, clock=clock)
    more = gateway.series("m1", count=4, first_tick_ms=2 * HOUR_MS + 1, start_wh=1_080)
    await commit(database, gateway.batch(more))
    clock.now_ms += HOUR_MS
    again = RecordingWriter(writer)
    await round_of(database, again, clock=clock)
    assert hours(points(influx, copy, "gateway_hour"), "rows_count") == {0: 4, 1: 4, 2: 4}
    assert {line.split(",")[0] for line in again.lines} == {"meter_hour", "gateway_hour"}
    assert len(again.lines) == 2, "the hours that did not change are left alone"

    while await made.step():
        pass
    assert points(influx, copy, "gateway_day") == []
    clock.now_ms = MIDNIGHT + DAY_MS + HOUR_MS
    while await made.step():
        pass

    assert hours(points(influx, copy, "gateway_day")) == hours(points(influx, copy, "meter_day")) == {0: 80.0}
    assert await database.transact(changed_count) == 0


async def test_rounds_go_by_the_hour_of_the_site(database: Database, writer: InfluxV2Writer) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=4, first_tick_ms=1)))
    clock = SiteClock(MIDNIGHT + HOUR_MS)
    made = await round_of(database, writer, clock=clock)
    assert made.renewed.days_count == 1

    await commit(database, gateway.batch(gateway.series("m1", count=8, first_tick_ms=1)))
    clock.now_ms = MIDNIGHT + HOUR_MS + 299_999
    assert not await made.step()
    clock.now_ms = MIDNIGHT + HOUR_MS + 300_000
    assert await made.step()
    assert made.renewed.days_count == 2


async def test_a_clock_that_was_set_back_stops_no_round(database: Database, writer: InfluxV2Writer) -> None:
    gateway = Reporter("gw1")
    clock = SiteClock(MIDNIGHT + 400 * DAY_MS)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=4, first_tick_ms=1)))
    gone = aggregator(database, writer, clock=clock)
    assert await database.transact(lambda connection: gone._take(connection, clock.now_ms))
    made = await round_of(database, RecordingWriter(writer), clock=clock)
    clock.now_ms = MIDNIGHT + HOUR_MS
    while await made.step():
        pass
    assert made.renewed.days_count == 1, "another process had taken it by the clock as it was"


async def test_a_day_that_cannot_be_computed_waits_for_the_next_round_and_holds_up_no_other(
    database: Database, influx: InfluxServer, copy: str, writer: InfluxV2Writer
) -> None:
    gateways = [Reporter(name) for name in ("gw10", "gw11", "gw12")]
    for gateway in gateways:
        await database.transact(partial(assign, meter=f"m-{gateway.gateway}", gateway=gateway.gateway))
        series = gateway.series(f"m-{gateway.gateway}", count=8, first_tick_ms=1)
        await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), series))
    day = schema.meter_day
    (good,) = await database.transact(
        lambda connection: connection.execute(sa.select(day.c.body).where(day.c.meter == "m-gw11")).scalars().all()
    )
    await _put_body(database, "m-gw11", b"spoilt")
    clock = SiteClock()
    made = await round_of(database, writer, clock=clock)
    assert {point["gateway"] for point in points(influx, copy, "gateway_day")} == {"gw10", "gw12"}
    assert await database.transact(changed_count) == 1

    await _put_body(database, "m-gw11", good)
    clock.now_ms += HOUR_MS
    while await made.step():
        pass
    assert len(points(influx, copy, "gateway_day")) == 3
    assert await database.transact(changed_count) == 0


async def _put_body(database: Database, meter: str, body: bytes) -> None:
    change = sa.update(schema.meter_day).where(schema.meter_day.c.meter == meter).values(body=body)
    await database.transact(lambda connection: connection.execute(change))


async def test_two_processes_share_the_list(database: Database, influx: InfluxServer, copy: str) -> None:
    gateways = [Reporter(f"gw{index}") for index in range(10, 30)]

    def assigned(connection: sa.Connection) -> None:
        for gateway in gateways:
            assign(connection, f"m-{gateway.gateway}", gateway.gateway)

    await database.transact(assigned)
    for gateway in gateways:
        series = gateway.series(f"m-{gateway.gateway}", count=8, first_tick_ms=1)
        await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), series))
    writers = [writer_to(influx, copy) for _ in range(2)]

    made = await asyncio.gather(*(round_of(database, writer) for writer in writers))
    for writer in writers:
        writer.close()

    assert sum(one.renewed.days_count for one in made) == len(gateways)
    assert len(points(influx, copy, "gateway_day")) == len(gateways)


async def test_the_list_is_there_before_anybody_sees_the_rows(database: Database) -> None:
    gateway = Reporter("gw1")
    await commit(database, gateway.batch(gateway.series("m1", count=4, first_tick_ms=1)))
    assert await database.transact(changed_count) == 0

    # Rows that waited for a clock are placed, and listed, when it comes.
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)))
    table = schema.changed_day.c
    listed = await database.transact(
        lambda connection: connection.execute(sa.select(table.gateway, table.day, table.hours)).all()
    )
    assert [tuple(row) for row in listed] == [("gw1", MIDNIGHT // DAY_MS, 1)]
    reading = sa.select(schema.cursor.c.message).where(schema.cursor.c.name == DAYS_FOLLOWER)
    assert await database.transact(lambda connection: connection.execute(reading).scalar()) == 2
