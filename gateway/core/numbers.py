"""The numbers of a health report, a structure for each part that knows some of them; a field's name is the metric's.

What they are made of is counted where it happens. The names are a contract with whoever draws them.
"""

from dataclasses import dataclass, fields

from wire.facts import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeNumbers:
    """What was taken and refused, since the start."""

    rows_count: int
    refused_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNumbers:
    """What lies on the disk."""

    pending_count: int
    """Signed batches that are not acknowledged."""
    pending_age_s: int
    """Of the oldest of them, site time; 0 where there is none."""
    store_bytes: int
    """Acknowledged batches are kept while there is room, and count here."""
    store_used_percent: int
    """Of what may be kept, taken by what is not acknowledged."""
    dropped_bytes: int
    """Since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryNumbers:
    """The way of batches to the cloud's database; counters since the start, times are site time."""

    acks_count: int
    ack_latency_ms: int | None
    """Mean since the last report; None where nothing was acknowledged."""
    ack_latency_max_ms: int | None
    resends_count: int
    connects_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockNumbers:
    """How far the clock may be relied on."""

    clock_synced: int
    clock_error_ms: int
    clock_step_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNumbers:
    """What only the operating system knows."""

    disk_free_percent: int
    cpu_s: int
    resident_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PushNumbers:
    """What meters said without being asked, since the start."""

    pushes_taken: int
    pushes_refused: int
    pushes_turned_away: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineNumbers:
    """How a line is doing; counters since the start."""

    transactions_count: int
    failures_count: int
    """Of the transactions, those without a good answer."""
    bytes_count: int
    busy_percent: int
    """Of the time since the last report."""
    meters_count: int
    meters_lost_count: int
    """Now."""


Numbers = IntakeNumbers | StoreNumbers | DeliveryNumbers | ClockNumbers | MachineNumbers | PushNumbers | LineNumbers


def metrics_of(*parts: Numbers) -> list[Metric]:
    """Return the numbers of some parts by their names; what a part does not know is left out."""
    named = ((field.name, getattr(part, field.name)) for part in parts for field in fields(part))
    return [Metric(name, value) for name, value in named if value is not None]
