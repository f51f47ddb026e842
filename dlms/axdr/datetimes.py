"""COSEM date-time, date and time: twelve, five and four bytes, any part of which may be left open (BB 4.1.6.1).

The bytes are kept as they came, since meters send parts that are no date at all for "never"; what is asked of them is
computed when asked. Two things are the meter's and so a parameter: the deviation where it is not specified, and which
way it counts.
"""

import calendar
import datetime as dt
import struct
from dataclasses import dataclass
from enum import Enum, IntFlag
from functools import lru_cache
from typing import Final, Self

from dlms.errors import DecodeError

DST_BEGIN: Final = 0xFE
"""As a month: the month and day when daylight saving time begins."""
DST_END: Final = 0xFD
"""As a month: the month and day when daylight saving time ends."""
LAST_DAY: Final = 0xFE
"""As a day of the month: its last one; with a day of the week, the last such day."""
SECOND_LAST_DAY: Final = 0xFD
"""As a day of the month: the one before its last."""
DEVIATION_MINUTES_MAX: Final = 840

_OPEN: Final = 0xFF
_YEAR_OPEN: Final = 0xFFFF
_DEVIATION_OPEN: Final = -0x8000
_DATE: Final = struct.Struct(">HBBB")
_TIME: Final = struct.Struct(">BBBB")
_DATE_TIME: Final = struct.Struct(">HBBBBBBBhB")
DATE_TIME_BYTES: Final = 12
_DAY_SECONDS: Final = 86_400
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


class DeviationSign(Enum):
    """Which way the deviation of a meter counts."""

    LOCAL_TO_UTC = 1
    """As the Blue Book has it: UTC is local time plus deviation, so India is -330."""
    UTC_TO_LOCAL = -1
    """The other way round, as some meters do: UTC is local time minus deviation, so India is 330."""


class ClockStatus(IntFlag):
    """Bits of the clock status; others are the manufacturer's."""

    INVALID = 0x01
    """Time could not be recovered after an incident."""
    DOUBTFUL = 0x02
    """Time was recovered, but how well is not known."""
    DIFFERENT_BASE = 0x04
    """Another source than configured drives the clock now."""
    INVALID_STATUS = 0x08
    """One or more bits of this status are not to be believed."""
    DAYLIGHT_SAVING = 0x80


def _or_none(part: int, *, is_open: int = _OPEN) -> int | None:
    return None if part == is_open else part


def _or_open(part: int | None, *, is_open: int = _OPEN) -> int:
    return is_open if part is None else part


def _pack(layout: struct.Struct, *parts: int) -> bytes:
    try:
        return layout.pack(*parts)
    except struct.error:
        raise ValueError("a part of the date or time does not fit its bytes") from None


def _check(encoded: bytes, layout: struct.Struct, noun: str) -> None:
    if len(encoded) != layout.size:
        raise DecodeError(f"a {noun} has {layout.size} bytes, not {len(encoded)}")


@dataclass(frozen=True, slots=True, repr=False)
class CosemDate:
    """A date, or a rule that many dates follow."""

    encoded: bytes
    """Year (2), month, day of the month, day of the week (1 Monday)."""

    def __post_init__(self) -> None:
        _check(self.encoded, _DATE, "date")

    @classmethod
    def of(
        cls, *, year: int | None = None, month: int | None = None, day: int | None = None, weekday: int | None = None
    ) -> Self:
        """Return a date; None leaves a part open. `DST_BEGIN`, `LAST_DAY` and their like stand for themselves."""
        year_part = _or_open(year, is_open=_YEAR_OPEN)
        return cls(_pack(_DATE, year_part, _or_open(month), _or_open(day), _or_open(weekday)))

    @property
    def year(self) -> int | None:
        """Year, or None for any."""
        return _or_none(int.from_bytes(self.encoded[:2], "big"), is_open=_YEAR_OPEN)

    @property
    def month(self) -> int | None:
        """Month from 1, `DST_BEGIN`, `DST_END`, or None for any."""
        return _or_none(self.encoded[2])

    @property
    def day(self) -> int | None:
        """Day of the month from 1, `LAST_DAY`, `SECOND_LAST_DAY`, or None for any."""
        return _or_none(self.encoded[3])

    @property
    def weekday(self) -> int | None:
        """Day of the week from 1 for Monday to 7 for Sunday, or None for any."""
        return _or_none(self.encoded[4])

    def matches(self, date: dt.date) -> bool:
        """Say whether a date follows this rule.

        A day of the week beside a day of the month means the first such day from there on; beside `LAST_DAY` the last
        one. The two daylight saving markers name a day that only the clock object knows, and match nothing here.
        """
        parts: tuple[int, int, int, int] = _DATE.unpack(self.encoded)
        year, month, day, weekday = parts
        if (year not in (_YEAR_OPEN, date.year)) or month not in (_OPEN, date.month):
            return False
        if _OPEN in (weekday, day):
            return weekday in (_OPEN, date.isoweekday()) and day in (_OPEN, *_names_of(date))
        if date.isoweekday() != weekday:
            return False
        if day in (LAST_DAY, SECOND_LAST_DAY):
            return 0 <= _month_days(date) - (day == SECOND_LAST_DAY) - date.day < 7
        return 0 <= date.day - day < 7

    def __str__(self) -> str:
        year, month, day, weekday = _DATE.unpack(self.encoded)
        months = {_OPEN: "*", DST_BEGIN: "dst-begin", DST_END: "dst-end"}
        days = {_OPEN: "*", LAST_DAY: "last", SECOND_LAST_DAY: "second-last"}
        text = "*" if year == _YEAR_OPEN else f"{year:04}"
        text += f"-{months.get(month, f'{month:02}')}-{days.get(day, f'{day:02}')}"
        return text if weekday == _OPEN or _OPEN not in self.encoded[:4] else f"{text} weekday {weekday}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def _month_days(date: dt.date) -> int:
    return calendar.monthrange(date.year, date.month)[1]


