"""A meter's clock and ours: how one meter writes instants, and what an instant it wrote is in UTC.

Decides nothing about when a clock is set.
"""

from dataclasses import dataclass

from dlms.axdr.datetimes import DEVIATION_MINUTES_MAX, CosemDateTime, DeviationSign
from dlms.axdr.values import Value
from dlms.cosem.profile_rows import Cell
from dlms.errors import DecodeError
from gateway.core.dlms_profiles import Deviation

_DATE_TIME_BYTES = 12
_SIGNS = {"local-to-utc": DeviationSign.LOCAL_TO_UTC, "utc-to-local": DeviationSign.UTC_TO_LOCAL}


@dataclass(frozen=True, slots=True)
class MeterTime:
    """How one meter writes instants."""

    sign: DeviationSign
    minutes: int
    """Deviation of its local time, by `sign`."""
    states_deviation: bool
    """It writes the deviation into its instants; otherwise it expects it left open in ours."""

    @classmethod
    def of(cls, deviation: Deviation, shown: CosemDateTime | None) -> "MeterTime":
        """Return the convention of a make, and of what one of its clocks showed."""
        stated = shown.deviation_minutes if shown is not None else None
        # More than the world goes round is no deviation; some meters have such numbers there.
        is_one = stated is not None and abs(stated) <= DEVIATION_MINUTES_MAX
        minutes = stated if is_one and stated is not None else deviation.minutes
        return cls(_SIGNS[deviation.sign], minutes, shown is None or stated is not None)

    def ms(self, moment: CosemDateTime) -> int | None:
        """Return an instant in Unix milliseconds; None for what is none."""
        try:
            return moment.to_utc_ms(self.minutes, sign=self.sign)
        except DecodeError:
            return None

    def seconds(self, cell: Cell | Value) -> int | None:
        """Return an instant out of a profile in Unix seconds; None for what is none."""
        if isinstance(cell, bytes) and len(cell) == _DATE_TIME_BYTES:
            cell = CosemDateTime(cell)
        if not isinstance(cell, CosemDateTime):
            return None
        milliseconds = self.ms(cell)
        return None if milliseconds is None else milliseconds // 1_000

    def moment(self, utc_ms: int) -> CosemDateTime:
        """Return an instant as this meter writes it."""
        return CosemDateTime.from_utc_ms(
            utc_ms, self.minutes, sign=self.sign, states_deviation=self.states_deviation, status=0
        )
