import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from gateway.adapters.modbus import SILENT_MAX, Line, ModbusDriver, ModbusMeter, ModbusRelay, SerialLine, TcpLine
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import ReadMeter, Sample
from gateway.core.profiles import ChannelMap, MeterProfile, RelayProfile
from gateway.ports import BusError, GarbledError, LineDownError, MeterRefusedError, MeterUnavailableError
from tests.integration.gateway.modbus_line import Bus, Device, crc, serial_bus, tcp_bus
from tests.rig.sessions import until
from wire.runtime.clock import SystemClock

PROFILES = load_profiles()
METERS = sorted(name for name, profile in PROFILES.items() if isinstance(profile, MeterProfile))
TIMEOUT_MS = 200
LATE_MS = 120
VOLTAGE = ReadMeter(meter_id="m1", channels=(0,))
ENERGY = ReadMeter(meter_id="m1", channels=(7,))


def meter_profile(name: str) -> MeterProfile:
    profile = PROFILES[name]
    assert isinstance(profile, MeterProfile)
    return profile


def relay_profile() -> RelayProfile:
    profile = PROFILES["relay-coils-8"]
    assert isinstance(profile, RelayProfile)
    return profile


def put(device: Device, profile: MeterProfile, item: ChannelMap, value: int) -> None:
    """Set a channel's registers so that the meter shows this value, in the channel's scaler."""
    shift = item.scaler - item.scale
    if item.type == "f32":
        raw = struct.pack(">f", value * 10.0**shift)
    else:
        number, rest = divmod(value * 10 ** max(shift, 0), 10 ** max(-shift, 0))
        assert rest == 0
        size = {"16": 2, "32": 4, "64": 8}[item.type[1:]]
        raw = number.to_bytes(size, signed=item.type[0] == "i")
    words = [int.from_bytes(raw[index : index + 2]) for index in range(0, len(raw), 2)]
    if (item.order or profile.order) == "CDAB":
        words.reverse()
    for index, word in enumerate(words):
        device.registers[item.address + index] = word


def household(profile: MeterProfile, rng: Random) -> tuple[Device, tuple[int, ...]]:
    """Make a meter that shows plausible values, and those values."""
    device = Device()
    values = []
    for item in profile.channels:
        # What a float32 holds exactly enough has up to seven digits.
        high = min(item.high, 9_999_999) if item.type == "f32" else item.high
        step = 10 ** max(item.scale - item.scaler, 0) if item.type != "f32" else 1
        values.append(rng.randrange(max(item.low, -high), high + 1, step))
        put(device, profile, item, values[-1])
    return device, tuple(values)


@asynccontextmanager
async def driver_on(line: Line, **meters: ModbusMeter) -> AsyncIterator[ModbusDriver]:
    relays = {
        "r3": ModbusRelay(unit=9, profile=relay_profile(), output=3),
        "inverse": ModbusRelay(
            unit=9,
            profile=RelayProfile(
                make="T",
                models=("T",),
                source="test",
                serial=relay_profile().serial,
                coil_first=16,
                outputs=2,
                coil_when_closed=False,
            ),
            output=1,
        ),
    }
    driver = ModbusDriver(
        line, meters=meters, relays=relays, clock=SystemClock(), timeout_ms=TIMEOUT_MS, late_ms=LATE_MS
    )
    try:
        yield driver
    finally:
        driver.reset()
        await asyncio.sleep(0)


@asynccontextmanager
async def sdm_bus(framing: str = "rtu") -> AsyncIterator[tuple[Bus, ModbusDriver]]:
    """Open a line with two SDM120 as units 1 and 2, at 230.0 and 231.0 V, and a relay board as unit 9."""
    profile = meter_profile("eastron-sdm120")
    one, two = Device(), Device()
    for device, voltage in ((one, 2300), (two, 2310)):
        put(device, profile, profile.channels[0], voltage)
        put(device, profile, profile.channels[7], voltage * 1000)
    bus = Bus({1: one, 2: two, 9: Device()}, rtu=framing == "rtu")
    meters = {f"m{unit}": ModbusMeter(unit=unit, profile=profile) for unit in (1, 2)}
    async with (
        tcp_bus(bus) as port,
        driver_on(TcpLine(host="127.0.0.1", port=port, framing="rtu" if bus.rtu else "tcp"), **meters) as driver,
    ):
        yield bus, driver


