"""What a world is like, drawn from its seed: each world has some of the faults only, so that rare pairs meet."""

import random
from dataclasses import dataclass, fields

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One world. Times are true milliseconds, shares are from 0 to 1, counts are over the whole world."""

    seed: int
    duration_ms: int
    """How long the faults and the work go on; what follows is calm."""
    gateways: int
    meters: int
    """Of each gateway."""
    handlers: int
    clients: int
    # ---- work
    polls: int
    """Of each meter."""
    requests: int
    payments: int
    credit_minor: int
    """What an account starts with; little runs out."""
    # ---- settings
    seal_after_ms: int
    rows_per_batch_max: int
    facts_per_batch_max: int
    window_max: int
    store_bytes_max: int
    group_max: int
    """Messages or events in one transaction."""
    # ---- the network
    loss: float
    duplication: float
    delay_ms_max: int
    partitions: int
    replays: int
    alterations: float
    strangers: int
    # ---- gateways
    crashes: int
    torn: bool
    """Whether a crash may tear what was not reported durable."""
    wrong_clock: bool
    """Whether a machine may start with a clock that is far off."""
    clock_steps: int
    meter_failures: float
    relay_failures: float
    relay_resets: int
    set_backs: int
    # ---- the cloud
    cloud_crashes: int
    cloud_clock_steps: int
    cloud_set_backs: int
    # ---- statements
    closings: int
    """How often the cloud looks whether accounts can be closed."""
    close_every_ms: int
    close_lag_ms: int

    def __str__(self) -> str:
        return ", ".join(f"{item.name}={getattr(self, item.name)}" for item in fields(self))


def draw(seed: int) -> Options:
    """Return the world of a seed."""
    rng = random.Random(f"options {seed}")

    def sometimes(value: float) -> float:
        return rng.uniform(0, value) if rng.random() < 0.5 else 0.0

    def some(most: int, share: float = 0.5) -> int:
        return rng.randint(1, most) if rng.random() < share else 0

    duration_ms = rng.choice([3 * MINUTE_MS, 20 * MINUTE_MS, 20 * MINUTE_MS, 3 * HOUR_MS, 48 * HOUR_MS])
    return Options(
        seed=seed,
        duration_ms=duration_ms,
        gateways=rng.choice([1, 1, 1, 1, 2, 3]),
        meters=rng.choice([1, 1, 2, 3]),
        handlers=rng.choice([1, 1, 2, 3]),
        clients=rng.choice([1, 1, 2]),
        polls=rng.randint(2, 8),
        requests=rng.choice([rng.randint(0, 8), rng.randint(0, 8), 20]),
        payments=rng.randint(0, 4),
        credit_minor=rng.choice([200, 2_000, 1_000_000]),
        seal_after_ms=rng.choice([0, 2_000, 2_000, duration_ms // 10]),
        rows_per_batch_max=rng.choice([1, 3, 500]),
        facts_per_batch_max=rng.choice([1, 4, 128]),
        window_max=rng.choice([1, 2, 8, 32]),
        store_bytes_max=rng.choice([4_000, 12_000, 2**29, 2**29, 2**29]),
        group_max=rng.choice([1, 4, 50]),
        loss=sometimes(0.6),
        duplication=sometimes(0.4),
        delay_ms_max=rng.choice([20, 200, 2_000, 30_000]),
        partitions=some(3),
        replays=some(12),
        alterations=sometimes(0.1),
        strangers=some(4),
        crashes=some(5),
        torn=rng.random() < 0.5,
        wrong_clock=rng.random() < 0.5,
        clock_steps=some(3),
        meter_failures=sometimes(0.5),
        relay_failures=sometimes(0.7),
        relay_resets=some(2),
        set_backs=some(2, 0.25),
        cloud_crashes=some(4),
        cloud_clock_steps=some(2, 0.3),
        cloud_set_backs=some(2, 0.25),
        closings=some(8, 0.7),
        close_every_ms=rng.choice([1, 1_000, duration_ms // 20]),
        close_lag_ms=rng.choice([0, duration_ms // 50, duration_ms // 5]),
    )
