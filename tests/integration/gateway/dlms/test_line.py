"""A line that loses, spoils, delays and mixes up: every conversation ends in the right value or in a typed error."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.dlms.carriers import TcpCarrier
from gateway.adapters.modbus import TcpLine
from gateway.core.acquisition import Captured, Identified, ReadCaptured, Reading, ReadMeter, ReadValues
from gateway.core.coverage import Span
from gateway.ports import BusError, LineDownError, MeterUnavailableError
from tests.integration.gateway.dlms.gateway_side import joined, our_driver, our_meter, visited, write_secrets
from tests.integration.gateway.dlms.site import (
    ANSWER_MS,
    Fault,
    MemoryShelf,
    SiteClock,
    hdlc_line,
    make_sim_meter,
    over_tcp,
    wrapper_line,
)
from tests.integration.gateway.dlms.test_visits import BLOCK

IMPORT = 7


def late(delay_ms: int) -> Fault:
    return lambda data: [(delay_ms, data)]


def lost(_data: bytes) -> list[tuple[int, bytes]]:
    return []


def twice(data: bytes) -> list[tuple[int, bytes]]:
    return [(0, data), (5, data)]


async def test_meters_on_one_line_answer_for_themselves(tmp_path: Path) -> None:
    clock = SiteClock()
    sims = {address: make_sim_meter(clock, address, days=0.1 * address) for address in (17, 18, 200)}
    files = write_secrets(tmp_path)
    line = hdlc_line(clock, sims)
    async with over_tcp(line) as listening:
        meters = [our_meter(f"m{address}", files, address) for address in sims]
        carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=listening.port))
        driver = our_driver(carrier, clock, MemoryShelf(), *meters)
        for _ in range(2):
            for address, sim in sims.items():
                events = await visited(driver, f"m{address}", ReadValues())
                reading = events[-1]
                assert isinstance(reading, Reading)
                assert reading.samples[IMPORT].value == sim.measuring.import_wh
                if isinstance(events[0], Identified):
                    assert events[0].serial == f"{address:08}"
        driver.reset()


async def test_a_dead_meter_costs_bounded_time_and_nothing_else(tmp_path: Path) -> None:
    clock = SiteClock()
    sims = {address: make_sim_meter(clock, address, days=0.1) for address in (17, 18)}
    files = write_secrets(tmp_path)
    line = hdlc_line(clock, sims)
    line.dead.add(17)
    async with over_tcp(line) as listening:
        meters = [our_meter(f"m{address}", files, address) for address in sims]
        carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=listening.port))
        driver = our_driver(carrier, clock, MemoryShelf(), *meters, answer_ms_max=50)
        with pytest.raises(MeterUnavailableError):
            async with asyncio.timeout(2):
                await visited(driver, "m17", ReadValues())
        assert driver.usage.transactions == 3, "one SNRM and its repetitions"
        assert driver.usage.failures == 3
        assert isinstance((await visited(driver, "m18", ReadValues()))[-1], Reading)
        assert driver.usage.failures == 3
        driver.reset()


@pytest.mark.parametrize("delay_ms", [ANSWER_MS + 40, 2 * ANSWER_MS + 40, 3 * ANSWER_MS + 60])
async def test_a_late_answer_never_becomes_the_answer_to_something_else(tmp_path: Path, delay_ms: int) -> None:
    async with joined(tmp_path, days=0.2) as side:
        await side.visit(ReadValues())
        for after in range(5):
            side.line.faults = [*[None] * after, late(delay_ms)]
            for channel in (0, IMPORT):
                await _read_or_fail(side.driver, channel, side.sim.measuring.import_wh)


async def _read_or_fail(driver: object, channel: int, energy_wh: int) -> None:
    """Read one value, which has to be of its channel if there is any."""
    try:
        (sample,) = await driver.read(ReadMeter(meter_id="m1", channels=(channel,)), 0)  # type: ignore[attr-defined]
    except BusError:
        return
    assert sample.channel == channel
    if channel == IMPORT:
        assert energy_wh <= (sample.value or 0) <= energy_wh + 10
    else:
        assert 1_400 <= (sample.value or 0) <= 2_600


async def test_an_answer_that_is_waited_for_no_more_does_not_reach_the_next_conversation(tmp_path: Path) -> None:
    for kind in ("hdlc-tcp", "wrapper-tcp", "wrapper-udp"):
        async with joined(tmp_path, kind, days=0.2) as side:
            await side.visit(ReadValues())
            side.line.faults = [None] * (2 if kind == "hdlc-tcp" else 1) + [late(60)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await side.driver.read(ReadMeter(meter_id="m1", channels=(0,)), 0)
            await _read_or_fail(side.driver, IMPORT, side.sim.measuring.import_wh)
            await _read_or_fail(side.driver, 0, side.sim.measuring.import_wh)


@pytest.mark.parametrize("kind", ["hdlc-tcp", "hdlc-pty"])
@pytest.mark.parametrize("seed", range(2))
async def test_noise_brings_the_right_rows_or_a_typed_error(tmp_path: Path, kind: str, seed: int) -> None:
    rng = Random(seed)

    def spoilt(data: bytes) -> list[tuple[int, bytes]]:
        bits = bytearray(data)
        bits[rng.randrange(len(bits))] ^= 1 << rng.randrange(8)
        return [(0, bytes(bits))]

    def cut(data: bytes) -> list[tuple[int, bytes]]:
        return [(0, data[: rng.randrange(len(data))])]

    def in_pieces(data: bytes) -> list[tuple[int, bytes]]:
        at = rng.randrange(len(data))
        return [(0, data[:at]), (10, data[at:])]

    async with joined(tmp_path, kind) as side:
        now_s = side.clock.wall_ms() // 1_000
        task = ReadCaptured(profile=BLOCK, spans=(Span(now_s - 6 * 3_600, now_s),))
        expected = [event for event in await side.visit(task) if isinstance(event, Captured)]
        outcomes = set()
        for _ in range(4):
            choices = (None, None, None, None, lost, twice, spoilt, cut, in_pieces, late(ANSWER_MS + 30))
            side.line.faults = [rng.choice(choices) for _ in range(60)]
            try:
                async with asyncio.timeout(20):
                    events = await side.visit(task)
            except BusError as error:
                outcomes.add(type(error).__name__)
                continue
            rows = [event.rows for event in events if isinstance(event, Captured)]
            assert rows == [event.rows for event in expected]
            outcomes.add("rows")
        assert "rows" in outcomes


async def test_a_line_that_hangs_up_is_opened_again_and_backed_off_from(tmp_path: Path) -> None:
    clock = SiteClock()
    sim = make_sim_meter(clock, days=0.1)
    line = hdlc_line(clock, {1: sim})
    files = write_secrets(tmp_path)
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(over_tcp(line))
        carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=listening.port))
        driver = our_driver(carrier, clock, MemoryShelf(), our_meter("m1", files))
        await visited(driver, "m1", ReadValues())
        listening.hang_up()
        await asyncio.sleep(0.02)
        await visited(driver, "m1", ReadValues())

        line.faults = [lambda _: (listening.hang_up(), [])[1]]  # type: ignore[func-returns-value, list-item]
        with pytest.raises(LineDownError) as broke:
            await visited(driver, "m1", ReadValues())
        assert broke.value.retry_in_ms == 0, "the first break is made good at once"
        line.faults = [lambda _: (listening.hang_up(), [])[1]]  # type: ignore[func-returns-value, list-item]
        with pytest.raises(LineDownError) as again:
            await visited(driver, "m1", ReadValues())
        assert again.value.retry_in_ms > 0
        with pytest.raises(LineDownError, match="the line is down"):
            await visited(driver, "m1", ReadValues())
        driver.reset()


async def test_a_port_that_is_not_there_is_the_line_and_not_the_meter(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.1) as side:
        driver = our_driver(TcpCarrier(TcpLine(host="127.0.0.1", port=1)), side.clock, MemoryShelf(), side.meter)
        with pytest.raises(LineDownError) as down:
            await visited(driver, "m1", ReadValues())
        assert down.value.retry_in_ms > 0


async def test_over_the_wrapper_every_conversation_has_a_connection_of_its_own(tmp_path: Path) -> None:
    clock = SiteClock()
    sim = make_sim_meter(clock, days=0.1)
    line = wrapper_line(clock, sim)
    files = write_secrets(tmp_path)
    async with over_tcp(line) as listening:
        carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=listening.port))
        driver = our_driver(carrier, clock, MemoryShelf(), our_meter("m1", files, None), is_hdlc=False)
        for _ in range(2):
            await visited(driver, "m1", ReadValues())
            await asyncio.sleep(0.02)
            assert not listening.streams
            assert line.asked[-1][1][0] == 0x62, "released"


async def test_a_visit_that_is_closed_early_ends_its_association(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.2) as side:
        events = side.driver.visit("m1", (ReadValues(),))
        await anext(events)
        assert side.line.associations
        await events.aclose()
        assert not side.line.associations


async def test_what_a_line_carries_is_counted(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.2) as side:
        await side.visit(ReadValues())
        usage = side.driver.usage
        assert usage.transactions == 5, "connect, associate, values, scalers, disconnect"
        assert usage.sent_bytes > 200
        assert usage.received_bytes > 200
        assert usage.failures == 0


@pytest.mark.parametrize("kind", ["hdlc-tcp", "wrapper-tcp", "wrapper-udp"])
async def test_what_is_not_answered_well_is_counted_as_a_failure(tmp_path: Path, kind: str) -> None:
    async with joined(tmp_path, kind, days=0.2) as side:
        await side.visit(ReadValues())
        usage = side.driver.usage
        assert usage.failures == 0
        side.line.faults = [None, lost]
        if kind == "hdlc-tcp":
            await side.visit(ReadValues())
        else:
            with pytest.raises(MeterUnavailableError):
                await side.visit(ReadValues())
        assert usage.failures == 1


async def test_an_answer_that_comes_damaged_and_is_asked_for_again_is_a_failure(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.2) as side:
        await side.visit(ReadValues())
        before = side.driver.usage.transactions
        # In two pieces, as a slow line brings it.
        side.line.faults = [None, None, lambda data: [(0, data[:12]), (5, data[12:-3] + b"\0\0" + data[-1:])]]
        await side.visit(ReadValues())
        assert side.driver.usage.failures == 1
        side.line.faults = []
        again = side.driver.usage.transactions
        await side.visit(ReadValues())
        assert again - before == side.driver.usage.transactions - again + 1


async def test_a_visit_that_is_given_up_while_an_answer_is_due_counts_as_a_failure(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.2) as side:
        await side.visit(ReadValues())
        side.line.faults = [None, None, late(ANSWER_MS // 2)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(ANSWER_MS / 4_000):
                await side.visit(ReadValues())
        assert side.driver.usage.failures == 1
