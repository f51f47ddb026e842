"""The kinds of meter, and one meter: a supply seen through a register map and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from device_sim.core.adw300 import ADW300
from device_sim.core.distortion import Distortion
from device_sim.core.em112 import EM112
from device_sim.core.em340 import EM340
from device_sim.core.exchange import ReadCoils, ReadRegisters, Refusal, Reply, Request, Unserved, WriteCoil
from device_sim.core.iem3155 import IEM3155
from device_sim.core.registers import Nameplate, RegisterMap
from device_sim.core.sdm120 import SDM120
from device_sim.core.sdm630 import SDM630

if TYPE_CHECKING:
    from device_sim.core.faults import Faults
    from device_sim.core.supply import Supply


class MeterKind(StrEnum):
    """The meters that can be played."""

    SDM120 = "sdm120"
    EM112 = "em112"
    IEM3155 = "iem3155"
    ADW300 = "adw300"
    SDM630 = "sdm630"
    EM340 = "em340"


@dataclass(frozen=True, slots=True)
class Model:
    """What all meters of one kind have in common."""

    registers: RegisterMap
    phase_count: int
    power_max_w: float
    """What the main fuse of a household with this meter lets through."""


MODELS: Final = {
    MeterKind.SDM120: Model(SDM120, 1, 10_000),
    MeterKind.EM112: Model(EM112, 1, 7_000),
    MeterKind.IEM3155: Model(IEM3155, 3, 43_000),
    MeterKind.ADW300: Model(ADW300, 3, 43_000),
    MeterKind.SDM630: Model(SDM630, 3, 43_000),
    MeterKind.EM340: Model(EM340, 3, 43_000),
}


class Meter:
    """One meter on a line."""

    def __init__(self, *, id: str, unit: int, kind: MeterKind, serial: int, supply: Supply, faults: Faults) -> None:  # noqa: A002 - the name of the device
        self.id = id
        self.unit = unit
        self.kind = kind
        self.supply = supply
        self.faults = faults
        self._registers = MODELS[kind].registers
        self._nameplate = Nameplate(serial=serial, unit=unit)
        self._distortion = Distortion(faults)

    def answer(self, request: Request, *, now_ms: int) -> Reply:
        match request:
            case ReadRegisters(function, address, count):
                return self._read(function, address, count, now_ms)
            case ReadCoils() | WriteCoil():
                return Refusal.ILLEGAL_FUNCTION
            case Unserved(refusal):
                return refusal

    def _read(self, function: int, address: int, count: int, now_ms: int) -> Reply:
        stretch = self._registers.stretch(function, address, count)
        if isinstance(stretch, Refusal):
            return stretch
        actual = self.supply.snapshot(now_ms)
        return stretch.read(self._distortion.shown(actual, stretch.quantities, now_ms=now_ms), self._nameplate)
