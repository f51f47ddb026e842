"""What a meter does by itself and when: scripts, class 9, activity calendar, class 20, single actions, class 22.

Blue Book 4.5.2, 4.5.5 and 4.5.7.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dlms.axdr.data import Data
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.axdr.values import Value
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import (
    ANY,
    DATE,
    DATE_TIME,
    INTEGER,
    LONG_UNSIGNED,
    NAME,
    NOTHING,
    OCTET_TEXT,
    TIME,
    UNSIGNED,
    enumeration,
    record,
    sequence,
)


class ScriptService(IntEnum):
    """What an action of a script is."""

    WRITE_ATTRIBUTE = 1
    EXECUTE_METHOD = 2


@dataclass(frozen=True, slots=True)
class ScriptAction:
    """One action of a script."""

    service: ScriptService
    class_id: int
    name: bytes
    index: int
    """Of the attribute or method."""
    parameter: Value | Data
    """Read as a plain value; give `Data` where a type is to be written that a plain value does not tell."""


@dataclass(frozen=True, slots=True)
class Script:
    """Actions under a number."""

    script_id: int
    actions: tuple[ScriptAction, ...]


@dataclass(frozen=True, slots=True)
class ScriptReference:
    """A script in a table."""

    name: bytes
    """Logical name of the script table."""
    selector: int


SCRIPT_REFERENCE: Final = record(ScriptReference, NAME, LONG_UNSIGNED)
_ACTION: Final = record(ScriptAction, enumeration(ScriptService), LONG_UNSIGNED, NAME, INTEGER, ANY)
_SCRIPT: Final = record(Script, LONG_UNSIGNED, sequence(_ACTION))


class ScriptTable(CosemObject):
    """Scripts that others start by number, class 9."""

    CLASS_ID = 9
    __slots__ = ()

    scripts: Attribute[tuple[Script, ...]] = Attribute(2, sequence(_SCRIPT))
    execute: Method[int, None] = Method(1, LONG_UNSIGNED, NOTHING)


@dataclass(frozen=True, slots=True)
class Season:
    """A season begins and the weeks go by this profile."""

    name: str
    start: CosemDateTime
    week_name: str


@dataclass(frozen=True, slots=True)
class Week:
    """Which day profile every day of a week has."""

    name: str
    monday: int
    tuesday: int
    wednesday: int
    thursday: int
    friday: int
    saturday: int
    sunday: int


@dataclass(frozen=True, slots=True)
class DayAction:
    """At a time of day a script runs."""

    start: CosemTime
    script: bytes
    """Logical name of the script table."""
    selector: int


@dataclass(frozen=True, slots=True)
class Day:
    """What runs when on such a day."""

    day_id: int
    actions: tuple[DayAction, ...]


_SEASONS: Final = sequence(record(Season, OCTET_TEXT, DATE_TIME, OCTET_TEXT))
_WEEKS: Final = sequence(record(Week, OCTET_TEXT, *[UNSIGNED] * 7))
_DAYS: Final = sequence(record(Day, UNSIGNED, sequence(record(DayAction, TIME, NAME, LONG_UNSIGNED))))


class ActivityCalendar(CosemObject):
    """Tariff times of a year, the ones that hold and the ones to come; class 20."""

    CLASS_ID = 20
    __slots__ = ()

    calendar_name_active: Attribute[str] = Attribute(2, OCTET_TEXT)
    season_profile_active: Attribute[tuple[Season, ...]] = Attribute(3, _SEASONS)
    week_profile_table_active: Attribute[tuple[Week, ...]] = Attribute(4, _WEEKS)
    day_profile_table_active: Attribute[tuple[Day, ...]] = Attribute(5, _DAYS)
    calendar_name_passive: Attribute[str] = Attribute(6, OCTET_TEXT)
    season_profile_passive: Attribute[tuple[Season, ...]] = Attribute(7, _SEASONS)
    week_profile_table_passive: Attribute[tuple[Week, ...]] = Attribute(8, _WEEKS)
    day_profile_table_passive: Attribute[tuple[Day, ...]] = Attribute(9, _DAYS)
    activate_passive_calendar_time: Attribute[CosemDateTime] = Attribute(10, DATE_TIME)
    activate_passive_calendar: Method[int, None] = Method(1, INTEGER, NOTHING)


class ScheduleType(IntEnum):
    """How many execution times there are and what may be left open in them."""

    ONE_WILDCARD_IN_DATE = 1
    SAME_TIME_NO_WILDCARD = 2
    SAME_TIME_WILDCARD_IN_DATE = 3
    DIFFERENT_TIMES_NO_WILDCARD = 4
    DIFFERENT_TIMES_WILDCARD_IN_DATE = 5


@dataclass(frozen=True, slots=True)
class ExecutionTime:
    """When a script runs; the time comes before the date."""

    time: CosemTime
    date: CosemDate


class SingleActionSchedule(CosemObject):
    """One script at certain times, class 22."""

    CLASS_ID = 22
    __slots__ = ()

    executed_script: Attribute[ScriptReference] = Attribute(2, SCRIPT_REFERENCE)
    type: Attribute[ScheduleType] = Attribute(3, enumeration(ScheduleType))
    execution_time: Attribute[tuple[ExecutionTime, ...]] = Attribute(4, sequence(record(ExecutionTime, TIME, DATE)))
