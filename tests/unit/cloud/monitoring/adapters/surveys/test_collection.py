"""What was collected of a day, by when, and that it stays what it was."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import sqlite_engine
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.projector import project_all
from cloud.monitoring.adapters.survey import Scope, Window
from cloud.monitoring.adapters.surveys.collection import METERS_PER_STEP, SURVEYS
from tests.rig.reporting import CHANNELS, MINUTES_15_MS, UTILITY, Reporter, assign, commit_batches
from tests.rig.surveys import Point, ask, ask_in_spite, scope_of
from wire.readings import QUALITY_SUSPECT, Readings, Row, to_block

(SURVEY,) = SURVEYS
T = TypeVar("T")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIDNIGHT = 20_000 * DAY_MS
DAY_END = MIDNIGHT + DAY_MS
SCOPE = scope_of(UTILITY, meters=False)


def hour_until(until_ms: int) -> Window:
    return Window(until_ms - HOUR_MS, until_ms)


class Site:
    """A database with the meters of some gateways."""

    def __init__(self, folder: Path) -> None:
        self.engine = sqlite_engine(f"sqlite:///{folder / 'cloud.sqlite3'}")
        self.transact(schema.metadata.create_all)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def assign(self, meter: str, gateway: str, *, from_ms: int = 0, until_ms: int | None = None) -> None:
        self.transact(lambda connection: assign(connection, meter, gateway, from_ms=from_ms, until_ms=until_ms))

    def commit(self, *batches: AdmittedBatch, at_ms: int) -> None:
        self.transact(lambda connection: commit_batches(connection, *batches, now_ms=at_ms))
        self.transact(project_all)

    def days(self, window: Window, scope: Scope = SCOPE) -> dict[tuple[str, int], Point]:
        """Return what is said of each gateway and day."""
        lines = ask(self.transact, SURVEY, scope, window)
        return {(line.tags["gateway"], line.utc_ms): line for line in lines if line.measurement == "collection"}

    def levels(self, window: Window) -> dict[str, Point]:
        """Return what is said of each target."""
        lines = ask(self.transact, SURVEY, SCOPE, window)
        return {line.tags["target"]: line for line in lines if line.measurement == "service_level"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.assign("m1", "gw1")
    yield site
    site.engine.dispose()


def quarters(gateway: Reporter, meter: str, first: int, count: int) -> Readings:
    return gateway.series(meter, count=count, first_tick_ms=first * MINUTES_15_MS)


def late_day(site: Site) -> None:
    """48 intervals at once, 40 seven hours after the day's end, 8 eleven hours after it."""
    gateway = Reporter("gw1")
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), quarters(gateway, "m1", 0, 48)), at_ms=MIDNIGHT + DAY_MS // 2)
    site.commit(gateway.batch(quarters(gateway, "m1", 48, 40)), at_ms=DAY_END + 7 * HOUR_MS)
    site.commit(gateway.batch(quarters(gateway, "m1", 88, 8)), at_ms=DAY_END + 11 * HOUR_MS)


def test_late_data_counts_from_the_deadline_on_that_it_met(site: Site) -> None:
    late_day(site)

    day = site.days(hour_until(DAY_END + 24 * HOUR_MS))["gw1", MIDNIGHT]

    assert day.fields["expected_count"] == day.fields["collected_count"] == 96
    assert day.fields["within_8h_percent"] == pytest.approx(100 * 88 / 96)
    assert day.fields["within_12h_percent"] == day.fields["within_24h_percent"] == day.fields["percent"] == 100


def test_a_past_window_says_what_was_known_then(site: Site) -> None:
    window = hour_until(DAY_END + 6 * HOUR_MS)
    gateway = Reporter("gw1")
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), quarters(gateway, "m1", 0, 48)), at_ms=MIDNIGHT + DAY_MS // 2)
    first = ask(site.transact, SURVEY, SCOPE, window)
    site.commit(gateway.batch(quarters(gateway, "m1", 40, 56)), at_ms=DAY_END + 7 * HOUR_MS)

    assert ask(site.transact, SURVEY, SCOPE, window) == first
    assert site.days(window)["gw1", MIDNIGHT].fields["percent"] == 50
    assert site.days(hour_until(DAY_END + 7 * HOUR_MS))["gw1", MIDNIGHT].fields["percent"] == 100


def test_each_target_is_told_once_when_its_deadline_is_over(site: Site) -> None:
    late_day(site)
    told = {hour: site.levels(hour_until(DAY_END + hour * HOUR_MS)) for hour in range(1, 30)}

    assert {hour: sorted(levels) for hour, levels in told.items() if levels} == {
        8: ["intervals-8h"],
        12: ["intervals-12h"],
        24: ["intervals-24h", "meter-data-48h"],
    }
    level = told[8]["intervals-8h"]
    assert level.utc_ms == MIDNIGHT
    assert (level.fields["count"], level.fields["met_count"], level.fields["sourced"]) == (96, 88, 1)
    assert level.fields["percent"] == pytest.approx(100 * 88 / 96)
    assert level.fields["target_percent"] == 95
    assert told[24]["intervals-24h"].fields["sourced"] == 0
    assert told[24]["meter-data-48h"].fields["percent"] == 100


