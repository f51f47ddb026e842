"""What really happened on the lines: counts for each device, and every energy value that went out, in a file.

The file has one JSON object a line: `at_ms` (site time of the read), `meter`, `address`, `raw` (the registers as sent)
and `energy_wh` (what they say). An energy is recorded when its answer is handed to the transport in good order; whether
the master still waits for it nobody can know here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from device_sim.core.exchange import Refusal, Registers, Reply

if TYPE_CHECKING:
    from pathlib import Path

FLUSH_INTERVAL_S: Final = 0.25
"""How much of the file a kill can cost."""


class EnergySent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file."""

    at_ms: int
    meter: str
    address: int
    raw: tuple[int, ...]
    energy_wh: float


class Tally(msgspec.Struct, kw_only=True):
    """What one device did."""

    answered: int = 0
    """Answers sent in good order, refusals included."""
    refused: int = 0
    """Answers that were Modbus exceptions."""
    silent: int = 0
    """Requests without an answer."""
    garbled: int = 0
    """Answers spoilt on the way."""
    energies: int = 0
    """Energy values sent in good order."""
    last_energy_wh: float | None = None


class Truth:
    """The record of one simulation."""

    def __init__(self, path: Path | None) -> None:
        """Start a new file; none without a path.

        Raises:
            OSError: The file cannot be written.
        """
        self._file = path.open("wb") if path is not None else None
        self._encoder = msgspec.json.Encoder()
        self._unwritten: list[bytes] = []
        self._writing = asyncio.Lock()
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)

    def silent(self, device_id: str) -> None:
        self.tallies[device_id].silent += 1

    def garbled(self, device_id: str) -> None:
        self.tallies[device_id].garbled += 1

    def answered(self, device_id: str, reply: Reply, *, at_ms: int) -> None:
        """Count an answer, and record the energies in it."""
        tally = self.tallies[device_id]
        tally.answered += 1
        if isinstance(reply, Refusal):
            tally.refused += 1
        elif isinstance(reply, Registers):
            for sample in reply.energies:
                tally.energies += 1
                tally.last_energy_wh = sample.energy_wh
                if self._file is not None:
                    entry = EnergySent(
                        at_ms=at_ms,
                        meter=device_id,
                        address=sample.address,
                        raw=sample.raw,
                        energy_wh=sample.energy_wh,
                    )
                    self._unwritten.append(self._encoder.encode(entry))

    async def flush(self) -> None:
        """Write what is recorded so far, off the event loop."""
        async with self._writing:
            lines, self._unwritten = self._unwritten, []
            if self._file is not None and lines:
                await asyncio.to_thread(_append, self._file, b"\n".join((*lines, b"")))

    async def keep_flushing(self) -> None:
        """Write every so often, for ever."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    async def close(self) -> None:
        """Write the rest and close the file."""
        await self.flush()
        if self._file is not None:
            self._file.close()


def _append(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
