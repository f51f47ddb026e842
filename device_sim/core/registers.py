"""Register maps: what stands at which address, in which form, and how a request for a stretch of them is answered.

The maps themselves are tables, one module for each kind of meter. Addresses are those of the protocol, counted from 0.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from device_sim.core.exchange import EnergySample, Refusal, Registers
from device_sim.core.faults import AbsurdQuantity

if TYPE_CHECKING:
    from device_sim.core.supply import Snapshot

_ENERGIES: Final = frozenset({"import_wh"})
"""Quantities whose reads are recorded as truth."""
STRETCHES_KEPT_MAX: Final = 512
"""Requests remembered for each kind of meter, so that a poll is prepared once."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a number becomes registers."""

    words: int
    pack: Callable[[float], bytes]
    unpack: Callable[[bytes], float]


def _integer(words: int, *, low_word_first: bool = False) -> Encoding:
    """Return a whole number, two's complement; like the real counter it keeps the low bits of what does not fit."""
    mask = (1 << 16 * words) - 1

    def ordered(data: bytes) -> bytes:
        return data if not low_word_first else b"".join(data[i : i + 2] for i in range(2 * words - 2, -1, -2))

    def pack(value: float) -> bytes:
        return ordered((round(value) & mask).to_bytes(2 * words, "big"))

    def unpack(data: bytes) -> float:
        return int.from_bytes(ordered(data), "big", signed=True)

    return Encoding(words, pack, unpack)


def _unpack_float32(data: bytes) -> float:
    value: float = _FLOAT32.unpack(data)[0]
    return value


_FLOAT32: Final = struct.Struct(">f")
FLOAT32: Final = Encoding(2, _FLOAT32.pack, _unpack_float32)
INT16: Final = _integer(1)
INT32: Final = _integer(2)
INT32_LOW_WORD_FIRST: Final = _integer(2, low_word_first=True)
INT64: Final = _integer(4)


@dataclass(frozen=True, slots=True)
class Nameplate:
    """What a meter says about itself."""

    serial: int
    unit: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Registers that show a quantity of the snapshot."""

    address: int
    encoding: Encoding
    quantity: str
    """Attribute of `Snapshot`, dotted; in V, A, W, VA, var, Hz, degrees, Wh, varh."""
    scale: float = 1.0
    """What the registers show for one unit of the quantity."""

    @property
    def words(self) -> int:
        return self.encoding.words

    @property
    def end(self) -> int:
        return self.address + self.words


@dataclass(frozen=True, slots=True)
class Fixed:
    """Registers that show the nameplate."""

    address: int
    words: int
    pack: Callable[[Nameplate], bytes]

    @property
    def end(self) -> int:
        return self.address + self.words


def text(address: int, words: int, value: str) -> Fixed:
    """Return registers that hold ASCII text, two characters each, filled with zeros."""
    data = value.encode("ascii").ljust(2 * words, b"\0")
    return Fixed(address, words, lambda _: data)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of registers that a request asks for, prepared."""

    count: int
    image_bytes: int
    skip_bytes: int
    """The image begins so many bytes before the stretch, with a value of which only a part was asked for."""
    measured: tuple[tuple[Measured, Callable[[Snapshot], float], int], ...]
    """Register, its getter, and its place in the image in bytes."""
    fixed: tuple[tuple[Fixed, int], ...]
    energies: tuple[tuple[Measured, int], ...]
    """Energy registers asked for in full, and their place among the words of the answer."""
    quantities: frozenset[AbsurdQuantity]
    """Which values that can be absurd stand in it."""

    def read(self, snapshot: Snapshot, nameplate: Nameplate) -> Registers:
        """Return the registers as they show a snapshot; those that the meter does not have read as 0."""
        image = bytearray(self.image_bytes)
        for register, quantity, place in self.measured:
            image[place : place + 2 * register.words] = register.encoding.pack(quantity(snapshot) * register.scale)
        for fixed, place in self.fixed:
            image[place : place + 2 * fixed.words] = fixed.pack(nameplate)
        words = struct.unpack_from(f">{self.count}H", image, self.skip_bytes)
        return Registers(words, tuple(_energy_sample(register, index, words) for register, index in self.energies))


class RegisterMap:
    """All registers of one kind of meter."""

    def __init__(self, tables: Mapping[int, tuple[Measured | Fixed, ...]]) -> None:
        """Take the tables by function code: 3 for holding registers, 4 for input registers."""
        self.tables = dict(tables)
        self.stretch = lru_cache(maxsize=STRETCHES_KEPT_MAX)(self._make_stretch)

    def _make_stretch(self, function: int, address: int, count: int) -> Stretch | Refusal:
        """Prepare `count` registers from `address`; a stretch in which the meter has nothing at all is refused."""
        table = self.tables.get(function)
        if table is None:
            return Refusal.ILLEGAL_FUNCTION
        end = address + count
        touched = [register for register in table if register.address < end and register.end > address]
        if not touched:
            return Refusal.ILLEGAL_DATA_ADDRESS
        first = min(address, *(register.address for register in touched))
        last = max(end, *(register.end for register in touched))
        places = [(register, 2 * (register.address - first)) for register in touched]
        measured = [register for register in touched if isinstance(register, Measured)]
        return Stretch(
            count=count,
            image_bytes=2 * (last - first),
            skip_bytes=2 * (address - first),
            measured=tuple(
                (register, attrgetter(register.quantity), place)
                for register, place in places
                if isinstance(register, Measured)
            ),
            fixed=tuple((register, place) for register, place in places if isinstance(register, Fixed)),
            energies=tuple(
                (register, register.address - address)
                for register in measured
                if register.quantity in _ENERGIES and register.address >= address and register.end <= end
            ),
            quantities=frozenset(_absurd_quantities(measured)),
        )


def _absurd_quantities(registers: list[Measured]) -> set[AbsurdQuantity]:
    """Return which of the values that can be absurd stand in some registers."""
    found = {AbsurdQuantity.ENERGY for register in registers if register.quantity in _ENERGIES}
    return found | {AbsurdQuantity.POWER for register in registers if register.quantity.endswith("active_w")}


def _energy_sample(register: Measured, index: int, words: tuple[int, ...]) -> EnergySample:
    """Return an energy as sent, read back from its own registers."""
    raw = words[index : index + register.words]
    value = register.encoding.unpack(struct.pack(f">{len(raw)}H", *raw))
    return EnergySample(register.address, raw, value / register.scale)
