"""Households and supplies of the unit tests."""

from collections.abc import Callable

import pytest

from device_sim.core.load import HouseholdLoad
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply

NOON_MS = 1_780_315_200_000  # 2026-06-01 12:00 UTC

MakeLoad = Callable[..., HouseholdLoad]
MakeSupply = Callable[..., Supply]


@pytest.fixture
def make_load() -> MakeLoad:
    def make(
        *,
        seed: int = 1,
        household: str = "m-001",
        annual_kwh: float = 1800,
        phase_count: int = 1,
        power_max_w: float = 10_000,
    ) -> HouseholdLoad:
        return HouseholdLoad(
            profile=standard_profile(),
            seed=seed,
            household=household,
            annual_kwh=annual_kwh,
            phase_count=phase_count,
            power_max_w=power_max_w,
        )

    return make


@pytest.fixture
def make_supply(make_load: MakeLoad) -> MakeSupply:
    def make(*, started_ms: int = NOON_MS, start_wh: int = 0, cable_ohm: float = 0.4, **load: object) -> Supply:
        return Supply(
            load=make_load(**load),
            feeder=Feeder(profile=standard_profile(), seed=1),
            utc_offset_min=330,
            cable_ohm=cable_ohm,
            started_ms=started_ms,
            start_wh=start_wh,
        )

    return make