def test_a_target_is_about_all_gateways_together(site: Site) -> None:
    late_day(site)
    site.assign("m2", "gw2")
    site.assign("m3", "gw2", from_ms=MIDNIGHT + 18 * HOUR_MS)
    other = Reporter("gw2")
    site.commit(other.batch(other.clock(0, MIDNIGHT), quarters(other, "m2", 0, 12)), at_ms=DAY_END)

    level = site.levels(hour_until(DAY_END + 8 * HOUR_MS))["intervals-8h"]
    days = site.days(hour_until(DAY_END + 8 * HOUR_MS))
    meters = site.levels(hour_until(DAY_END + 24 * HOUR_MS))["meter-data-48h"]

    assert (level.fields["count"], level.fields["met_count"]) == (96 + 96 + 24, 88 + 12)
    assert days["gw2", MIDNIGHT].fields["meters_count"] == 2
    assert days["gw2", MIDNIGHT].fields["meters_without_count"] == 1
    assert (meters.fields["count"], meters.fields["met_count"]) == (3, 2)


def test_what_is_said_twice_counts_once_and_from_the_first_time_on(site: Site) -> None:
    gateway = Reporter("gw1")
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), quarters(gateway, "m1", 0, 96)), at_ms=DAY_END + HOUR_MS)
    site.commit(gateway.batch(quarters(gateway, "m1", 0, 96)), at_ms=DAY_END + 20 * HOUR_MS)

    day = site.days(hour_until(DAY_END + 24 * HOUR_MS))["gw1", MIDNIGHT]

    assert (day.fields["collected_count"], day.fields["within_8h_percent"]) == (96, 100)


def test_two_readings_within_one_interval_are_one_interval(site: Site) -> None:
    gateway = Reporter("gw1")
    rows: dict[int, Sequence[int | None]] = {at * 60_000: (1_000 + at, 2_300) for at in range(0, 1_440, 5)}
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), gateway.readings("m1", rows)), at_ms=DAY_END)

    assert site.days(hour_until(DAY_END + HOUR_MS))["gw1", MIDNIGHT].fields["collected_count"] == 96


def test_nothing_is_expected_of_a_meter_while_it_was_not_assigned(site: Site) -> None:
    site.assign("m1", "gw1", from_ms=0, until_ms=MIDNIGHT + 6 * HOUR_MS)
    site.assign("m1", "gw2", from_ms=MIDNIGHT + 18 * HOUR_MS + 60_000)
    first, second = Reporter("gw1"), Reporter("gw2")
    site.commit(first.batch(first.clock(0, MIDNIGHT), quarters(first, "m1", 0, 96)), at_ms=DAY_END)
    site.commit(second.batch(second.clock(0, MIDNIGHT), quarters(second, "m1", 0, 80)), at_ms=DAY_END)

    days = site.days(hour_until(DAY_END + HOUR_MS))

    assert (days["gw1", MIDNIGHT].fields["expected_count"], days["gw1", MIDNIGHT].fields["percent"]) == (24, 100)
    # The interval in which it came to the second gateway is nobody's.
    assert days["gw2", MIDNIGHT].fields["expected_count"] == 23
    assert days["gw2", MIDNIGHT].fields["collected_count"] == 7
    assert ("gw1", DAY_END) not in days


def test_a_day_before_the_assignment_is_not_told(site: Site) -> None:
    site.assign("m9", "gw9", from_ms=DAY_END)

    days = site.days(hour_until(DAY_END + 4 * HOUR_MS))

    assert ("gw9", MIDNIGHT) not in days
    assert days["gw9", DAY_END].fields["meters_without_count"] == 1
    assert days["gw9", DAY_END].fields["percent"] == 0


def test_values_that_are_flagged_missing_or_in_conflict_are_not_collected(site: Site) -> None:
    gateway = Reporter("gw1")
    flagged = [(0, QUALITY_SUSPECT), (1, QUALITY_SUSPECT)]
    rows = [
        Row("m1", 0, [1, 2_300], flagged),
        Row("m1", MINUTES_15_MS, [None, None]),
        Row("m1", 2 * MINUTES_15_MS, [3, 2_300], flagged[:1]),
        Row("m1", 3 * MINUTES_15_MS, [4, 2_300]),
        Row("m1", 4 * MINUTES_15_MS, [5, 2_300]),
    ]
    block = to_block(gateway.boot, CHANNELS, rows)
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), block), at_ms=DAY_END)
    said_otherwise = gateway.readings("m1", {3 * MINUTES_15_MS: (6, 2_301), 4 * MINUTES_15_MS: (6, 2_300)})
    site.commit(gateway.batch(said_otherwise), at_ms=DAY_END)

    # One valid value is enough: the third row has a voltage, so has the last, of which two energies were stated.
    assert site.days(hour_until(DAY_END + HOUR_MS))["gw1", MIDNIGHT].fields["collected_count"] == 2


