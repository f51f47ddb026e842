"""A blocking call beside the loop: its result, its error, and what becomes of it when nobody waits."""

import asyncio
import threading

import pytest

from wire.runtime.threads import in_daemon_thread


async def test_result_and_error_reach_the_one_who_waits() -> None:
    assert await in_daemon_thread(lambda: 6 * 7, name="t", discard=print) == 42
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0, name="t", discard=print)


async def test_a_result_nobody_waits_for_is_discarded() -> None:
    go_on = threading.Event()
    discarded: asyncio.Queue[str] = asyncio.Queue()

    def work() -> str:
        go_on.wait(10)
        return "socket"

    waiting = asyncio.create_task(in_daemon_thread(work, name="t", discard=discarded.put_nowait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await asyncio.wait_for(discarded.get(), 10) == "socket"
