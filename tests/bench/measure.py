"""How things are measured: processor time of a process, rounds that take turns, medians.

On a shared machine two measurements can be compared only if they were taken alternately; so every ratio is the median
of the ratios of single rounds, never the ratio of two numbers from different minutes.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a piece of work cost."""

    wall_s: float
    cpu_s: float


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, all threads, user and kernel, to the nanosecond.

    /proc counts in ticks of 10 ms; Linux also gives each process a clock, whose number is made of its id.
    """
    return time.clock_gettime((~pid << 3) | 2)


async def in_turns(rounds: int, cases: Mapping[Key, Callable[[int], Awaitable[Found]]]) -> dict[Key, list[Found]]:
    """Run every case once a round, each round in the reverse order of the one before; the first round is a warm-up.

    Args:
        rounds: Counted rounds.
        cases: By name; called with the number of the round, from 0 for the warm-up.
    """
    found: dict[Key, list[Found]] = {key: [] for key in cases}
    for number in range(rounds + 1):
        order = list(cases) if number % 2 else list(cases)[::-1]
        for key in order:
            result = await cases[key](number)
            if number:
                found[key].append(result)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two series of rounds, the first divided by the second."""

    ratio: float
    spread: float
    """Half the distance between the quartiles of the single rounds' ratios."""


def compared(ours: Sequence[float], baseline: Sequence[float]) -> Compared:
    """Divide round by round and return the median with its spread."""
    ratios = [one / other for one, other in zip(ours, baseline, strict=True)]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Compared(ratio=median(ratios), spread=(high - low) / 2)
