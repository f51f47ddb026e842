"""Delays between attempts grow, stay bounded and are spread."""

import random

from wire.runtime.backoff import Backoff


def delays_ms(seed: int, count: int) -> list[int]:
    backoff = Backoff(rng=random.Random(seed), delay_ms=100, delay_ms_max=5_000)
    return [backoff.next_delay_ms() for _ in range(count)]


def test_the_bound_doubles_with_each_failure_up_to_the_highest() -> None:
    worlds = [delays_ms(seed, 200) for seed in range(300)]
    for failure, bound_ms in enumerate((100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000)):
        drawn = [world[failure] for world in worlds]
        assert 0 <= min(drawn) <= bound_ms // 10
        assert bound_ms * 9 // 10 <= max(drawn) <= bound_ms
    assert max(max(world) for world in worlds) <= 5_000


def test_a_success_ends_the_doubling() -> None:
    backoff = Backoff(rng=random.Random(1), delay_ms=100, delay_ms_max=5_000)
    for _ in range(50):
        backoff.next_delay_ms()
    backoff.reset()
    assert backoff.next_delay_ms() <= 100


def test_the_same_seed_gives_the_same_delays() -> None:
    assert delays_ms(7, 20) == delays_ms(7, 20)
    assert delays_ms(7, 20) != delays_ms(8, 20)
