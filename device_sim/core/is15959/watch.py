"""Watches the voltage for what is worth an event.

Decides when it has been too high or too low for long enough, and when that is over.
"""

from __future__ import annotations

from typing import Final

from device_sim.core.is15959.codes import Event

OVER_VOLTAGE_V: Final = 264.0
LOW_VOLTAGE_V: Final = 184.0
"""15 % above and 20 % below 230 V."""
PERSISTENCE_MINUTES: Final = 3


class VoltageWatch:
    """Looks at the voltage once a minute."""

    def __init__(self) -> None:
        self._standing: Event | None = None
        self._wanted: Event | None = None
        self._minutes = 0

    def look(self, voltage_v: float) -> tuple[Event, ...]:
        """Return the events that this minute brings."""
        wanted = None
        if voltage_v > OVER_VOLTAGE_V:
            wanted = Event.OVER_VOLTAGE
        elif voltage_v < LOW_VOLTAGE_V:
            wanted = Event.LOW_VOLTAGE
        if wanted is self._standing:
            self._wanted, self._minutes = wanted, 0
            return ()
        self._minutes = self._minutes + 1 if wanted is self._wanted else 1
        self._wanted = wanted
        if self._minutes < PERSISTENCE_MINUTES:
            return ()
        ended, self._standing = self._standing, wanted
        ends = () if ended is None else (Event(ended + 1),)
        return ends if wanted is None else (*ends, wanted)
