"""The load switch (disconnect control, class 70) and the limiter that opens it (class 71); Blue Book 4.5.8, 4.5.9.

Decides which way of switching each mode admits, when too much power has flowed for too long, and when to try again.
That the open switch really stops the energy, the meter sees to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from dlms.cosem.control import ControlMode, ControlState

if TYPE_CHECKING:
    from dlms.cosem.control import EmergencyProfile

_BY_HAND_OFF: Final = frozenset({1, 2, 5})
_REMOTE_AT_ONCE: Final = frozenset({2, 4, 7})
_LOCAL_ON: Final = frozenset({5, 6, 7})
AUTO_RECONNECTS_MAX: Final = 3
"""Reconnections by the meter itself after overload, until the load has been quiet for long enough."""
QUIET_MS: Final = 30 * 60_000
"""So long without overload, and the reconnections are counted anew."""


class Relay:
    """The load switch: what was decided, and what it physically does."""

    def __init__(self, *, mode: ControlMode) -> None:
        """Begin with the switch closed."""
        self.mode = mode
        self.state = ControlState.CONNECTED
        self.is_welded = False
        """Its contacts stick: it opens no more."""
        self._is_closed = True

    @property
    def is_closed(self) -> bool:
        """Whether power physically flows through it."""
        return self._is_closed or self.is_welded

    @property
    def is_failed(self) -> bool:
        """Whether it is closed though it should be open."""
        return self.is_welded and not self._is_closed

    def remote_disconnect(self) -> bool:
        """Disconnect on command (transitions b and c); False if the mode does not admit it."""
        if self.mode is ControlMode.NONE:
            return False
        self._go(ControlState.DISCONNECTED)
        return True

    def remote_reconnect(self) -> bool:
        """Reconnect on command (a), or make ready for the button (d); False if the mode does not admit it.

        From the ready state a mode with direct reconnection closes, too, as meters in the field do.
        """
        if self.mode is ControlMode.NONE:
            return False
        if self.mode in _REMOTE_AT_ONCE:
            self._go(ControlState.CONNECTED)
        elif self.state is ControlState.DISCONNECTED:
            self._go(ControlState.READY_FOR_RECONNECTION)
        return True

    def press_button(self) -> bool:
        """Let somebody press the button: closes when ready (e), opens where the mode has it (f)."""
        if self.state is ControlState.READY_FOR_RECONNECTION:
            self._go(ControlState.CONNECTED)
            return True
        if self.state is ControlState.CONNECTED and self.mode in _BY_HAND_OFF:
            self._go(ControlState.READY_FOR_RECONNECTION)
            return True
        return False

    def local_disconnect(self) -> bool:
        """Disconnect by the meter's own decision (g)."""
        if self.mode is ControlMode.NONE or self.state is not ControlState.CONNECTED:
            return False
        self._go(ControlState.READY_FOR_RECONNECTION)
        return True

    def local_reconnect(self) -> bool:
        """Reconnect by the meter's own decision (h)."""
        if self.mode not in _LOCAL_ON or self.state is not ControlState.READY_FOR_RECONNECTION:
            return False
        self._go(ControlState.CONNECTED)
        return True

    def _go(self, state: ControlState) -> None:
        self.state = state
        self._is_closed = state is ControlState.CONNECTED


class Verdict(IntEnum):
    """What the limiter wants."""

    NOTHING = 0
    DISCONNECT = 1
    RECONNECT = 2


@dataclass(slots=True)
class Emergency:
    """A limit that holds for a while (class 71, attribute 8)."""

    profile: EmergencyProfile | None = None
    """As it was written."""
    starts_local_ms: int = 0
    duration_s: int = 0

    def holds(self, local_ms: int) -> bool:
        return self.starts_local_ms <= local_ms < self.starts_local_ms + self.duration_s * 1000


class Limiter:
    """Watches the active power."""

    def __init__(self, *, normal_w: int) -> None:
        """Begin with a limit in W; 0 means none."""
        self.normal_w = normal_w
        self.emergency_w = 0
        self.emergency = Emergency()
        self.groups: tuple[int, ...] = ()
        self.over_s = 60
        """How long the power may be above the limit."""
        self.under_s = 120
        """How long the switch stays open before the meter tries again."""
        self._over_since_ms: int | None = None
        self._opened_at_ms: int | None = None
        self._reconnects = 0
        self._closed_at_ms = 0

    @property
    def is_tripped(self) -> bool:
        """Whether the switch is open because of this."""
        return self._opened_at_ms is not None

    def threshold_w(self, local_ms: int) -> int:
        """Return the limit that holds now, 0 for none."""
        return self.emergency_w if self.emergency.holds(local_ms) else self.normal_w

    def watch(self, power_w: float, *, local_ms: int, now_ms: int) -> Verdict:
        """Look at the power, and say what is to be done."""
        if self._opened_at_ms is not None:
            is_due = now_ms >= self._opened_at_ms + self.under_s * 1000
            return Verdict.RECONNECT if is_due and self._reconnects < AUTO_RECONNECTS_MAX else Verdict.NOTHING
        threshold_w = self.threshold_w(local_ms)
        if not threshold_w or power_w <= threshold_w:
            self._over_since_ms = None
            if self._reconnects and now_ms >= self._closed_at_ms + QUIET_MS:
                self._reconnects = 0
            return Verdict.NOTHING
        if self._over_since_ms is None:
            self._over_since_ms = now_ms
        return Verdict.DISCONNECT if now_ms >= self._over_since_ms + self.over_s * 1000 else Verdict.NOTHING

    def opened(self, now_ms: int) -> None:
        """Note that the switch was opened because of overload."""
        self._opened_at_ms, self._over_since_ms = now_ms, None

    def reconnected(self, now_ms: int) -> None:
        """Note that the meter closed the switch again."""
        self._reconnects += 1
        self._opened_at_ms, self._closed_at_ms = None, now_ms

    def released(self) -> None:
        """Note that somebody else switched: the trip is over."""
        self._opened_at_ms = self._over_since_ms = None
        self._reconnects = 0

    def next_deadline_ms(self) -> int | None:
        """Return when it wants to look again, whatever the power does."""
        if self._opened_at_ms is not None:
            return self._opened_at_ms + self.under_s * 1000 if self._reconnects < AUTO_RECONNECTS_MAX else None
        if self._over_since_ms is not None:
            return self._over_since_ms + self.over_s * 1000
        return None