def test_a_row_that_a_meter_captured_is_of_the_interval_that_ended(site: Site) -> None:
    gateway = Reporter("gw1")
    captured = {(MIDNIGHT + number * MINUTES_15_MS) // 1_000: number for number in range(1, 97)}
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), gateway.profile("m1", captured)), at_ms=DAY_END + 60_000)

    days = site.days(hour_until(DAY_END + HOUR_MS))

    assert days["gw1", MIDNIGHT].fields["percent"] == 100
    assert days["gw1", DAY_END].fields["collected_count"] == 0


def test_a_meter_that_is_read_and_captures_too_is_collected_once(site: Site) -> None:
    gateway = Reporter("gw1")
    captured = {(MIDNIGHT + number * MINUTES_15_MS) // 1_000: number for number in range(1, 97)}
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), quarters(gateway, "m1", 0, 96)), at_ms=DAY_END)
    site.commit(gateway.batch(gateway.profile("m1", captured)), at_ms=DAY_END + 9 * HOUR_MS)

    day = site.days(hour_until(DAY_END + 24 * HOUR_MS))["gw1", MIDNIGHT]

    assert (day.fields["collected_count"], day.fields["within_8h_percent"]) == (96, 100)


def test_today_is_told_so_far(site: Site) -> None:
    gateway = Reporter("gw1")
    noon = MIDNIGHT + 12 * HOUR_MS
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), quarters(gateway, "m1", 0, 48)), at_ms=noon - 1)

    day = site.days(hour_until(noon))["gw1", MIDNIGHT]

    # The interval that ended with the window is not due yet.
    assert (day.fields["expected_count"], day.fields["collected_count"]) == (47, 47)
    assert day.fields["within_8h_percent"] == 100


def test_where_nothing_is_expected_yet_there_is_no_percentage(site: Site) -> None:
    hourly = scope_of(UTILITY, meters=False, interval_s=3_600)

    day = site.days(hour_until(DAY_END + HOUR_MS), hourly)["gw1", DAY_END]

    assert (day.fields["meters_count"], day.fields["expected_count"]) == (1, 0)
    assert day.fields["meters_without_count"] == 0
    assert not {name for name in day.fields if "percent" in name}


def test_a_network_without_meters_tells_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)

    assert all(ask(site.transact, SURVEY, SCOPE, hour_until(DAY_END + hour * HOUR_MS)) == [] for hour in (1, 8, 24))
    site.engine.dispose()


def test_a_gateway_with_many_meters_is_read_in_parts(site: Site) -> None:
    for number in range(2 * METERS_PER_STEP):
        site.assign(f"n{number:04}", "gw1")
    gateway = Reporter("gw1")
    some = [quarters(gateway, meter, 0, 96) for meter in ("m1", "n0000", f"n{2 * METERS_PER_STEP - 1:04}")]
    site.commit(gateway.batch(gateway.clock(0, MIDNIGHT), *some), at_ms=DAY_END)

    day = site.days(hour_until(DAY_END + 8 * HOUR_MS))["gw1", MIDNIGHT]

    meters_count = 2 * METERS_PER_STEP + 1
    assert (day.fields["meters_count"], day.fields["meters_without_count"]) == (meters_count, meters_count - 3)
    assert (day.fields["expected_count"], day.fields["collected_count"]) == (96 * meters_count, 96 * 3)


def test_a_day_that_cannot_be_read_costs_its_gateway_and_what_all_come_to(site: Site) -> None:
    late_day(site)
    site.assign("m2", "gw2")
    site.assign("m3", "gw3")
    other = Reporter("gw3")
    site.commit(other.batch(other.clock(0, MIDNIGHT), quarters(other, "m3", 0, 96)), at_ms=DAY_END)
    row = {"utility": UTILITY, "meter": "m2", "day": MIDNIGHT // DAY_MS, "body": b"spoilt"}
    site.transact(lambda connection: connection.execute(sa.insert(schema.meter_day), row))

    points, failed = ask_in_spite(site.transact, SURVEY, SCOPE, hour_until(DAY_END + 8 * HOUR_MS))

    assert failed == 1
    assert {point.measurement for point in points} == {"collection"}
    assert {point.tags["gateway"] for point in points} == {"gw1", "gw3"}
