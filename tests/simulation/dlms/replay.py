"""Replay worlds by their seeds: `python -m tests.simulation.dlms.replay 42 43`, or `… 0..1000` for many."""

import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.simulation.dlms.options import draw
from tests.simulation.dlms.world import run_world


def main(arguments: list[str]) -> int:
    """Run worlds and print what does not hold; return how many did not."""
    failed, ran, right = 0, 0, 0
    errors: Counter[str] = Counter()
    began = time.perf_counter()
    for seed in _seeds(arguments):
        ran += 1
        outcome = run_world(draw(seed))
        right += outcome.right
        errors += outcome.errors
        if outcome.violations:
            failed += 1
            print(outcome)
    seconds = time.perf_counter() - began
    print(f"{ran} worlds, {failed} do not hold, {ran / seconds:.1f} a second; {right} errands right, {dict(errors)}")
    return failed


def _seeds(arguments: list[str]) -> Iterator[int]:
    for argument in arguments:
        first, _, end = argument.partition("..")
        yield from range(int(first), int(end) if end else int(first) + 1)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
