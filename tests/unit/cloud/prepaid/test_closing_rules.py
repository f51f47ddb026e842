"""When an account may be closed."""

import pytest

from cloud.prepaid.core.closing import ClosingRules, closable_ms
from prepay.entries import RegisterPoint
from tests.unit.cloud.prepaid.books import DAY_MS, OPENED_MS, point


def close_day(
    points: list[RegisterPoint], *, day: float, after: float = -1, rules: ClosingRules | None = None
) -> float:
    """Return the day since the opening at whose beginning the account is closed; -1 for none."""
    at_ms = closable_ms(
        points,
        closed_at_ms=OPENED_MS + round(after * DAY_MS),
        now_ms=OPENED_MS + round(day * DAY_MS),
        rules=rules or ClosingRules(),
    )
    return -1 if at_ms is None else (at_ms - OPENED_MS) / DAY_MS


HOURLY = [point(hour) for hour in range(1, 24 * 30)]


@pytest.mark.parametrize(("day", "closed"), [(3.99, -1), (4, 1), (4.99, 1), (10, 7)])
def test_an_account_is_closed_at_a_midnight_three_days_back(day: float, closed: float) -> None:
    assert close_day(HOURLY, day=day) == closed


def test_a_close_waits_until_points_of_a_day_after_it_are_in() -> None:
    assert close_day(HOURLY[: 24 * 5], day=20) == 4
    assert close_day(HOURLY[: 24 * 5 - 2], day=20) == 3


def test_nothing_is_closed_twice_or_without_a_point() -> None:
    assert close_day(HOURLY, day=10, after=7) == -1
    assert close_day(HOURLY, day=10, after=6) == 7
    assert close_day([], day=10) == -1
    assert close_day([HOURLY[-1]], day=29.9) == -1


def test_hours_that_a_running_box_did_not_report_are_waited_for_a_week() -> None:
    torn = [item for item in HOURLY if not 5 * 24 < item.tick_ms // 3_600_000 < 5 * 24 + 6]
    assert close_day(torn, day=12) == 5
    assert close_day(torn, day=12.3) == 9
    assert close_day(torn, day=12, rules=ClosingRules(gap_wait_ms=0)) == 9


def test_hours_in_which_a_box_was_off_are_not_waited_for() -> None:
    restarted = HOURLY[: 5 * 24] + [point(hour, boot=2) for hour in range(5 * 24 + 8, 24 * 30)]
    assert close_day(restarted, day=10) == 7


def test_a_point_from_a_clock_that_runs_ahead_says_nothing() -> None:
    assert close_day([*HOURLY[: 24 * 2], point(24 * 900)], day=10) == 1
