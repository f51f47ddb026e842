"""Tariff times (activity calendar, class 20) and moments when something is due (single action schedule, class 22).

Decides which tariff zone holds at a local time, and when the next time is that follows a rule with parts left open.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.clock import DAY_MS
from device_sim.core.is15959.measuring import ZONES
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.cosem.schedules import Day, DayAction, ExecutionTime, Season, Week
from dlms.obis import obis

if TYPE_CHECKING:
    from collections.abc import Iterator

TARIFF_SCRIPTS: Final = obis("0.0.10.0.100.255")
_EPOCH: Final = dt.date(1970, 1, 1)
DAYS_AHEAD_MAX: Final = 800
"""A rule that no day of the next two years follows is never due."""
_EVERY_DAY: Final = CosemDateTime.of(CosemDate.of(), CosemTime.of(hour=0, minute=0, second=0))
_ZONE_HOURS: Final = ((0, 1), (6, 2), (10, 3), (18, 4), (22, 1))


@dataclass(frozen=True, slots=True)
class Calendar:
    """One set of tariff times."""

    name: str
    seasons: tuple[Season, ...]
    weeks: tuple[Week, ...]
    days: tuple[Day, ...]

    def zone(self, local_ms: int) -> int:
        """Return the tariff zone at a local time; 1 where the calendar says nothing."""
        day_index, day_ms = divmod(local_ms, DAY_MS)
        date = _EPOCH + dt.timedelta(days=day_index)
        day_id = self._day_id(date)
        for day in self.days:
            if day.day_id == day_id:
                return _zone_of(day, day_ms)
        return 1

    def _day_id(self, date: dt.date) -> int:
        week_name = self._week_name(date)
        for week in self.weeks:
            if week.name == week_name:
                days = (
                    week.monday,
                    week.tuesday,
                    week.wednesday,
                    week.thursday,
                    week.friday,
                    week.saturday,
                    week.sunday,
                )
                return days[date.weekday()]
        return 0

    def _week_name(self, date: dt.date) -> str:
        """Return the week of the season that began last; of the first one where none has a date."""
        begun = [(_begin(season, date), season.week_name) for season in self.seasons]
        return max(begun, default=(0, ""), key=lambda pair: pair[0])[1]


def _begin(season: Season, date: dt.date) -> int:
    """Return how recently a season began, in days before the date, negated; far back where that is not said."""
    month, day = season.start.date.month, season.start.date.day
    if month is None or day is None or not 1 <= month <= 12:
        return -DAYS_AHEAD_MAX
    for year in (date.year, date.year - 1):
        try:
            begun = dt.date(year, month, day)
        except ValueError:
            continue
        if begun <= date:
            return (begun - date).days
    return -DAYS_AHEAD_MAX


def _zone_of(day: Day, day_ms: int) -> int:
    zone = 1
    for action in day.actions:
        start = (action.start.hour or 0) * 3_600_000 + (action.start.minute or 0) * 60_000
        if start <= day_ms and 1 <= action.selector <= ZONES:
            zone = action.selector
    return zone


def standard_calendar() -> Calendar:
    """Return the tariff times that a new meter has: night, morning, day, evening."""
    actions = tuple(
        DayAction(CosemTime.of(hour=hour, minute=0, second=0), TARIFF_SCRIPTS, zone) for hour, zone in _ZONE_HOURS
    )
    return Calendar(
        "STANDARD", (Season("S1", _EVERY_DAY, "W1"),), (Week("W1", 1, 1, 1, 1, 1, 1, 1),), (Day(1, actions),)
    )


@dataclass(slots=True)
class Calendars:
    """The calendar that holds, and the one that will."""

    active: Calendar = field(default_factory=standard_calendar)
    passive: Calendar = field(default_factory=standard_calendar)
    activation: CosemDateTime = field(default_factory=lambda: CosemDateTime(bytes.fromhex("ffffffffffffffffff8000ff")))

    def activate(self) -> None:
        self.active = self.passive


def next_execution(rules: tuple[ExecutionTime, ...], after_ms: int) -> int | None:
    """Return the first local time after `after_ms` that follows one of the rules; None if there is none."""
    return min((time for rule in rules if (time := _next(rule, after_ms)) is not None), default=None)


def _next(rule: ExecutionTime, after_ms: int) -> int | None:
    first_day = after_ms // DAY_MS
    for day_index in range(first_day, first_day + DAYS_AHEAD_MAX):
        if not rule.date.matches(_EPOCH + dt.timedelta(days=day_index)):
            continue
        for time_ms in _times(rule.time):
            local_ms = day_index * DAY_MS + time_ms
            if local_ms > after_ms:
                return local_ms
    return None


def _times(rule: CosemTime) -> Iterator[int]:
    """Return the times of a day that follow a rule, to the minute; seconds left open are zero."""
    hours = [hour for hour in range(24) if rule.hour in {None, hour}]
    minutes = [minute for minute in range(60) if rule.minute in {None, minute}]
    seconds = [second for second in range(60) if (rule.second or 0) == second]
    for hour in hours:
        for minute in minutes:
            for second in seconds:
                yield ((hour * 60 + minute) * 60 + second) * 1000


def at(time: CosemTime, *, day: int | None = None) -> ExecutionTime:
    """Return the rule for a time of every day, or of one day of every month."""
    return ExecutionTime(time, CosemDate.of(day=day))
