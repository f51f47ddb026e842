"""Hours and days of meters and gateways, computed from meter days: energy, power, voltages, how much was read.

Energy of an hour is the register at its last reading less the register at the last reading before the hour, however
long before: so the hours of any time add up to the register's advance, and what was used while nobody read falls into
the hour in which somebody read again. A register that went down (an exchange, a roll-over) gives its hour no value. A
meter of which interval energies were read in more hours of a day than its register has them added up instead, that
day. A day is all of its hours together, a gateway all of its meters together. Only plainly valid values count.

Which hour a row belongs to is decided in `meterdata.core.hours`. Sums are of integers, thousandths of the unit, so that
no order of rows, meters or hours changes anything.
"""

import operator
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cloud.meterdata.core.hours import HOUR_MS, HOURS_PER_DAY
from cloud.meterdata.core.meter_day import (
    ODD_SHAPE,
    OFFSET,
    SHAPE,
    SOURCE,
    TICK,
    VALID,
    VALUES,
    ChannelKey,
    Day,
    PlainRow,
    Shape,
)
from cloud.monitoring.core.fields import field_name

_DECIMALS: Final = 3
_PER_UNIT: Final = 1_000


_DIRECTIONS: Final = (0, 1)
"""Import and export, by which what is kept of both is indexed."""
_REGISTERS: Final = {"active_energy_import_wh": 0, "active_energy_export_wh": 1}
_INTERVALS: Final = {"active_energy_import_interval_wh": 0, "active_energy_export_interval_wh": 1}
_POWERS: Final = {"active_power_w", "active_power_maximum_w", "active_power_absolute_w", "active_power_net_w"}
_VOLTAGE_NAME: Final = re.compile(r"voltage(_average)?(_l[123])?_v")

