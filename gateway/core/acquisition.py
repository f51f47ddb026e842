"""What is asked of a bus and what comes back: the vocabulary between the poll schedule, its worker and the collection.

It decides nothing. Values are integers in the scaler of their channel; ticks are site milliseconds since boot
(`Clock.tick_ms`). A meter that keeps profiles, logs and a clock of its own is visited: a visit is a list of tasks, each
of which brings its events as soon as they are there, so that a visit that breaks off keeps what it had.
"""

from dataclasses import dataclass
from typing import NamedTuple

from dlms.axdr.tags import BitString
from gateway.core.coverage import Span
from wire.facts import ReadValue
from wire.readings import CapturedRow, Channel


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitMeter:
    """Work off what is due at a meter in one association."""

    meter_id: str


MeterOperation = ReadMeter | VisitMeter
Operation = MeterOperation | SwitchRelay | ReadRelay


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadValues:
    """Read present values; brings a `Reading`."""

    channels: tuple[int, ...] = ()
    """Indexes into the channels of the meter's profile file; empty means all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCaptured:
    """Read rows of a profile; brings `Captured`, once or several times."""

    profile: bytes
    """Logical name."""
    spans: tuple[Span, ...]
    """Newest first; together they may be asked for in any number of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """Read what an event log has that is not known yet; brings `Logged` if there is something, or may be.

    With `known_sequence` given and the meter's sequence number the same, there is nothing to read. With it higher, the
    newest entries are read by their number, at least as many as it rose by: the meter's clock may have been set back.
    Otherwise entries are read from `known_s` on. An entry that is brought again is reported once.
    """

    log: bytes
    """Logical name."""
    known_sequence: int | None
    """The meter's sequence number of this log when it was last read; None if it was not, or the meter has none."""
    known_s: int
    """Instant of the newest entry known, Unix seconds by the meter's clock; an entry of the same second may be new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncClock:
    """Compare the meter's clock with ours, and set it where `gateway.core.agenda.should_set` says so."""

    utc_less_tick_ms: int
    """Best UTC is the clock's tick plus this."""
    may_set: bool
    """Ours is trusted."""
    offset_ms_max: int
    """What may be off without setting it."""
    period_s: int
    """Of the profile whose capture instants are kept clear of; 0 for none."""
    phase_s: int = 0
    """Those instants are `phase_s` after a whole number of periods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Show at the meter what its prepaid account stands at; brings `Mirrored` once it is written."""

    is_prepaid: bool
    balance_minor: int
    """In minor units of the account's currency; below zero when in debt."""
    balance_at_s: int
    """Unix seconds."""
    recharge_minor: int | None
    """The last credit, None if there was none yet; its time and the total go with it."""
    recharge_at_s: int
    total_minor: int
    """All credits so far."""


Task = ReadValues | ReadCaptured | ReadLog | SyncClock | Mirror


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Rows of a profile, as the meter captured and stamped them."""

    meter_id: str
    tick_ms: int
    serial: str
    """What the meter says its serial number is; empty where it does not say."""
    profile: bytes
    """Logical name."""
    period_s: int
    """Capture period as the meter says; 0 for a profile that is captured by other occasions."""
    channels: tuple[Channel, ...]
    """What the columns are, the instant left out; empty only if there are no rows."""
    rows: tuple[CapturedRow, ...]
    """Any order. What lies outside `asked` is left out by whoever takes them."""
    asked: tuple[Span, ...]
    """The spans that these rows are all of: what is not here, the meter did not have when it was asked."""


class LogEntry(NamedTuple):
    """One entry of a meter's event log."""

    captured_s: int
    """Unix seconds by the meter's clock, UTC; 0 where the meter gives no instant."""
    number: int
    """The meter's event code."""
    values: tuple[ReadValue, ...]
    """What it measured then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Entries of an event log, in the order of the log."""

    meter_id: str
    tick_ms: int
    log: bytes
    """Logical name."""
    sequence: int | None
    """The meter's sequence number, read before the entries were; None if it has none."""
    entries: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSeen:
    """A meter's clock was compared with ours."""

    meter_id: str
    tick_ms: int
    offset_ms: int
    """By how much it was ahead of ours, before it was set if it was."""
    was_set: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What a meter says it is; told at least when it differs from the last time."""

    meter_id: str
    tick_ms: int
    serial: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A meter took what its account stands at."""

    meter_id: str
    tick_ms: int
    mirror: Mirror


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRefused:
    """A meter answered that it will not, or has no such thing; the other tasks of the visit go on."""

    meter_id: str
    tick_ms: int
    task: Task
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSeen:
    """A meter's event status word, pushed or read."""

    meter_id: str
    tick_ms: int
    word: BitString
    at_s: int | None
    """When a pushed word stood so, Unix seconds by the meter's clock, UTC; None for one that was read just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a meter said without being asked."""

    meter_id: str
    tick_ms: int
    at_s: int | None
    """As the meter stamped it, Unix seconds by its clock, UTC; None where it gave no instant."""
    word: BitString | None = None
    """Its event status word, where that was pushed."""
    samples: tuple[Sample, ...] = ()
    """Present values, where those were."""
    title: bytes = b""
    """System title of the sender where keys proved it; empty for what anybody may have sent."""
    key: bytes = b""
    """Names the key that proved it, without telling it."""
    counter: int = -1
    """Its invocation counter."""


RecordEvent = Captured | Logged | ClockSeen | Identified | Mirrored | TaskRefused
"""What visits bring that is more than present values."""
VisitEvent = Reading | RecordEvent | StatusSeen
BusEvent = VisitEvent | ReadFailed | MeterLost | MeterFound | MeterNeglected | LineLost | LineFound
