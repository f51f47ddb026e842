"""32 meters on one line of 9600 baud, one dead and one slow: a day on virtual time, then an hour's round really."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from random import Random

import looptime
import pytest

from device_sim.core.is15959.meter import Is15959Meter
from gateway.adapters.dlms.carriers import SerialCarrier
from gateway.adapters.dlms.driver import LineSettings
from gateway.adapters.modbus import SerialLine
from tests.integration.rs485.medium import Rs485Line
from tests.integration.rs485.pty import serial_port
from tests.integration.rs485.world import BEGUN_MS, FIRST_ADDRESS, HOUR_MS, Gateway, LoopClock, make_meters

METERS = 32
DEAD, SLOW = "m-9", "m-23"
HOURS = 24
BAUD = 9_600
INDIA_MS = 330 * 60_000
BLOCK = bytes([1, 0, 99, 1, 0, 255])
SETTINGS = LineSettings(is_hdlc=True, answer_ms_max=1_000, baud=BAUD)
REAL_S = 150
"""Enough for a round of all meters."""


def address_of(name: str) -> int:
    return FIRST_ADDRESS + int(name.removeprefix("m-")) - 1


def line_of(meters: Mapping[str, Is15959Meter], clock: LoopClock) -> Rs485Line:
    rng = Random(2)
    line = Rs485Line(
        {address_of(name): meter for name, meter in meters.items()},
        baud=BAUD,
        challenge=lambda: rng.randbytes(16),
        wall_ms=clock.wall_ms,
    )
    line.habit(address_of(DEAD)).is_dead = True
    line.habit(address_of(SLOW)).turn_round_ms = 800
    return line


def check_all_were_read(gateway: Gateway, meters: Mapping[str, Is15959Meter], *, hours: int) -> None:
    """Every block row of every meter but the dead one is on the gateway's disk, once."""
    reported = gateway.reported()
    assert DEAD not in reported
    until_s = BEGUN_MS // 1_000 + hours * 3_600
    for name, meter in meters.items():
        if name == DEAD:
            continue
        ring = meter.block_ring
        captured_s = {(ring.time(index) - INDIA_MS) // 1_000 for index in range(len(ring))}
        due = {instant_s for instant_s in captured_s if BEGUN_MS // 1_000 <= instant_s <= until_s}
        assert len(due) >= hours * 4 - 1
        times = {instant_s: count for (profile, instant_s), count in reported[name].items() if profile == BLOCK}
        assert due - times.keys() == set(), f"{name} has rows that nobody read"
        assert set(times.values()) == {1}, f"{name} has rows that were read twice"


@pytest.mark.req("A-1", "A-4")
@pytest.mark.timeout(300)
def test_a_dead_and_a_slow_meter_keep_nobody_from_being_read_hour_by_hour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meters = make_meters(METERS, history_h=2)
    clock = LoopClock()
    gateway = Gateway(tmp_path, meters, line_of(meters, clock), clock=clock, settings=SETTINGS)
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0)) as runner:
        runner.run(gateway.run(HOURS + 0.75))

    found = gateway.found
    assert found.refused == []
    assert found.lost == {DEAD}
    check_all_were_read(gateway, meters, hours=HOURS)
    assert found.visits[SLOW] >= HOURS
    assert found.share(DEAD) < 0.05
    with capsys.disabled():
        seconds = sorted(spent_s / found.visits[name] for name, spent_s in found.visit_s.items() if name != DEAD)
        print(f"\na visit at {BAUD} baud: {seconds[0]:.1f} to {seconds[-1]:.1f} s; dead meter {found.share(DEAD):.1%}")
    gateway.box.store.close()

    # The same meters and the same disk, an hour later, and this time it takes as long as it takes.
    first_tick_ms = (HOURS + 1) * HOUR_MS + 61_000
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_real_round(tmp_path, meters, first_tick_ms))


async def _real_round(folder: Path, meters: Mapping[str, Is15959Meter], first_tick_ms: int) -> None:
    clock = LoopClock(first_tick_ms=first_tick_ms)
    async with serial_port(line_of(meters, clock)) as path:
        carrier = SerialCarrier(SerialLine(device=path, baud=BAUD))
        gateway = Gateway(folder, meters, carrier, clock=clock, settings=SETTINGS)
        running = asyncio.create_task(gateway.run(REAL_S / 3_600))
        while len(gateway.found.visits) < METERS:
            finished, _ = await asyncio.wait((running,), timeout=0.2)
            assert not finished, f"in {REAL_S} s only {sorted(gateway.found.visits)} were visited"
        running.cancel()
        await asyncio.wait((running,))
    check_all_were_read(gateway, meters, hours=HOURS + 1)
    gateway.box.store.close()
