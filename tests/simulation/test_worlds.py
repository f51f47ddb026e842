"""As many worlds as fit the time: each from its own seed, none may break a promise.

`SIM_SECONDS` says how long to search, `SIM_SEED` where to begin; both are read here and nowhere else.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.options import draw
from tests.simulation.quiet import quiet_logs
from tests.simulation.world import run_world

SECONDS = float(os.environ.get("SIM_SECONDS", "10"))
FIRST_SEED = int(os.environ.get("SIM_SEED", "0"))
WORKERS = min(os.cpu_count() or 1, 8)


@pytest.mark.timeout(0)
def test_every_world_holds(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(_search, FIRST_SEED + place, WORKERS, SECONDS) for place in range(WORKERS)]
        results = [run.result() for run in runs]
    count = sum(ran for ran, _ in results)
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{count} worlds from seed {FIRST_SEED} on {WORKERS} processes, {count / seconds:.1f} a second")
    found = [text for _, texts in results for text in texts]
    assert not found, "\n".join(found)
    assert count >= WORKERS


def _search(first: int, step: int, seconds: float) -> tuple[int, list[str]]:
    """Run worlds until the time is over or one does not hold; return how many, and what was found."""
    quiet_logs()
    end = time.monotonic() + seconds
    seed, ran = first, 0
    while ran == 0 or time.monotonic() < end:
        outcome = run_world(draw(seed))
        ran += 1
        if outcome.violations:
            return ran, [str(outcome)]
        seed += step
    return ran, []
