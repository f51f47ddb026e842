"""A copy made anew in an empty InfluxDB holds what the live one holds, for all there is and for a period."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from cloud import schema
from cloud.__main__ import main
from cloud.config import Monitoring
from cloud.database import Database, open_database
from cloud.migrations import upgrade
from cloud.monitoring.adapters.aggregates import Aggregator
from cloud.monitoring.adapters.feeder import Feeder
from cloud.monitoring.adapters.recopy_sources import WHOLE, Past
from cloud.monitoring.adapters.recopying import CopyUnavailableError, Recopied, recopy
from cloud.monitoring.adapters.samples import keep_sample, packed
from cloud.monitoring.adapters.survey import MakeLines, Scope, Step, Survey, Window, at_once, no_lines
from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.ports import LineWriter
from tests.integration.cloud.monitoring.copies import (
    DAY_MS,
    HOUR_MS,
    MIDNIGHT,
    Point,
    RecordingWriter,
    SiteClock,
    commit,
    everything_in,
    writer_to,
)
from tests.rig.influx import ORG, InfluxServer
from tests.rig.reporting import MINUTES_15_MS, UTILITY, Reporter, assign
from wire.facts import Event, Health, LineHealth, MeterEvent, Metric
from wire.runtime.errors import UnavailableError

NOW_MS = MIDNIGHT + 3 * DAY_MS + 10 * HOUR_MS
LOG = bytes((0, 0, 99, 98, 1, 255))


class Quiet:
    """Watches in silence, and counts."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}

    def begin(self, section: str, steps: int) -> None:
        self.steps[section] = [steps, 0]

    def advance(self, section: str, steps: int, lines_count: int) -> None:  # noqa: ARG002
        self.steps[section][1] += steps


class NoWaiting(Random):
    """Waits for nothing."""

    def randint(self, a: int, b: int) -> int:  # noqa: ARG002
        return a


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:

        def prepare(connection: sa.Connection) -> None:
            upgrade(connection)
            for meter in ("m1", "m2"):
                assign(connection, meter, "gw1")
            assign(connection, "m3", "gw1", until_ms=MIDNIGHT + DAY_MS + 5 * HOUR_MS)
            assign(connection, "m3", "gw2", from_ms=MIDNIGHT + DAY_MS + 5 * HOUR_MS)

        await opened.transact(prepare)
        await _three_days(opened)
        yield opened


