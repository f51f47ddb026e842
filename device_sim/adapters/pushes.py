"""Carries what meters push to its destination: the wrapper over TCP or UDP, with the retries the meter asks for.

A push is delivered when the transport has taken it: neither kind of push is acknowledged.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.associations import SERVER_SAP
from dlms.cosem.push_setup import TransportService
from dlms.link.wrapper import pack

if TYPE_CHECKING:
    from device_sim.adapters.truth import Truth
    from device_sim.core.is15959.push import SendPush

CONNECTIONS_MAX: Final = 64
"""Open at once: when a village goes dark hundreds of meters speak at the same time."""
WAITING_MAX: Final = 4096
CONNECT_S_MAX: Final = 5.0


class PushPost:
    """Takes pushes from all meters of a process."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, meter_id: str, push: SendPush) -> None:
        """Begin to deliver a push; one without a destination, or too many to wait, is lost."""
        place = _place(push.destination)
        if place is None or len(self._tasks) >= WAITING_MAX:
            self._truth.pushed(meter_id, is_delivered=False)
            return
        task = asyncio.create_task(self._deliver(meter_id, push, *place), name=f"push of {meter_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, meter_id: str, push: SendPush, host: str, port: int) -> None:
        data = pack(SERVER_SAP, push.client_sap, push.apdu)
        for attempt in range(push.retries + 1):
            if attempt:
                await asyncio.sleep(push.retry_delay_s)
            try:
                async with self._slots:
                    await _send(data, host, port, is_datagram=push.transport == TransportService.UDP)
            except OSError:
                continue
            self._truth.pushed(meter_id, is_delivered=True)
            return
        self._truth.pushed(meter_id, is_delivered=False)


async def _send(data: bytes, host: str, port: int, *, is_datagram: bool) -> None:
    if is_datagram:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, port))
        transport.sendto(data)
        transport.close()
        return
    async with asyncio.timeout(CONNECT_S_MAX):
        _, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        await writer.drain()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _place(destination: bytes) -> tuple[str, int] | None:
    """Return host and port, None where it names none."""
    host, _, port = destination.decode("latin-1").rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        return None
    return host, int(port)
