"""When something of the meter's is due next, in its local time: ends of intervals, days and cycles, schedules.

Decides the next times and what a clock that was set does to them; what is then done, the meter decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.calendar import at, next_execution
from device_sim.core.is15959.clock import DAY_MS
from dlms.axdr.datetimes import CosemTime

if TYPE_CHECKING:
    from dlms.cosem.schedules import ExecutionTime

NEVER_MS: Final = 1 << 62
_MIDNIGHT: Final = CosemTime.of(hour=0, minute=0, second=0)
Rules = tuple["ExecutionTime", ...]


class Due:
    """The next times, each the first full one that lies ahead."""

    __slots__ = (
        "_activation_rules",
        "_billing_rules",
        "_push_rules",
        "activation_ms",
        "billing_ms",
        "block_ms",
        "calendar_ms",
        "capture_period_s",
        "day_ms",
        "demand_ms",
        "demand_period_s",
        "first_ms",
        "push_ms",
    )

    def __init__(self, local_ms: int, *, capture_period_s: int, demand_period_s: int) -> None:
        self.capture_period_s = capture_period_s
        self.demand_period_s = demand_period_s
        self._billing_rules: Rules = (at(_MIDNIGHT, day=1),)
        self._push_rules: Rules = ()
        self._activation_rules: Rules = ()
        self.block_ms = self.demand_ms = self.day_ms = self.billing_ms = 0
        self.push_ms = self.activation_ms = self.calendar_ms = NEVER_MS
        self.first_ms = 0
        """The earliest of all."""
        self.plan(local_ms)

    @property
    def billing_rules(self) -> Rules:
        return self._billing_rules

    @property
    def push_rules(self) -> Rules:
        return self._push_rules

    @property
    def activation_rules(self) -> Rules:
        return self._activation_rules

    def plan(self, local_ms: int) -> None:
        """Begin all intervals anew, but for the calendar's."""
        self.block_ms = following(local_ms, self.capture_period_s * 1000)
        self.demand_ms = following(local_ms, self.demand_period_s * 1000)
        self.day_ms = following(local_ms, DAY_MS)
        self.billing_ms = _next(self._billing_rules, local_ms)
        self.push_ms = _next(self._push_rules, local_ms)
        self.activation_ms = _next(self._activation_rules, local_ms)
        self._find_first()

    def follow_clock(self, local_ms: int) -> None:
        """Fit a clock that was set: what has passed is due now; set back far, everything begins anew.

        Set back by less than a period nothing changes, so that no interval, day or cycle ends twice.
        """
        if self.block_ms - local_ms > 2 * self.capture_period_s * 1000:
            self.block_ms = following(local_ms, self.capture_period_s * 1000)
        if self.demand_ms - local_ms > 2 * self.demand_period_s * 1000:
            self.demand_ms = following(local_ms, self.demand_period_s * 1000)
        if self.day_ms - local_ms > 2 * DAY_MS:
            self.plan(local_ms)
        self._find_first()

    def set_billing_rules(self, rules: Rules, local_ms: int) -> None:
        self._billing_rules = rules
        self.billing_ms = _next(rules, local_ms)
        self._find_first()

    def set_push_rules(self, rules: Rules, local_ms: int) -> None:
        self._push_rules = rules
        self.push_ms = _next(rules, local_ms)
        self._find_first()

    def set_activation_rules(self, rules: Rules, local_ms: int) -> None:
        self._activation_rules = rules
        self.activation_ms = _next(rules, local_ms)
        self._find_first()

    def set_calendar_time(self, due_ms: int | None, local_ms: int) -> None:
        """Take when the passive calendar shall hold; a time that has passed is none."""
        self.calendar_ms = due_ms if due_ms is not None and due_ms > local_ms else NEVER_MS
        self._find_first()

    def take_block(self, local_ms: int) -> int:
        """Return the end of the interval that is due, and go on to the next full one."""
        ended, self.block_ms = self.block_ms, following(local_ms, self.capture_period_s * 1000)
        self._find_first()
        return ended

    def take_demand(self, local_ms: int) -> int:
        ended, self.demand_ms = self.demand_ms, following(local_ms, self.demand_period_s * 1000)
        self._find_first()
        return ended

    def take_day(self, local_ms: int) -> int:
        ended, self.day_ms = self.day_ms, following(local_ms, DAY_MS)
        self._find_first()
        return ended

    def take_billing(self, local_ms: int) -> int:
        ended, self.billing_ms = self.billing_ms, _next(self._billing_rules, local_ms)
        self._find_first()
        return ended

    def take_push(self, local_ms: int) -> None:
        self.push_ms = _next(self._push_rules, local_ms)
        self._find_first()

    def take_activation(self, local_ms: int) -> None:
        self.activation_ms = _next(self._activation_rules, local_ms)
        self._find_first()

    def take_calendar(self) -> None:
        self.calendar_ms = NEVER_MS
        self._find_first()

    def _find_first(self) -> None:
        self.first_ms = min(
            self.block_ms,
            self.demand_ms,
            self.day_ms,
            self.billing_ms,
            self.push_ms,
            self.activation_ms,
            self.calendar_ms,
        )


def following(local_ms: int, period_ms: int) -> int:
    """Return the next full period of local time."""
    return local_ms - local_ms % period_ms + period_ms


def _next(rules: Rules, local_ms: int) -> int:
    due_ms = next_execution(rules, local_ms)
    return NEVER_MS if due_ms is None else due_ms
