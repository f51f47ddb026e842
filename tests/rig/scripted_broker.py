"""The far end of an MQTT connection that answers whatever a test tells it to: the broker nobody wants to meet."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.rig.ports import LOOPBACK

Answer = Callable[[int, bytes], bytes | None]
"""From the type of a packet and its body to the bytes to answer; None closes the connection."""

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8


@asynccontextmanager
async def scripted_broker(answer: Answer) -> AsyncIterator[int]:
    """Serve every connection by `answer`; give the port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while True:
                kind, body = await _read_packet(reader)
                reply = answer(kind, body)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return first >> 4, await reader.readexactly(length)
