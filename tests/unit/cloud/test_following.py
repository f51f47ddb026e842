import asyncio
from random import Random

from structlog.testing import capture_logs

from cloud import following
from wire.runtime.errors import UnavailableError


async def test_a_loss_and_a_recovery_are_logged_once_each() -> None:
    done = asyncio.Event()
    failures_left = 2

    async def step() -> bool:
        nonlocal failures_left
        await asyncio.sleep(0)
        if failures_left:
            failures_left -= 1
            raise UnavailableError("away")
        done.set()
        return False

    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            task = group.create_task(following.keep_following("test", step, notice=asyncio.Event(), rng=Random(1)))
            await done.wait()
            await asyncio.sleep(0)
            task.cancel()

    assert [line["event"] for line in lines] == ["follower.lost", "follower.recovered"]


async def test_steps_go_on_while_there_is_work_and_then_on_notice() -> None:
    notice, idle = asyncio.Event(), asyncio.Event()
    work = 5
    taken = 0

    async def step() -> bool:
        nonlocal work, taken
        await asyncio.sleep(0)
        if work == 0:
            idle.set()
            return False
        work -= 1
        taken += 1
        return True

    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(following.keep_following("test", step, notice=notice, rng=Random(1)))
        await idle.wait()
        assert taken == 5
        idle.clear()
        work = 2
        notice.set()
        await idle.wait()
        assert taken == 7
        task.cancel()
