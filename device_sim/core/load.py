"""What one household draws: its share of the standard profile, part of it as single appliances going on and off.

Demand is a pure function of (seed, household, local time), constant within a minute, in whole milliwatts: energy is
then a sum of integers (mW times ms, microjoules), exact however the time between two instants is cut into steps.
Whether the demand is met (relay, voltage) is `supply`'s to decide.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import numpy as np

from device_sim.core.profile import QUARTERS_PER_DAY, StandardProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINUTE_MS: Final = 60_000
MINUTES_PER_DAY: Final = 1440
DAY_MS: Final = MINUTE_MS * MINUTES_PER_DAY


@dataclass(frozen=True, slots=True)
class Appliance:
    """A load that runs for some minutes at a time."""

    name: str
    power_w: float
    minutes: int
    """How long one run lasts."""
    power_factor: float
    """Cosine of the angle by which its current lags."""
    share: float
    """Part of the household's annual energy that goes into it."""


APPLIANCES: Final = (
    Appliance("refrigerator", 110, 18, 0.76, 0.16),
    Appliance("lights", 60, 90, 0.92, 0.10),
    Appliance("fan", 70, 120, 0.85, 0.10),
    Appliance("television", 90, 75, 0.90, 0.08),
    Appliance("water pump", 750, 15, 0.82, 0.08),
    Appliance("kettle", 1800, 4, 1.00, 0.08),
    Appliance("rice cooker", 700, 25, 1.00, 0.08),
    Appliance("iron", 1000, 12, 1.00, 0.05),
    Appliance("washing machine", 450, 55, 0.80, 0.05),
)
BASE_SHARE: Final = 1 - sum(appliance.share for appliance in APPLIANCES)
"""What is always on and follows the profile smoothly."""
BASE_POWER_FACTOR: Final = 0.93
BASE_NOISE: Final = 0.04
"""Standard deviation of the smooth part from minute to minute, relative."""


def lagging_ratio(power_factor: float) -> float:
    """Return reactive by active power, the tangent of the angle."""
    return float(np.sqrt(1 - power_factor**2) / power_factor)


_RUN_WH: Final = np.array([appliance.power_w * appliance.minutes / 60 for appliance in APPLIANCES])
_SHARES: Final = np.array([appliance.share for appliance in APPLIANCES])
_RATIOS: Final = tuple(lagging_ratio(appliance.power_factor) for appliance in APPLIANCES)
_BASE_RATIO: Final = lagging_ratio(BASE_POWER_FACTOR)


class MinuteCurve:
    """One quantity over one local day, constant within each minute, with its running sum."""

    __slots__ = ("_sums", "_values")

    def __init__(self, values: NDArray[np.int64]) -> None:
        self._values = array("q", values.tobytes())
        self._sums = array("q", np.concatenate(([0], np.cumsum(values * MINUTE_MS))).astype(np.int64).tobytes())

    def at(self, day_ms: int) -> int:
        """Return the value at an instant, in ms after local midnight."""
        return self._values[day_ms // MINUTE_MS]

    def sum_until(self, day_ms: int) -> int:
        """Return the integral over ms from midnight to `day_ms`, 0 to `DAY_MS`."""
        minute, rest_ms = divmod(day_ms, MINUTE_MS)
        return self._sums[minute] + (self._values[minute] * rest_ms if rest_ms else 0)


@dataclass(frozen=True, slots=True)
class PhaseDay:
    """The demand on one phase over one local day."""

    active_mw: MinuteCurve
    reactive_mvar: MinuteCurve


def stream_key(seed: int, name: str) -> int:
    """Return the number that seeds one named stream of randomness of a village."""
    return int.from_bytes(sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


class HouseholdLoad:
    """The demand of one household, made day by day; the day in use is kept."""

    def __init__(
        self,
        *,
        profile: StandardProfile,
        seed: int,
        household: str,
        annual_kwh: float,
        phase_count: int,
        power_max_w: float,
    ) -> None:
        """Describe a household.

        Args:
            profile: The table all households share.
            seed: The village's seed.
            household: A name that tells this household from the others of the seed.
            annual_kwh: Its demand in an average year.
            phase_count: 1 or 3; each appliance hangs on one phase, the smooth part on all alike.
            power_max_w: What its main fuse lets through, all phases together.
        """
        self._profile = profile
        self._key = stream_key(seed, household)
        self._annual_kwh = annual_kwh
        self.phase_count = phase_count
        self._phase_max_w = power_max_w / phase_count
        fixed = np.random.default_rng(self._key)
        self._phase_of = fixed.integers(phase_count, size=len(APPLIANCES)).tolist()
        self._day_index = -1
        self._day: tuple[PhaseDay, ...] = ()

    def day(self, day_index: int) -> tuple[PhaseDay, ...]:
        """Return the demand of each phase on one day, counted in local days since 1970."""
        if day_index != self._day_index:
            self._day = self._make_day(day_index)
            self._day_index = day_index
        return self._day

    def _make_day(self, day_index: int) -> tuple[PhaseDay, ...]:
        rng = np.random.default_rng([self._key, day_index])
        quarters_w = self._profile.day_w(day_index) * self._annual_kwh
        minutes_w = np.repeat(quarters_w, MINUTES_PER_DAY // QUARTERS_PER_DAY)
        noise = rng.normal(1.0, BASE_NOISE, MINUTES_PER_DAY).clip(0.5, 1.5)
        base_w = minutes_w * noise * (BASE_SHARE / self.phase_count)
        active_w = np.tile(base_w, (self.phase_count, 1))
        reactive_var = active_w * _BASE_RATIO
        self._add_appliances(active_w, reactive_var, np.cumsum(minutes_w), rng)
        return tuple(self._phase_day(active_w[phase], reactive_var[phase]) for phase in range(self.phase_count))

    def _add_appliances(
        self,
        active_w: NDArray[np.float64],
        reactive_var: NDArray[np.float64],
        running_w: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        """Add each run of each appliance to its phase; runs begin where the profile is high."""
        day_wh = running_w[-1] / 60
        runs = rng.poisson(_SHARES * day_wh / _RUN_WH)
        starts = np.searchsorted(running_w, rng.random(int(runs.sum())) * running_w[-1]).tolist()
        position = 0
        for index, count in enumerate(runs.tolist()):
            appliance, phase = APPLIANCES[index], self._phase_of[index]
            for start in starts[position : position + count]:
                _add_run(active_w[phase], start, appliance.minutes, appliance.power_w)
                _add_run(reactive_var[phase], start, appliance.minutes, appliance.power_w * _RATIOS[index])
            position += count

    def _phase_day(self, active_w: NDArray[np.float64], reactive_var: NDArray[np.float64]) -> PhaseDay:
        milli = 1000 * np.minimum(1.0, self._phase_max_w / np.maximum(active_w, 1e-9))
        return PhaseDay(
            active_mw=MinuteCurve(np.floor(active_w * milli).astype(np.int64)),
            reactive_mvar=MinuteCurve(np.floor(reactive_var * milli).astype(np.int64)),
        )


def _add_run(curve: NDArray[np.float64], start: int, minutes: int, power: float) -> None:
    """Add one run; past midnight it shows in the early minutes of the same day, so that each day stands alone."""
    curve[start : start + minutes] += power
    overrun = start + minutes - MINUTES_PER_DAY
    if overrun > 0:
        curve[:overrun] += power
