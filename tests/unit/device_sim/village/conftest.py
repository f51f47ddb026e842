"""A small village and its scene, for the demo's unit tests."""

from random import Random

import pytest

from device_sim.core.village import Village, parse_village
from device_sim.core.village_plan import village_text
from device_sim.village.cast import Cast, make_cast, plan_village
from device_sim.village.scene import News, Scene, calendar_at

BEGINS_MS = 1_780_263_000_000  # 2026-06-01 03:00 at UTC+5:30


@pytest.fixture
def village() -> Village:
    text = village_text(seed=1, lines=plan_village(3, 48), port_base=0, link_folder="", rng=Random(1))
    return parse_village(text.encode())


@pytest.fixture
def cast(village: Village) -> Cast:
    return make_cast(village)


@pytest.fixture
def told() -> list[News]:
    return []


@pytest.fixture
def scene(cast: Cast, told: list[News]) -> Scene:
    return Scene(cast=cast, calendar=calendar_at(BEGINS_MS, 330), tell=told.append, now_ms=BEGINS_MS)
