"""A two-wire RS-485 line on the event loop's time: bytes take as long as they take, and only one side is heard at once.

The meters on it are simulated IS 15959 meters behind a real HDLC server. One may be dead, one may take long to answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from device_sim.core.is15959.meter import Is15959Meter
from dlms.link.address import StationAddress
from dlms.link.events import PeerConnected, PeerDisconnected, PeerReceived, SendBytes, ServerEvent
from dlms.link.server import HdlcServerLine, HdlcServerSettings
from dlms.server.port import ServerPort

BITS_OF_A_BYTE: Final = 10
"""8N1."""
CHUNK_BYTES: Final = 16
"""What a serial driver hands over at once."""
LOGICAL: Final = 1


@dataclass(slots=True, kw_only=True)
class Habit:
    """How a meter takes its turn."""

    turn_round_ms: float = 20.0
    """Its silence between a request and its answer."""
    is_dead: bool = False


@dataclass(slots=True)
class _Station:
    meter: Is15959Meter
    port: ServerPort
    habit: Habit = field(default_factory=Habit)


class Rs485Line:
    """The line; a `gateway.adapters.dlms.carriers.Carrier` for the one who asks."""

    def __init__(
        self,
        meters: Mapping[int, Is15959Meter],
        *,
        baud: int,
        challenge: Callable[[], bytes],
        wall_ms: Callable[[], int],
    ) -> None:
        """Lay the line.

        Args:
            meters: By physical address.
            baud: Bits a second.
            challenge: Gives each association of a meter its challenge.
            wall_ms: Site time for the meters.
        """
        self._stations = {address: _Station(meter, ServerPort({LOGICAL: meter}, challenge=challenge))
                          for address, meter in meters.items()}  # fmt: skip
        self._server = HdlcServerLine([StationAddress(LOGICAL, address) for address in meters], HdlcServerSettings())
        self._seconds_per_byte = BITS_OF_A_BYTE / baud
        self._wall_ms = wall_ms
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._free_at_s = 0.0

    def habit(self, address: int) -> Habit:
        """Return how a meter takes its turn, to be changed."""
        return self._stations[address].habit

    # ---- the carrier -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._heard = asyncio.Queue()

    def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(self._occupy(len(data)), self._serve, data)

    async def read(self) -> bytes:
        return await self._heard.get()

    def close(self) -> None:
        pass

    # ---- the meters --------------------------------------------------------------------------------------------------

    def _occupy(self, byte_count: int, *, after_s: float = 0.0) -> float:
        """Put bytes on the line as soon as it is free, and return when the last is over."""
        begin_s = max(asyncio.get_running_loop().time() + after_s, self._free_at_s)
        self._free_at_s = begin_s + byte_count * self._seconds_per_byte
        return self._free_at_s

    def _serve(self, data: bytes) -> None:
        now_ms = round(asyncio.get_running_loop().time() * 1_000)
        self._perform(self._server.receive(data, now_ms=now_ms), now_ms)

    def _perform(self, events: tuple[ServerEvent, ...], now_ms: int) -> None:
        for event in events:
            match event:
                case SendBytes(data, station):
                    assert station is not None, "a frame on a shared line is somebody's"
                    assert station.lower is not None, "every meter here has a physical address"
                    self._answer(data, self._stations[station.lower].habit)
                case PeerReceived(peer, apdu):
                    assert peer.physical is not None, "every meter here has a physical address"
                    station_there = self._stations[peer.physical]
                    station_there.meter.advance(self._wall_ms())
                    answer = station_there.port.handle(apdu, client=peer.client, server=peer.server)
                    if answer is not None:
                        self._perform(self._server.send(peer, answer, now_ms=now_ms), now_ms)
                case PeerConnected(peer) | PeerDisconnected(peer):
                    assert peer.physical is not None, "every meter here has a physical address"
                    self._stations[peer.physical].port.close()
                case _:
                    pass

    def _answer(self, data: bytes, habit: Habit) -> None:
        if habit.is_dead:
            return
        loop = asyncio.get_running_loop()
        over_s = self._occupy(len(data), after_s=habit.turn_round_ms / 1_000)
        for first in range(0, len(data), CHUNK_BYTES):
            chunk = data[first : first + CHUNK_BYTES]
            left = len(data) - first - len(chunk)
            loop.call_at(over_s - left * self._seconds_per_byte, self._heard.put_nowait, chunk)
