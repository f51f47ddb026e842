"""Trusted time: known once a welcome answered a nonce of this boot, and never earlier than any signed time seen.

Before that, readings go on (their stamps are ticks) and commands wait. The offset between ticks and UTC is a fact of
its own, sent up, from which the cloud derives UTC.
"""

from gateway.core.moment import Moment
from gateway.core.numbers import ClockNumbers
from gateway.core.store import ValueStore
from wire.facts import ClockFact, TimeSource
from wire.limits import TIME_MS_MAX, TIME_MS_MIN

_HIGHEST_SIGNED = "highest-signed-ms"
SYSTEM_ERROR_MS = 3_600_000
"""How far the machine's own clock is taken to be off, for want of knowledge."""
DRIFT_PPM_MAX = 100
"""What a clock may gain or lose since it was compared: quartz in small computers is made for 20 to 50."""


class Timekeeper:
    """Derives UTC from ticks."""

    def __init__(self, store: ValueStore, boot: bytes, now: Moment) -> None:
        self._store = store
        self._boot = boot
        self._offset_ms: int | None = None
        stored = store.value(_HIGHEST_SIGNED)
        self._highest_signed_ms = int(stored) if stored else 0
        self._first_offset_ms = self.best_ms(now) - now.tick_ms
        """Of stamps that were made before the first welcome."""
        self.shift_ms = 0
        """By how much those are too low, once it is known."""
        self._compared_at_ms = now.tick_ms
        self._error_ms = SYSTEM_ERROR_MS
        self._step_ms = 0

    @property
    def is_synchronised(self) -> bool:
        return self._offset_ms is not None

    def system_fact(self, now: Moment) -> ClockFact | None:
        """Return what the machine's own clock says, unless that cannot be: good enough until a welcome comes."""
        if not TIME_MS_MIN <= now.wall_ms <= TIME_MS_MAX:
            return None
        return ClockFact(
            boot=self._boot,
            tick_ms=now.tick_ms,
            utc_ms=now.wall_ms,
            error_ms=SYSTEM_ERROR_MS,
            source=TimeSource.SYSTEM,
        )

    def on_welcome(self, cloud_utc_ms: int, *, hello_tick_ms: int, now: Moment) -> ClockFact:
        """Take the cloud's time, which it read somewhere between our hello and now."""
        round_trip_ms = now.tick_ms - hello_tick_ms
        middle_ms = hello_tick_ms + round_trip_ms // 2
        before_ms = self.best_ms(now)
        offset_ms = cloud_utc_ms - middle_ms
        if self._offset_ms is None:
            self.shift_ms = offset_ms - self._first_offset_ms
        self._offset_ms = offset_ms
        self._compared_at_ms = middle_ms
        self._error_ms = (round_trip_ms + 1) // 2
        self.on_signed_time(cloud_utc_ms)
        self._step_ms = abs(self.best_ms(now) - before_ms)
        return ClockFact(
            boot=self._boot,
            tick_ms=middle_ms,
            utc_ms=cloud_utc_ms,
            error_ms=self._error_ms,
            source=TimeSource.WELCOME,
        )

    def on_signed_time(self, utc_ms: int) -> None:
        """Remember that it is at least this late: the cloud signed it."""
        if utc_ms > self._highest_signed_ms:
            self._highest_signed_ms = utc_ms
            self._store.set_value(_HIGHEST_SIGNED, str(utc_ms).encode())

    def trusted_ms(self, now: Moment) -> int | None:
        """Return UTC as far as a deadline may be judged by it, or None while the clock is not synchronised."""
        if self._offset_ms is None:
            return None
        return max(now.tick_ms + self._offset_ms, self._highest_signed_ms)

    def best_ms(self, now: Moment) -> int:
        """Return the best guess of UTC, for stamps that need one at once; never below the highest signed time."""
        guess_ms = now.wall_ms if self._offset_ms is None else now.tick_ms + self._offset_ms
        return max(min(guess_ms, TIME_MS_MAX), self._highest_signed_ms, TIME_MS_MIN)

    def stamp_ms(self, now: Moment) -> int:
        """Return UTC for stamps of which only differences count: before the first welcome it goes on by ticks alone."""
        return now.tick_ms + (self._first_offset_ms if self._offset_ms is None else self._offset_ms)

    def numbers(self, now: Moment) -> ClockNumbers:
        """Return how far the clock may be relied on."""
        drift_ms = (now.tick_ms - self._compared_at_ms) * DRIFT_PPM_MAX // 1_000_000 if self.is_synchronised else 0
        return ClockNumbers(
            clock_synced=int(self.is_synchronised),
            clock_error_ms=self._error_ms + drift_ms,
            clock_step_ms=self._step_ms,
        )
