"""The network cutter between a real client and a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from device_sim.adapters.cutter import CutMode, NetworkCutter

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BLACKHOLE_SECONDS = 0.2


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.received += data
                writer.write(data)
                await writer.drain()
        self.ended.set()
        writer.close()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    served = Echo()
    async with await asyncio.start_server(served.serve, "127.0.0.1", 0) as server:
        served.port = server.sockets[0].getsockname()[1]
        yield served


@pytest_asyncio.fixture
async def cutter(echo: Echo) -> AsyncIterator[NetworkCutter]:
    async with NetworkCutter(0, "127.0.0.1", echo.port) as proxy:
        yield proxy


async def connected(cutter: NetworkCutter) -> Streams:
    return await asyncio.open_connection("127.0.0.1", cutter.port)


async def said(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def broken(streams: Streams) -> bool:
    """Whether the connection ends, by a reset or by its end."""
    try:
        return await asyncio.wait_for(streams[0].read(), 10) == b""
    except ConnectionError:
        return True


async def test_bytes_pass_both_ways_and_an_end_passes_on(cutter: NetworkCutter, echo: Echo) -> None:
    streams = await connected(cutter)
    payload = bytes(range(256)) * 4096
    assert await said(streams, payload) == payload
    streams[1].write_eof()
    await asyncio.wait_for(echo.ended.wait(), 10)
    assert await asyncio.wait_for(streams[0].read(), 10) == b""
    streams[1].close()


async def test_a_cut_resets_connections_and_refuses_new_ones_until_restored(cutter: NetworkCutter) -> None:
    streams = await connected(cutter)
    await said(streams, b"before")
    port = cutter.port
    await cutter.cut()
    assert await broken(streams)
    with pytest.raises(ConnectionRefusedError):
        await connected(cutter)
    await cutter.restore()
    again = await connected(cutter)
    assert await said(again, b"after") == b"after"
    assert cutter.port == port
    for _, writer in (streams, again):
        writer.close()


async def test_a_black_hole_swallows_nothing_but_time(cutter: NetworkCutter, echo: Echo) -> None:
    old = await connected(cutter)
    await said(old, b"before")
    await cutter.cut(CutMode.BLACKHOLE)
    new = await connected(cutter)
    for _, writer in (old, new):
        writer.write(b"during")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(old[0].read(1), BLACKHOLE_SECONDS)
    assert echo.received == b"before"
    await cutter.restore()
    for reader, writer in (old, new):
        assert await asyncio.wait_for(reader.readexactly(6), 10) == b"during"
        writer.close()


async def test_a_stream_breaks_off_after_the_bytes_allowed(cutter: NetworkCutter, echo: Echo) -> None:
    streams = await connected(cutter)
    cutter.drop_after(10)
    streams[1].write(b"0123456789abcdef")
    assert await broken(streams) or echo.received
    await asyncio.wait_for(echo.ended.wait(), 10)
    assert echo.received == b"0123456789"
    again = await connected(cutter)
    assert await said(again, b"whole again") == b"whole again"
    for _, writer in (streams, again):
        writer.close()


async def test_a_delay_holds_each_byte_and_keeps_their_order(cutter: NetworkCutter) -> None:
    streams = await connected(cutter)
    cutter.delay(60)
    started_s = asyncio.get_running_loop().time()
    assert await said(streams, b"one") + await said(streams, b"two") == b"onetwo"
    # Two round trips, each delayed both ways.
    assert asyncio.get_running_loop().time() - started_s >= 4 * 0.060
    streams[1].close()


async def test_a_target_that_is_away_breaks_the_connection(echo: Echo) -> None:
    async with NetworkCutter(0, "127.0.0.1", 1) as proxy:
        streams = await connected(proxy)
        assert await broken(streams)
        streams[1].close()
