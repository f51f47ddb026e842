"""A Modbus line with devices behind it, byte by byte, and faults on request: the other end of the driver's tests."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pymodbus.framer import FramerRTU

Fault = Callable[[bytes], list[tuple[int, bytes]]]
"""From the answer as it should be to what is sent instead, each piece after so many milliseconds."""


def crc(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


@dataclass
class Device:
    """Registers and coils of one unit; what was never set is 0."""

    registers: dict[int, int] = field(default_factory=dict)
    coils: dict[int, bool] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    """Registers that it does not serve."""
    stuck: bool = False
    """Its relays acknowledge and do not move."""
    dead: bool = False

    def answer(self, pdu: bytes) -> bytes:
        function, address, count = pdu[0], int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        if function in {3, 4}:
            if self.refused & set(range(address, address + count)):
                return bytes((function | 0x80, 2))
            words = b"".join(self.registers.get(address + index, 0).to_bytes(2) for index in range(count))
            return bytes((function, 2 * count)) + words
        if function == 1:
            return bytes((1, 1, self.coils.get(address, False)))
        if function == 5:
            if not self.stuck:
                self.coils[address] = count == 0xFF00
            return pdu
        return bytes((function | 0x80, 1))


@dataclass
class Bus:
    """Devices by unit id, what was asked of them, and the faults to come."""

    devices: dict[int, Device]
    rtu: bool
    requests: list[tuple[int, bytes]] = field(default_factory=list)
    """Unit and PDU."""
    faults: list[Fault | None] = field(default_factory=list)
    """For the next answers, first one first; None for a good answer."""
    delay_ms: int = 0
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        while True:
            try:
                head = b"" if self.rtu else await reader.readexactly(6)
                # Every request of these tests has 5 bytes after the unit id.
                body = await reader.readexactly(8 if self.rtu else 6)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self._take(head, body, write)

    def _take(self, head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:
        unit, pdu = body[0], body[1:6]
        if self.rtu:
            assert crc(body[:6]) == body, "the request's checksum"
        self.requests.append((unit, pdu))
        device = self.devices.get(unit)
        if device is None or device.dead:
            return
        good = self.frame(unit, device.answer(pdu), head)
        fault = self.faults.pop(0) if self.faults else None
        pieces = [(0, good)] if fault is None else fault(good)
        task = asyncio.create_task(self._send(pieces, write))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def frame(self, unit: int, pdu: bytes, head: bytes) -> bytes:
        body = bytes((unit,)) + pdu
        return crc(body) if self.rtu else head[:4] + len(body).to_bytes(2) + body

    async def _send(self, pieces: list[tuple[int, bytes]], write: Callable[[bytes], None]) -> None:
        for delay_ms, piece in pieces:
            if delay_ms + self.delay_ms:
                await asyncio.sleep((delay_ms + self.delay_ms) / 1000)
            write(piece)

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            await self.serve(reader, writer.write)
        finally:
            writer.close()


@asynccontextmanager
async def tcp_bus(bus: Bus, port: int = 0) -> AsyncIterator[int]:
    """Serve a bus on a port of loopback."""
    server = await asyncio.start_server(bus.on_connection, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in bus.connections:
            writer.close()
        for task in list(bus.tasks):
            task.cancel()
        await asyncio.sleep(0)


@asynccontextmanager
async def serial_bus(bus: Bus) -> AsyncIterator[str]:
    """Serve a bus on a pseudo-terminal."""
    master, slave = os.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(master), "rb", buffering=0)
    )

    def write(data: bytes) -> None:
        os.write(master, data)

    task = asyncio.create_task(bus.serve(reader, write))
    try:
        yield os.ttyname(slave)
    finally:
        task.cancel()
        for sending in list(bus.tasks):
            sending.cancel()
        transport.close()
        os.close(master)
        os.close(slave)
        await asyncio.sleep(0)
