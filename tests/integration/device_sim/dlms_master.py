"""A master on a DLMS line: our own client over real sockets and terminals, one conversation at a time."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.is15959.associations import Client
from dlms.apdu.acse import Mechanism
from dlms.client.association import ClientAssociation, Exchange
from dlms.client.settings import AssociationSettings
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.registers import Register
from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.wrapper import WrapperClient, WrapperSettings
from dlms.security.counters import ReservedCounter
from dlms.security.keys import Keys

T = TypeVar("T")
TITLE = b"WPTTEST1"
TURN_MS = 400
"""How long the master waits before it asks again."""
COUNTERS = count(1, 10_000)
"""Where each association begins to count: above all before it, as meters demand."""
IMPORT_WH = Register("1.0.1.8.0.255")
BLOCK = ProfileGeneric("1.0.99.1.0.255")


@dataclass
class Wire:
    """Bytes both ways."""

    write: Callable[[bytes], None]
    read: Callable[[], Awaitable[bytes]]


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self.pieces.put_nowait(data)


@asynccontextmanager
async def opened(place: str, transport: str) -> AsyncIterator[Wire]:
    """Connect to a line."""
    if transport == "hdlc-pty":
        async with _terminal(place) as wire:
            yield wire
        return
    host, _, port = place.rpartition(":")
    if transport == "wrapper-udp":
        inbox = _Inbox()
        loop = asyncio.get_running_loop()
        datagrams, _ = await loop.create_datagram_endpoint(lambda: inbox, remote_addr=(host, int(port)))
        try:
            yield Wire(datagrams.sendto, inbox.pieces.get)
        finally:
            datagrams.close()
        return
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(writer.write, lambda: reader.read(4096))
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def _terminal(path: str) -> AsyncIterator[Wire]:
    end = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(end)
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(end, lambda: pieces.put_nowait(os.read(end, 4096)))

    def write(data: bytes) -> None:
        os.write(end, data)

    try:
        yield Wire(write, pieces.get)
    finally:
        loop.remove_reader(end)
        os.close(end)


class Master:
    """Talks to one meter."""

    def __init__(self, wire: Wire, link: ClientLink, association: ClientAssociation) -> None:
        self._wire = wire
        self._link = link
        self.association = association

    async def connect(self) -> None:
        await self._until(self._link.connect(now_ms=_now_ms()), Connected)
        await self.run(self.association.open())

    async def run(self, exchange: Exchange[T]) -> T:
        """Drive a conversation to its end."""
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self.ask(request))
        except StopIteration as done:
            value: T = done.value
            return value

    async def ask(self, apdu: bytes) -> bytes:
        event = await self._until(self._link.send(apdu, now_ms=_now_ms()), Received)
        assert isinstance(event, Received)
        return event.apdu

    async def disconnect(self) -> None:
        await self.run(self.association.close())
        await self._until(self._link.disconnect(now_ms=_now_ms()), Disconnected)

    async def energy_wh(self) -> int:
        value = await self.run(self.association.get(IMPORT_WH.value))
        assert isinstance(value, int)
        return value

    async def _until(self, events: tuple[LinkEvent, ...], wanted: type[LinkEvent]) -> LinkEvent:
        while True:
            for event in events:
                match event:
                    case SendBytes(data=data):
                        self._wire.write(data)
                    case Failed(error=error):
                        raise error
                    case _:
                        if isinstance(event, wanted):
                            return event
            due_ms = self._link.next_deadline_ms()
            assert due_ms is not None
            try:
                async with asyncio.timeout_at(due_ms / 1000):
                    data = await self._wire.read()
                events = self._link.receive(data, now_ms=_now_ms())
            except TimeoutError:
                events = self._link.on_timer(now_ms=max(due_ms, _now_ms()))


def reader_settings(meter_id: str, unit: int = 1) -> AssociationSettings:
    """Return how a meter reader opens its association."""
    secret = secrets_of(meter_id).reader_password
    return AssociationSettings(client_sap=Client.READER, server_sap=unit, mechanism=Mechanism.LOW, secret=secret)


def utility_settings(meter_id: str, unit: int = 1) -> AssociationSettings:
    """Return how utility settings opens its association, ciphered."""
    secrets = secrets_of(meter_id)
    return AssociationSettings(
        client_sap=Client.SETTINGS,
        server_sap=unit,
        mechanism=Mechanism.HIGH,
        secret=secrets.settings_secret,
        keys=Keys(secrets.encryption, secrets.authentication),
        system_title=TITLE,
    )


@asynccontextmanager
async def session(
    place: str,
    transport: str,
    meter_id: str,
    unit: int,
    *,
    is_utility: bool = False,
    repeats_max: int = 2,
    turn_ms: int = TURN_MS,
) -> AsyncIterator[Master]:
    """Open an association with a meter, and close it."""
    is_hdlc = transport.startswith("hdlc")
    make = utility_settings if is_utility else reader_settings
    settings = make(meter_id, 1 if is_hdlc else unit)
    link: ClientLink
    if is_hdlc:
        told = HdlcSettings(response_timeout_ms=turn_ms, retries_max=repeats_max)
        link = HdlcClient(settings.client_sap, StationAddress(1, unit), told)
    else:
        is_datagrams = transport == "wrapper-udp"
        link = WrapperClient(
            settings.client_sap, unit, WrapperSettings(is_datagrams=is_datagrams, answer_timeout_ms=turn_ms)
        )
    association = ClientAssociation(
        settings,
        challenge=os.urandom(16),
        counters=ReservedCounter(next(COUNTERS), lambda _: None) if is_utility else None,
    )
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(opened(place, transport))
        master = Master(wire, link, association)
        await master.connect()
        yield master
        if association.is_open:
            await master.disconnect()


def _now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)
