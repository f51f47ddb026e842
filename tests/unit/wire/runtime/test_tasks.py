"""A task beside a block ends with it, and the block with a task that fails."""

import asyncio

import pytest

from wire.runtime.tasks import background


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_the_task_ends_with_the_block() -> None:
    async with background(for_ever(), name="t") as task:
        await asyncio.sleep(0)
    assert task.cancelled()


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with background(for_ever(), name="t"):
            raise KeyError


async def test_a_task_that_fails_interrupts_the_block_with_its_error() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with background(fail(), name="t"):
            await asyncio.Event().wait()
    await asyncio.sleep(0)  # the owner itself is not cancelled


async def test_a_cancelled_block_stays_cancelled() -> None:
    started = asyncio.Event()

    async def block() -> None:
        async with background(for_ever(), name="t"):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
