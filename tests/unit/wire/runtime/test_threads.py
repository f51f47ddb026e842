"""A blocking call beside the loop: its result, its error, and what becomes of it when nobody waits."""

import asyncio
import threading

import pytest

from wire.runtime.threads import WorkerThread, in_daemon_thread


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


async def test_a_worker_carries_calls_out_in_order_and_hands_back_what_they_raise() -> None:
    worker = WorkerThread("t")
    done: list[int] = []
    futures = [worker.run(lambda number=number: done.append(number)) for number in range(100)]  # type: ignore[misc]
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    await asyncio.gather(*futures)
    assert done == list(range(100))
    assert await worker.run(threading.get_ident) != threading.get_ident()
    worker.stop()


async def test_a_worker_that_is_told_to_stop_carries_out_what_waits() -> None:
    worker = WorkerThread("t")
    go_on = threading.Event()
    first, last = worker.run(lambda: go_on.wait(10)), worker.run(lambda: "done")
    worker.stop()
    first.cancel()
    go_on.set()
    assert await asyncio.wait_for(last, 10) == "done"
