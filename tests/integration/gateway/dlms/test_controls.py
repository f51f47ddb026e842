"""What a meter is told counts only once the meter shows it."""

import asyncio
from pathlib import Path

import pytest

from dlms.cosem.control import ControlMode, ControlState
from gateway.adapters.dlms.controls import Periods, RelaySight
from gateway.ports import DisagreedError, MeterRefusedError
from tests.integration.gateway.dlms.gateway_side import KINDS, joined
from tests.integration.gateway.dlms.site import UTC_LESS_TICK_MS


@pytest.mark.parametrize("kind", KINDS)
async def test_the_relay_is_switched_and_read_back(tmp_path: Path, kind: str) -> None:
    async with joined(tmp_path, kind) as side:
        assert await side.driver.relay_state("m1")
        assert await side.driver.switch("m1", closed=False) is False
        assert not side.sim.relay.is_closed
        assert await side.driver.relay_state("m1") is False
        assert await side.driver.switch("m1", closed=True) is True
        assert side.sim.relay.is_closed


async def test_a_relay_that_is_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        before = dict(side.sim.events.sequences)
        assert await side.driver.switch("m1", closed=True) is True
        assert side.sim.events.sequences == before


async def test_a_welded_relay_is_no_success(tmp_path: Path) -> None:
    async with joined(tmp_path, ours={"relay_settle_ms": 0}) as side:
        side.sim.weld_relay(is_welded=True, now_ms=side.clock.wall_ms())
        with pytest.raises(DisagreedError, match="contacts are closed"):
            await side.driver.switch("m1", closed=False)


async def test_a_relay_that_moves_late_is_waited_for(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.weld_relay(is_welded=True, now_ms=side.clock.wall_ms())
        switching = asyncio.create_task(side.driver.switch("m1", closed=False))
        while side.sim.relay.state is not ControlState.DISCONNECTED:  # noqa: ASYNC110 - a meter tells nobody
            await asyncio.sleep(0.01)
        assert not switching.done()
        side.sim.weld_relay(is_welded=False, now_ms=side.clock.wall_ms())
        assert await switching is False


async def test_a_relay_that_waits_for_its_button_is_told_to_be_open(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.relay.mode = ControlMode.MODE_3
        await side.driver.switch("m1", closed=False)
        sight = await side.driver.switch_relay("m1", closed=True)
        assert sight == RelaySight(is_closed=False, state=ControlState.READY_FOR_RECONNECTION)
        side.sim.press_button(now_ms=side.clock.wall_ms())
        assert await side.driver.relay_state("m1") is True


async def test_a_mode_that_forbids_switching_is_a_refusal(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.relay.mode = ControlMode.NONE
        with pytest.raises(MeterRefusedError) as refused:
            await side.driver.switch("m1", closed=False)
        assert refused.value.code == 3


@pytest.mark.parametrize("writable", [frozenset({3, 4}), frozenset({4}), frozenset({3})])
async def test_a_limit_goes_into_the_threshold_that_the_make_lets_be_written(
    tmp_path: Path, writable: frozenset[int]
) -> None:
    async with joined(tmp_path, limit_attributes=writable) as side:
        assert await side.driver.limit("m1", 2_500) == 2_500
        assert side.sim.limiter.normal_w == 2_500
        assert await side.driver.limit("m1") == 2_500


async def test_a_limit_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    async with joined(tmp_path, limit_attributes=frozenset()) as side:
        with pytest.raises(MeterRefusedError):
            await side.driver.limit("m1", 2_500)


async def test_periods_and_payment_mode_are_written_and_read_back(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        wanted = Periods(capture_period_s=1_800, demand_period_s=900, is_prepaid=True)
        assert await side.driver.configure("m1", wanted) == wanted
        assert side.sim.due.capture_period_s == 1_800
        assert await side.driver.configure("m1", Periods()) == wanted
        with pytest.raises(MeterRefusedError):
            await side.driver.configure("m1", Periods(capture_period_s=7))


async def test_a_clock_is_set_on_demand(tmp_path: Path) -> None:
    async with joined(tmp_path, clock_offset_ms=-90_000) as side:
        (sight,) = await side.driver.compare_clock("m1", utc_less_tick_ms=UTC_LESS_TICK_MS)
        assert round(sight.offset_ms, -3) == -90_000
        _, after = await side.driver.compare_clock("m1", utc_less_tick_ms=UTC_LESS_TICK_MS, sets=True)
        assert abs(after.offset_ms) < 1_000


async def test_whoever_has_no_control_role_is_told_what_to_configure(tmp_path: Path) -> None:
    async with joined(tmp_path, entry={"control": None}) as side:
        with pytest.raises(MeterRefusedError, match=r"give dlms\.control"):
            await side.driver.switch("m1", closed=True)
