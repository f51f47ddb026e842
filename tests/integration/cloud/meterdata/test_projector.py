"""The projector on both databases: what messages say is there exactly once, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from cloud import schema
from cloud.database import Database, open_database
from cloud.headend.adapters import assignments
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters import queries
from cloud.meterdata.adapters.clocks import reread_gateway
from cloud.meterdata.adapters.projector import follow, project, project_all
from cloud.meterdata.core.meter_day import Counts
from cloud.meterdata.core.utc import DAY_MS
from tests.rig.postgres import PostgresServer
from tests.rig.reporting import ENERGY, MINUTES_15_MS, UTILITY, VOLTAGE, Reporter, assign, commit_batches
from wire.facts import UpFact
from wire.readings import Readings, to_rows

T = TypeVar("T")

MIDNIGHT = 20_000 * DAY_MS
"""Some day of 2024, 00:00 UTC."""
HOURS = 3_600_000

Known = set[tuple[str, bytes, int | None, int]]
"""Meter, logical name, value, UTC."""


class PowerCutError(Exception):
    """Raised to end a transaction before its commit."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        await opened.transact(schema.metadata.create_all)
        yield opened


async def commit(database: Database, *batches: AdmittedBatch) -> None:
    await database.transact(lambda connection: commit_batches(connection, *batches))


async def project_everything(database: Database) -> None:
    await database.transact(project_all)


async def known(database: Database, *meters: str) -> Known:
    def ask(connection: sa.Connection) -> Known:
        return {
            (meter, reading.channel.obis, reading.value, reading.utc_ms)
            for meter in meters
            for reading in queries.readings(connection, UTILITY, meter)
        }

    return await database.transact(ask)


async def counts(database: Database) -> dict[str, Counts]:
    found = await database.transact(lambda connection: queries.reconciliation(connection, UTILITY))
    return {item.meter: item.counts for item in found}


async def allow(database: Database, **gateway_of_meter: str) -> None:
    def write(connection: sa.Connection) -> None:
        for meter, gateway in gateway_of_meter.items():
            assign(connection, meter, gateway)

    await database.transact(write)


def produced(block: Readings, offset_ms: int) -> Known:
    return {
        (row.meter, channel.obis, value, row.tick_ms + offset_ms)
        for row in to_rows(block)
        for channel, value in zip((ENERGY, VOLTAGE), row.values, strict=True)
    }


async def test_what_meters_produced_is_there_exactly_once(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1", m2="gw1")
    blocks = [gateway.series("m1", count=200), gateway.series("m2", count=5)]
    first = gateway.batch(gateway.clock(0, MIDNIGHT), *blocks)
    await commit(database, first, gateway.batch(blocks[1]))
    await commit(database, first)

    await project_everything(database)

    assert await known(database, "m1", "m2") == produced(blocks[0], MIDNIGHT) | produced(blocks[1], MIDNIGHT)
    assert await counts(database) == {"m1": Counts(values=400), "m2": Counts(values=10, duplicates=10)}


async def test_last_values_and_a_days_profile_can_be_asked_for(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.series("m1", count=100)))
    await project_everything(database)
    # A backlog that comes later does not push the last values back.
    await commit(database, gateway.batch(gateway.readings("m1", {5 * HOURS + 1: (77, 2_301)})))
    await project_everything(database)

    latest = await database.transact(lambda connection: queries.latest_values(connection, UTILITY, "m1"))
    day = await database.transact(lambda connection: queries.day_profile(connection, UTILITY, "m1", 20_001))

    assert [(value.value, value.utc_ms) for value in latest] == [
        (1_990, MIDNIGHT + 99 * MINUTES_15_MS),
        (2_300, MIDNIGHT + 99 * MINUTES_15_MS),
    ]
    assert [reading.value for reading in day if reading.channel.obis == ENERGY.obis] == [1_960, 1_970, 1_980, 1_990]


async def test_a_step_that_is_cut_short_is_as_if_it_had_not_begun(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    block = gateway.series("m1", count=20)
    pieces = [gateway.readings("m1", {row.tick_ms: row.values}) for row in to_rows(block)]
    # The clock comes in the middle, so that rows wait and are then placed by rereading.
    await commit(database, *[gateway.batch(piece) for piece in pieces[:10]])
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT)), *[gateway.batch(piece) for piece in pieces[10:]])

    def cut(connection: sa.Connection) -> None:
        project(connection, messages_max=3)
        raise PowerCutError

    worked = True
    while worked:
        with pytest.raises(PowerCutError):
            await database.transact(cut)
        worked = (await database.transact(lambda connection: project(connection, messages_max=3))).worked

    assert await known(database, "m1") == produced(block, MIDNIGHT)
    assert await counts(database) == {"m1": Counts(values=40)}


