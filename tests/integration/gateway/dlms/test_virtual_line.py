"""On a line of 9600 baud the protocol costs little beside its bytes, and a dead meter little beside the others."""

import asyncio
from pathlib import Path

import looptime
import pytest

from dlms.link.parameters import LinkParameters
from gateway.core.acquisition import Captured, ReadCaptured, ReadLog, ReadValues, Task
from gateway.core.coverage import Span
from gateway.ports import MeterUnavailableError
from tests.integration.gateway.dlms.gateway_side import our_driver, our_meter, the_profile, visited, write_secrets
from tests.integration.gateway.dlms.site import MemoryShelf, SiteClock, hdlc_line, make_sim_meter
from tests.integration.gateway.dlms.test_visits import BLOCK
from tests.integration.gateway.dlms.virtual import VirtualCarrier

BAUD, TURN_S = 9_600, 0.02
SMALL = LinkParameters()
LARGE = LinkParameters(transmit_bytes_max=1_024, receive_bytes_max=1_024)


def tasks_of(clock: SiteClock, hours: int) -> tuple[Task, ...]:
    now_s = clock.wall_ms() // 1_000
    logs = [ReadLog(log=item.log, known_sequence=0, known_s=0) for item in the_profile().logs]
    block = ReadCaptured(profile=BLOCK, spans=(Span(now_s - hours * 3_600, now_s),))
    return (ReadValues(), *logs, block)


@pytest.mark.parametrize(("limits", "ratio_max"), [(SMALL, 1.16), (LARGE, 1.14)], ids=["128", "1024"])
def test_a_visit_takes_little_longer_than_its_bytes(tmp_path: Path, limits: LinkParameters, ratio_max: float) -> None:
    async def run() -> None:
        clock = SiteClock()
        line = hdlc_line(clock, {17: make_sim_meter(clock, days=1.2)}, limits)
        carrier = VirtualCarrier(line, baud=BAUD, turn_s=TURN_S)
        meter = our_meter("m17", write_secrets(tmp_path), 17)
        driver = our_driver(carrier, clock, MemoryShelf(), meter, baud=BAUD, answer_ms_max=1_000)
        await visited(driver, "m17", *tasks_of(clock, 1))
        for hours, rows in ((1, 4), (24, 96)):
            began_s, busy_s = asyncio.get_running_loop().time(), carrier.busy_s
            events = await visited(driver, "m17", *tasks_of(clock, hours))
            spent_s = asyncio.get_running_loop().time() - began_s
            assert [len(event.rows) for event in events if isinstance(event, Captured)] == [rows]
            assert spent_s <= ratio_max * (carrier.busy_s - busy_s)

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=1_000)) as runner:
        runner.run(run())


def test_a_dead_meter_costs_its_time_outs_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SiteClock()
        line = hdlc_line(clock, {address: make_sim_meter(clock, address, days=0.2) for address in (17, 18)})
        line.dead.add(18)
        files = write_secrets(tmp_path)
        meters = [our_meter(f"m{address}", files, address) for address in (17, 18)]
        carrier = VirtualCarrier(line, baud=BAUD, turn_s=TURN_S)
        driver = our_driver(carrier, clock, MemoryShelf(), *meters, baud=BAUD, answer_ms_max=1_000)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(MeterUnavailableError):
            await visited(driver, "m18", ReadValues())
        assert 3.0 <= loop.time() - began_s <= 3.3
        began_s = loop.time()
        await visited(driver, "m17", ReadValues())
        assert loop.time() - began_s < 2.0

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=1_000)) as runner:
        runner.run(run())


def test_a_visit_that_is_broken_off_leaves_a_line_that_settles(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SiteClock()
        line = hdlc_line(clock, {17: make_sim_meter(clock, days=1.2)})
        carrier = VirtualCarrier(line, baud=BAUD, turn_s=TURN_S)
        meter = our_meter("m17", write_secrets(tmp_path), 17)
        driver = our_driver(carrier, clock, MemoryShelf(), meter, baud=BAUD, answer_ms_max=1_000)
        expected = [
            event for event in await visited(driver, "m17", *tasks_of(clock, 24)) if isinstance(event, Captured)
        ]
        for patience_s in (0.05, 0.3, 0.8, 2.0, 4.0):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await visited(driver, "m17", *tasks_of(clock, 24))
            events = await visited(driver, "m17", *tasks_of(clock, 24))
            (block,) = (event for event in events if isinstance(event, Captured))
            assert len(block.rows) in {95, 96, 97}
            assert set(expected[0].rows) & set(block.rows)

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=1_000)) as runner:
        runner.run(run())
