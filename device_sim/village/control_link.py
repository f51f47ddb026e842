"""The demo's line to the simulator's control socket: one request at a time, one answer each."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, Self

from device_sim.village.processes import ProgramError

LINE_BYTES_MAX: Final = 1024 * 1024


class ControlLink:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connect to `HOST:PORT`."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=LINE_BYTES_MAX))

    async def close(self) -> None:
        self._writer.close()

    async def meters(self) -> list[dict[str, Any]]:
        """Return how all meters and households stand."""
        found: list[dict[str, Any]] = (await self._ask(command="state"))["meters"]
        return found

    async def given(self) -> dict[str, int]:
        """Return how many energies each device has sent and rows it has captured so far.

        The truth log is on disk up to here.
        """
        devices = (await self._ask(command="truth"))["devices"]
        return {device: tally["energies"] + tally.get("rows", 0) for device, tally in devices.items()}

    async def set_dead(self, meter: str, *, dead: bool) -> None:
        """Let a meter fall silent, or answer again."""
        await self._ask(command="fault", device=meter, kind="dead", on=dead)

    async def cut_network(self, gateway: str) -> None:
        await self._ask(command="cutter", cutter=gateway, cut="refuse")

    async def restore_network(self, gateway: str) -> None:
        await self._ask(command="cutter", cutter=gateway, restore=True)

    async def _ask(self, **request: object) -> dict[str, Any]:
        async with self._turn:
            self._writer.write(json.dumps(request).encode() + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        if not line:
            raise ProgramError("the simulator hung up")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise ProgramError(f"the simulator refused {request}: {answer['error']}")
        return answer
