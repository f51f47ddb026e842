"""The meter's own clock: what it shows while the site's time goes on, with drift, and how it is set.

Decides the conversion between site time and local time as the meter has it. Local time is counted in milliseconds
since 1970-01-01 00:00 on the meter's display, so that days and quarters are plain division.
"""

from __future__ import annotations

from typing import Final

from dlms.axdr.datetimes import CosemDateTime
from dlms.errors import DecodeError

DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
_MILLION: Final = 1_000_000


class MeterClock:
    """A clock that runs a little fast or slow."""

    __slots__ = ("_anchor_local_ms", "_anchor_ms", "_drift_ppm", "_offset_min", "_states_deviation", "status")

    def __init__(
        self, *, now_ms: int, utc_offset_min: int, offset_ms: int, drift_ppm: int, states_deviation: bool
    ) -> None:
        """Set the clock at site time `now_ms`, wrong by `offset_ms` and too fast by `drift_ppm`."""
        self._offset_min = utc_offset_min
        self._states_deviation = states_deviation
        self._drift_ppm = drift_ppm
        self._anchor_ms = now_ms
        self._anchor_local_ms = now_ms + utc_offset_min * MINUTE_MS + offset_ms
        self.status = 0

    @property
    def deviation_min(self) -> int:
        """Minutes from local time to UTC (Blue Book 4.5.1)."""
        return -self._offset_min

    def local_ms(self, now_ms: int) -> int:
        """Return what the clock shows at a site time."""
        passed_ms = now_ms - self._anchor_ms
        return self._anchor_local_ms + passed_ms + passed_ms * self._drift_ppm // _MILLION

    def site_ms(self, local_ms: int) -> int:
        """Return the first site time at which the clock shows `local_ms` or more."""
        wanted_ms = local_ms - self._anchor_local_ms
        guess_ms = self._anchor_ms + wanted_ms * _MILLION // (_MILLION + self._drift_ppm)
        while self.local_ms(guess_ms) < local_ms:
            guess_ms += 1
        while self.local_ms(guess_ms - 1) >= local_ms:
            guess_ms -= 1
        return guess_ms

    def set(self, local_ms: int, *, now_ms: int) -> None:
        """Show another time from now on."""
        self._anchor_ms, self._anchor_local_ms = now_ms, local_ms

    def moment(self, local_ms: int) -> CosemDateTime:
        """Return a local time as the meter writes it."""
        return CosemDateTime.from_utc_ms(
            local_ms - self._offset_min * MINUTE_MS,
            self.deviation_min,
            states_deviation=self._states_deviation,
            status=self.status,
        )

    def encoded(self, local_ms: int) -> bytes:
        """Return a local time as its 12 bytes, to the second as meters capture it."""
        return self.moment(local_ms - local_ms % 1000).encoded

    def local_of(self, moment: CosemDateTime) -> int:
        """Return the local time that a client means.

        Raises:
            DecodeError: Parts other than seconds and deviation are left open.
        """
        deviation_min = moment.deviation_minutes
        if deviation_min is None or not self._states_deviation:
            return moment.local_ms()
        return moment.local_ms() + (deviation_min + self._offset_min) * MINUTE_MS

    def bound(self, encoded: bytes) -> int | None:
        """Return the local time of a bound of a range, None for an open one.

        Raises:
            DecodeError: It has not the length of a date-time.
        """
        moment = CosemDateTime(encoded)
        try:
            return self.local_of(moment)
        except DecodeError:
            return None
