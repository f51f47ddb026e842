"""What carries a line's bytes: a TCP socket, a UDP socket, or a pseudo-terminal that looks like a serial port.

It moves bytes between streams and a line, and decides nothing about them.
"""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

READ_BYTES_MAX: Final = 4096
UNWRITTEN_BYTES_MAX: Final = 64 * 1024
"""Kept for a terminal whose other end reads slowly; what goes beyond is lost, as on a real line."""
DATAGRAM_CLIENTS_MAX: Final = 1024
"""Remembered at once; the oldest makes room."""


def _nothing() -> None:
    """Let the stream be: it has no end of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One master's connection to a line; over UDP, one master."""

    write: Callable[[bytes], None]
    is_open: Callable[[], bool]
    close: Callable[[], None] = _nothing


class Line(Protocol):
    """What is at the far end of the carriers."""

    def received(self, stream: Stream, data: bytes) -> None:
        """Take bytes from a connection, or one datagram, and serve the requests that they complete."""

    def closed(self, stream: Stream) -> None:
        """Forget a connection."""


class _Connection(asyncio.Protocol):
    """One TCP connection to a line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = Stream(transport.write, lambda: not transport.is_closing(), transport.close)

    def data_received(self, data: bytes) -> None:
        assert self._stream is not None
        self._line.received(self._stream, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._stream is not None:
            self._line.closed(self._stream)


async def listen(line: Line, host: str, port: int) -> asyncio.Server:
    """Let masters connect to a line over TCP.

    Raises:
        OSError: The address is taken or is not ours.
    """
    return await asyncio.get_running_loop().create_server(lambda: _Connection(line), host, port)


class _Datagrams(asyncio.DatagramProtocol):
    """All masters that send datagrams to a line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._transport: asyncio.DatagramTransport | None = None
        self._streams: dict[tuple[str, int], Stream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transport of the selector loop has no such base class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        stream = self._streams.get(addr)
        if stream is None:
            if len(self._streams) >= DATAGRAM_CLIENTS_MAX:
                self._line.closed(self._streams.pop(next(iter(self._streams))))
            stream = self._streams[addr] = self._stream(addr)
        self._line.received(stream, data)

    def _stream(self, address: tuple[str, int]) -> Stream:
        transport = self._transport
        assert transport is not None, "datagrams come to an open socket"

        def write(data: bytes) -> None:
            transport.sendto(data, address)

        def close() -> None:
            stream = self._streams.pop(address, None)
            if stream is not None:
                self._line.closed(stream)

        return Stream(write, lambda: not transport.is_closing(), close)


async def listen_datagrams(line: Line, host: str, port: int) -> asyncio.DatagramTransport:
    """Let masters send datagrams to a line over UDP.

    Raises:
        OSError: The address is taken or is not ours.
    """
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(line), local_addr=(host, port)
    )
    return transport


class PtyPort:
    """A line behind a pseudo-terminal, whose other end a master opens as its serial port."""

    def __init__(self, line: Line, link: Path | None) -> None:
        """Open the terminal and set a symbolic link to it.

        Raises:
            OSError: The link's place is taken by something that is not a link, or cannot be written.
        """
        self._line = line
        self._link = link
        # The far end stays open here too: a terminal that nobody has open would hang up on us.
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self.path = os.ttyname(self._far)
        self._stream = Stream(write=self._write, is_open=lambda: True)
        self._unwritten = bytearray()
        if link is not None:
            if link.is_symlink():
                link.unlink()
            link.symlink_to(self.path)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._near, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._near)
        loop.remove_writer(self._near)
        os.close(self._near)
        os.close(self._far)
        self._unwritten.clear()
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _readable(self) -> None:
        self._line.received(self._stream, os.read(self._near, READ_BYTES_MAX))

    def _write(self, frame: bytes) -> None:
        if len(self._unwritten) + len(frame) > UNWRITTEN_BYTES_MAX:
            # Nobody reads, and the terminal's buffer is full: on a real line the bytes would be gone as well.
            return
        self._unwritten += frame
        self._writable()

    def _writable(self) -> None:
        with suppress(BlockingIOError):
            del self._unwritten[: os.write(self._near, self._unwritten)]
        loop = asyncio.get_running_loop()
        if self._unwritten:
            loop.add_writer(self._near, self._writable)
        else:
            loop.remove_writer(self._near)
