"""A meter on the bench, before a household."""

from collections.abc import Callable
from typing import Any

import pytest

from device_sim.core.supply import Supply
from tests.unit.device_sim.core.is15959.bench import NOON_MS, Bench, make_bench


@pytest.fixture
def bench(make_supply: Callable[..., Supply]) -> Bench:
    return make_bench(make_supply())


@pytest.fixture
def new_bench(make_supply: Callable[..., Supply]) -> Callable[..., Bench]:
    def make(*, annual_kwh: float = 1800, start_wh: int = 0, now_ms: int = NOON_MS, **settings: Any) -> Bench:
        supply = make_supply(annual_kwh=annual_kwh, start_wh=start_wh, started_ms=now_ms)
        return make_bench(supply, now_ms=now_ms, **settings)

    return make
