"""What the meter measures and adds up: energy, demand, averages, by interval and by tariff zone.

Decides how the household's supply becomes registers. All sums are whole numbers (microjoules, millivolts times
milliseconds), so that results do not depend on how often somebody looks. When an interval ends, the meter decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING, Final

from device_sim.core.supply import UJ_PER_WH

if TYPE_CHECKING:
    from device_sim.core.supply import Snapshot, Supply

ZONES: Final = 8
_MILLI: Final = 1000


@dataclass(slots=True)
class Block:
    """What one interval of the block load profile holds."""

    voltage_mv: int = 0
    """Mean; 0 where the meter had no power at all."""
    current_ma: int = 0
    import_wh: int = 0
    apparent_vah: int = 0


@dataclass(slots=True)
class Maximum:
    """The highest demand of a billing cycle and when it was."""

    value: int = 0
    """In W or VA."""
    at_local_ms: int = 0
    """0 for never."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where an interval began."""

    import_uj: int
    apparent_uj: int
    at_ms: int


class Measuring:
    """The measuring element of a single-phase meter."""

    def __init__(self, supply: Supply, *, now_ms: int) -> None:
        """Begin at site time `now_ms` with what has passed through the supply so far."""
        self._supply = supply
        self.state: Snapshot = supply.snapshot(now_ms)
        """As it stands at the time of the last step."""
        self._at_ms = now_ms
        self._apparent_uj = max(self.state.import_uj, round(hypot(self.state.import_uj, self.state.reactive_import_uj)))
        self._apparent_mva = self._power_mva()
        self.zone = 1
        """Tariff zone in force, from 1."""
        self.zone_uj = [self.state.import_uj, *[0] * (ZONES - 1)]
        self.zone_apparent_uj = [self._apparent_uj, *[0] * (ZONES - 1)]
        self._voltage_sum = self._current_sum = self._measured_ms = 0
        self._block_mark = self._demand_mark = self._cycle_mark = self._mark(now_ms)
        self.block = Block()
        """The last interval that ended."""
        self.demand_w = 0
        """Of the last demand period."""
        self.demand_va = 0
        self.maximum_w = Maximum()
        self.maximum_va = Maximum()
        self.on_ms = 0
        """How long the meter had power."""
        self.cycle_on_ms = 0

    @property
    def import_wh(self) -> int:
        return self.state.import_uj // UJ_PER_WH

    @property
    def apparent_vah(self) -> int:
        return self._apparent_uj // UJ_PER_WH

    @property
    def import_uj(self) -> int:
        return self.state.import_uj

    def step(self, until_ms: int) -> None:
        """Add up to `until_ms`; demand and voltage must not change before it."""
        passed_ms = until_ms - self._at_ms
        before = self.state
        self.state = self._supply.snapshot(until_ms)
        self._at_ms = until_ms
        if passed_ms:
            phase = before.phases[0]
            apparent_uj = self._apparent_mva * passed_ms
            self._apparent_uj += apparent_uj
            self.zone_uj[self.zone - 1] += self.state.import_uj - before.import_uj
            self.zone_apparent_uj[self.zone - 1] += apparent_uj
            voltage_mv = round(phase.voltage_v * _MILLI)
            self._voltage_sum += voltage_mv * passed_ms
            self._current_sum += self._apparent_mva * _MILLI // voltage_mv * passed_ms
            self._measured_ms += passed_ms
            self.on_ms += passed_ms
            self.cycle_on_ms += passed_ms
        self._apparent_mva = self._power_mva()

    def skip(self, until_ms: int) -> None:
        """Let time pass without power."""
        self.state = self._supply.snapshot(until_ms)
        self._at_ms = until_ms
        self._apparent_mva = self._power_mva()

    def end_block(self, now_ms: int) -> Block:
        """End an interval of the block load profile and begin the next."""
        mark, measured_ms = self._block_mark, self._measured_ms
        self.block = Block(
            voltage_mv=self._voltage_sum // measured_ms if measured_ms else 0,
            current_ma=self._current_sum // measured_ms if measured_ms else 0,
            import_wh=self.import_wh - mark.import_uj // UJ_PER_WH,
            apparent_vah=self.apparent_vah - mark.apparent_uj // UJ_PER_WH,
        )
        self._voltage_sum = self._current_sum = self._measured_ms = 0
        self._block_mark = self._mark(now_ms)
        return self.block

    def end_demand(self, now_ms: int, *, local_ms: int) -> None:
        """End a demand period; the highest of the cycle is kept with its time."""
        mark = self._demand_mark
        passed_ms = now_ms - mark.at_ms
        if passed_ms:
            self.demand_w = (self.state.import_uj - mark.import_uj) // (passed_ms * _MILLI)
            self.demand_va = (self._apparent_uj - mark.apparent_uj) // (passed_ms * _MILLI)
        self._demand_mark = self._mark(now_ms)
        for maximum, value in ((self.maximum_w, self.demand_w), (self.maximum_va, self.demand_va)):
            if value > maximum.value:
                maximum.value, maximum.at_local_ms = value, local_ms

    def cycle_power_factor(self) -> int:
        """Return the mean power factor of the billing cycle, in thousandths."""
        active = self.state.import_uj - self._cycle_mark.import_uj
        apparent = self._apparent_uj - self._cycle_mark.apparent_uj
        return min(_MILLI, active * _MILLI // apparent) if apparent else _MILLI

    def end_cycle(self, now_ms: int) -> None:
        """Begin a billing cycle: highest demands and mean power factor start anew."""
        self._cycle_mark = self._mark(now_ms)
        self.maximum_w, self.maximum_va = Maximum(), Maximum()
        self.cycle_on_ms = 0

    def _mark(self, now_ms: int) -> _Mark:
        return _Mark(self.state.import_uj, self._apparent_uj, now_ms)

    def _power_mva(self) -> int:
        return round(self.state.phases[0].apparent_va * _MILLI)
