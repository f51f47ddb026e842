"""Hours: which hour a row belongs to, and which gateway a meter's hour belongs to.

A row belongs to the hour that it ends or lies in: hours are open at their beginning and closed at their end, since a
meter stamps an interval with its end and a register read on the hour closes that hour. So the last row of a UTC day may
lie in the day after. A meter's hour belongs to the gateway that the meter is assigned to when the hour is about to end.
"""

from collections.abc import Collection, Sequence
from typing import Final

from cloud.meterdata.core.placing import Tenure

HOUR_MS: Final = 3_600_000
HOURS_PER_DAY: Final = 24


def hour_of(utc_ms: int) -> int:
    """Return the hour that a row stamped so belongs to, in hours since 1970-01-01."""
    return (utc_ms - 1) // HOUR_MS


def owner_of(tenures: Sequence[Tenure], hour: int) -> str:
    """Return the gateway that a meter's hour belongs to; empty if the meter was given to nobody then or later.

    What a meter recorded by itself before it was given to anyone belongs to the next gateway that it was given to.

    Args:
        tenures: Of the meter, in any order.
        hour: In hours since 1970-01-01.
    """
    last_ms = (hour + 1) * HOUR_MS - 1
    begun = [tenure for tenure in tenures if tenure.from_ms <= last_ms]
    standing = [tenure for tenure in begun if tenure.until_ms is None or last_ms < tenure.until_ms]
    if standing:
        return max(standing, key=_order).gateway
    later = [tenure for tenure in tenures if tenure.from_ms > last_ms]
    return min(later, key=_order).gateway if later else ""


def owned_hours(tenures: Sequence[Tenure], hours: range, gateway: str) -> Collection[int]:
    """Return those of some hours of a meter that belong to a gateway.

    Args:
        tenures: Of the meter, in any order.
        hours: In hours since 1970-01-01.
        gateway: Whose.
    """
    if len(tenures) == 1 and tenures[0].gateway == gateway and tenures[0].until_ms is None:
        return hours
    return {hour for hour in hours if owner_of(tenures, hour) == gateway}


def _order(tenure: Tenure) -> tuple[int, str]:
    return tenure.from_ms, tenure.gateway
