"""A TCP proxy on which the network can be made bad: cut, restored, slowed, or broken off in mid-stream.

It stands between two real processes on one machine, so that what they see of a bad network is what sockets show of one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import StrEnum
from typing import Final, Self

CHUNK_BYTES: Final = 64 * 1024
CHUNKS_IN_FLIGHT_MAX: Final = 64
"""Bounds what a slow direction holds; beyond it the sender is held back, as by a full pipe."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class CutMode(StrEnum):
    """How a cut shows."""

    REFUSE = "refuse"
    """Connections are reset, new ones refused: the far machine is up, its program is not."""
    BLACKHOLE = "blackhole"
    """Connections stay open and carry nothing, new ones as well: the radio link is gone."""


class NetworkCutter:
    """One proxy. Its port stays the same, and stays ours, through every cut."""

    def __init__(self, listen_port: int, target_host: str, target_port: int, *, listen_host: str = "127.0.0.1") -> None:
        """Describe a proxy; it listens from `start` on. With `listen_port` 0 the system chooses one."""
        self._listen_address = (listen_host, listen_port)
        self._target = (target_host, target_port)
        # Bound but never listening: it keeps the port while the listener is away.
        self._holder = _bound_socket(self._listen_address)
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_ms = 0
        self._bytes_left: int | None = None
        self.is_cut = False

    @property
    def port(self) -> int:
        port: int = self._holder.getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        listener = _bound_socket((self._listen_address[0], self.port))
        self._listener = await asyncio.start_server(self._accept, sock=listener, limit=CHUNK_BYTES)

    async def stop(self) -> None:
        """Drop everything and give the port back."""
        self._close_listener()
        await self._drop_links()
        self._holder.close()

    async def cut(self, mode: CutMode = CutMode.REFUSE) -> None:
        """Cut the network until `restore`."""
        self.is_cut = True
        if mode is CutMode.BLACKHOLE:
            self._flowing.clear()
        else:
            self._close_listener()
            await self._drop_links()

    async def restore(self) -> None:
        """Undo a cut: what a blackhole held back is delivered, and connections are taken again."""
        self.is_cut = False
        self._flowing.set()
        if self._listener is None:
            await self.start()

    def delay(self, delay_ms: int) -> None:
        """Deliver each byte so many ms late from now on, in both directions."""
        self._delay_ms = delay_ms

    def drop_after(self, byte_count: int) -> None:
        """Let so many bytes more go to the target, then break off all connections in mid-stream, once."""
        self._bytes_left = byte_count

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _drop_links(self) -> None:
        links = self._cancel_links()
        await asyncio.gather(*links, return_exceptions=True)

    def _cancel_links(self) -> tuple[asyncio.Task[None], ...]:
        links = tuple(self._links)
        for link in links:
            link.cancel()
        return links

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=CHUNK_BYTES)
            try:
                await self._join(reader, writer, far_reader, far_writer)
            except BaseException:
                _reset(far_writer)
                raise
        except (OSError, asyncio.CancelledError):
            # The task is this proxy's own, which cancels it to drop the connection: nobody waits for its end.
            _reset(writer)
        finally:
            self._links.discard(link)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Carry bytes both ways until both sides have ended.

        Raises:
            ConnectionAbortedError: One side broke off.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._carry(group, reader, far_writer, is_upward=True)
                self._carry(group, far_reader, writer, is_upward=False)
        except* OSError as exc:
            raise ConnectionAbortedError("one side broke off") from exc
        far_writer.close()
        writer.close()

    def _carry(
        self, group: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_upward: bool
    ) -> None:
        in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT_MAX)
        group.create_task(self._take_in(reader, in_flight))
        group.create_task(self._deliver(in_flight, writer, is_upward=is_upward))

    async def _take_in(self, reader: asyncio.StreamReader, in_flight: asyncio.Queue[tuple[float, bytes]]) -> None:
        clock = asyncio.get_running_loop().time
        data = b"-"
        while data:
            data = await reader.read(CHUNK_BYTES)
            await in_flight.put((clock() + self._delay_ms / 1000, data))

    async def _deliver(
        self, in_flight: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, is_upward: bool
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due_s, data = await in_flight.get()
            await asyncio.sleep(max(0.0, due_s - clock()))
            await self._flowing.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data if not is_upward else self._within_budget(data))
            await writer.drain()
            if self._bytes_left == 0:
                self._bytes_left = None
                self._cancel_links()

    def _within_budget(self, data: bytes) -> bytes:
        if self._bytes_left is None:
            return data
        data = data[: self._bytes_left]
        self._bytes_left -= len(data)
        return data


def _bound_socket(address: tuple[str, int]) -> socket.socket:
    """Return a socket on an address that several of ours may share as long as one at most listens."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does, not as a polite peer."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
