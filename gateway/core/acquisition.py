"""What is asked of a bus and what comes back: the vocabulary between the poll schedule, its worker and the collection.

It decides nothing. Values are integers in the scaler of their channel; ticks are site milliseconds since boot
(`Clock.tick_ms`).
"""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMeter:
    """Read channels of a meter."""

    meter_id: str
    channels: tuple[int, ...] = ()
    """Indexes into the channels of the meter's profile; empty means all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRelay:
    """Bring a relay into a state and read it back."""

    relay_id: str
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRelay:
    """Read the state of a relay."""

    relay_id: str


Operation = ReadMeter | SwitchRelay | ReadRelay


class Sample(NamedTuple):
    """One value of one channel."""

    channel: int
    """Index into the channels of the meter's profile."""
    value: int | None
    """In units of the channel's scaler; None if the meter gave none."""
    quality: str | None = None
    """IEC 61968-9 code of a value that is not plainly valid (`wire.readings.QUALITY_*`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A meter answered."""

    meter_id: str
    tick_ms: int
    """Site tick at which the first answer had come in."""
    spread_ms: int
    """Site milliseconds from then to the last answer: 0 for a read of one transaction."""
    slot_ms: int | None
    """Site tick at which the capture slot begins; None for a read on demand."""
    samples: tuple[Sample, ...]
    """By ascending channel; what the meter refused is there as missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFailed:
    """A periodic read came to nothing; the schedule tries again by itself."""

    meter_id: str
    tick_ms: int
    slot_ms: int | None
    reason: str
    """`unavailable`, `garbled`, `refused` or `fault` (of the program)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLost:
    """A meter failed several times in a row."""

    meter_id: str
    tick_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFound:
    """A lost meter answered again."""

    meter_id: str
    tick_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterNeglected:
    """A meter was not even tried for three of its periods: the bus is overloaded or its worker is stuck."""

    meter_id: str
    tick_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLost:
    """A bus cannot be reached at all; its meters are not blamed."""

    bus_id: str
    tick_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFound:
    """A lost bus can be reached again."""

    bus_id: str
    tick_ms: int


BusEvent = Reading | ReadFailed | MeterLost | MeterFound | MeterNeglected | LineLost | LineFound