Registers = tuple[int | None, int | None]
"""Of import and export, in mWh; None where nothing is known."""
UNKNOWN: Final[Registers] = (None, None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What rows of one shape hold of what counts; powers of ten make thousandths of the unit."""

    registers: Sequence[tuple[int, int, int]]
    """Place in the row, direction, power."""
    intervals: Sequence[tuple[int, int, int]]
    """Place in the row, direction, power."""
    powers: Sequence[tuple[int, int]]
    """Place in the row, power."""
    voltages: Sequence[tuple[int, Sequence[int]]]
    """Power, and the places of all channels that have it."""


@dataclass(slots=True)
class Heard:
    """What the rows of one meter say of one hour, before it is known what the hour before ended with."""

    rows_count: int = 0
    power_max_mw: int | None = None
    voltage_min_mv: int | None = None
    voltage_max_mv: int | None = None
    voltage_sum_mv: int = 0
    voltages_count: int = 0
    closing: list[tuple[int, int] | None] = field(default_factory=lambda: [None, None])
    """Of each register when it was read last, UTC in milliseconds, and what it showed, in mWh."""
    intervals_mwh: list[int | None] = field(default_factory=lambda: [None, None])
    """Of each direction the energies of intervals together."""

    def take(self, columns: Sequence[Sequence[int]], stamps: Sequence[int], rows: slice, plan: "_Plan") -> None:
        """Add rows of one shape.

        Args:
            columns: Of all rows of a day, by time.
            stamps: When each row was, UTC in milliseconds.
            rows: Which of them to add; at least one.
            plan: What they hold.
        """
        self.rows_count += rows.stop - rows.start
        for power, places in plan.voltages:
            values = [value for at in places for value in columns[at][rows]]
            self.voltage_min_mv = _least(self.voltage_min_mv, _milli(min(values), power))
            self.voltage_max_mv = _greatest(self.voltage_max_mv, _milli(max(values), power))
            self.voltage_sum_mv += _milli(sum(values), power)
            self.voltages_count += len(values)
        for at, power in plan.powers:
            self.power_max_mw = _greatest(self.power_max_mw, _milli(max(columns[at][rows]), power))
        for at, direction, power in plan.intervals:
            self.intervals_mwh[direction] = (self.intervals_mwh[direction] or 0) + _milli(sum(columns[at][rows]), power)
        last_ms = stamps[rows.stop - 1]
        first_of_last = bisect_left(stamps, last_ms, rows.start, rows.stop)
        for at, direction, power in plan.registers:
            # Of several at one instant the greatest, whichever came first.
            last = (last_ms, _milli(max(columns[at][first_of_last : rows.stop]), power))
            self.closing[direction] = max(last, self.closing[direction] or last)

    def join(self, other: "Heard") -> None:
        """Take in what other rows say of the same hour."""
        self.rows_count += other.rows_count
        self.power_max_mw = _greatest(self.power_max_mw, other.power_max_mw)
        self.voltage_min_mv = _least(self.voltage_min_mv, other.voltage_min_mv)
        self.voltage_max_mv = _greatest(self.voltage_max_mv, other.voltage_max_mv)
        self.voltage_sum_mv += other.voltage_sum_mv
        self.voltages_count += other.voltages_count
        for direction in _DIRECTIONS:
            closing, interval_mwh = other.closing[direction], other.intervals_mwh[direction]
            if closing is not None:
                self.closing[direction] = max(closing, self.closing[direction] or closing)
            if interval_mwh is not None:
                self.intervals_mwh[direction] = (self.intervals_mwh[direction] or 0) + interval_mwh


@dataclass(slots=True)
class Aggregate:
    """An hour or a day of a meter or a gateway."""

    energy_mwh: list[int | None] = field(default_factory=lambda: [None, None])
    """Imported and exported; None where nothing is known of it."""
    power_max_mw: int | None = None
    voltage_min_mv: int | None = None
    voltage_max_mv: int | None = None
    voltage_sum_mv: int = 0
    voltages_count: int = 0
    rows_count: int = 0

    def add(self, other: "Aggregate") -> None:
        """Take in another hour of the same, or the same hour of another meter."""
        for direction in _DIRECTIONS:
            energy_mwh = other.energy_mwh[direction]
            if energy_mwh is not None:
                self.energy_mwh[direction] = (self.energy_mwh[direction] or 0) + energy_mwh
        self.power_max_mw = _greatest(self.power_max_mw, other.power_max_mw)
        self.voltage_min_mv = _least(self.voltage_min_mv, other.voltage_min_mv)
        self.voltage_max_mv = _greatest(self.voltage_max_mv, other.voltage_max_mv)
        self.voltage_sum_mv += other.voltage_sum_mv
        self.voltages_count += other.voltages_count
        self.rows_count += other.rows_count

    def fields(self) -> dict[str, float | str | None]:
        """Return what the catalogue has of it."""
        energy_import_mwh, energy_export_mwh = self.energy_mwh
        mean_mv = self.voltage_sum_mv / self.voltages_count if self.voltages_count else None
        return {
            "energy_import_wh": _in_units(energy_import_mwh),
            "energy_export_wh": _in_units(energy_export_mwh),
            "power_max_w": _in_units(self.power_max_mw),
            "voltage_min_v": _in_units(self.voltage_min_mv),
            "voltage_mean_v": _in_units(mean_mv),
            "voltage_max_v": _in_units(self.voltage_max_mv),
            "rows_count": self.rows_count,
        }


def nothing() -> Aggregate:
    """Return what stands where rows were and are no more."""
    return Aggregate(energy_mwh=[0, 0])


class DayRows:
    """The rows of a meter's day by time, to be asked for some hours of it.

    Args:
        day: As it was decoded.
    """

    def __init__(self, day: Day) -> None:
        shapes = list(day.shapes)
        rows = [row if row[SHAPE] != ODD_SHAPE else _plainly(day, row, shapes) for row in day.rows]
        stamps = [row[TICK] + row[OFFSET] for row in rows]
        if any(map(operator.gt, stamps, stamps[1:])):
            rows = [row for _, row in sorted(zip(stamps, rows, strict=True))]
            stamps.sort()
        self._stamps = stamps
        self._columns: list[tuple[int, ...]] = list(zip(*rows, strict=True))
        self._plans = [None if shape is None else _plan(day.channels, shape) for shape in shapes]
        plans = [plan for plan in self._plans if plan is not None]
        self._directions = {direction for plan in plans for _, direction, _ in plan.registers}
        self.has_intervals = any(plan.intervals for plan in plans)
        """Whether there are energies of intervals, so that the whole day tells what its energy is made of."""

    def heard(self, hours: range) -> dict[int, Heard]:
        """Return what rows say of some hours in a row, by hour since 1970-01-01."""
        stamps, found = self._stamps, dict[int, Heard]()
        start, end = (bisect_right(stamps, hour * HOUR_MS) for hour in (hours.start, hours.stop))
        if start == end:
            return found
        shapes = self._columns[SHAPE]
        is_mixed = shapes.count(shapes[0]) < len(shapes)
        while start < end:
            hour, shape = (stamps[start] - 1) // HOUR_MS, shapes[start]
            stop = bisect_right(stamps, (hour + 1) * HOUR_MS, start, end)
            if is_mixed:
                stop = next((at for at in range(start, stop) if shapes[at] != shape), stop)
            plan = self._plans[shape]
            if plan is not None:
                found.setdefault(hour, Heard()).take(self._columns, stamps, slice(start, stop), plan)
            start = stop
        return found

    def registers_before(self, hour: int, *, later: Registers = UNKNOWN) -> Registers:
        """Return what each register showed at its last reading before an hour; `later` where that is known already."""
        last = list(later)
        # When each was read last; of those that need not be looked for, always later.
        wanted = [later[direction] is None and direction in self._directions for direction in _DIRECTIONS]
        read_ms = [-1 if is_wanted else sys.maxsize for is_wanted in wanted]
        for at in range(bisect_right(self._stamps, hour * HOUR_MS) - 1, -1, -1):
            utc_ms = self._stamps[at]
            if utc_ms < min(read_ms):
                break
            plan = self._plans[self._columns[SHAPE][at]]
            for place, direction, power in plan.registers if plan is not None else ():
                if wanted[direction] and utc_ms >= read_ms[direction]:
                    # Of two at one instant the greater, as `Heard` has it.
                    last[direction] = _greatest(last[direction], _milli(self._columns[place][at], power))
                    read_ms[direction] = utc_ms
        return last[0], last[1]


def lacks_register(hours: Mapping[int, Heard], before: Registers) -> bool:
    """Tell whether a day's first energy needs a register of earlier than what is known."""
    return any(before[direction] is None and _by_register(hours, direction) for direction in _DIRECTIONS)


def hours_of(hours: Mapping[int, Heard], before: Registers) -> dict[int, Aggregate]:
    """Return the hours of a meter's day.

    Args:
        hours: What was heard, by hour.
        before: What the registers showed last before the day.
    """
    found: dict[int, Aggregate] = {}
    by_register = [_by_register(hours, direction) for direction in _DIRECTIONS]
    last = list(before)
    for hour, heard in sorted(hours.items()):
        energy: list[int | None] = [None, None]
        for direction in _DIRECTIONS:
            closing = heard.closing[direction]
            if closing is not None:
                before_mwh, last[direction] = last[direction], closing[1]
                if before_mwh is not None and by_register[direction] and closing[1] >= before_mwh:
                    energy[direction] = closing[1] - before_mwh
            if not by_register[direction]:
                energy[direction] = heard.intervals_mwh[direction]
        found[hour] = Aggregate(
            energy,
            heard.power_max_mw,
            heard.voltage_min_mv,
            heard.voltage_max_mv,
            heard.voltage_sum_mv,
            heard.voltages_count,
            heard.rows_count,
        )
    return found


def together(parts: Iterable[Aggregate]) -> Aggregate:
    """Return aggregates of hours or meters as one."""
    whole = Aggregate()
    for part in parts:
        whole.add(part)
    return whole


def hours_in(day: int) -> range:
    """Return the hours of a day, both counted since 1970-01-01."""
    return range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)


