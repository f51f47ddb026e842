"""Load switch and limiter."""

from collections.abc import Callable

import pytest

from device_sim.core.is15959.clock import DAY_MS, MINUTE_MS
from device_sim.core.is15959.relay import AUTO_RECONNECTS_MAX, Limiter, Relay, Verdict
from dlms.axdr.data import double_long_unsigned
from dlms.axdr.datetimes import CosemDateTime
from dlms.cosem.control import ControlMode, ControlState, DisconnectControl, EmergencyProfile
from dlms.cosem.control import Limiter as LimiterObject
from tests.unit.device_sim.core.is15959.bench import (
    CONTROL_LOG,
    HOUR_MS,
    NOON_MS,
    OTHER_LOG,
    TRANSACTION_LOG,
    Bench,
    local,
)

RELAY = DisconnectControl("0.0.96.3.10.255")
LIMITER = LimiterObject("0.0.17.0.0.255")
OFF, ON, READY = ControlState.DISCONNECTED, ControlState.CONNECTED, ControlState.READY_FOR_RECONNECTION


def test_open_switch_stops_the_energy_and_closed_lets_it_flow(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    bench.invoke(RELAY.remote_disconnect, 0)
    assert (bench.read(RELAY.output_state), bench.read(RELAY.control_state)) == (False, OFF)
    before = bench.number("1.0.1.8.0.255", 3)
    bench.wait(3 * HOUR_MS)
    assert bench.number("1.0.1.8.0.255", 3) == before
    assert bench.number("1.0.1.7.0.255", 3) == 0
    bench.invoke(RELAY.remote_reconnect, 0)
    bench.wait(3 * HOUR_MS)
    assert bench.number("1.0.1.8.0.255", 3) > before
    assert bench.codes(CONTROL_LOG) == [301, 302]


def test_switching_to_where_it_is_changes_and_logs_nothing(bench: Bench) -> None:
    bench.invoke(RELAY.remote_reconnect, 0)
    bench.invoke(RELAY.remote_disconnect, 0)
    bench.invoke(RELAY.remote_disconnect, 0)
    assert bench.codes(CONTROL_LOG) == [301]


@pytest.mark.parametrize(
    ("mode", "after_remote", "after_button"),
    [(1, READY, ON), (2, ON, READY), (3, READY, ON), (4, ON, ON), (5, READY, ON), (6, READY, ON), (7, ON, ON)],
)
def test_modes_differ_in_how_one_reconnects(mode: int, after_remote: ControlState, after_button: ControlState) -> None:
    relay = Relay(mode=ControlMode(mode))
    assert relay.remote_disconnect()
    assert not relay.press_button()
    assert relay.remote_reconnect()
    assert relay.state is after_remote
    relay.press_button()
    assert relay.state is after_button
    assert relay.is_closed == (after_button is ON)


def test_mode_without_control_stays_connected(bench: Bench) -> None:
    bench.write(RELAY.control_mode, ControlMode.NONE)
    assert bench.refused(lambda: bench.invoke(RELAY.remote_disconnect, 0)) == 3
    assert bench.read(RELAY.output_state)


def test_button_closes_a_switch_made_ready(bench: Bench) -> None:
    bench.write(RELAY.control_mode, ControlMode.MODE_3)
    bench.invoke(RELAY.remote_disconnect, 0)
    bench.invoke(RELAY.remote_reconnect, 0)
    assert bench.read(RELAY.control_state) is READY
    assert not bench.read(RELAY.output_state)
    bench.meter.press_button(now_ms=bench.now_ms + 5000)
    assert bench.read(RELAY.output_state)


def test_welded_switch_tells_the_truth_and_is_reported(bench: Bench) -> None:
    bench.meter.weld_relay(is_welded=True, now_ms=NOON_MS)
    bench.invoke(RELAY.remote_disconnect, 0)
    bench.wait(HOUR_MS)
    assert (bench.read(RELAY.output_state), bench.read(RELAY.control_state)) == (True, OFF)
    assert bench.number("1.0.1.8.0.255", 3) > 0
    assert bench.meter.events.stands(79)
    assert bench.number("0.0.96.10.1.255") == 1
    bench.meter.weld_relay(is_welded=False, now_ms=bench.now_ms)
    assert not bench.read(RELAY.output_state)


def test_overload_cuts_and_tries_again(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(annual_kwh=6000, load_limit_w=50)
    bench.wait(2 * MINUTE_MS)
    assert (bench.read(RELAY.output_state), bench.read(RELAY.control_state)) == (False, READY)
    assert bench.meter.events.stands(111)
    bench.wait(2 * MINUTE_MS)
    assert bench.codes(OTHER_LOG)[:2] == [215, 216]
    bench.wait(DAY_MS)
    assert bench.codes(OTHER_LOG).count(216) == AUTO_RECONNECTS_MAX
    assert not bench.read(RELAY.output_state)
    bench.write(LIMITER.threshold_normal, double_long_unsigned(0))
    bench.invoke(RELAY.remote_reconnect, 0)
    bench.wait(HOUR_MS)
    assert bench.read(RELAY.output_state)


def test_limit_is_written_by_either_threshold_and_logged(bench: Bench) -> None:
    bench.write(LIMITER.threshold_active, double_long_unsigned(3000))
    assert bench.read(LIMITER.threshold_normal) == 3000
    bench.write(LIMITER.threshold_normal, double_long_unsigned(0))
    assert bench.read(LIMITER.threshold_active) == 0
    assert bench.codes(TRANSACTION_LOG) == [158, 159, 158, 160]


def test_makes_differ_in_which_threshold_they_let_be_written(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(limit_attributes=frozenset({4}))
    assert bench.refused(lambda: bench.write(LIMITER.threshold_active, double_long_unsigned(3000))) == 3


def test_emergency_limit_holds_for_its_time(bench: Bench) -> None:
    bench.write(LIMITER.threshold_normal, double_long_unsigned(5000))
    bench.write(LIMITER.threshold_emergency, double_long_unsigned(300))
    profile = EmergencyProfile(7, local(NOON_MS + HOUR_MS), 1800)
    bench.write(LIMITER.emergency_profile, profile)
    assert bench.read(LIMITER.emergency_profile) == profile
    seen = []
    for _ in range(3):
        seen.append((bench.read(LIMITER.threshold_active), bench.read(LIMITER.emergency_profile_active)))
        bench.wait(HOUR_MS)
    assert seen == [(5000, False), (300, True), (5000, False)]


def test_emergency_without_a_time_never_holds(bench: Bench) -> None:
    never = EmergencyProfile(7, CosemDateTime(bytes.fromhex("ffffffffffffffffff8000ff")), 1800)
    bench.write(LIMITER.emergency_profile, never)
    assert bench.read(LIMITER.emergency_profile_active) is False


def test_limiter_forgives_short_peaks() -> None:
    limiter = Limiter(normal_w=1000)
    assert limiter.watch(2000, local_ms=0, now_ms=0) is Verdict.NOTHING
    assert limiter.next_deadline_ms() == 60_000
    assert limiter.watch(500, local_ms=0, now_ms=59_000) is Verdict.NOTHING
    assert limiter.watch(2000, local_ms=0, now_ms=60_000) is Verdict.NOTHING
    assert limiter.watch(2000, local_ms=0, now_ms=120_000) is Verdict.DISCONNECT
