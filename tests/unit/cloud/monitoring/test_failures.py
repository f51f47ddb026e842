import pytest
from structlog.testing import capture_logs

from cloud.monitoring.adapters.failures import Failures
from cloud.tally import Tally
from wire.runtime.errors import UnavailableError


def test_an_error_is_counted_and_told_and_ends_nothing() -> None:
    tally = Tally()
    failures = Failures(tally)
    with capture_logs() as logs:
        for number in range(9):
            with failures.withstood("survey", window=number):
                raise KeyError(number)
    assert failures.count == tally.failures_count == 9
    assert [(entry["times"], entry["window"]) for entry in logs] == [(1, 0), (2, 1), (4, 3), (8, 7)]


def test_what_is_away_is_no_error_of_ours() -> None:
    failures = Failures(Tally())
    with pytest.raises(UnavailableError, match="away"), failures.withstood("survey"):
        raise UnavailableError("away")
    assert failures.count == 0


async def test_a_step_that_fails_is_taken_again_as_if_something_were_away() -> None:
    failures = Failures(Tally())
    outcomes: list[Exception | bool] = [KeyError("m1"), UnavailableError("influxdb"), True]

    async def step() -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(UnavailableError, match=r"error of this program: KeyError\('m1'\)"):
        await failures.step("monitoring", step)
    with pytest.raises(UnavailableError, match="influxdb"):
        await failures.step("monitoring", step)
    assert await failures.step("monitoring", step)
    assert failures.count == 1
