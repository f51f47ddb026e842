"""Requests and replies between a line and its devices, in Modbus terms but without Modbus frames.

Framing and transport belong to the adapters; what a request means to a device belongs to the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from device_sim.core.faults import Faults


class Refusal(IntEnum):
    """The exception codes of the Modbus application protocol that our devices use."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3


@dataclass(frozen=True, slots=True)
class ReadRegisters:
    """Function 3 or 4."""

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class ReadCoils:
    """Function 1."""

    address: int
    count: int


@dataclass(frozen=True, slots=True)
class WriteCoil:
    """Function 5."""

    address: int
    on: bool


@dataclass(frozen=True, slots=True)
class Unserved:
    """A request that no device of ours can carry out; a living one says so."""

    refusal: Refusal


Request = ReadRegisters | ReadCoils | WriteCoil | Unserved


@dataclass(frozen=True, slots=True)
class EnergySample:
    """An energy register as it went out on the wire: the truth a later comparison starts from."""

    address: int
    raw: tuple[int, ...]
    """The registers, 16 bits each, in the order sent."""
    energy_wh: float
    """What they say in watt-hours, whatever the meter really counted."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The answer to `ReadRegisters`."""

    words: tuple[int, ...]
    energies: tuple[EnergySample, ...] = ()


@dataclass(frozen=True, slots=True)
class Coils:
    """The answer to `ReadCoils`, and with one value to `WriteCoil`."""

    values: tuple[bool, ...]


Reply = Registers | Coils | Refusal


class Device(Protocol):
    """One unit on a line."""

    @property
    def id(self) -> str:
        """The name it has in the village."""

    @property
    def unit(self) -> int:
        """Its address on the line, 1 to 247."""

    @property
    def faults(self) -> Faults:
        """What is wrong with it."""

    def answer(self, request: Request, *, now_ms: int) -> Reply:
        """Carry the request out at site time `now_ms`."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What comes back over the line."""

    reply: Reply | None
    """None: silence."""
    delay_ms: int = 0
    """Real milliseconds before the answer begins."""
    garbled: bool = False
    """Whether bytes of the answer are spoilt on the way."""


SILENCE: Final = Exchange(None)


def exchange(device: Device, request: Request, *, now_ms: int) -> Exchange:
    """Let a device handle a request as far as its faults allow; a dead one neither acts nor answers."""
    impairment = device.faults.impairment(now_ms=now_ms)
    if impairment.silent:
        return SILENCE
    reply = device.answer(request, now_ms=now_ms)
    return Exchange(reply, delay_ms=impairment.delay_ms, garbled=impairment.garbled)
