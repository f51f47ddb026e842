"""The standard demand of a household: the BDEW profile H25 of 2025, as published in the package demandlib.

It decides how one kilowatt-hour a year spreads over the quarters of an hour; what a household makes of it is `load`'s.
H25 is the successor of H0 and has its form: a value for month, kind of day and quarter, times a curve over the year.
pandas and demandlib are imported only while the table is made.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUARTERS_PER_DAY = 96
_UNIX_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_TABLE_YEAR = 2024
"""A leap year, so that the table has a row for each day that any year may have."""
_SATURDAY = 5
_WORKDAY, _SATURDAY_ROW, _SUNDAY_ROW = range(3)


def _kind_of_day(day: date) -> int:
    """Return the row of the table for a weekday; public holidays differ from place to place and are left out."""
    return max(_WORKDAY, day.weekday() - _SATURDAY + 1)


@dataclass(frozen=True, slots=True)
class StandardProfile:
    """Mean power by day of the year, kind of day and quarter of an hour, for a household of 1 kWh a year."""

    table_w: NDArray[np.float64]
    """Shape (366, 3, 96): day of a leap year, workday/Saturday/Sunday, quarter."""
    peak_w: float
    """The highest value of the table."""

    def day_w(self, day_index: int) -> NDArray[np.float64]:
        """Return the 96 powers of one day, in W for each kWh a year.

        Args:
            day_index: Local days since 1970-01-01.
        """
        day = date.fromordinal(_UNIX_EPOCH_ORDINAL + day_index)
        row = day.replace(year=_TABLE_YEAR).timetuple().tm_yday - 1
        values: NDArray[np.float64] = self.table_w[row, _kind_of_day(day)]
        return values


@cache
def standard_profile() -> StandardProfile:
    """Return the profile; made once in a process and shared by all its households."""
    with warnings.catch_warnings():
        # demandlib 0.2.2 makes calls that pandas 3.1 deprecates; the class for H0 itself even fails over them.
        warnings.simplefilter("ignore")
        published = _published_year()
    static = published.static
    table = np.empty((366, 3, QUARTERS_PER_DAY))
    for row in range(366):
        day = date(_TABLE_YEAR, 1, 1) + timedelta(days=row)
        for kind in (_WORKDAY, _SATURDAY_ROW, _SUNDAY_ROW):
            table[row, kind] = static[day.month, kind] * published.season[row]
    actual = [table[row, _kind_of_day(date(_TABLE_YEAR, 1, 1) + timedelta(days=row))] for row in range(366)]
    # The published values add up to 1 GWh a year within half a per cent; a household shall meet its demand exactly.
    table *= 1000.0 / (np.sum(actual) / 4)
    return StandardProfile(table_w=table, peak_w=float(table.max()))


@dataclass(frozen=True, slots=True)
class _PublishedYear:
    static: dict[tuple[int, int], NDArray[np.float64]]
    """By month and kind of day: the 96 values before the curve over the year."""
    season: NDArray[np.float64]
    """The curve over the year, shape (366, 96)."""


def _published_year() -> _PublishedYear:
    """Take the profile of one year apart into its published factors."""
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy, and wanted only here
    from demandlib.bdew import H25  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy, and wanted only here

    index = pd.date_range(f"{_TABLE_YEAR}-01-01", periods=366 * QUARTERS_PER_DAY, freq="15min")
    season = H25.dynamisation_function(index).to_numpy().reshape(366, QUARTERS_PER_DAY)
    values = H25(index).to_numpy().reshape(366, QUARTERS_PER_DAY) / season
    static: dict[tuple[int, int], NDArray[np.float64]] = {}
    for row in range(366):
        day = date(_TABLE_YEAR, 1, 1) + timedelta(days=row)
        static.setdefault((day.month, _kind_of_day(day)), values[row])
    return _PublishedYear(static=static, season=season)
