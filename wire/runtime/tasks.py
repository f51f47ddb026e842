"""A task that runs beside a block of code and ends with it; if it fails, so does the block.

A task group would wrap what the block itself raises, and so hide our typed errors from whoever handles them.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def background(work: Coroutine[Any, Any, object], *, name: str) -> AsyncIterator[asyncio.Task[object]]:
    """Run `work` while the block runs; cancel it, and wait for it, at the end.

    Args:
        work: What to run. What it raises interrupts the block and is raised in its place.
        name: Of the task.
    """
    owner = asyncio.current_task()
    assert owner is not None
    task = asyncio.create_task(work, name=name)
    was_interrupted = False

    def interrupt(done: asyncio.Task[object]) -> None:
        nonlocal was_interrupted
        if not done.cancelled() and done.exception() is not None:
            was_interrupted = True
            owner.cancel()

    task.add_done_callback(interrupt)
    try:
        yield task
    finally:
        task.remove_done_callback(interrupt)
        task.cancel()
        await asyncio.wait((task,))
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            if was_interrupted:
                owner.uncancel()
            raise failure
