"""The meter's clock: drift, setting, and times as meters write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.core.is15959.clock import DAY_MS, MeterClock
from dlms.axdr.datetimes import CosemDateTime
from dlms.errors import DecodeError
from tests.unit.device_sim.core.is15959.bench import INDIA_MS, NOON_MS


def clock(**changes: int) -> MeterClock:
    settings = {"utc_offset_min": 330, "offset_ms": 0, "drift_ppm": 0} | changes
    return MeterClock(now_ms=NOON_MS, states_deviation=True, **settings)


def test_fast_clock_gains_what_its_drift_says() -> None:
    assert clock(drift_ppm=50).local_ms(NOON_MS + DAY_MS) == NOON_MS + INDIA_MS + DAY_MS + 4320


def test_set_clock_goes_on_from_there_with_its_drift() -> None:
    drifting = clock(drift_ppm=-100, offset_ms=9_000)
    drifting.set(NOON_MS + INDIA_MS, now_ms=NOON_MS)
    assert drifting.local_ms(NOON_MS + 10_000_000) == NOON_MS + INDIA_MS + 10_000_000 - 1000


@given(
    drift_ppm=st.integers(-20_000, 20_000),
    offset_ms=st.integers(-(10**9), 10**9),
    ahead_ms=st.integers(-(10**10), 10**10),
)
def test_site_time_is_the_first_that_shows_a_local_time(drift_ppm: int, offset_ms: int, ahead_ms: int) -> None:
    drifting = clock(drift_ppm=drift_ppm, offset_ms=offset_ms)
    wanted_ms = NOON_MS + INDIA_MS + ahead_ms
    site_ms = drifting.site_ms(wanted_ms)
    assert drifting.local_ms(site_ms) >= wanted_ms > drifting.local_ms(site_ms - 1)


def test_moment_carries_deviation_and_status() -> None:
    shown = clock()
    shown.status = 2
    moment = shown.moment(shown.local_ms(NOON_MS))
    assert (moment.deviation_minutes, moment.status, moment.to_utc_ms()) == (-330, 2, NOON_MS)


def test_time_of_a_client_elsewhere_is_converted() -> None:
    assert clock().local_of(CosemDateTime.from_utc_ms(NOON_MS, 0)) == NOON_MS + INDIA_MS


def test_meter_without_deviation_takes_every_time_for_local() -> None:
    plain = MeterClock(now_ms=NOON_MS, utc_offset_min=330, offset_ms=0, drift_ppm=0, states_deviation=False)
    assert plain.moment(NOON_MS).deviation_minutes is None
    assert plain.local_of(CosemDateTime.from_utc_ms(NOON_MS, 0)) == NOON_MS


def test_open_bound_is_none_and_nonsense_is_refused() -> None:
    assert clock().bound(bytes.fromhex("ffffffffffffffffff8000ff")) is None
    with pytest.raises(DecodeError):
        clock().bound(b"short")
