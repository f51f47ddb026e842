"""What carries the bytes of a DLMS line: a serial port, a TCP stream, UDP datagrams.

A carrier moves bytes and says when it cannot; when to open it again, what the bytes mean and how long to wait for them
is the line's business. It can be opened again after it was closed.
"""

import asyncio
import os
from collections import deque
from contextlib import suppress
from typing import Protocol

import serial  # type: ignore[import-untyped]  # ships no types

from gateway.adapters.modbus import SerialLine, TcpLine

UNREAD_BYTES_MAX = 1 << 18
"""What is kept of what nobody reads: more than the longest answer; the oldest goes first."""
_READ_BYTES = 4_096


class Carrier(Protocol):
    """Bytes both ways."""

    async def open(self) -> None:
        """Get ready, with nothing left of what was before.

        Raises:
            OSError: It cannot be opened.
        """

    def write(self, data: bytes) -> None:
        """Send bytes, or one datagram.

        Raises:
            OSError: The other end is gone.
        """

    async def read(self) -> bytes:
        """Return what has arrived, or wait for it; cancelling loses nothing. Of datagrams, each by itself.

        Raises:
            OSError: The other end is gone.
        """

    def close(self) -> None:
        """Let go of it; nothing happens if it is not open."""


class _Intake:
    """What has arrived and was not read."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._unread_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: OSError | None = ConnectionResetError("not open")

    @property
    def error(self) -> OSError | None:
        return self._error

    def begin(self) -> None:
        self._pieces.clear()
        self._unread_bytes = 0
        self._error = None

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        while self._unread_bytes > UNREAD_BYTES_MAX:
            self._unread_bytes -= len(self._pieces.popleft())
        self._wake()

    def fail(self, error: OSError) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self, *, joined: bool) -> bytes:
        """Return all pieces as one, or only the oldest."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not joined:
            piece = self._pieces.popleft()
            self._unread_bytes -= len(piece)
            return piece
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread_bytes = 0
        return data


class _StreamEnd(asyncio.Protocol):
    """Our end of a TCP stream."""

    def __init__(self, intake: _Intake) -> None:
        self._intake = intake

    def data_received(self, data: bytes) -> None:
        self._intake.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        lost = exc if isinstance(exc, OSError) else ConnectionResetError("the other end closed the connection")
        self._intake.fail(lost)


class TcpCarrier:
    """A TCP connection, to a meter or to a converter with a serial line behind it."""

    def __init__(self, line: TcpLine) -> None:
        self._line = line
        self._intake = _Intake()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        self.close()
        intake = self._intake = _Intake()
        intake.begin()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: _StreamEnd(intake), self._line.host, self._line.port)
        self._transport = transport

    def write(self, data: bytes) -> None:
        if self._transport is None or self._intake.error is not None:
            raise self._intake.error or ConnectionResetError("not open")
        self._transport.write(data)

    async def read(self) -> bytes:
        return await self._intake.take(joined=True)

    def close(self) -> None:
        if self._transport is not None:
            # Whatever is still to be sent belongs to a conversation that is over.
            self._transport.abort()
            self._transport = None


class _DatagramEnd(asyncio.DatagramProtocol):
    """Our end of a UDP association."""

    def __init__(self, intake: _Intake) -> None:
        self._intake = intake

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 - asyncio's
        self._intake.put(data)

    def error_received(self, exc: Exception) -> None:
        self._intake.fail(exc if isinstance(exc, OSError) else ConnectionResetError(str(exc)))


class UdpCarrier:
    """Datagrams to a meter and back; each time it is opened from another port, so that no late one fits."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._intake = _Intake()
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        self.close()
        intake = self._intake = _Intake()
        intake.begin()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _DatagramEnd(intake), remote_addr=self._address)
        self._transport = transport

    def write(self, data: bytes) -> None:
        if self._transport is None:
            raise ConnectionResetError("not open")
        self._transport.sendto(data)

    async def read(self) -> bytes:
        return await self._intake.take(joined=False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class SerialCarrier:
    """A serial port of this machine with RS-485 behind it."""

    def __init__(self, line: SerialLine) -> None:
        self._line = line
        self._intake = _Intake()
        self._port: serial.Serial | None = None
        self._unsent = b""

    async def open(self) -> None:
        self.close()
        intake = self._intake = _Intake()
        # Setting a port up can take its driver a while.
        port = await asyncio.to_thread(self._opened)
        self._port = port
        intake.begin()
        self._unsent = b""
        asyncio.get_running_loop().add_reader(port.fileno(), self._readable)

    def _opened(self) -> serial.Serial:
        line = self._line
        try:
            return serial.Serial(
                line.device,
                baudrate=line.baud,
                parity=line.parity,
                stopbits=line.stop_bits,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
        except ValueError as exc:
            raise OSError(f"{line.device} cannot be set up: {exc}") from exc

    def write(self, data: bytes) -> None:
        port = self._port
        if port is None or self._intake.error is not None:
            raise self._intake.error or ConnectionResetError("not open")
        is_idle = not self._unsent
        self._unsent += data
        if is_idle:
            self._writable()
            # What the port does not take at once goes out when it has room; empty if it broke.
            if self._unsent:
                asyncio.get_running_loop().add_writer(port.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._port is not None, "only an open port calls"
        try:
            sent = os.write(self._port.fileno(), self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as exc:
            self._unsent = b""
            self._fail(exc)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._port.fileno())

    def _readable(self) -> None:
        assert self._port is not None, "only an open port calls"
        try:
            data = os.read(self._port.fileno(), _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(exc)
            return
        if data:
            self._intake.put(data)
        else:
            self._fail(ConnectionResetError("the port is gone"))

    def _fail(self, error: OSError) -> None:
        self._intake.fail(error)
        self._let_go()

    async def read(self) -> bytes:
        return await self._intake.take(joined=True)

    def close(self) -> None:
        if self._port is not None:
            self._let_go()
            self._intake.fail(ConnectionResetError("closed"))

    def _let_go(self) -> None:
        port, self._port = self._port, None
        assert port is not None, "it is open"
        loop = asyncio.get_running_loop()
        loop.remove_reader(port.fileno())
        loop.remove_writer(port.fileno())
        with suppress(OSError):
            port.close()