def _names_of(date: dt.date) -> tuple[int, ...]:
    """Return all codes that name this day of its month."""
    last = _month_days(date)
    special = {last: (LAST_DAY,), last - 1: (SECOND_LAST_DAY,)}
    return (date.day, *special.get(date.day, ()))


@dataclass(frozen=True, slots=True, repr=False)
class CosemTime:
    """A time of day, or a rule that many follow."""

    encoded: bytes
    """Hour, minute, second, hundredths."""

    def __post_init__(self) -> None:
        _check(self.encoded, _TIME, "time")

    @classmethod
    def of(
        cls,
        *,
        hour: int | None = None,
        minute: int | None = None,
        second: int | None = None,
        hundredths: int | None = None,
    ) -> Self:
        """Return a time; None leaves a part open."""
        return cls(_pack(_TIME, _or_open(hour), _or_open(minute), _or_open(second), _or_open(hundredths)))

    @property
    def hour(self) -> int | None:
        """Hour from 0, or None for any."""
        return _or_none(self.encoded[0])

    @property
    def minute(self) -> int | None:
        """Minute, or None for any."""
        return _or_none(self.encoded[1])

    @property
    def second(self) -> int | None:
        """Second, or None for any."""
        return _or_none(self.encoded[2])

    @property
    def hundredths(self) -> int | None:
        """Hundredths of a second, or None where not specified."""
        return _or_none(self.encoded[3])

    def matches(self, time: dt.time) -> bool:
        """Say whether a time follows this rule, to the second."""
        parts = (time.hour, time.minute, time.second)
        return all(rule in (_OPEN, part) for rule, part in zip(self.encoded, parts, strict=False))

    def __str__(self) -> str:
        text = ":".join("*" if part == _OPEN else f"{part:02}" for part in self.encoded[:3])
        return text if self.hundredths is None else f"{text}.{self.hundredths:02}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


