"""As many worlds as fit the time: each from its own seed, none may break a promise.

`SIM_SECONDS` says how long to search, of which this takes half, `SIM_SEED` where to begin.
"""

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.dlms.options import draw
from tests.simulation.dlms.world import run_world

SECONDS = float(os.environ.get("SIM_SECONDS", "10")) / 2
FIRST_SEED = int(os.environ.get("SIM_SEED", "0"))
WORKERS = min(os.cpu_count() or 1, 8)
KINDS_OF_ERRORS = {"LinkTimeoutError", "LinkRefusedError", "ServiceRefusedError"}
"""Seen in every search that is not tiny: the lines are bad enough."""


@pytest.mark.timeout(0)
def test_every_session_ends_in_the_right_value_or_a_typed_error(capsys: pytest.CaptureFixture[str]) -> None:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(_search, FIRST_SEED + place, WORKERS, SECONDS) for place in range(WORKERS)]
        results = [run.result() for run in runs]
    count = sum(ran for ran, _, _, _ in results)
    errors = sum((each for _, _, each, _ in results), Counter[str]())
    right = sum(each for _, each, _, _ in results)
    with capsys.disabled():
        print(f"\n{count} DLMS worlds from seed {FIRST_SEED}: {right} errands right, {errors.total()} typed errors")
    found = [text for _, _, _, texts in results for text in texts]
    assert not found, "\n".join(found)
    assert right > count
    assert count < 100 or set(errors) >= KINDS_OF_ERRORS


def _search(first: int, step: int, seconds: float) -> tuple[int, int, Counter[str], list[str]]:
    """Run worlds until the time is over or one does not hold; return what was found."""
    end = time.monotonic() + seconds
    seed, ran, right = first, 0, 0
    errors: Counter[str] = Counter()
    while ran == 0 or time.monotonic() < end:
        outcome = run_world(draw(seed))
        ran += 1
        right += outcome.right
        errors += outcome.errors
        if outcome.violations:
            return ran, right, errors, [str(outcome)]
        seed += step
    return ran, right, errors, []


def test_a_world_can_be_run_again() -> None:
    for seed in range(6):
        first, second = run_world(draw(seed)), run_world(draw(seed))
        assert (first.right, first.errors, first.seconds) == (second.right, second.errors, second.seconds)
