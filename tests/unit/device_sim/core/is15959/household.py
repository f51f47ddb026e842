"""A household for tests that make their own meter."""

from device_sim.core.load import HouseholdLoad
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply
from tests.unit.device_sim.core.is15959.bench import NOON_MS, Bench, make_bench


def household_bench() -> Bench:
    """Return a meter before a household of its own."""
    profile = standard_profile()
    load = HouseholdLoad(profile=profile, seed=1, household="m-001", annual_kwh=1800, phase_count=1, power_max_w=10_000)
    supply = Supply(
        load=load,
        feeder=Feeder(profile=profile, seed=1),
        utc_offset_min=330,
        cable_ohm=0.4,
        started_ms=NOON_MS,
    )
    return make_bench(supply)