async def read_all(driver: ModbusDriver, read: ReadMeter) -> list[Sample]:
    samples = [sample for part in range(len(driver.parts(read))) for sample in await driver.read(read, part)]
    return sorted(samples)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
@pytest.mark.parametrize("name", METERS)
async def test_every_map_is_read_back_exactly(name: str, framing: str) -> None:
    profile = meter_profile(name)
    device, values = household(profile, Random(name))
    bus = Bus({17: device}, rtu=framing == "rtu")
    async with (
        tcp_bus(bus) as port,
        driver_on(
            TcpLine(host="127.0.0.1", port=port, framing="rtu" if bus.rtu else "tcp"),
            m=ModbusMeter(unit=17, profile=profile),
        ) as driver,
    ):
        samples = await read_all(driver, ReadMeter(meter_id="m"))
    assert samples == [Sample(index, value) for index, value in enumerate(values)]


async def test_meter_and_relay_on_a_serial_line() -> None:
    profile = meter_profile("eastron-sdm630")
    device, values = household(profile, Random(5))
    bus = Bus({1: device, 9: Device()}, rtu=True)
    async with (
        serial_bus(bus) as path,
        driver_on(SerialLine(device=path, baud=9600), m=ModbusMeter(unit=1, profile=profile)) as driver,
    ):
        assert await read_all(driver, ReadMeter(meter_id="m")) == [
            Sample(index, value) for index, value in enumerate(values)
        ]
        assert await driver.switch("r3", closed=True)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_relay_is_switched_and_read_back(framing: str) -> None:
    async with sdm_bus(framing) as (bus, driver):
        assert await driver.switch("r3", closed=True) is True
        assert bus.devices[9].coils == {3: True}
        assert await driver.relay_state("r3") is True
        assert await driver.switch("r3", closed=False) is False
        assert bus.requests[-2:] == [(9, bytes.fromhex("0500030000")), (9, bytes.fromhex("0100030001"))]


async def test_a_relay_that_opens_when_energised() -> None:
    async with sdm_bus() as (bus, driver):
        assert await driver.relay_state("inverse") is True
        assert await driver.switch("inverse", closed=False) is False
        assert bus.devices[9].coils == {17: True}


async def test_a_stuck_relay_is_told_by_its_read_back() -> None:
    async with sdm_bus() as (bus, driver):
        bus.devices[9].stuck = True
        assert await driver.switch("r3", closed=True) is False


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_dead_meter_is_asked_once(framing: str) -> None:
    async with sdm_bus(framing) as (bus, driver):
        bus.devices[1].dead = True
        with pytest.raises(MeterUnavailableError):
            await driver.read(VOLTAGE, 0)
        assert len(bus.requests) == 1
        assert await driver.read(ReadMeter(meter_id="m2", channels=(0,)), 0) == (Sample(0, 2310),)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_refusal_carries_its_code(framing: str) -> None:
    async with sdm_bus(framing) as (bus, driver):
        bus.devices[1].refused = {0x48}
        with pytest.raises(MeterRefusedError) as caught:
            await driver.read(ENERGY, 0)
        assert caught.value.code == 2
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)


async def test_a_gateway_that_cannot_reach_the_meter_means_unavailable() -> None:
    async with sdm_bus("tcp") as (bus, driver):
        bus.faults = [lambda good: [(0, good[:5] + bytes((3, good[6], 0x84, 0x0B)))]]
        with pytest.raises(MeterUnavailableError, match="cannot reach"):
            await driver.read(VOLTAGE, 0)


def flip(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, good[:-3] + bytes((good[-3] ^ 1,)) + good[-2:])]


def truncate(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, good[:-1])]


def other_unit(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, crc(bytes((2,)) + good[1:-2]))]


def other_function(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, crc(good[:1] + b"\x03" + good[2:-2]))]


def other_length(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, crc(good[:2] + b"\x02" + good[3:5]))]


