"""A whole gateway takes pushes where its configuration says so, and says what is wrong with that where it cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.settings import Secrets
from dlms.link.wrapper import pack
from gateway.adapters.dlms.push_meters import PushMeter
from gateway.adapters.meters import Meters
from gateway.app import Gateway
from gateway.config import load_config
from gateway.core.acquisition import BusEvent, Task
from tests.integration.gateway.dlms.gateway_side import write_secrets
from tests.integration.gateway.dlms.site import MemoryShelf, SiteClock, hdlc_line, make_sim_meter, over_tcp
from tests.integration.gateway.dlms.test_tool import METER
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.sessions import until
from wire.keys import Purpose
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError
from wire.runtime.keyring import make_key

HEAD = """
utility = "demo"
key_file = "{folder}/keys/gw-1.key"
trusted_folder = "{folder}/trusted"
[store]
path = "{folder}/gateway.db"
[broker]
port = {broker}
[push]
listen = "{listen}"
"""
PUSH = """
[lines.meters.dlms.push]
encryption_key_file = "{folder}/secrets/push.txt"
authentication_key_file = "{authentication}"
"""


def write_config(folder: Path, *, meter_port: int = 4059, listen: str = "127.0.0.1:4059", push: str = PUSH) -> Path:
    files = write_secrets(folder / "secrets")
    (folder / "secrets" / "push.txt").write_text(Secrets().push_encryption.hex())
    (folder / "trusted").mkdir(exist_ok=True)
    text = HEAD.format(folder=folder, broker=free_port(), listen=listen)
    text += METER.format(port=meter_port, **files) + push.format(folder=folder, **files)
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def pushing(folder: Path, **changes: str) -> list[PushMeter]:
    config = load_config(write_config(folder, **changes))  # type: ignore[arg-type]
    clock, shelf = SystemClock(), MemoryShelf()
    meters = Meters(config, clock=clock, sink=_ignore, agenda=_nothing_due, shelf=shelf, gateway="gw-1")
    return meters.pushing


async def _ignore(_event: BusEvent) -> None:
    pass


async def _nothing_due(_meter: str) -> tuple[Task, ...]:
    return ()


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    task = asyncio.create_task(gateway.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("way", ["tcp", "udp"])
async def test_a_gateway_takes_pushes_and_looks_at_a_relay_that_moved_by_itself(tmp_path: Path, way: str) -> None:
    make_key(tmp_path / "keys", name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")
    make_key(tmp_path / "trusted", name="cloud", purpose=Purpose.CLOUD_ACK, party="cloud")
    clock = SiteClock()
    clock.ahead_ms = SystemClock().wall_ms() - clock.wall_ms()
    sim = make_sim_meter(clock, days=0.01, push_ciphered=True)
    sim.take_pushes()
    port = free_port()
    async with over_tcp(hdlc_line(clock, {17: sim})) as listening:
        config = load_config(write_config(tmp_path, meter_port=listening.port, listen=f"127.0.0.1:{port}"))
        gateway = Gateway(config)
        async with running(gateway):
            door = gateway._door
            assert door is not None

            def seen_closed() -> bool | None:
                return gateway._mind.station.relays.known_closed("SM-1")

            async with asyncio.timeout(20):
                await door.is_open.wait()
            await until(lambda: seen_closed() is True)
            sim.advance(clock.wall_ms())
            assert sim.relay.local_disconnect()
            sim.apply_relay(was_closed=True)
            sim.occur(Event.MAGNET)
            for push in sim.take_pushes():
                await _send(pack(1, 64, push.apdu), port, way)
            await until(lambda: seen_closed() is False)
            await until(lambda: gateway._pushes.taken == 2)
            senders = await gateway._senders()
            assert senders["SM-1"].title == sim.admission.system_title
            assert not gateway._pushes.refused


async def _send(data: bytes, port: int, way: str) -> None:
    if way == "udp":
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(LOOPBACK, port)
        )
        transport.sendto(data)
        transport.close()
        return
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(data)
    await writer.drain()
    writer.close()


def test_a_meter_is_taken_with_its_keys_and_shows_none_of_them(tmp_path: Path) -> None:
    (meter,) = pushing(tmp_path)
    assert (meter.id, meter.required) == ("SM-1", 0x30)
    assert Secrets().push_encryption.hex() not in repr(meter)
    assert repr(Secrets().push_encryption) not in repr(meter)
    (bare,) = pushing(tmp_path, push='[lines.meters.dlms.push]\nsecurity = "none"\nnames = ["ABC1"]\n')
    assert (bare.keys, bare.names) == (None, (b"ABC1",))
    assert pushing(tmp_path, push="") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"listen": "127.0.0.1:0"}, "give 1 to 65535"),
        ({"listen": "127.0.0.1:70000"}, "give 1 to 65535"),
        ({"listen": "4059"}, "push.listen"),
        ({"push": "[lines.meters.dlms.push]\n"}, "protected pushes need both key files"),
        ({"push": PUSH + 'security = "none"\n'}, "unprotected ones none"),
        ({"push": PUSH + 'title = "12"\n'}, "push.title"),
        ({"push": PUSH + 'key = "12"\n'}, "unknown field `key`"),
        ({"push": PUSH.replace("push.txt", "nothing.txt")}, "nothing.txt: cannot be read"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_with_a_remedy(
    tmp_path: Path, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pushing(tmp_path, **changes)
    assert problem in str(caught.value)
