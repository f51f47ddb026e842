"""When surveys are asked: each window once and none left out, whatever is away meanwhile."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from cloud import schema
from cloud.config import Monitoring
from cloud.monitoring.adapters.delivery import Outlet
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.samples import (
    Sample,
    SampleFollower,
    next_samples,
    prune_samples,
    samples_between,
    settle_samples,
)
from cloud.monitoring.adapters.survey import Lines, MakeLines, Scope, Survey, Window
from cloud.monitoring.adapters.surveying import WINDOWS_PER_STEP_MAX, Surveyor, windows_between
from cloud.monitoring.core.catalogue import Retention
from cloud.tally import Tally
from tests.simulation.agenda import ORIGIN_MS, Agenda
from tests.simulation.one_step import CloudClock, OneStepDatabase, in_one_step
from tests.unit.cloud.office import UTILITY, Office
from wire.runtime.errors import UnavailableError

SETTINGS = Monitoring(sample_s=60)
SCOPE = Scope(utility=UTILITY, settings=SETTINGS, meters=True)
MINUTE_MS = 60_000


class Desk:
    """A surveyor whose time is set and whose InfluxDB may be away."""

    def __init__(self, folder: Path, *, sampled: bool, pieces: Sequence[str] = ("",)) -> None:
        Office(folder).engine.dispose()
        self.agenda = Agenda()
        self.agenda.now_ms = -ORIGIN_MS % MINUTE_MS
        self.database = OneStepDatabase(folder / "cloud.sqlite3")
        self.delivered: list[str] = []
        self.asked: list[tuple[Window, str]] = []
        self.is_away = False
        self.bad: set[tuple[int, str]] = set()
        """Windows, by their end, and pieces of which the survey fails."""
        self.tally = Tally()
        self.failures = Failures(self.tally)
        self.survey = Survey(
            name="minutes",
            width_s=lambda settings: settings.sample_s,
            steps=lambda _connection, _scope, window: [partial(self._look, window, piece) for piece in pieces],
            sampled=sampled,
        )
        self.surveyor = self.another()
        self.samples = SampleFollower(self.database, Outlet(self, source="samples"), failures=self.failures)

    def another(self) -> Surveyor:
        """Return the surveyor of another process."""
        clock = CloudClock(self.agenda)
        return Surveyor(self.database, SCOPE, self.survey, deliver=self._deliver, clock=clock, failures=self.failures)

    @property
    def now_ms(self) -> int:
        return ORIGIN_MS + self.agenda.now_ms

    def pass_minutes(self, count: int) -> None:
        self.agenda.now_ms += count * MINUTE_MS

    async def _deliver(self, lines: Lines) -> None:
        self.write(lines, retention=Retention.DETAIL)

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        if self.is_away:
            raise UnavailableError(f"influxdb with {retention} is away")
        self.delivered += lines

    def close(self) -> None:
        pass

    def _look(self, window: Window, piece: str, _connection: sa.Connection) -> MakeLines:
        self.asked.append((window, piece))
        if (window.until_ms, piece) in self.bad:
            raise ZeroDivisionError
        return lambda: [f"refusal,reason={piece or 'all'},utility=demo count=1.0 {window.until_ms}"]


@pytest.fixture
def computed(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, sampled=False)
    yield desk
    desk.database.engine.dispose()


@pytest.fixture
def sampled(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, sampled=True)
    yield desk
    desk.database.engine.dispose()


async def all_surveys(desk: Desk) -> None:
    while await desk.surveyor.step():
        pass


async def test_each_window_is_asked_once_and_none_is_left_out(computed: Desk) -> None:
    begun_ms = computed.now_ms
    for minutes in (0, 0, 1, 3, 200):
        computed.pass_minutes(minutes)
        await all_surveys(computed)
    windows = [window for window, _ in computed.asked]
    assert windows == [
        Window(at_ms, at_ms + MINUTE_MS) for at_ms in range(begun_ms - MINUTE_MS, computed.now_ms, MINUTE_MS)
    ]


async def test_a_long_absence_is_caught_up_with_in_bounded_steps(computed: Desk) -> None:
    await all_surveys(computed)
    computed.pass_minutes(3 * WINDOWS_PER_STEP_MAX)
    assert await computed.surveyor.step()
    assert len(computed.asked) == 1 + WINDOWS_PER_STEP_MAX


async def test_what_another_process_did_meanwhile_is_not_done_again(computed: Desk) -> None:
    await all_surveys(computed)
    computed.pass_minutes(20)
    other = computed.another()
    while await other.step():
        pass
    await all_surveys(computed)
    assert len(computed.asked) == 21


async def test_a_window_that_ends_later_than_others_did_sets_nobody_back(computed: Desk) -> None:
    await all_surveys(computed)
    computed.pass_minutes(3)
    slow = computed.another()
    window = await computed.database.transact(slow._next_window)
    assert window is not None
    await all_surveys(computed)
    await computed.database.transact(lambda connection: slow._settle(connection, window=window))
    assert await computed.database.transact(slow._next_window) is None


@pytest.mark.parametrize("fixture", ["computed", "sampled"])
async def test_a_piece_that_fails_is_left_out_and_everything_else_goes_on(tmp_path: Path, fixture: str) -> None:
    desk = Desk(tmp_path, sampled=fixture == "sampled", pieces=("gw-1", "gw-2", "gw-3"))
    desk.bad = {(desk.now_ms, "gw-2")}
    with capture_logs() as logs:
        for _ in range(2):
            await all_surveys(desk)
            desk.pass_minutes(1)
    while await desk.samples.step():
        pass
    assert [piece for _, piece in desk.asked] == ["gw-1", "gw-2", "gw-3"] * 2
    assert [line.split("reason=")[1].split(",")[0] for line in desk.delivered] == [
        "gw-1",
        "gw-3",
        "gw-1",
        "gw-2",
        "gw-3",
    ]
    assert desk.tally.failures_count == 1
    (entry,) = logs
    assert (entry["event"], entry["survey"], entry["log_level"]) == ("work.failed", "minutes", "error")
    assert isinstance(entry["exc_info"], ZeroDivisionError)
    desk.database.engine.dispose()


@pytest.mark.parametrize("kind", ["computed", "sampled"])
async def test_a_clock_that_was_set_back_stops_no_survey(tmp_path: Path, kind: str) -> None:
    desk = Desk(tmp_path, sampled=kind == "sampled")
    for minutes in (0, 60 * 24 * 365, -60 * 24 * 365 - 5, 1, 1):
        desk.pass_minutes(minutes)
        desk.asked.clear()
        await desk.surveyor.step()
        assert desk.asked[-1][0].until_ms <= desk.now_ms
    assert desk.asked == [(Window(desk.now_ms - MINUTE_MS, desk.now_ms), "")]
    desk.database.engine.dispose()


async def test_a_step_back_of_less_than_a_window_asks_nothing_twice(sampled: Desk) -> None:
    await sampled.surveyor.step()
    sampled.agenda.now_ms -= 1_000
    await sampled.surveyor.step()
    assert len(sampled.asked) == 1


async def test_while_influxdb_is_away_windows_wait_and_are_complete_afterwards(computed: Desk) -> None:
    await all_surveys(computed)
    computed.is_away = True
    computed.pass_minutes(5)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await computed.surveyor.step()
    computed.is_away = False
    await all_surveys(computed)
    assert [int(line.rpartition(" ")[2]) for line in computed.delivered] == [
        computed.now_ms - (5 - minutes) * MINUTE_MS for minutes in range(6)
    ]


async def test_a_survey_in_pieces_delivers_each_before_the_window_is_done(tmp_path: Path) -> None:
    desk = Desk(tmp_path, sampled=False, pieces=("gw-1", "gw-2"))
    await all_surveys(desk)
    assert [piece for _, piece in desk.asked] == ["gw-1", "gw-2"]
    assert len(desk.delivered) == 2
    desk.database.engine.dispose()


async def test_a_sample_is_kept_while_influxdb_is_away_and_delivered_when_it_is_back(sampled: Desk) -> None:
    sampled.is_away = True
    for _ in range(3):
        await sampled.surveyor.step()
        sampled.pass_minutes(1)
        with pytest.raises(UnavailableError):
            await sampled.samples.step()
    sampled.is_away = False
    assert await sampled.samples.step()
    assert not await sampled.samples.step()
    assert len(sampled.delivered) == 3


async def test_a_sample_that_cannot_be_read_is_left_out(sampled: Desk) -> None:
    for _ in range(3):
        await sampled.surveyor.step()
        sampled.pass_minutes(1)
    spoilt = sa.update(schema.sample).where(schema.sample.c.id == 2).values(body=b"no zstandard")
    await sampled.database.transact(lambda connection: connection.execute(spoilt))
    assert await sampled.samples.step()
    assert not await sampled.samples.step()
    assert (len(sampled.delivered), sampled.tally.failures_count) == (2, 1)


async def test_of_two_processes_that_deliver_the_same_samples_the_slower_sets_nobody_back(sampled: Desk) -> None:
    for _ in range(2):
        await sampled.surveyor.step()
        sampled.pass_minutes(1)
    slow = await sampled.database.transact(lambda connection: next_samples(connection, count_max=1))
    while await sampled.samples.step():
        pass
    await sampled.database.transact(lambda connection: settle_samples(connection, slow))
    assert not await sampled.samples.step()


async def test_of_two_processes_one_takes_a_sample(sampled: Desk) -> None:
    for surveyor in (sampled.surveyor, sampled.another()):
        await surveyor.step()
    assert len(sampled.asked) == 1


async def test_moments_that_nobody_looked_at_stay_empty(sampled: Desk) -> None:
    await sampled.surveyor.step()
    sampled.pass_minutes(100)
    await sampled.surveyor.step()
    assert len(sampled.asked) == 2


async def test_samples_are_found_by_time_and_forgotten_in_the_end(sampled: Desk) -> None:
    begun_ms = sampled.now_ms
    for _ in range(4):
        await sampled.surveyor.step()
        sampled.pass_minutes(1)

    def between(connection: sa.Connection) -> list[Sample]:
        return samples_between(connection, UTILITY, from_ms=begun_ms + MINUTE_MS, until_ms=begun_ms + 3 * MINUTE_MS)

    assert len(in_one_step(sampled.database.transact(between))) == 2

    def prune(connection: sa.Connection) -> int:
        return prune_samples(connection, UTILITY, before_ms=begun_ms + 2 * MINUTE_MS)

    assert in_one_step(sampled.database.transact(prune)) == 2
    assert len(in_one_step(sampled.database.transact(next_samples)).samples) == 2


def test_the_windows_of_a_period_are_those_that_begin_in_it() -> None:
    survey = Survey(name="minutes", width_s=lambda _settings: 60, steps=lambda *_: [])
    windows = windows_between(survey, SCOPE, from_ms=1, until_ms=3 * MINUTE_MS + 1)
    assert [window.from_ms for window in windows] == [MINUTE_MS, 2 * MINUTE_MS, 3 * MINUTE_MS]
