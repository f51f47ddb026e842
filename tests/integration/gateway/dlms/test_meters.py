"""A gateway's DLMS lines behind its workers, and a whole gateway process's parts that keep what drivers learn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.meters import Meters
from gateway.adapters.sqlite_store import SqliteStore
from gateway.adapters.store_thread import StoreShelf, StoreThread
from gateway.config import Config, load_config
from gateway.core.acquisition import BusEvent, Captured, Identified, ReadCaptured, Reading, ReadValues, Task
from gateway.core.coverage import Span
from gateway.core.effects import DemandRead, DriveRelay
from gateway.core.station import Identity, Station, StationSettings
from gateway.ports import Shelf
from tests.integration.gateway.dlms.gateway_side import write_secrets
from tests.integration.gateway.dlms.site import MemoryShelf, SiteClock, hdlc_line, make_sim_meter, over_tcp
from tests.integration.gateway.dlms.test_tool import METER
from tests.integration.gateway.dlms.test_visits import BLOCK
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError

HEAD = """
utility = "demo"
key_file = "none"
trusted_folder = "none"
period_s = 1
[store]
path = "{path}"
"""


def config_of(folder: Path, port: int, *changes: tuple[str, str]) -> Config:
    text = HEAD.format(path=folder / "gateway.db")
    text += METER.format(port=port, **write_secrets(folder / "secrets"))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_config(path)


@asynccontextmanager
async def running(meters: Meters) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in meters.workers.values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_a_worker_visits_reads_on_demand_and_switches(tmp_path: Path) -> None:
    clock = SiteClock()
    sim = make_sim_meter(clock, days=1)
    events: asyncio.Queue[BusEvent] = asyncio.Queue()

    async def due(_meter: str) -> tuple[Task, ...]:
        now_s = clock.wall_ms() // 1_000
        return (ReadValues(), ReadCaptured(profile=BLOCK, spans=(Span(now_s - 3_600, now_s),)))

    async with over_tcp(hdlc_line(clock, {17: sim})) as listening:
        config = config_of(tmp_path, listening.port)
        meters = Meters(config, clock=clock, sink=events.put, agenda=due, shelf=MemoryShelf(), gateway="gw-1")
        assert meters.with_relay == ["SM-1"]
        assert list(meters.visited) == ["SM-1"]
        async with running(meters), asyncio.timeout(20):
            assert isinstance(await events.get(), Identified)
            reading, captured = await events.get(), await events.get()
            assert isinstance(reading, Reading)
            assert reading.slot_ms is not None
            assert isinstance(captured, Captured)
            drive = DriveRelay(meter="SM-1", closed=False, sequence=1)
            assert await meters.drive(drive, is_wanted=lambda _: True) is False
            assert not sim.relay.is_closed
            channel = meters.channels("SM-1")[7]
            (value,) = await meters.read(DemandRead(command=b"c", meter="SM-1", channels=(channel.obis,)))
            assert value.value == sim.measuring.import_wh


async def test_what_is_kept_through_the_store_thread_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"

    @asynccontextmanager
    async def shelf() -> AsyncIterator[Shelf]:
        store = SqliteStore(path)
        key = SigningKey(bytes(32), purpose=Purpose.GATEWAY, party="gw-1")
        identity = Identity(utility="demo", key=key, trusted=PinnedKeys([]), software="test", boot=bytes(8))
        mind = StoreThread(
            store,
            start=lambda now: Station(
                store,
                identity=identity,
                meters=[],
                relay_meters=[],
                settings=StationSettings(),
                rng=Random(1),
                fresh_bytes=bytes,
                now=now,
            ),
            clock=SystemClock(),
            perform=lambda _effect: None,
        )
        started = asyncio.Event()
        task = asyncio.create_task(mind.run(started))
        await started.wait()
        try:
            yield StoreShelf(lambda: mind)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async with shelf() as before:
        assert await before.kept("dlms/x") is None
        await asyncio.gather(*(before.keep(f"dlms/{number}", bytes((number,))) for number in range(50)))
        await before.keep("dlms/x", b"1")
        assert await before.kept("dlms/x") == b"1"
    async with shelf() as after:
        assert await after.kept("dlms/x") == b"1"
        assert await after.kept("dlms/49") == bytes((49,))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('protocol = "dlms-hdlc"', 'protocol = "modbus"', "has no unit, or has dlms"),
        ('protocol = "dlms-hdlc"\nconnection = { type = "tcp"', 'protocol = "dlms-hdlc"\nconnection = { type = "udp"',
         "dlms-hdlc does not go over udp"),
        ("address = 17", "address = 17\nsecret = 'x'", "secret"),
        ('id = "SM-1"\n', 'id = "SM-1"\nunit = 3\n', "nothing of Modbus"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused_with_a_remedy(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        config_of(tmp_path, 4059, (old, new))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('profile = "is15959-d1"', 'profile = "eastron-sdm120"', "use one of is15959-d1"),
        (
            "[lines.meters.dlms.reading]\n",
            '[lines.meters.dlms.reading]\nsecurity = "authenticated"\n',
            "it needs keys and does not name both files",
        ),
    ],
)
def test_a_meter_that_cannot_be_is_refused_with_a_remedy(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Meters(
            config_of(tmp_path, 4059, (old, new)),
            clock=SiteClock(),
            sink=_ignore,
            agenda=_nothing_due,
            shelf=MemoryShelf(),
            gateway="gw-1",
        )


def test_a_secret_that_is_missing_is_named_by_its_file_only(tmp_path: Path) -> None:
    config = config_of(tmp_path, 4059)
    (tmp_path / "secrets" / "reader.txt").unlink()
    with pytest.raises(ConfigError, match=r"reader\.txt: cannot be read: No such file"):
        Meters(config, clock=SiteClock(), sink=_ignore, agenda=_nothing_due, shelf=MemoryShelf(), gateway="gw-1")


async def _ignore(_event: BusEvent) -> None:
    pass


async def _nothing_due(_meter: str) -> tuple[Task, ...]:
    return ()
