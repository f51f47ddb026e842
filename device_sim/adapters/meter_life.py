"""Lets the DLMS meters of a process live: one task looks after all of them, and carries off what they push.

A meter is also brought up to date whenever somebody talks to it. When something is due in a meter, the meter decides.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from device_sim.adapters.pushes import PushPost
    from device_sim.core.dlms_meter import DlmsMeter
    from wire.runtime.clock import Clock

LOOK_INTERVAL_S: Final = 0.1
"""By how much a meter may be late, real time."""
_NEVER_MS: Final = 1 << 62


class MeterLife:
    """The time of all meters."""

    def __init__(self, meters: Iterable[DlmsMeter], *, clock: Clock, post: PushPost) -> None:
        self._clock = clock
        self._post = post
        self._due_ms = dict.fromkeys(meters, 0)

    def bring_up(self, meter: DlmsMeter) -> int:
        """Let a meter live up to now, and return what now is in site time."""
        now_ms = self._clock.wall_ms()
        meter.advance(now_ms)
        return now_ms

    def settle(self, meter: DlmsMeter) -> None:
        """Take from a meter what it wants sent, and note when something is due; to be called after all done to it."""
        for push in meter.device.take_pushes():
            self._post.post(meter.id, push)
        due_ms = meter.device.next_deadline_ms()
        self._due_ms[meter] = _NEVER_MS if due_ms is None else due_ms

    def look(self) -> None:
        """Let all meters live for which something is due."""
        now_ms = self._clock.wall_ms()
        for meter in [meter for meter, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            meter.advance(now_ms)
            self.settle(meter)

    async def keep_looking(self) -> None:
        """Look after the meters, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_INTERVAL_S)
