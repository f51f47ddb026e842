"""The households of a village and what supplies them: each behind its meter, all behind one transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.load import HouseholdLoad, stream_key
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply

if TYPE_CHECKING:
    from device_sim.core.village import DlmsMeterSpec, MeterSpec

CABLE_OHM_MIN: Final = 0.15
CABLE_OHM_SPREAD: Final = 0.45
"""Households lie at different distances from the transformer."""


class Neighbourhood:
    """Makes the supplies of a village."""

    def __init__(self, *, seed: int, utc_offset_min: int) -> None:
        self._seed = seed
        self._utc_offset_min = utc_offset_min
        self._profile = standard_profile()
        self._feeder = Feeder(profile=self._profile, seed=seed)

    def key(self, meter_id: str) -> int:
        """Return the number from which what is a meter's own is made."""
        return stream_key(self._seed, f"meter/{meter_id}")

    def supply(
        self, spec: MeterSpec | DlmsMeterSpec, *, phase_count: int, power_max_w: float, started_ms: int
    ) -> Supply:
        """Return the supply of a household as it stands at site time `started_ms`."""
        load = HouseholdLoad(
            profile=self._profile,
            seed=self._seed,
            household=spec.id,
            annual_kwh=spec.annual_kwh,
            phase_count=phase_count,
            power_max_w=power_max_w,
        )
        return Supply(
            load=load,
            feeder=self._feeder,
            utc_offset_min=self._utc_offset_min,
            cable_ohm=CABLE_OHM_MIN + CABLE_OHM_SPREAD * (self.key(spec.id) % 1000) / 1000,
            started_ms=started_ms,
            start_wh=spec.start_wh,
        )
