"""The clock of a meter, class 8 (BB 4.5.1)."""

from dataclasses import dataclass
from enum import IntEnum

from dlms.axdr.datetimes import CosemDateTime
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import BOOLEAN, DATE_TIME, INTEGER, LONG, NOTHING, UNSIGNED, enumeration, record


class ClockBase(IntEnum):
    """What drives a clock."""

    NOT_DEFINED = 0
    CRYSTAL = 1
    MAINS_50_HZ = 2
    MAINS_60_HZ = 3
    GPS = 4
    RADIO = 5


@dataclass(frozen=True, slots=True)
class PresetTime:
    """A time to be set later, by `adjust_to_preset_time`, as long as that comes within the interval."""

    preset_time: CosemDateTime
    validity_start: CosemDateTime
    validity_end: CosemDateTime


class Clock(CosemObject):
    """Date and time, its deviation from UTC, and daylight saving; class 8."""

    CLASS_ID = 8
    __slots__ = ()

    time: Attribute[CosemDateTime] = Attribute(2, DATE_TIME)
    time_zone: Attribute[int] = Attribute(3, LONG)
    """Minutes from local normal time to UTC, so -330 for India; some meters count the other way."""
    status: Attribute[int] = Attribute(4, UNSIGNED)
    """Bits as in `dlms.axdr.datetimes.ClockStatus`."""
    daylight_savings_begin: Attribute[CosemDateTime] = Attribute(5, DATE_TIME)
    daylight_savings_end: Attribute[CosemDateTime] = Attribute(6, DATE_TIME)
    daylight_savings_deviation: Attribute[int] = Attribute(7, INTEGER)
    """Minutes."""
    daylight_savings_enabled: Attribute[bool] = Attribute(8, BOOLEAN)
    clock_base: Attribute[ClockBase] = Attribute(9, enumeration(ClockBase))
    adjust_to_quarter: Method[int, None] = Method(1, INTEGER, NOTHING)
    """To the nearest quarter of an hour."""
    adjust_to_measuring_period: Method[int, None] = Method(2, INTEGER, NOTHING)
    adjust_to_minute: Method[int, None] = Method(3, INTEGER, NOTHING)
    adjust_to_preset_time: Method[int, None] = Method(4, INTEGER, NOTHING)
    preset_adjusting_time: Method[PresetTime, None] = Method(
        5, record(PresetTime, DATE_TIME, DATE_TIME, DATE_TIME), NOTHING
    )
    shift_time: Method[int, None] = Method(6, LONG, NOTHING)
    """By seconds, from -900 to 900."""
