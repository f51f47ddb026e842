import pytest

from cloud.meterdata.core.hours import HOUR_MS, hour_of, owned_hours, owner_of
from cloud.meterdata.core.placing import Tenure

HOUR = 480_000
"""Some hour, in hours since 1970-01-01."""
START_MS, END_MS = HOUR * HOUR_MS, (HOUR + 1) * HOUR_MS


@pytest.mark.parametrize(("utc_ms", "hour"), [(START_MS, HOUR - 1), (START_MS + 1, HOUR), (END_MS, HOUR)])
def test_a_row_on_the_hour_belongs_to_the_hour_that_it_ends(utc_ms: int, hour: int) -> None:
    assert hour_of(utc_ms) == hour


@pytest.mark.parametrize(
    ("moved_at_ms", "owner"), [(START_MS, "new"), (START_MS + 1, "new"), (END_MS - 1, "new"), (END_MS, "old")]
)
def test_the_hour_in_which_a_meter_moves_is_the_new_gateways(moved_at_ms: int, owner: str) -> None:
    tenures = [Tenure(0, moved_at_ms, "old"), Tenure(moved_at_ms, None, "new")]

    assert owner_of(tenures, HOUR) == owner_of(tenures[::-1], HOUR) == owner


def test_what_a_meter_recorded_before_it_was_given_to_anyone_is_its_first_gateways() -> None:
    tenures = [Tenure(END_MS + 5, END_MS + 10, "first"), Tenure(END_MS + 10, None, "second")]

    assert owner_of(tenures, HOUR) == "first"


def test_what_nobody_was_given_then_or_later_is_nobodys() -> None:
    assert owner_of([], HOUR) == ""
    assert owner_of([Tenure(0, START_MS, "old")], HOUR) == ""


@pytest.mark.parametrize(
    "tenures",
    [
        [Tenure(0, None, "gw")],
        [Tenure(END_MS + 5, None, "gw")],
        [Tenure(0, END_MS, "gw"), Tenure(END_MS, None, "other")],
        [Tenure(0, END_MS + 1, "gw")],
        [Tenure(0, None, "other")],
    ],
)
def test_the_hours_of_a_gateway_are_those_it_owns(tenures: list[Tenure]) -> None:
    hours = range(HOUR - 2, HOUR + 3)

    assert set(owned_hours(tenures, hours, "gw")) == {hour for hour in hours if owner_of(tenures, hour) == "gw"}