def undecodable(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, crc(good[:1] + b"\x2b\x0e\x01\x02\x03\x04"))]


def noise(good: bytes) -> list[tuple[int, bytes]]:
    return [(0, Random(len(good)).randbytes(200))]


@pytest.mark.parametrize("fault", [flip, truncate, other_unit, other_function, other_length, undecodable, noise])
async def test_what_is_no_answer_on_a_serial_line_is_garbled_and_the_next_read_is_right(fault: object) -> None:
    async with sdm_bus() as (bus, driver):
        bus.faults = [fault]  # type: ignore[list-item]
        with pytest.raises(GarbledError):
            await driver.read(VOLTAGE, 0)
        assert await driver.read(ENERGY, 0) == (Sample(7, 2_300_000),)
        assert len(bus.connections) == 1


@pytest.mark.parametrize(
    ("start", "stop", "instead"),
    [
        (0, 2, b"\x00\x00"),
        (0, 2, b"\xff\xfe"),
        (2, 4, b"\x00\x01"),
        (4, 6, b"\x00\x05"),
        (6, 7, b"\x02"),
        (7, 8, b"\x03"),
        (8, 9, b"\x02"),
    ],
    ids=["no transaction", "other transaction", "protocol", "length", "unit", "function", "count"],
)
async def test_what_is_no_answer_on_tcp_is_garbled_and_the_next_read_is_right(
    start: int, stop: int, instead: bytes
) -> None:
    async with sdm_bus("tcp") as (bus, driver):
        bus.faults = [lambda good: [(0, good[:start] + instead + good[stop:])]]
        with pytest.raises(GarbledError):
            await driver.read(VOLTAGE, 0)
        assert await driver.read(ENERGY, 0) == (Sample(7, 2_300_000),)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_an_answer_may_come_byte_by_byte(framing: str) -> None:
    async with sdm_bus(framing) as (bus, driver):
        bus.faults = [lambda good: [(1, bytes((byte,))) for byte in good]]
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)