async def test_rows_wait_for_the_first_clock_fact_of_their_boot(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    block = gateway.series("m1", count=4)
    await commit(database, gateway.batch(block))
    await project_everything(database)

    assert await known(database, "m1") == set()
    assert await database.transact(lambda connection: queries.waiting_boots(connection, UTILITY)) == [
        ("gw1", gateway.boot)
    ]

    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT, welcome=False)))
    await project_everything(database)

    assert await known(database, "m1") == produced(block, MIDNIGHT)
    assert await database.transact(lambda connection: queries.waiting_boots(connection, UTILITY)) == []


async def test_a_corrected_clock_moves_the_rows_and_changes_no_key(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    block = gateway.series("m1", count=8)
    # The gateway's own clock stood ten years ahead.
    wrong = MIDNIGHT + 3_650 * DAY_MS
    await commit(database, gateway.batch(gateway.clock(0, wrong, welcome=False), block))
    await project_everything(database)
    assert await known(database, "m1") == produced(block, wrong)

    corrected = MIDNIGHT - HOURS  # half of the rows lie on the day before
    await commit(database, gateway.batch(gateway.clock(6 * HOURS, corrected + 6 * HOURS)))
    await project_everything(database)

    assert await known(database, "m1") == produced(block, corrected)
    assert await counts(database) == {"m1": Counts(values=16)}
    latest = await database.transact(lambda connection: queries.latest_values(connection, UTILITY, "m1"))
    assert {(value.utc_ms, value.estimated) for value in latest} == {(corrected + 7 * MINUTES_15_MS, False)}


async def test_a_later_welcome_changes_only_what_came_after_it(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    early, late = gateway.series("m1", count=4), gateway.series("m1", count=4, first_tick_ms=4 * HOURS)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), early), gateway.batch(late))
    await project_everything(database)
    await commit(database, gateway.batch(gateway.clock(3 * HOURS, MIDNIGHT + 3 * HOURS + 250)))

    done = await database.transact(project)

    assert done.reread_count == 1
    assert await known(database, "m1") == produced(early, MIDNIGHT) | produced(late, MIDNIGHT + 250)


async def test_only_the_assigned_gateway_may_report_a_meter(database: Database) -> None:
    mine, theirs = Reporter("gw1"), Reporter("gw2")
    await allow(database, m1="gw1")
    block = mine.series("m1", count=2)
    await commit(
        database,
        mine.batch(mine.clock(0, MIDNIGHT), block),
        theirs.batch(theirs.clock(0, MIDNIGHT), theirs.readings("m1", {0: (9, 9), 5: (9, 9), 7: (9, 9)})),
    )
    await project_everything(database)

    assert await known(database, "m1") == produced(block, MIDNIGHT)
    (refused,) = await database.transact(lambda connection: queries.refused_rows(connection, UTILITY))
    assert (refused.meter, refused.reason, refused.row_count) == ("m1", "not-assigned", 3)


async def test_an_assignment_entered_late_lets_the_rows_in_and_a_withdrawn_one_takes_them_out(
    database: Database,
) -> None:
    gateway = Reporter("gw1")
    block = gateway.series("m1", count=3)
    await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), block))
    await project_everything(database)
    assert await known(database, "m1") == set()

    async def place_anew() -> None:
        await database.transact(lambda connection: reread_gateway(connection, utility=UTILITY, gateway="gw1"))
        await project_everything(database)

    await allow(database, m1="gw1")
    await place_anew()
    assert await known(database, "m1") == produced(block, MIDNIGHT)
    assert await database.transact(lambda connection: queries.refused_rows(connection, UTILITY)) == []

    await allow(database, m1="gw2")
    await place_anew()
    assert await known(database, "m1") == set()
    assert await database.transact(lambda connection: queries.latest_values(connection, UTILITY, "m1")) == []


