"""One household's supply: what its meter sees at an instant, and the energy that has passed so far.

It decides voltage, current and energy; the demand comes from `load`, and how a meter shows them from the register maps.
The meter sits before the household's switch: with the switch open it still shows voltage, but no current flows and no
energy counts. Registers are advanced only by asking, so a supply costs nothing while nobody looks.
"""

from __future__ import annotations

from cmath import rect
from dataclasses import dataclass
from math import atan2, degrees, hypot, pi, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from device_sim.core.load import DAY_MS, MINUTES_PER_DAY, HouseholdLoad, MinuteCurve, stream_key
from device_sim.core.profile import QUARTERS_PER_DAY, StandardProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOMINAL_V: Final = 230.0
UJ_PER_WH: Final = 3_600_000_000
"""Microjoules in a watt-hour; and of reactive energy, mvar times ms in a varh."""
_FEEDER_V: Final = 232.0
_FEEDER_DROP_V: Final = 9.0
"""What the village's evening peak takes off the voltage at the end of the feeder."""
_VOLTAGE_MIN_V: Final = 140.0
_NOISE_MINUTES: Final = 5
FEEDER_DAYS_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class PhaseState:
    """Voltage and power of one phase, or of all together; the rest follows from them."""

    voltage_v: float
    active_w: float
    reactive_var: float

    @property
    def apparent_va(self) -> float:
        return hypot(self.active_w, self.reactive_var)

    @property
    def current_a(self) -> float:
        return self.apparent_va / self.voltage_v

    @property
    def power_factor(self) -> float:
        """Active by apparent power; 1 while no current flows, as meters show it."""
        apparent_va = self.apparent_va
        return self.active_w / apparent_va if apparent_va else 1.0

    @property
    def angle_rad(self) -> float:
        return atan2(self.reactive_var, self.active_w)

    @property
    def angle_deg(self) -> float:
        return degrees(self.angle_rad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a meter can measure, at one instant."""

    phases: tuple[PhaseState, ...]
    frequency_hz: float
    phase_import_uj: tuple[int, ...]
    import_uj: int
    reactive_import_uj: int
    """Reactive energy, in mvar times ms."""
    export_wh: float = 0.0
    reactive_export_varh: float = 0.0

    @property
    def l1(self) -> PhaseState:
        return self.phases[0]

    @property
    def l2(self) -> PhaseState:
        return self.phases[1]

    @property
    def l3(self) -> PhaseState:
        return self.phases[2]

    @property
    def total(self) -> PhaseState:
        """All phases: mean voltage, summed powers (its current is that of one equal phase carrying all of it)."""
        return PhaseState(
            voltage_v=sum(phase.voltage_v for phase in self.phases) / len(self.phases),
            active_w=sum(phase.active_w for phase in self.phases),
            reactive_var=sum(phase.reactive_var for phase in self.phases),
        )

    @property
    def mean_current_a(self) -> float:
        return sum(phase.current_a for phase in self.phases) / len(self.phases)

    @property
    def neutral_a(self) -> float:
        """What is left of three phase currents 120 degrees apart."""
        return abs(
            sum(rect(phase.current_a, -index * 2 * pi / 3 - phase.angle_rad) for index, phase in enumerate(self.phases))
        )

    @property
    def l12_v(self) -> float:
        return _between(self.l1, self.l2)

    @property
    def l23_v(self) -> float:
        return _between(self.l2, self.l3)

    @property
    def l31_v(self) -> float:
        return _between(self.l3, self.l1)

    @property
    def import_wh(self) -> float:
        return self.import_uj / UJ_PER_WH

    @property
    def l1_import_wh(self) -> float:
        return self.phase_import_uj[0] / UJ_PER_WH

    @property
    def l2_import_wh(self) -> float:
        return self.phase_import_uj[1] / UJ_PER_WH

    @property
    def l3_import_wh(self) -> float:
        return self.phase_import_uj[2] / UJ_PER_WH

    @property
    def reactive_import_varh(self) -> float:
        return self.reactive_import_uj / UJ_PER_WH

    @property
    def apparent_import_vah(self) -> float:
        """Apparent energy in the sense of the vector sum of active and reactive energy."""
        return hypot(self.import_wh, self.reactive_import_varh)


def _between(one: PhaseState, other: PhaseState) -> float:
    """Return the voltage between two phases 120 degrees apart."""
    a_v, b_v = one.voltage_v, other.voltage_v
    return sqrt(a_v * a_v + b_v * b_v + a_v * b_v)


@dataclass(frozen=True, slots=True)
class _FeederDay:
    """One local day at the transformer."""

    voltage_mv: tuple[MinuteCurve, ...]
    frequency_mhz: MinuteCurve


class Feeder:
    """Voltage and frequency at the village's transformer: noise, the evening's drop, and a few short sags a day.

    The days in use are kept: meters pass midnight one after the other.
    """

    def __init__(self, *, profile: StandardProfile, seed: int) -> None:
        self._profile = profile
        self._key = stream_key(seed, "feeder")
        self._days: dict[int, _FeederDay] = {}

    def voltage_v(self, phase: int, day_index: int, day_ms: int) -> float:
        return self._day(day_index).voltage_mv[phase].at(day_ms) / 1000

    def frequency_hz(self, day_index: int, day_ms: int) -> float:
        return self._day(day_index).frequency_mhz.at(day_ms) / 1000

    def _day(self, day_index: int) -> _FeederDay:
        day = self._days.get(day_index)
        if day is None:
            if len(self._days) >= FEEDER_DAYS_MAX:
                del self._days[next(iter(self._days))]
            day = self._days[day_index] = self._make_day(day_index)
        return day

    def _make_day(self, day_index: int) -> _FeederDay:
        rng = np.random.default_rng([self._key, day_index])
        burden = np.repeat(self._profile.day_w(day_index) / self._profile.peak_w, MINUTES_PER_DAY // QUARTERS_PER_DAY)
        calm_v = _FEEDER_V - _FEEDER_DROP_V * burden
        for start in rng.integers(MINUTES_PER_DAY, size=int(rng.poisson(2.0))).tolist():
            calm_v[start : start + int(rng.integers(1, 6))] -= rng.uniform(8.0, 24.0)
        voltage_mv = tuple(_noisy(calm_v, 1.3, rng) for _ in range(3))
        return _FeederDay(voltage_mv, _noisy(np.full(MINUTES_PER_DAY, 50.0), 0.02, rng))


def _noisy(calm: NDArray[np.float64], deviation: float, rng: np.random.Generator) -> MinuteCurve:
    """Return a curve in thousandths, with noise of that standard deviation that changes over some minutes."""
    white = rng.normal(0.0, deviation, MINUTES_PER_DAY + _NOISE_MINUTES - 1)
    noise = np.convolve(white, np.full(_NOISE_MINUTES, _NOISE_MINUTES**-0.5), "valid")
    return MinuteCurve(np.rint((calm + noise) * 1000).astype(np.int64))


class Supply:
    """One household behind its meter and switch."""

    def __init__(
        self,
        *,
        load: HouseholdLoad,
        feeder: Feeder,
        utc_offset_min: int,
        cable_ohm: float,
        started_ms: int,
        start_wh: int = 0,
    ) -> None:
        """Describe the supply as it stands at `started_ms` (site time), with `start_wh` already on the meter."""
        self._load = load
        self._feeder = feeder
        self._offset_ms = utc_offset_min * 60_000
        self._cable_ohm = cable_ohm
        self._now_ms = started_ms
        self._closed = True
        self._phase_uj = [start_wh * UJ_PER_WH // load.phase_count] * load.phase_count
        self._reactive_uj = 0

    @property
    def closed(self) -> bool:
        """Whether the switch lets power through."""
        return self._closed

    def switch(self, *, closed: bool, now_ms: int) -> None:
        """Open or close the switch; what has flowed until now counts."""
        self._advance(now_ms)
        self._closed = closed

    def snapshot(self, now_ms: int) -> Snapshot:
        """Return what the meter measures at site time `now_ms`; time never goes back behind the last one asked for."""
        self._advance(now_ms)
        day_index, day_ms = divmod(self._now_ms + self._offset_ms, DAY_MS)
        phases = tuple(
            self._phase_state(
                self._feeder.voltage_v(index, day_index, day_ms),
                phase.active_mw.at(day_ms) if self._closed else 0,
                phase.reactive_mvar.at(day_ms) if self._closed else 0,
            )
            for index, phase in enumerate(self._load.day(day_index))
        )
        return Snapshot(
            phases=phases,
            frequency_hz=self._feeder.frequency_hz(day_index, day_ms),
            phase_import_uj=tuple(self._phase_uj),
            import_uj=sum(self._phase_uj),
            reactive_import_uj=self._reactive_uj,
        )

    def _phase_state(self, feeder_v: float, active_mw: int, reactive_mvar: int) -> PhaseState:
        active_w = active_mw / 1000
        # To first order the drop along the cable is its resistance times the active current.
        voltage_v = max(_VOLTAGE_MIN_V, feeder_v - self._cable_ohm * active_w / feeder_v)
        return PhaseState(voltage_v=voltage_v, active_w=active_w, reactive_var=reactive_mvar / 1000)

    def _advance(self, now_ms: int) -> None:
        """Integrate the demand up to `now_ms`, if the switch was closed."""
        while self._now_ms < now_ms:
            day_index, from_ms = divmod(self._now_ms + self._offset_ms, DAY_MS)
            until_ms = min(DAY_MS, from_ms + now_ms - self._now_ms)
            if self._closed:
                self._integrate(day_index, from_ms, until_ms)
            self._now_ms += until_ms - from_ms

    def _integrate(self, day_index: int, from_ms: int, until_ms: int) -> None:
        for index, phase in enumerate(self._load.day(day_index)):
            self._phase_uj[index] += phase.active_mw.sum_until(until_ms) - phase.active_mw.sum_until(from_ms)
            self._reactive_uj += phase.reactive_mvar.sum_until(until_ms) - phase.reactive_mvar.sum_until(from_ms)