async def test_bytes_before_and_behind_the_answer_do_no_harm() -> None:
    async with sdm_bus() as (bus, driver):
        stranger = crc(bytes((2, 4, 4)) + b"\x01\x04\x04\x00")
        bus.faults = [lambda good: [(0, b"\x00\xff" + stranger + good + b"\x00")]]
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_late_answer_is_not_taken_for_the_next_one_of_its_meter(framing: str) -> None:
    """Voltage and energy have answers of the same form: only waiting tells them apart where frames have no number."""
    async with sdm_bus(framing) as (bus, driver):
        bus.faults = [lambda good: [(TIMEOUT_MS + LATE_MS // 2, good)]]
        with pytest.raises(BusError):
            await driver.read(VOLTAGE, 0)
        assert await driver.read(ENERGY, 0) == (Sample(7, 2_300_000),)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_late_answer_is_not_taken_for_that_of_another_meter(framing: str) -> None:
    async with sdm_bus(framing) as (bus, driver):
        bus.faults = [lambda good: [(TIMEOUT_MS + 10, good)], lambda good: [(30, good)]]
        with pytest.raises(BusError):
            await driver.read(VOLTAGE, 0)
        assert await driver.read(ReadMeter(meter_id="m2", channels=(0,)), 0) == (Sample(0, 2310),)


async def test_a_closed_connection_is_noticed_at_once_and_opened_again() -> None:
    async with sdm_bus() as (bus, driver):
        await driver.read(VOLTAGE, 0)
        bus.connections[0].close()
        await bus.connections[0].wait_closed()
        await asyncio.sleep(0.02)
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)
        assert len(bus.connections) == 2

        def hang_up(_good: bytes) -> list[tuple[int, bytes]]:
            bus.connections[1].close()
            return []

        bus.faults = [hang_up]
        with pytest.raises(LineDownError, match="broke"):
            await driver.read(VOLTAGE, 0)
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)


async def test_who_hangs_up_on_every_request_is_not_asked_without_end() -> None:
    async with sdm_bus() as (bus, driver):

        def hang_up(_good: bytes) -> list[tuple[int, bytes]]:
            bus.connections[-1].close()
            return []

        bus.faults = [hang_up, hang_up]
        waits = []
        for _ in range(3):
            with pytest.raises(LineDownError) as caught:
                await driver.read(VOLTAGE, 0)
            waits.append(caught.value.retry_in_ms)
        assert waits[0] == 0
        assert min(waits[1:]) > 0
        assert len(bus.requests) == 2


async def test_a_line_that_cannot_be_opened_says_when_it_will_be_tried_again() -> None:
    async with tcp_bus(Bus({}, rtu=True)) as port:
        pass
    profile = meter_profile("eastron-sdm120")
    async with driver_on(TcpLine(host="127.0.0.1", port=port), m1=ModbusMeter(unit=1, profile=profile)) as driver:
        with pytest.raises(LineDownError, match="cannot be opened") as first:
            await driver.read(VOLTAGE, 0)
        with pytest.raises(LineDownError, match="is down") as second:
            await driver.read(VOLTAGE, 0)
        assert 0 < second.value.retry_in_ms <= first.value.retry_in_ms


async def test_a_serial_port_that_is_not_there_is_a_line_that_is_down() -> None:
    profile = meter_profile("eastron-sdm120")
    line = SerialLine(device="/dev/no-such-port")
    async with driver_on(line, m1=ModbusMeter(unit=1, profile=profile)) as driver:
        with pytest.raises(LineDownError):
            await driver.read(VOLTAGE, 0)


async def test_a_connection_on_which_nobody_ever_answers_is_opened_anew() -> None:
    async with sdm_bus("tcp") as (bus, driver):
        bus.devices[1].dead = True
        for _ in range(SILENT_MAX):
            with pytest.raises(MeterUnavailableError):
                await driver.read(VOLTAGE, 0)
        bus.devices[1].dead = False
        assert await driver.read(VOLTAGE, 0) == (Sample(0, 2300),)
        assert len(bus.connections) == 2


async def test_bytes_on_the_line_are_counted() -> None:
    async with sdm_bus() as (bus, driver):
        bus.faults = [None, lambda good: [(0, good[:3]), (5, good[3:])], lambda good: [(0, b"\x00\x00" + good)]]
        for _ in range(3):
            await driver.read(VOLTAGE, 0)
        assert (driver.usage.transactions, driver.usage.sent_bytes) == (3, 24)
        assert driver.usage.received_bytes == 3 * 9 + 2


async def test_what_gets_no_good_answer_counts_as_a_failure_and_a_refusal_does_not() -> None:
    async with sdm_bus() as (bus, driver):
        await driver.read(VOLTAGE, 0)
        bus.devices[1].refused = {0}
        with pytest.raises(MeterRefusedError):
            await driver.read(VOLTAGE, 0)
        bus.devices[1].refused = set()
        assert driver.usage.failures == 0
        bus.faults = [lambda good: [(0, good[:-1] + bytes((good[-1] ^ 1,)))]]
        with pytest.raises(GarbledError):
            await driver.read(VOLTAGE, 0)
        bus.devices[1].dead = True
        with pytest.raises(MeterUnavailableError):
            await driver.read(VOLTAGE, 0)
        assert driver.usage.failures == 2
        given_up = asyncio.create_task(driver.read(VOLTAGE, 0))
        await until(lambda: len(bus.requests) == 5)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert (driver.usage.transactions, driver.usage.failures) == (5, 3)


async def test_a_slow_model_gets_its_silence_before_each_request() -> None:
    profile = meter_profile("eastron-sdm120")
    slow = MeterProfile(
        make="T",
        models=("T",),
        source="test",
        serial=profile.serial,
        function=4,
        order="ABCD",
        frame_gap_ms=40,
        channels=profile.channels,
    )
    bus = Bus({1: Device()}, rtu=True)
    async with (
        tcp_bus(bus) as port,
        driver_on(TcpLine(host="127.0.0.1", port=port, framing="rtu"), m1=ModbusMeter(unit=1, profile=slow)) as driver,
    ):
        loop = asyncio.get_running_loop()
        await driver.read(VOLTAGE, 0)
        start = loop.time()
        await driver.read(VOLTAGE, 0)
        assert loop.time() - start >= 0.038
