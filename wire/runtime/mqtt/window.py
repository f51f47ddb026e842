"""A bounded number of places that are taken and given back, in the order of asking."""

import asyncio
from collections import deque


class Window:
    """Places for what is on its way.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        assert size >= 1
        self._free_count = size
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_take(self) -> bool:
        """Take a place if there is one; tell whether."""
        if self._free_count == 0:
            return False
        self._free_count -= 1
        return True

    async def take(self) -> None:
        """Take a place; waits for one behind those who asked before."""
        if self.try_take():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Give a place back; it passes to the first who waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free_count += 1