@dataclass(frozen=True, slots=True, repr=False, init=False)
class CosemDateTime:
    """A point in time, or a rule that many follow; with the deviation from UTC and the state of the clock."""

    encoded: bytes
    """Date (5), time (4), deviation in minutes (2), clock status."""

    def __init__(self, encoded: bytes) -> None:
        # One call instead of two: a profile has one of these in every row.
        if len(encoded) != DATE_TIME_BYTES:
            raise DecodeError(f"a date-time has {DATE_TIME_BYTES} bytes, not {len(encoded)}")
        object.__setattr__(self, "encoded", encoded)

    @classmethod
    def of(
        cls,
        date: CosemDate,
        time: CosemTime,
        *,
        deviation_minutes: int | None = None,
        status: ClockStatus | int | None = None,
    ) -> Self:
        """Return a date-time of its parts; None leaves deviation or status open."""
        deviation = _or_open(deviation_minutes, is_open=_DEVIATION_OPEN)
        if deviation != _DEVIATION_OPEN and not -DEVIATION_MINUTES_MAX <= deviation <= DEVIATION_MINUTES_MAX:
            raise ValueError(f"a deviation of {deviation} minutes is further than the world goes round")
        return cls(date.encoded + time.encoded + deviation.to_bytes(2, "big", signed=True) + bytes((_or_open(status),)))

    @classmethod
    def from_utc_ms(
        cls,
        utc_ms: int,
        deviation_minutes: int,
        *,
        sign: DeviationSign = DeviationSign.LOCAL_TO_UTC,
        states_deviation: bool = True,
        status: ClockStatus | int | None = 0,
    ) -> Self:
        """Return the local time of an instant.

        Args:
            utc_ms: Unix time in milliseconds; hundredths are what is kept of them.
            deviation_minutes: Of local time, counted as `sign` says.
            sign: Which way the meter counts deviations.
            states_deviation: False writes "not specified" for the deviation, as for meters that know local time only.
            status: Of the clock; None for not specified.

        Raises:
            ValueError: Outside of the years 1 to 9999, or no such deviation.
        """
        date, time = _parts_of(utc_ms - sign.value * deviation_minutes * 60_000)
        stated = deviation_minutes if states_deviation else None
        return cls.of(date, time, deviation_minutes=stated, status=status)

    def to_utc_ms(
        self, default_deviation_minutes: int | None = None, *, sign: DeviationSign = DeviationSign.LOCAL_TO_UTC
    ) -> int:
        """Return the instant, in milliseconds of Unix time; seconds and hundredths left open count as zero.

        Args:
            default_deviation_minutes: Taken where the deviation is not specified; counted as `sign` says.
            sign: Which way the meter counts deviations.

        Raises:
            DecodeError: Another part is left open, or no such date or time exists, or no deviation is known.
        """
        deviation = self.deviation_minutes
        if deviation is None:
            deviation = default_deviation_minutes
        if deviation is None:
            raise DecodeError(f"{self} has no deviation from UTC, and none is known of its clock")
        return self.local_ms() + sign.value * deviation * 60_000

    def local_ms(self) -> int:
        """Return what the clock shows, in milliseconds as if it were UTC; seconds and hundredths left open are zero.

        Raises:
            DecodeError: Another part is left open, or no such date or time exists.
        """
        year, month, day, _, hour, minute, second, hundredths, _, _ = _DATE_TIME.unpack(self.encoded)
        if second == _OPEN:
            second = 0
        if hundredths == _OPEN:
            hundredths = 0
        day_seconds = hour * 3600 + minute * 60 + second
        days = _days(year, month, day)
        # Midnight may be written as the end of a day: 24:00:00.
        if days is None or minute > 59 or second > 59 or hundredths > 99 or day_seconds > _DAY_SECONDS:
            raise DecodeError(f"{self} is no instant")
        milliseconds: int = (days * _DAY_SECONDS + day_seconds) * 1000 + hundredths * 10
        return milliseconds

    def plus_seconds(self, seconds: int) -> Self:
        """Return the date-time so much later on the same clock, with the same deviation and status.

        Raises:
            DecodeError: No instant, or the years 1 to 9999 are left.
        """
        local_ms = self.local_ms()
        rest_s = local_ms // 1000 % _DAY_SECONDS + seconds
        if 0 <= rest_s < _DAY_SECONDS and self.encoded[5] < 24 and _OPEN not in self.encoded[5:8]:
            hour, rest_s = divmod(rest_s, 3600)
            clock = bytes((hour, rest_s // 60, rest_s % 60))
            return type(self)(self.encoded[:5] + clock + self.encoded[8:])
        try:
            date, time = _parts_of(local_ms + seconds * 1000)
        except ValueError:
            raise DecodeError(f"{self} plus {seconds} s is no year from 1 to 9999") from None
        weekday = date.encoded[4:] if self.encoded[4] != _OPEN else b"\xff"
        # Parts of the time that the meter leaves open, it leaves open in what follows.
        kept = bytes(_OPEN if old == _OPEN else new for old, new in zip(self.encoded[5:9], time.encoded, strict=True))
        return type(self)(date.encoded[:4] + weekday + kept + self.encoded[9:])

    @property
    def date(self) -> CosemDate:
        """The date part."""
        return CosemDate(self.encoded[:5])

    @property
    def time(self) -> CosemTime:
        """The time part."""
        return CosemTime(self.encoded[5:9])

    @property
    def deviation_minutes(self) -> int | None:
        """Deviation as it stands, or None where it is not specified; its sign is the meter's."""
        return _or_none(int.from_bytes(self.encoded[9:11], "big", signed=True), is_open=_DEVIATION_OPEN)

    @property
    def status(self) -> ClockStatus | None:
        """State of the clock, or None where it is not specified."""
        status = self.encoded[11]
        return None if status == _OPEN else ClockStatus(status)

    @property
    def is_instant(self) -> bool:
        """Say whether this is a real date and time with nothing left open but seconds, deviation and status."""
        try:
            self.local_ms()
        except DecodeError:
            return False
        return True

    def __str__(self) -> str:
        deviation = self.deviation_minutes
        text = f"{self.date} {self.time}"
        return text if deviation is None else f"{text} deviation {deviation}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def _parts_of(local_ms: int) -> tuple[CosemDate, CosemTime]:
    """Return the date and time of an instant of local time; ValueError outside of the years 1 to 9999."""
    days, rest_ms = divmod(local_ms, _DAY_SECONDS * 1000)
    try:
        date = dt.date.fromordinal(_EPOCH + days)
    except (OverflowError, ValueError):
        raise ValueError(f"{local_ms} ms is no year from 1 to 9999") from None
    minutes, second_ms = divmod(rest_ms, 60_000)
    return (
        CosemDate.of(year=date.year, month=date.month, day=date.day, weekday=date.isoweekday()),
        CosemTime.of(
            hour=minutes // 60,
            minute=minutes % 60,
            second=second_ms // 1000,
            hundredths=second_ms % 1000 // 10,
        ),
    )


@lru_cache(maxsize=512)
def _days(year: int, month: int, day: int) -> int | None:
    """Return the days from 1970 on, or None for no date."""
    try:
        return dt.date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
