"""What the gateway asks of the world; adapters implement it and raise only what is declared here."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from gateway.core.acquisition import ReadMeter, Sample, Task, VisitEvent


class BusError(Exception):
    """Raised when a bus did not do what was asked; `reason` is the word for counters and receipts."""

    reason = "unavailable"


class MeterUnavailableError(BusError):
    """Raised when a device gave no answer in time; a switch may or may not have been carried out."""


class LineDownError(MeterUnavailableError):
    """Raised when the bus itself cannot be reached, which says nothing about the device."""

    def __init__(self, problem: str, *, retry_in_ms: int) -> None:
        super().__init__(problem)
        self.retry_in_ms = retry_in_ms
        """Real milliseconds until the driver will try to open the line again."""


class GarbledError(BusError):
    """Raised when something came back that is no answer to what was asked."""

    reason = "garbled"


class MeterRefusedError(BusError):
    """Raised when a device answered that it will not."""

    reason = "refused"

    def __init__(self, problem: str, *, code: int) -> None:
        super().__init__(problem)
        self.code = code
        """The device's own code, for Modbus its exception code."""


class UntrustedError(BusError):
    """Raised when what came back does not prove that it is from the device, or fresh; no key is ever in the text."""

    reason = "untrusted"


class DisagreedError(BusError):
    """Raised when a device took an order and, asked afterwards, shows that it did not follow it."""

    reason = "disagreed"


class Shelf(Protocol):
    """What adapters keep over restarts, by name."""

    async def kept(self, name: str) -> bytes | None:
        """Return what was kept last, None if nothing was."""

    async def keep(self, name: str, value: bytes) -> None:
        """Keep a value; it is on the disk when this returns."""


@dataclass(slots=True)
class LineUsage:
    """What a line has carried since its driver was made."""

    transactions: int = 0
    failures: int = 0
    """Transactions that nothing or nothing intelligible answered; a device that refuses has answered."""
    sent_bytes: int = 0
    received_bytes: int = 0


class BusDriver(Protocol):
    """One line with devices on it. One call at a time; one try a call, repeating is the schedule's business."""

    @property
    def usage(self) -> LineUsage: ...

    def parts(self, read: ReadMeter) -> tuple[tuple[int, ...], ...]:
        """Return the transactions a read takes, each as the channels it brings.

        Raises:
            KeyError: The driver has no such meter.
        """

    async def read(self, read: ReadMeter, part: int) -> tuple[Sample, ...]:
        """Carry out one transaction of a read.

        Raises:
            BusError: See its subclasses.
        """

    async def switch(self, relay_id: str, *, closed: bool) -> bool:
        """Bring a relay into a state and return what it says it is in afterwards, True for closed.

        Raises:
            BusError: See its subclasses; after `MeterUnavailableError` the state is unknown.
        """

    async def relay_state(self, relay_id: str) -> bool:
        """Return whether a relay is closed.

        Raises:
            BusError: See its subclasses.
        """

    def reset(self) -> None:
        """Drop the connection; the next call opens it anew."""


class VisitDriver(BusDriver, Protocol):
    """A line with meters that keep records of their own."""

    def visit(self, meter_id: str, tasks: tuple[Task, ...]) -> AsyncGenerator[VisitEvent, None]:
        """Work off tasks in one association, giving each event as soon as it is there.

        Closing the generator ends the association. What a meter refuses of a task is an event (`TaskRefused`), and the
        next task follows; a meter that cannot be reached, or breaks off, is an error, and what was given stands. A
        reading given has no `slot_ms`.

        Raises:
            BusError: See its subclasses.
        """
