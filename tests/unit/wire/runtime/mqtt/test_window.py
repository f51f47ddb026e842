"""Places of a window go to those who asked first, and none is ever lost."""

import asyncio

import pytest

from wire.runtime.mqtt.window import Window


async def test_a_full_window_makes_the_next_wait_in_order() -> None:
    window = Window(1)
    order: list[str] = []

    async def take(name: str) -> None:
        await window.take()
        order.append(name)

    assert window.try_take()
    assert not window.try_take()
    tasks = [asyncio.create_task(take(name)) for name in ("first", "second")]
    await asyncio.sleep(0)
    window.give()
    assert not window.try_take()
    window.give()
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


async def test_a_place_granted_to_one_who_gave_up_passes_on() -> None:
    window = Window(1)
    await window.take()
    gives_up, stays = (asyncio.create_task(window.take()) for _ in range(2))
    await asyncio.sleep(0)
    window.give()
    gives_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gives_up
    await asyncio.wait_for(stays, 10)
    window.give()
    assert window.try_take()
