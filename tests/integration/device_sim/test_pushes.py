"""What DLMS meters say by themselves: last gasp, first breath, alerts; over TCP and UDP, plain and ciphered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from device_sim.adapters.pushes import PushPost
from device_sim.adapters.truth import DlmsTally, Truth
from device_sim.app import Simulation
from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.is15959.codes import EswBit
from device_sim.core.is15959.push import PUSH_CLIENT_SAP, SendPush
from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import DataNotification
from dlms.axdr.tags import BitString
from dlms.axdr.values import decode_value
from dlms.cosem.push_setup import TransportService
from dlms.link.wrapper import Packet, WrapperReader, unpack
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import Protector

StartVillage = Callable[..., Awaitable[Simulation]]
Ask = Callable[..., Awaitable[dict[str, Any]]]
SERVER_TITLE = b"WPHES001"
HOUR_MS = 3_600_000
ARRIVES_S_MAX = 10.0


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, heard: asyncio.Queue[Packet]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self._heard.put_nowait(unpack(data))


@asynccontextmanager
async def head_end(transport: str) -> AsyncIterator[tuple[str, asyncio.Queue[Packet]]]:
    """Listen for pushes."""
    heard: asyncio.Queue[Packet] = asyncio.Queue()
    if transport == "udp":
        loop = asyncio.get_running_loop()
        datagrams, _ = await loop.create_datagram_endpoint(lambda: _Ear(heard), local_addr=("127.0.0.1", 0))
        try:
            yield f"127.0.0.1:{datagrams.get_extra_info('sockname')[1]}", heard
        finally:
            datagrams.close()
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = WrapperReader()
        while data := await reader.read(4096):
            for packet in packets.feed(data):
                heard.put_nowait(packet)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()


def village(push: str, meter: str = "") -> str:
    return (
        f'seed = 5\nhistory_days = 0\n{push}\n[[lines]]\nid = "dlms-1"\ntransport = "wrapper-tcp"\n'
        f'[[dlms_meters]]\nid = "d-1"\nline = "dlms-1"\nunit = 1\nannual_kwh = 9000\n{meter}\n'
    )


def bits_of(apdu: bytes) -> set[int]:
    """Return the bits of the status word in an alert."""
    notification = decode_apdu(apdu)
    assert isinstance(notification, DataNotification)
    body = decode_value(notification.body)
    assert isinstance(body, tuple)
    word = body[-1]
    assert isinstance(word, BitString)
    return {bit for bit in range(128) if word.data[bit // 8] >> (7 - bit % 8) & 1}


def opened(apdu: bytes, title: bytes) -> bytes:
    secrets = secrets_of("d-1")
    protector = Protector(
        SERVER_TITLE,
        title,
        Keys(secrets.push_encryption, secrets.authentication),
        ReservedCounter(1, lambda _: None),
        PeerCounters(PeerCounterPolicy.STRICT),
    )
    return protector.unprotect(apdu).apdu


async def next_of(heard: asyncio.Queue[Packet]) -> Packet:
    async with asyncio.timeout(ARRIVES_S_MAX):
        return await heard.get()


@pytest.mark.parametrize("ciphered", [False, True])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_power_failure_is_told_with_the_last_gasp_and_its_end_with_the_first_breath(
    start_village: StartVillage, clock: Any, ask: Ask, transport: str, *, ciphered: bool
) -> None:
    async with head_end(transport) as (address, heard):
        push = f'push = {{ address = "{address}", transport = "{transport}" }}'
        sim = await start_village(village(push, f"push_ciphered = {str(ciphered).lower()}"))
        title = sim.site.dlms_meter("d-1").device.admission.system_title
        for on, bit in ((False, EswBit.LAST_GASP), (True, EswBit.FIRST_BREATH)):
            await ask(sim.control, command="power", meter="d-1", on=on)
            packet = await next_of(heard)
            assert (packet.source, packet.destination) == (1, PUSH_CLIENT_SAP)
            assert bit in bits_of(opened(packet.apdu, title) if ciphered else packet.apdu)
            clock.now_ms += HOUR_MS
        counts = (await ask(sim.control, command="truth"))["devices"]["d-1"]
        assert (counts["pushes"], counts["pushes_lost"]) == (2, 0)


async def test_what_happens_while_nobody_asks_is_told_all_the_same(start_village: StartVillage, clock: Any) -> None:
    async with head_end("tcp") as (address, heard):
        await start_village(village(f'push = {{ address = "{address}" }}', "load_limit_w = 10"))
        clock.now_ms += HOUR_MS // 20
        packet = await next_of(heard)
        assert EswBit.OVERLOAD in bits_of(packet.apdu)


async def test_an_event_of_a_scenario_raises_an_alert(start_village: StartVillage, ask: Ask) -> None:
    async with head_end("udp") as (address, heard):
        sim = await start_village(village(f'push = {{ address = "{address}", transport = "udp" }}'))
        await ask(sim.control, command="event", meter="d-1", code=201)
        assert EswBit.MAGNET in bits_of((await next_of(heard)).apdu)


async def test_a_push_without_a_destination_is_lost(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village(""))
    await ask(sim.control, command="power", meter="d-1", on=False)
    counts = (await ask(sim.control, command="truth"))["devices"]["d-1"]
    assert (counts["pushes"], counts["pushes_lost"]) == (0, 1)


async def test_a_push_to_nowhere_is_given_up_and_the_others_are_delivered() -> None:
    truth = Truth(None)
    tally = truth.tallies["d-1"] = DlmsTally()
    post = PushPost(truth)
    async with head_end("tcp") as (address, heard):
        nobody = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        closed = nobody.sockets[0].getsockname()[1]
        nobody.close()
        await nobody.wait_closed()
        for destination in (f"127.0.0.1:{closed}".encode(), address.encode(), b"somewhere", b"host:99999"):
            post.post(
                "d-1",
                SendPush(apdu=b"\x0f", destination=destination, transport=TransportService.TCP, retries=2),
            )
        assert (await next_of(heard)).apdu == b"\x0f"
        async with asyncio.timeout(ARRIVES_S_MAX):
            while tally.pushes + tally.pushes_lost < 4:  # noqa: ASYNC110 - a count tells nobody when it changes
                await asyncio.sleep(0.01)
    await post.close()
    assert (tally.pushes, tally.pushes_lost) == (1, 3)


async def test_meters_that_start_again_count_on_above_all_they_have_sent(start_village: StartVillage) -> None:
    counters = []
    for _ in range(2):
        sim = await start_village(village("", "push_ciphered = true"))
        counters.append(sim.site.dlms_meter("d-1").device.admission.counters.next_value)
    assert 100_000_000 < counters[0] <= counters[1] < 2**32
