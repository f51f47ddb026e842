"""A half-duplex line on which every byte takes as long as its baud rate says, by the time of the event loop."""

import asyncio

from tests.integration.gateway.dlms.site import Line


class VirtualCarrier:
    """A `Carrier`: a line of this many baud, whose stations think for `turn_s` before they answer."""

    def __init__(self, line: Line, *, baud: int, turn_s: float) -> None:
        self._line = line
        self._byte_s = 10 / baud
        self._turn_s = turn_s
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.busy_s = 0.0
        """What the bytes alone have taken."""

    async def open(self) -> None:
        self._arrived = asyncio.Queue()

    def close(self) -> None:
        self._arrived = asyncio.Queue()

    def write(self, data: bytes) -> None:
        spent_s = self._spend(data)
        asyncio.get_running_loop().call_later(spent_s + self._turn_s, self._line.received, data, self._answer)

    def _answer(self, data: bytes) -> None:
        loop, after_s, arrived = asyncio.get_running_loop(), 0.0, self._arrived
        for start in range(0, len(data), 16):
            piece = data[start : start + 16]
            after_s += self._spend(piece)
            loop.call_later(after_s, arrived.put_nowait, piece)

    def _spend(self, data: bytes) -> float:
        spent_s = len(data) * self._byte_s
        self.busy_s += spent_s
        return spent_s

    async def read(self) -> bytes:
        return await self._arrived.get()
