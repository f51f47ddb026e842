"""A simulated line behind a pseudo-terminal, which a gateway opens as its serial port."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.rs485.medium import Rs485Line

READ_BYTES_MAX = 4_096


@asynccontextmanager
async def serial_port(line: Rs485Line) -> AsyncIterator[str]:
    """Carry bytes between a line and a terminal whose path is given."""
    near, far = os.openpty()
    tty.setraw(far)
    os.set_blocking(near, False)
    loop = asyncio.get_running_loop()
    loop.add_reader(near, lambda: line.write(os.read(near, READ_BYTES_MAX)))

    async def speak() -> None:
        while True:
            os.write(near, await line.read())

    speaking = asyncio.create_task(speak())
    try:
        yield os.ttyname(far)
    finally:
        speaking.cancel()
        loop.remove_reader(near)
        os.close(near)
        os.close(far)
