import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.config import Config, Monitoring
from cloud.database import upsert
from cloud.monitoring.adapters.samples import next_samples
from cloud.monitoring.adapters.self_report import SelfReport, handler_name, reports
from cloud.tally import Tally
from tests.simulation.agenda import Agenda
from tests.simulation.one_step import CloudClock, OneStepDatabase
from tests.unit.cloud.office import UTILITY, Office
from wire.runtime.clock import AcceleratedClock, SystemClock
from wire.runtime.machine import Machine

CONFIG = Config(utility=UTILITY, keys_folder="keys", monitoring=Monitoring(handler="head-1", sample_s=60))
MINUTE_MS = 60_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[OneStepDatabase]:
    Office(tmp_path).engine.dispose()
    opened = OneStepDatabase(tmp_path / "cloud.sqlite3")
    yield opened
    opened.engine.dispose()


async def test_a_process_reports_what_it_counted_each_time_it_is_due(database: OneStepDatabase) -> None:
    agenda, tally = Agenda(), Tally(messages_count=7)
    report = SelfReport(database, CONFIG, tally=tally, clock=CloudClock(agenda))
    tally.commits.add(3.0)
    for _ in range(5):
        await report.step()
        agenda.now_ms += MINUTE_MS // 2
    samples = (await database.transact(next_samples)).samples
    assert len(samples) == 3
    (line,) = samples[0].lines()
    assert line.startswith(f"handler,handler=head-1,utility={UTILITY} messages_count=7.0,")
    assert "commit_max_ms=3.0" in line
    assert "commit_ms" not in samples[1].lines()[0], "nothing was committed since the first report"
    assert "resident_bytes=" in line


async def test_a_process_that_is_stopped_on_purpose_says_so_with_its_last_report(database: OneStepDatabase) -> None:
    report = SelfReport(database, CONFIG, tally=Tally(), clock=CloudClock(Agenda()))
    following = asyncio.create_task(report.follow(rng=Random(1)))
    while not (await database.transact(next_samples)).samples:  # noqa: ASYNC110 - the database tells nobody
        await asyncio.sleep(0.01)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    *_, last = (await database.transact(next_samples)).samples
    assert ",uptime_s=0.0 " in last.lines()[0]


async def test_who_no_longer_reports_is_noticed(database: OneStepDatabase) -> None:
    agenda = Agenda()
    clock = CloudClock(agenda)
    report = SelfReport(database, CONFIG, tally=Tally(), clock=clock)

    async def asked() -> bool:
        return await database.transact(lambda connection: reports(connection, CONFIG, clock=clock))

    assert not await asked()
    await report.step()
    assert await asked()
    agenda.now_ms += 10 * MINUTE_MS
    assert not await asked()


async def test_a_report_from_the_future_is_of_before_the_clock_was_set_back(database: OneStepDatabase) -> None:
    agenda = Agenda()
    clock = CloudClock(agenda)
    report = SelfReport(database, CONFIG, tally=Tally(), clock=clock)
    agenda.now_ms += 600 * MINUTE_MS
    await report.step()
    agenda.now_ms -= 600 * MINUTE_MS

    def asked(connection: sa.Connection) -> bool:
        return reports(connection, CONFIG, clock=clock)

    assert not await database.transact(asked)
    await report.step()
    assert await database.transact(asked)


async def test_where_the_clock_goes_fast_a_process_may_report_as_seldom(database: OneStepDatabase) -> None:
    real_ms = SystemClock().wall_ms()
    clock = AcceleratedClock(rate=1_000, real_origin_ms=real_ms, wall_origin_ms=real_ms)
    now_ms = clock.wall_ms() - 5_000 * 1_000
    row = {"utility": UTILITY, "name": "head-1", "reported_at_ms": now_ms}
    await database.transact(lambda connection: upsert(connection, schema.handler, [row]))
    assert await database.transact(lambda connection: reports(connection, CONFIG, clock=clock))


async def test_an_error_of_the_program_ends_no_process(database: OneStepDatabase) -> None:
    def broken() -> Machine:
        raise OSError("no such disk")

    tally = Tally()
    report = SelfReport(database, CONFIG, tally=tally, clock=CloudClock(Agenda()), machine=broken)
    task = asyncio.create_task(report.follow(rng=Random(1)))
    async with asyncio.timeout(10):
        while not tally.failures_count:  # noqa: ASYNC110 - counted by another task
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()


def test_a_process_without_a_name_is_called_as_its_machine() -> None:
    name = handler_name(Config(utility=UTILITY, keys_folder="keys"))
    assert name
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
