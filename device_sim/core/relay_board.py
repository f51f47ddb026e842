"""A relay board: coils, each of which drives the switch of one household. Functions 1 (read coils) and 5 (write coil).

A coil that is on lets power through. Coils without a household keep their state and drive nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sim.core.exchange import Coils, ReadCoils, ReadRegisters, Refusal, Reply, Request, Unserved, WriteCoil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device_sim.core.faults import Faults
    from device_sim.core.supply import Supply


class RelayBoard:
    """One board on a line."""

    def __init__(self, *, id: str, unit: int, coil_count: int, supplies: Mapping[int, Supply], faults: Faults) -> None:  # noqa: A002 - the name of the device
        """Describe a board; `supplies` is by coil, counted from 0, and every coil starts on."""
        self.id = id
        self.unit = unit
        self.faults = faults
        self._supplies = dict(supplies)
        self._coils = [True] * coil_count

    def answer(self, request: Request, *, now_ms: int) -> Reply:
        match request:
            case ReadCoils(address, count):
                values = tuple(self._coils[address : address + count])
                return Coils(values) if len(values) == count else Refusal.ILLEGAL_DATA_ADDRESS
            case WriteCoil(address, on):
                return self._write(address, on=on, now_ms=now_ms)
            case ReadRegisters():
                return Refusal.ILLEGAL_FUNCTION
            case Unserved(refusal):
                return refusal

    def is_on(self, coil: int) -> bool:
        return self._coils[coil]

    def drive(self, coil: int, *, on: bool, now_ms: int) -> None:
        """Switch a coil, and with it the household behind it."""
        self._coils[coil] = on
        supply = self._supplies.get(coil)
        if supply is not None:
            supply.switch(closed=on, now_ms=now_ms)

    def _write(self, coil: int, *, on: bool, now_ms: int) -> Reply:
        if coil >= len(self._coils):
            return Refusal.ILLEGAL_DATA_ADDRESS
        self.drive(coil, on=on, now_ms=now_ms)
        return Coils((on,))