def _by_register(hours: Mapping[int, Heard], direction: int) -> bool:
    """Tell whether a day's energy is told by the register, which was read in as many hours as intervals were."""
    registers = sum(heard.closing[direction] is not None for heard in hours.values())
    return registers >= max(1, sum(heard.intervals_mwh[direction] is not None for heard in hours.values()))


@lru_cache(maxsize=4_096)
def _plan(channels: tuple[ChannelKey, ...], shape: Shape) -> _Plan | None:
    """Return what rows hold; None if that is nothing valid."""
    if VALID not in shape:
        return None
    registers: list[tuple[int, int, int]] = []
    intervals: list[tuple[int, int, int]] = []
    powers: list[tuple[int, int]] = []
    voltages: dict[int, list[int]] = {}
    for index, (channel, quality) in enumerate(zip(channels, shape, strict=True)):
        if quality != VALID:
            continue
        name, at, power = field_name(channel), VALUES + index, channel.scaler + _DECIMALS
        if name in _REGISTERS:
            registers.append((at, _REGISTERS[name], power))
        elif name in _INTERVALS:
            intervals.append((at, _INTERVALS[name], power))
        elif name in _POWERS:
            powers.append((at, power))
        elif _VOLTAGE_NAME.fullmatch(name):
            voltages.setdefault(power, []).append(at)
    return _Plan(registers, intervals, powers, list(voltages.items()))


def _milli(value: int, power: int) -> int:
    """Return a value in thousandths of its unit; what is finer is cut off, of each register alike."""
    return int(value * 10**power if power >= 0 else value // 10**-power)


def _plainly(day: Day, row: PlainRow, shapes: list[Shape | None]) -> PlainRow:
    """Return a row of which several messages spoke, as if one had said what counts; its shape goes to `shapes`."""
    facts = day.odd[row[SOURCE], row[TICK]].facts
    shapes.append(tuple(of_value[0].quality if of_value else None for of_value in facts))
    values = (of_value[0].value if of_value else 0 for of_value in facts)
    return (*row[:SHAPE], len(shapes) - 1, *values)


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _greatest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _in_units(thousandths: float | None) -> float | None:
    return None if thousandths is None else thousandths / _PER_UNIT