async def _three_days(database: Database) -> None:
    """Let two gateways report three days and some hours, some of it late, some of it repeated and in conflict."""
    one, two = Reporter("gw1"), Reporter("gw2")
    quarters = 3 * 96 + 36
    await commit(database, one.batch(one.clock(0, MIDNIGHT)), two.batch(two.clock(0, MIDNIGHT)), now_ms=MIDNIGHT)
    rows = {
        meter: {MINUTES_15_MS * at + 7: (start + 10 * at, 2_300 + at % 9) for at in range(quarters)}
        for meter, start in (("m1", 1_000), ("m2", 50_000), ("m3", 7_000))
    }
    for first in [*range(0, quarters, 24)[1:], 0]:
        # The first six hours come last.
        ticks = [MINUTES_15_MS * at + 7 for at in range(first, min(first + 24, quarters))]
        ours = one.batch(*(one.readings(meter, {tick: rows[meter][tick] for tick in ticks}) for meter in rows))
        theirs = two.batch(two.readings("m3", {tick: rows["m3"][tick] for tick in ticks}))
        await commit(database, ours, theirs, now_ms=MIDNIGHT + ticks[-1])
    flagged = one.readings("m1", {5 * HOUR_MS + 9: (None, 2_299)})
    captured = {(MIDNIGHT + at * HOUR_MS) // 1_000: 7_000 + 40 * at for at in range(48)}
    await commit(database, one.batch(flagged, flagged), two.batch(two.profile("m3", captured)))
    for at in (HOUR_MS, DAY_MS + 2 * HOUR_MS, 2 * DAY_MS + 3 * HOUR_MS):
        await commit(database, one.batch(*_stamped(one, at)), now_ms=MIDNIGHT + at)


def _stamped(gateway: Reporter, tick_ms: int) -> Sequence[Event | MeterEvent | Health | LineHealth]:
    stamp = {"boot": gateway.boot, "tick_ms": tick_ms}
    entry = {"meter": "m2", "log": LOG, "number": 101, "code": "3.26.0.85", "values": []}
    return [
        Event(**stamp, serial=tick_ms, meter="m1", code="3.26.0.85", detail="lost"),  # type: ignore[arg-type]
        # Read a day after it was written down.
        MeterEvent(**stamp, **entry, captured_s=(MIDNIGHT + tick_ms - DAY_MS) // 1_000),  # type: ignore[arg-type]
        Health(**stamp, meter="", metrics=[Metric("pending_count", 3)]),  # type: ignore[arg-type]
        Health(**stamp, meter="m1", metrics=[Metric("clock_offset_ms", 20)]),  # type: ignore[arg-type]
        LineHealth(**stamp, line="bus-1", metrics=[Metric("failures_count", 1)]),  # type: ignore[arg-type]
    ]


async def feed_live(database: Database, writer: LineWriter, *, meters: bool = True) -> None:
    """Write what is written while everything runs."""
    feeder = Feeder(database, writer, meters=meters)
    aggregator = Aggregator(database, writer, meters=meters, clock=SiteClock(NOW_MS))
    for step in (feeder.step, aggregator.step):
        while await step():
            pass


def scope(*, meters: bool = True) -> Scope:
    return Scope(utility=UTILITY, settings=Monitoring(), meters=meters)


async def recopied(
    database: Database,
    writer: LineWriter,
    *,
    period: Window = WHOLE,
    meters: bool = True,
    surveys: Sequence[Survey] = (),
) -> Recopied:
    past = Past(database, scope(meters=meters), period, SiteClock(NOW_MS))
    watcher = Quiet()
    done = await recopy(past, surveys, writer, watcher=watcher, rng=NoWaiting())
    assert all(total == stepped for total, stepped in watcher.steps.values()), watcher.steps
    assert done.dropped_count == 0, done.problem
    return done


@pytest.mark.parametrize("meters", [True, False])
async def test_a_copy_made_anew_is_the_live_one(database: Database, influx: InfluxServer, *, meters: bool) -> None:
    live, fresh = influx.create_database(), influx.create_database()
    writers = [writer_to(influx, copy) for copy in (live, fresh)]
    await feed_live(database, writers[0], meters=meters)

    await recopied(database, writers[1], meters=meters)
    for writer in writers:
        writer.close()

    found = everything_in(influx, fresh)
    assert found == everything_in(influx, live)
    of_meters = {"meter_day", "meter_health", "meter_hour", "reading"} if meters else set()
    assert set(found) == {"event", "gateway_day", "gateway_hour", "gateway_health", "line_health"} | of_meters


@pytest.mark.parametrize(
    "period",
    [
        Window(MIDNIGHT + DAY_MS, MIDNIGHT + 2 * DAY_MS),
        Window(MIDNIGHT + 7 * HOUR_MS, MIDNIGHT + DAY_MS + 3 * HOUR_MS),
        Window(MIDNIGHT - 2 * DAY_MS, MIDNIGHT),
    ],
    ids=["a day", "some hours", "before it all"],
)
async def test_a_period_made_anew_is_that_of_the_live_copy_and_nothing_else(
    database: Database, influx: InfluxServer, period: Window
) -> None:
    live, fresh = influx.create_database(), influx.create_database()
    writers = [writer_to(influx, copy) for copy in (live, fresh)]
    await feed_live(database, writers[0])

    await recopied(database, writers[1], period=period)
    for writer in writers:
        writer.close()

    def of_period(points: Sequence[Point]) -> list[Point]:
        return [point for point in points if period.from_ms <= point["time"] < period.until_ms]

    expected = {name: of_period(points) for name, points in everything_in(influx, live).items()}
    assert everything_in(influx, fresh) == {name: points for name, points in expected.items() if points}


async def test_points_at_times_that_were_corrected_are_not_in_a_fresh_copy(
    database: Database, influx: InfluxServer
) -> None:
    copy = influx.create_database()
    writer = writer_to(influx, copy)
    gateway = Reporter("gw1", boot=b"boot-002")
    wrong = gateway.clock(0, MIDNIGHT - 30 * DAY_MS, welcome=False)
    await commit(database, gateway.batch(wrong, gateway.series("m1", count=8), *_stamped(gateway, 5)[2:]))
    await commit(database, gateway.batch(gateway.clock(1, MIDNIGHT + 4 * DAY_MS + 1)))

    await recopied(database, writer)
    writer.close()

    found = everything_in(influx, copy)
    assert min(point["time"] for points in found.values() for point in points) >= MIDNIGHT - DAY_MS
    (last,) = [point for point in found["gateway_health"] if point["time"] > MIDNIGHT + 4 * DAY_MS]
    assert last["time"] == MIDNIGHT + 4 * DAY_MS + 5


async def test_cursors_stay_where_they_are_and_running_again_changes_nothing(
    database: Database, influx: InfluxServer
) -> None:
    copy = influx.create_database()
    writer = writer_to(influx, copy)
    await recopied(database, writer)

    def standing(connection: sa.Connection) -> list[tuple[object, ...]]:
        tables = (schema.cursor, schema.changed_day, schema.reread, schema.survey)
        return [tuple(row) for table in tables for row in connection.execute(sa.select(table).order_by(*table.c))]

    before, points = await database.transact(standing), everything_in(influx, copy)
    await recopied(database, writer)
    writer.close()

    assert await database.transact(standing) == before
    assert everything_in(influx, copy) == points


async def test_computed_surveys_are_asked_again_and_samples_written_again(
    database: Database, influx: InfluxServer
) -> None:
    copy = influx.create_database()
    writer = RecordingWriter(writer_to(influx, copy))
    asked: list[Window] = []

    def look(_connection: sa.Connection, _scope: Scope, window: Window) -> MakeLines:
        asked.append(window)
        return no_lines

    computed = Survey(name="hours", width_s=lambda _: 3_600, steps=at_once(look), lag_s=60)
    sampled = Survey(name="never", width_s=lambda _: 60, steps=_must_not, sampled=True)
    for at_ms in (MIDNIGHT + 3 * HOUR_MS, MIDNIGHT + 5 * HOUR_MS, MIDNIGHT + 9 * HOUR_MS):
        line = f"refusal,reason=replayed,utility=demo count=1.0 {at_ms}"
        await database.transact(partial(keep_sample, utility=UTILITY, bodies=packed([line]), at_ms=at_ms))

    period = Window(MIDNIGHT + 4 * HOUR_MS, MIDNIGHT + 8 * HOUR_MS)
    done = await recopied(database, writer, period=period, surveys=[computed, sampled])

    assert asked == [Window(MIDNIGHT + at * HOUR_MS, MIDNIGHT + (at + 1) * HOUR_MS) for at in range(4, 8)]
    (refusal,) = [line for line in writer.lines if line.startswith("refusal")]
    assert refusal.endswith(f" {MIDNIGHT + 5 * HOUR_MS}")
    assert done.lines["samples"] == 1

    asked.clear()
    await recopied(database, writer, surveys=[computed, sampled])
    writer.close()
    assert (asked[0].from_ms, asked[-1].until_ms) == (MIDNIGHT, NOW_MS - HOUR_MS)


def _must_not(_connection: sa.Connection, _scope: Scope, _window: Window) -> Sequence[Step]:
    raise AssertionError("nobody can tell later how things stood")


class Away:
    """A server that is away for some writes."""

    def __init__(self, writer: LineWriter, *, writes_count: int) -> None:
        self._writer = writer
        self.left_count = writes_count

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        if self.left_count:
            self.left_count -= 1
            raise UnavailableError("away")
        self._writer.write(lines, retention=retention)

    def close(self) -> None:
        self._writer.close()


async def test_a_server_that_comes_back_soon_is_waited_for(database: Database, influx: InfluxServer) -> None:
    copy, whole = influx.create_database(), influx.create_database()
    writer, other = Away(writer_to(influx, copy), writes_count=3), writer_to(influx, whole)
    await recopied(database, writer)
    await recopied(database, other)
    assert everything_in(influx, copy) == everything_in(influx, whole)

    writer.left_count = 1_000
    with pytest.raises(CopyUnavailableError):
        await recopied(database, writer)
    for opened in (writer, other):
        opened.close()


async def test_the_command_says_what_it_wrote(
    database: Database, database_url: str, influx: InfluxServer, tmp_path: Path
) -> None:
    copy = influx.create_database()
    token, config = tmp_path / "influx.token", tmp_path / "cloud.toml"
    token.write_text(influx.token)
    config.write_text(
        f'utility = "{UTILITY}"\ndatabase = "{database_url}"\nkeys_folder = "keys"\n'
        f'[influx]\nurl = "{influx.url}"\ndatabase = "{copy}"\norg = "{ORG}"\ntoken_file = "{token}"\n'
        "detail_days = 3650\nhistory_days = 36500\n"
    )
    period = ("--from", "2024-10-05", "--until", "2024-10-05T06:00")

    def run(*more: str) -> str:
        result = CliRunner().invoke(main, ["recopy", str(config), *period, *more])
        assert result.exit_code == 0, result.output
        return result.stdout

    said = await asyncio.to_thread(run, "--json")
    told = await asyncio.to_thread(run)

    found = json.loads(said)
    assert (found["from"], found["until"]) == ("2024-10-05T00:00:00+00:00", "2024-10-05T06:00:00+00:00")
    assert found["lines"]["readings"] == len(everything_in(influx, copy)["reading"])
    assert f"readings: {found['lines']['readings']} lines" in told
    spoilt = {"tx": 0, "utility": UTILITY, "at_ms": MIDNIGHT + DAY_MS, "body": b"no zstandard"}
    await database.transact(lambda connection: connection.execute(sa.insert(schema.sample), spoilt))
    whole = await asyncio.to_thread(CliRunner().invoke, main, ["recopy", str(config), *period, "--json"])
    assert whole.exit_code == 1
    assert json.loads(whole.stdout)["failures"] == 1
    told, said = whole.stderr.splitlines()
    assert json.loads(told)["event"] == "work.failed"
    assert said == "Error: 1 pieces were left out for errors of this program, told above"
    wrong = CliRunner().invoke(main, ["recopy", str(config), "--from", "2024-10-05", "--until", "2024-10-05"])
    assert wrong.exit_code == 2
    assert "nothing lies between the two" in wrong.stderr
