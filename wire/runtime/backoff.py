"""How long to wait before the next attempt: exponential back-off with full jitter.

Full jitter (a delay drawn evenly between nothing and the current bound) spreads a thousand gateways that lost the
same broker at the same instant. When an attempt counts as a success is the caller's decision.
"""

from random import Random

DOUBLINGS_MAX = 30


class Backoff:
    """Delays between attempts.

    Args:
        rng: Where the jitter comes from.
        delay_ms: Upper bound of the first delay, in ms.
        delay_ms_max: Upper bound of every delay, in ms.
    """

    def __init__(self, *, rng: Random, delay_ms: int, delay_ms_max: int) -> None:
        assert 1 <= delay_ms <= delay_ms_max
        self._rng = rng
        self._delay_ms = delay_ms
        self._delay_ms_max = delay_ms_max
        self._failures_count = 0

    def next_delay_ms(self) -> int:
        """Return the wait before the next attempt, and count one failure."""
        doublings_count = min(self._failures_count, DOUBLINGS_MAX)
        self._failures_count += 1
        return self._rng.randint(0, min(self._delay_ms << doublings_count, self._delay_ms_max))

    def reset(self) -> None:
        """Forget the failures so far."""
        self._failures_count = 0
