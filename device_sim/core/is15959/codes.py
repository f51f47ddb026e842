"""Event codes and the bits of the event status word (IS 15959 part 2, tables of events and of the ESW).

Decides which code stands in which log, which bit it moves and whether it begins or ends something. When something
happens, others decide; codes that are not here can still be logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

ESW_BITS: Final = 128


class Log(IntEnum):
    """The seven event logs, by the last but one part of their logical name."""

    VOLTAGE = 0
    CURRENT = 1
    POWER = 2
    TRANSACTION = 3
    OTHER = 4
    NON_ROLLOVER = 5
    CONTROL = 6


class Event(IntEnum):
    """Codes that this meter makes or that a scenario lets happen."""

    VOLTAGE_MISSING = 1
    OVER_VOLTAGE = 7
    OVER_VOLTAGE_ENDED = 8
    LOW_VOLTAGE = 9
    LOW_VOLTAGE_ENDED = 10
    CURRENT_REVERSED = 51
    BYPASS = 65
    OVER_CURRENT = 67
    EARTH_LOADING = 69
    POWER_FAILED = 101
    POWER_RESTORED = 102
    CLOCK_SET = 151
    DEMAND_PERIOD_SET = 152
    CAPTURE_PERIOD_SET = 153
    BILLING_DATE_SET = 154
    CALENDAR_SET = 155
    FIRMWARE_ACTIVATED = 157
    LOAD_LIMIT_SET = 158
    LOAD_LIMIT_ENABLED = 159
    LOAD_LIMIT_DISABLED = 160
    READER_SECRET_SET = 161
    SETTINGS_KEY_SET = 162
    FIRMWARE_KEY_SET = 163
    ESW_FILTER_SET = 165
    DEMAND_RESET = 166
    METERING_MODE_SET = 167
    MAGNET = 201
    MAGNET_ENDED = 202
    NEUTRAL_DISTURBANCE = 203
    LOW_POWER_FACTOR = 205
    NEUTRAL_MISSING = 207
    TO_POSTPAID = 211
    TO_PREPAID = 212
    TO_FORWARD_ONLY = 213
    TO_IMPORT_EXPORT = 214
    OVERLOAD = 215
    OVERLOAD_ENDED = 216
    COVER_OPEN = 251
    RELAY_WELD = 253
    LOAD_SWITCH_OPENED = 301
    LOAD_SWITCH_CLOSED = 302


class EswBit(IntEnum):
    """Bits of the event status word, 0 the leftmost."""

    OVER_VOLTAGE = 3
    LOW_VOLTAGE = 4
    RELAY_WELD = 79
    MAGNET = 81
    COVER_OPEN = 83
    LOAD_SWITCH_CHANGED = 84
    LAST_GASP = 85
    FIRST_BREATH = 86
    BILLING_COUNTED = 87
    OVERLOAD = 111


MOMENTARY: Final = frozenset(
    {EswBit.LOAD_SWITCH_CHANGED, EswBit.LAST_GASP, EswBit.FIRST_BREATH, EswBit.BILLING_COUNTED}
)
"""Bits that say that something happened, and stand for nothing that lasts."""

_PAIRED_BITS: Final = {
    1: 0, 3: 1, 5: 2, 7: 3, 9: 4, 11: 5, 51: 6, 53: 7, 55: 8, 63: 9, 65: 10, 67: 11, 69: 51, 201: 81, 203: 82,
    205: 12, 215: 111,
}  # fmt: skip
"""Code of the occurrence to its bit; the code after it is the end, which clears the bit."""
_LASTING_BITS: Final = {251: 83, 253: 79}
_MOMENTARY_BITS: Final = {101: 85, 102: 86, 301: 84, 302: 84}
_LOGS: Final = ((50, Log.VOLTAGE), (100, Log.CURRENT), (150, Log.POWER), (200, Log.TRANSACTION), (250, Log.OTHER))
_TAMPERS: Final = frozenset({*range(51, 71, 2), 201, 203, 207, 251})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code does."""

    log: Log
    sets: int | None = None
    """Bit of the ESW."""
    clears: int | None = None


def meaning(code: int) -> Meaning:
    """Return what a code does; codes of vendors move no bit."""
    if code in _PAIRED_BITS:
        return Meaning(log_of(code), sets=_PAIRED_BITS[code])
    if code - 1 in _PAIRED_BITS:
        return Meaning(log_of(code), clears=_PAIRED_BITS[code - 1])
    return Meaning(log_of(code), sets=_LASTING_BITS.get(code, _MOMENTARY_BITS.get(code)))


def log_of(code: int) -> Log:
    """Return the log that a code stands in."""
    for last, log in _LOGS:
        if code <= last:
            return log
    return Log.NON_ROLLOVER if code <= 300 else Log.CONTROL


def is_tamper(code: int) -> bool:
    """Say whether a code counts as an attempt to cheat."""
    return code in _TAMPERS
