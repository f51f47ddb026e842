"""Blocking calls outside the event loop: one that nobody has to wait for in the end, or many in a thread of their own.

An executor's threads are joined when the process exits, and a name server that does not answer would hold it for half a
minute; a daemon thread holds nothing. And an executor takes twice as long as need be to hand a call over and its result
back, which counts where each event of a process passes through one thread.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class WorkerThread:
    """A thread that carries calls out one after the other, in the order they were given.

    Calls that were begun or wait when it is told to stop are carried out; at the end of the process it holds nobody.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Return the future of what `call` returns or raises; cancelling it does not stop a call."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return future

    def stop(self) -> None:
        """Let the thread end once all calls are carried out."""
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, future = item
            del item
            try:
                result = call()
            except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited
                _settle(future, future.set_exception, exc)
            else:
                _settle(future, future.set_result, result)
                del result
            del call, future


def _settle(future: asyncio.Future[Any], setter: Callable[[Any], None], outcome: object) -> None:
    """Hand an outcome to the loop that waits, if it does and still runs."""

    def settle() -> None:
        if not future.done():
            setter(outcome)

    with suppress(RuntimeError):  # the loop is closed
        future.get_loop().call_soon_threadsafe(settle)


async def in_daemon_thread(call: Callable[[], Result], *, name: str, discard: Callable[[Result], object]) -> Result:
    """Return what `call` returns, called in a thread of its own.

    Args:
        call: What blocks; whatever it raises is raised here.
        name: The thread's name.
        discard: Given the result if nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result) -> None:
        if future.done():
            discard(result)
        else:
            future.set_result(result)

    def fail(exc: BaseException) -> None:
        if not future.done():
            future.set_exception(exc)

    def run() -> None:
        try:
            result = call()
        except BaseException as exc:  # noqa: BLE001 - raised again in the task that waits
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(fail, exc)
            return
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:  # the loop is closed
            discard(result)

    Thread(target=run, name=name, daemon=True).start()
    return await future
