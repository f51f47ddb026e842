"""Two clocks, since they fail differently: a monotonic one for protocol timers, a wall clock for stamps.

The wall clock may run faster than real time (simulated villages see days pass in minutes); the monotonic clock never
does. Every process of one accelerated installation is given the same origin and rate, so that their wall clocks agree.
"""

from dataclasses import dataclass
from time import CLOCK_BOOTTIME, clock_gettime_ns, time_ns
from typing import Protocol


class Clock(Protocol):
    """What a shell asks for the time; cores are handed the answer."""

    def monotonic_ms(self) -> int:
        """Real milliseconds that never go back, from an arbitrary origin: timers and time-outs."""

    def tick_ms(self) -> int:
        """Site milliseconds that never go back, from an arbitrary origin: stamps of samples within one boot."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch (UTC), as far as this machine knows."""


def _boottime_ms() -> int:
    # CLOCK_BOOTTIME also counts while the machine sleeps, which a stamp of a sample must.
    return clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clocks."""

    def monotonic_ms(self) -> int:
        return _boottime_ms()

    def tick_ms(self) -> int:
        return _boottime_ms()

    def wall_ms(self) -> int:
        return time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratedClock:
    """A site clock that runs `rate` times as fast as the real one since `real_origin_ms`."""

    rate: int
    """Site milliseconds for each real millisecond, 1 to 100,000."""
    real_origin_ms: int
    """Unix time in ms at which the site clock stood at `wall_origin_ms`."""
    wall_origin_ms: int
    """What the site clock showed then, Unix ms."""

    def monotonic_ms(self) -> int:
        return _boottime_ms()

    def tick_ms(self) -> int:
        return _boottime_ms() * self.rate

    def wall_ms(self) -> int:
        return self.wall_origin_ms + (time_ns() // 1_000_000 - self.real_origin_ms) * self.rate


def clock_from_text(text: str) -> Clock:
    """Return the clock that a configuration names.

    Args:
        text: Empty for the machine's clock, or `RATE@REAL_ORIGIN_MS=WALL_ORIGIN_MS` for an accelerated one.

    Raises:
        ValueError: `text` has another form, or the rate is out of range.
    """
    if not text:
        return SystemClock()
    rate_text, _, origins = text.partition("@")
    real, _, wall = origins.partition("=")
    rate = int(rate_text)
    if not 1 <= rate <= 100_000:
        raise ValueError(f"a clock rate of {rate} is not between 1 and 100000")
    return AcceleratedClock(rate=rate, real_origin_ms=int(real), wall_origin_ms=int(wall))
