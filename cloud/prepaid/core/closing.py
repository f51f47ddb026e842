"""When an account may be closed: at the end of a day some days ago, where its register points are in and unbroken.

A gateway sends its register points oldest first, so once points of a day after the close are in, those before it are,
too, or never will be. An hour that a running gateway did not report while it reported the ones before and after is
waited for some days longer. Waiting too little loses no energy, since registers are cumulative: a late point changes
nothing that was closed, and the step it belongs to falls after the close.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from prepay.entries import RegisterPoint

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingRules:
    """How long to wait for what."""

    every_ms: int = DAY_MS
    """Closes lie at whole multiples of it, in UTC."""
    lag_ms: int = 3 * DAY_MS
    """How long ago a close lies at least."""
    followed_ms: int = DAY_MS
    """For how long after a close points are in."""
    gap_ms: int = 2 * HOUR_MS
    """Further apart, two points of one run of a gateway have a gap between them."""
    gap_wait_ms: int = 7 * DAY_MS
    """For how long after a gap points are in, until it is held to be for ever."""


def closable_ms(points: Iterable[RegisterPoint], *, closed_at_ms: int, now_ms: int, rules: ClosingRules) -> int | None:
    """Return the latest instant at which an account may be closed, or None if there is nothing to close.

    Args:
        points: Its register points that no statement stands for.
        closed_at_ms: The latest close.
        now_ms: UTC.
        rules: How long to wait.
    """
    believable = [point for point in points if point.taken_at_ms <= now_ms]
    if not believable:
        return None
    newest_ms = max(point.taken_at_ms for point in believable)
    latest_ms = min(now_ms - rules.lag_ms, newest_ms - rules.followed_ms)
    for gap_from_ms, gap_until_ms in _gaps(believable, rules.gap_ms):
        if newest_ms - gap_until_ms < rules.gap_wait_ms:
            latest_ms = min(latest_ms, gap_from_ms)
    close_ms = latest_ms // rules.every_ms * rules.every_ms
    covers_any = any(closed_at_ms < point.taken_at_ms <= close_ms for point in believable)
    return close_ms if close_ms > closed_at_ms and covers_any else None


def _gaps(points: Iterable[RegisterPoint], gap_ms: int) -> Iterator[tuple[int, int]]:
    """Return from when until when a running gateway reported no point of an installation."""
    runs: dict[tuple[str, int, bytes], list[tuple[int, int]]] = {}
    for point in points:
        run = (point.meter_serial, point.installation, point.boot_id)
        runs.setdefault(run, []).append((point.tick_ms, point.taken_at_ms))
    for stamps in runs.values():
        for (tick_ms, taken_at_ms), (next_tick_ms, next_taken_at_ms) in pairwise(sorted(stamps)):
            if next_tick_ms - tick_ms > gap_ms:
                yield taken_at_ms, next_taken_at_ms