async def test_an_assignment_from_an_instant_that_has_rows_places_those_after_it_anew(database: Database) -> None:
    one, other = Reporter("gw1"), Reporter("gw2")
    await allow(database, m1="gw1")
    block = one.readings("m1", {0: (1, 1), 10: (2, 2), 20: (3, 3)})
    theirs = other.readings("m1", {5: (7, 7), 15: (8, 8)})
    await commit(database, one.batch(one.clock(0, MIDNIGHT), block), other.batch(other.clock(0, MIDNIGHT), theirs))
    await project_everything(database)
    assert await known(database, "m1") == produced(block, MIDNIGHT)

    moved_ms = MIDNIGHT + 12
    await database.transact(lambda connection: assignments.assign(connection, UTILITY, "gw2", ["m1"], from_ms=moved_ms))
    await project_everything(database)
    before = {item for item in produced(block, MIDNIGHT) if item[3] < moved_ms}
    after = {item for item in produced(theirs, MIDNIGHT) if item[3] >= moved_ms}
    assert (len(before), len(after)) == (4, 2)
    assert await known(database, "m1") == before | after


async def test_what_a_meter_captured_is_one_fact_whoever_reads_it_and_follows_its_assignment(
    database: Database,
) -> None:
    one, other = Reporter("gw1"), Reporter("gw2")
    midnight_s = MIDNIGHT // 1_000
    await allow(database, m1="gw1", m2="gw1")
    await commit(database, one.batch(one.profile("m1", {midnight_s: 5, midnight_s + 900: 7})))
    await project_everything(database)
    await allow(database, m1="gw2")
    await commit(database, other.batch(other.profile("m1", {midnight_s + 900: 7, midnight_s + 1_800: 9})))
    await project_everything(database)

    day = await database.transact(lambda connection: queries.day_profile(connection, UTILITY, "m1", 20_000))
    assert [(reading.utc_ms - MIDNIGHT, reading.value) for reading in day] == [(0, 5), (900_000, 7), (1_800_000, 9)]
    assert [len(reading.messages) for reading in day] == [1, 2, 1]

    await database.transact(lambda connection: reread_gateway(connection, utility=UTILITY, gateway="gw1"))
    await project_everything(database)
    assert await counts(database) == {"m1": Counts(values=2)}


async def test_two_values_under_one_key_are_flagged_and_lead_to_both_signed_messages(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    one = gateway.batch(gateway.clock(0, MIDNIGHT), gateway.readings("m1", {0: (500, 2_300)}))
    other = gateway.batch(gateway.readings("m1", {0: (400, 2_300)}))
    await commit(database, one, other)
    await project_everything(database)

    profile = await database.transact(lambda connection: queries.day_profile(connection, UTILITY, "m1", 20_000))
    energy = next(reading for reading in profile if reading.channel.obis == ENERGY.obis)
    evidence = await database.transact(lambda connection: queries.evidence(connection, energy))

    assert (energy.value, [fact.value for fact in energy.others]) == (400, [500])
    assert {(item.digest, item.message.sealed) for item in evidence} == {
        (one.digest, one.sealed),
        (other.digest, other.sealed),
    }
    assert await counts(database) == {"m1": Counts(values=2, duplicates=1, conflicts=1)}


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_messages_and_steps_does_not_matter(database: Database, seed: int) -> None:
    rng = Random(seed)
    gateway = Reporter("gw1")
    await allow(database, m1="gw1", m2="gw1")
    blocks = [gateway.series(meter, count=6, first_tick_ms=hour * HOURS) for meter in ("m1", "m2") for hour in (0, 20)]
    clocks = [
        gateway.clock(0, MIDNIGHT + 99 * DAY_MS, welcome=False),
        gateway.clock(2 * HOURS, MIDNIGHT + 2 * HOURS),
        gateway.clock(20 * HOURS, MIDNIGHT + 23 * HOURS),
    ]
    facts: list[UpFact] = [*blocks, *clocks]
    batches = [gateway.batch(fact) for fact in facts]
    rng.shuffle(batches)
    for batch in batches:
        await commit(database, batch, rng.choice(batches))
        if rng.random() < 0.7:
            await database.transact(lambda connection: project(connection, messages_max=rng.randint(1, 3)))
    while (await database.transact(lambda connection: project(connection, messages_max=2))).worked:
        pass

    early, late = MIDNIGHT, MIDNIGHT + 3 * HOURS
    expected = produced(blocks[0], early) | produced(blocks[1], late)
    assert await known(database, "m1", "m2") == expected | produced(blocks[2], early) | produced(blocks[3], late)
    assert await counts(database) == {"m1": Counts(values=24), "m2": Counts(values=24)}


async def test_a_message_that_is_none_is_written_down_and_blocks_nothing(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    good = gateway.batch(gateway.clock(0, MIDNIGHT), gateway.readings("m1", {0: (1, 2)}))
    row = {"tx": 0, "utility": UTILITY, "digest": bytes(32), "gateway": "gw1", "lane": "bulk", "received_at_ms": 0}

    def write(connection: sa.Connection) -> None:
        connection.execute(sa.insert(schema.message).values(**row, sealed=b"\xd2\x80"))
        commit_batches(connection, good)

    await database.transact(write)
    await project_everything(database)

    assert len(await known(database, "m1")) == 2
    (refused,) = await database.transact(lambda connection: queries.refused_rows(connection, UTILITY))
    assert (refused.meter, refused.reason) == ("", "malformed")


async def test_the_loop_projects_on_notice_and_tells_those_behind(database: Database) -> None:
    gateway = Reporter("gw1")
    await allow(database, m1="gw1")
    notice, projected = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        task = group.create_task(follow(database, notice=notice, rng=Random(1), projected=projected.set))
        for tick_ms in range(3):
            await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.readings("m1", {tick_ms: (1, 2)})))
            notice.set()
            await projected.wait()
            projected.clear()
            assert len(await known(database, "m1")) == 2 * (tick_ms + 1)
        task.cancel()


