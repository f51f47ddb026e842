"""What carries a line's bytes: a listening TCP socket, or a pseudo-terminal that looks like a serial port."""

from __future__ import annotations

import asyncio
import os
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from device_sim.adapters.modbus_line import ModbusLine, Stream

if TYPE_CHECKING:
    from types import TracebackType

READ_BYTES_MAX: Final = 4096


class _Connection(asyncio.Protocol):
    """One TCP connection to a line."""

    def __init__(self, line: ModbusLine) -> None:
        self._line = line
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = Stream(write=transport.write, is_open=lambda: not transport.is_closing())

    def data_received(self, data: bytes) -> None:
        assert self._stream is not None
        self._line.received(self._stream, data)


async def listen(line: ModbusLine, host: str, port: int) -> asyncio.Server:
    """Let masters connect to a line over TCP.

    Raises:
        OSError: The address is taken or is not ours.
    """
    return await asyncio.get_running_loop().create_server(lambda: _Connection(line), host, port)


class PtyPort:
    """A line behind a pseudo-terminal, whose other end a master opens as its serial port."""

    def __init__(self, line: ModbusLine, link: Path | None) -> None:
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
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _readable(self) -> None:
        self._line.received(self._stream, os.read(self._near, READ_BYTES_MAX))

    def _write(self, frame: bytes) -> None:
        try:
            os.write(self._near, frame)
        except BlockingIOError:
            # Nobody reads, and the terminal's buffer is full: on a real line the bytes would be gone as well.
            return
