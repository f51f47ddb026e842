"""Service levels to be met, as data: what is measured, which share has to meet which deadline, and who says so.

Whether a target has a source is part of it, so that a working value of ours never looks like a contract. What is
measured against a target, and how, is the business of the surveys; reading the file is left to `adapters.targets`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from cloud.monitoring.core.points import point

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
DEADLINE_S_MAX: Final = 31 * 86_400
_WINDOW_MS: Final = {"hour": HOUR_MS, "day": DAY_MS}


class Metric(StrEnum):
    """What can be measured."""

    COLLECTION_INTERVALS = "collection_intervals"
    """Intervals of a UTC day, of which a valid value is there; the deadline counts from the day's end."""
    COLLECTION_METERS = "collection_meters"
    """Meters, of which anything of a UTC day is there; the deadline counts from the day's end."""
    COMMAND_LATENCY = "command_latency"
    """Commands to relays, which the gateway says it carried out; the deadline counts from their issue."""
    ON_DEMAND_READ = "on_demand_read"
    """Demand reads, which were answered; the deadline counts from their issue."""
    RECONNECT_AFTER_CREDIT = "reconnect_after_credit"
    """Credits that end a cut-off, after which supply is back; the deadline counts from the credit."""


class CommandScope(StrEnum):
    """Which commands a target is about; the other metrics know only `all`."""

    ALL = "all"
    SINGLE = "single"
    """Those of requests for few meters."""
    BULK = "bulk"
    """Those of requests for many."""


BULK_COMMANDS_MIN: Final = 20
"""A request for so many meters is a bulk one."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service level."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
    """Stays the same as long as it means the same: the picture of past years goes by it."""
    metric: Metric
    scope: CommandScope = CommandScope.ALL
    percent: Annotated[float, Meta(gt=0, le=100)]
    """Share that has to meet the deadline."""
    deadline_s: Annotated[int, Meta(ge=1, le=DEADLINE_S_MAX)]
    window: Literal["hour", "day"]
    """What begins in one such span of UTC is judged together."""
    source: Annotated[str, Meta(min_length=1, max_length=300)]
    """Who says so, or why it is a working value."""
    sourced: bool
    """Whether somebody else than us says so."""

    @property
    def deadline_ms(self) -> int:
        return self.deadline_s * 1_000

    @property
    def is_collection(self) -> bool:
        return self.metric in (Metric.COLLECTION_INTERVALS, Metric.COLLECTION_METERS)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: list[Target]


def targets_in(data: bytes) -> tuple[Target, ...]:
    """Return the targets of a TOML file, in its order.

    Raises:
        ValueError: It does not hold; says what.
    """
    try:
        found = msgspec.toml.decode(data, type=_File).target
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    seen: set[str] = set()
    for target in found:
        if target.id in seen:
            raise ValueError(f"two targets are called {target.id}")
        seen.add(target.id)
        if target.is_collection and target.window != "day":
            raise ValueError(f"{target.id}: collection is counted by days, so its window is one")
        if target.metric is not Metric.COMMAND_LATENCY and target.scope is not CommandScope.ALL:
            raise ValueError(f"{target.id}: only commands are told apart as {target.scope}")
    return tuple(found)


def settled_spans(target: Target, *, from_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    """Return the spans of a target whose last deadline passes in a window, its end included, oldest first.

    Each span is settled in one window of any row of windows, so that each is told once, when nothing can change it.
    """
    width_ms = _WINDOW_MS[target.window]
    first_end_ms = ((from_ms - target.deadline_ms) // width_ms + 1) * width_ms
    for end_ms in range(first_end_ms, until_ms - target.deadline_ms + 1, width_ms):
        yield end_ms - width_ms, end_ms


def level_line(target: Target, utility: str, *, count: int, met_count: int, from_ms: int) -> str | None:
    """Return how a target was met in a span as a line; None where there was nothing to be met.

    Args:
        target: The target.
        utility: Whose.
        count: How many had to meet it.
        met_count: How many did.
        from_ms: The span's beginning.
    """
    if count == 0:
        return None
    return point(
        "service_level",
        {"target": target.id, "utility": utility},
        {
            "percent": 100 * met_count / count,
            "target_percent": target.percent,
            "count": count,
            "met_count": met_count,
            "sourced": target.sourced,
        },
        utc_ms=from_ms,
    )
