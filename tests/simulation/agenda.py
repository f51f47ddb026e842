"""Virtual time: a heap of things to do, done one after the other; nothing waits, nothing runs beside anything."""

import heapq
from collections.abc import Callable
from itertools import count

ORIGIN_MS = 1_790_000_000_000
"""True UTC at the start of every world, Unix ms (September 2026)."""


class Agenda:
    """What happens when, in true milliseconds since the start of the world."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = count()

    def at(self, time_ms: int, act: Callable[[], object]) -> None:
        """Do something at an instant, or now if that is over."""
        heapq.heappush(self._heap, (max(time_ms, self.now_ms), next(self._numbers), act))

    def after(self, delay_ms: int, act: Callable[[], object]) -> None:
        """Do something later."""
        self.at(self.now_ms + delay_ms, act)

    def run_until(self, end_ms: int) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= end_ms:
            self.now_ms, _, act = heapq.heappop(self._heap)
            act()
        self.now_ms = max(self.now_ms, end_ms)
