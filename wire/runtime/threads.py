"""One blocking call outside the event loop, that nobody has to wait for in the end.

An executor's threads are joined when the process exits, and a name server that does not answer would hold it for half a
minute; a daemon thread holds nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


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