async def test_a_transaction_that_commits_late_is_not_passed_over(postgres_url: str) -> None:
    slow_gateway, fast_gateway = Reporter("gw1"), Reporter("gw2")
    slow_block, fast_block = slow_gateway.readings("m1", {0: (1, 2)}), fast_gateway.readings("m2", {0: (3, 4)})
    engine = create_async_engine(postgres_url)
    async with open_database(postgres_url) as database:
        await database.transact(schema.metadata.create_all)
        await allow(database, m1="gw1", m2="gw2")
        async with engine.connect() as slow, engine.connect() as fast:
            # The slow one takes the lower id and is overtaken.
            await slow.run_sync(commit_batches, slow_gateway.batch(slow_gateway.clock(0, MIDNIGHT), slow_block))
            await fast.run_sync(commit_batches, fast_gateway.batch(fast_gateway.clock(0, MIDNIGHT), fast_block))
            await fast.commit()
            overtaken = await database.transact(project)
            await slow.commit()
        await engine.dispose()
        await project_everything(database)

        assert overtaken.message_count == 0
        assert await known(database, "m1", "m2") == produced(slow_block, MIDNIGHT) | produced(fast_block, MIDNIGHT)


async def test_the_loop_survives_a_database_that_goes_away(own_postgres: PostgresServer) -> None:
    gateway = Reporter("gw1")
    notice, projected = asyncio.Event(), asyncio.Event()
    async with open_database(own_postgres.url(own_postgres.create_database())) as database:
        await database.transact(schema.metadata.create_all)
        await allow(database, m1="gw1")
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            task = group.create_task(follow(database, notice=notice, rng=Random(1), projected=projected.set))
            await commit(database, gateway.batch(gateway.clock(0, MIDNIGHT), gateway.readings("m1", {0: (1, 2)})))
            await projected.wait()
            projected.clear()
            await asyncio.to_thread(own_postgres.kill)
            notice.set()
            await asyncio.to_thread(own_postgres.start)
            await commit(database, gateway.batch(gateway.readings("m1", {5: (3, 4)})))
            await projected.wait()
            task.cancel()
        assert len(await known(database, "m1")) == 4


async def test_two_projectors_at_once_take_turns_and_lose_nothing(postgres_url: str) -> None:
    gateway = Reporter("gw1")
    block = gateway.series("m1", count=40)
    async with open_database(postgres_url) as one, open_database(postgres_url) as other:
        await one.transact(schema.metadata.create_all)
        await allow(one, m1="gw1")
        await commit(one, gateway.batch(gateway.clock(0, MIDNIGHT)))
        await commit(one, *[gateway.batch(gateway.readings("m1", {row.tick_ms: row.values})) for row in to_rows(block)])
        step: Callable[[sa.Connection], bool] = lambda connection: project(connection, messages_max=1).worked  # noqa: E731

        async def run(database: Database) -> int:
            count = 0
            while await database.transact(step):
                count += 1
            return count

        steps = await asyncio.gather(run(one), run(other))

        assert sum(steps) == 41
        assert await known(one, "m1") == produced(block, MIDNIGHT)
        assert await counts(one) == {"m1": Counts(values=80)}
