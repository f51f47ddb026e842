"""A meter on paper: it captures, logs and keeps time as a DLMS meter does, and answers tasks without any protocol.

Each row it captures has a number of its own, by which a test tells what became of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from dlms.obis import obis
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import (
    Captured,
    ClockSeen,
    Identified,
    LogEntry,
    Logged,
    Mirror,
    Mirrored,
    ReadCaptured,
    ReadLog,
    ReadValues,
    RecordEvent,
    SyncClock,
    Task,
    TaskRefused,
)
from gateway.core.agenda import should_set
from gateway.core.coverage import Span
from gateway.core.dlms_profiles import DlmsProfile
from wire.readings import CapturedRow, Channel

D1 = load_profiles()["is15959-d1"]
assert isinstance(D1, DlmsProfile)
MAKE: DlmsProfile = D1
BLOCK, DAILY, BILLING = (item.name for item in MAKE.captured)
POWER_LOG, CONTROL_LOG = MAKE.logs[2].log, MAKE.logs[6].log
CHANNELS = (Channel(obis("1.0.1.29.0.255"), 0, 30), Channel(obis("1.0.12.27.0.255"), -1, 35))
DAY_S = 86_400
MIDNIGHT_S = 18 * 3_600 + 1_800
"""Local midnight in India, seconds of a UTC day."""
LOG_ENTRIES_MAX = 100


@dataclass
class PaperMeter:
    """One meter; all its instants are its own clock's."""

    true_ms: int
    """What time it is really, UTC."""
    offset_ms: float = 0
    """By how much its clock is ahead."""
    drift_ppm: int = 0
    period_s: int = 900
    billing_days: int = 3
    serial: str = "AB1234567"
    firmware: str = "1.0"
    is_on: bool = True
    ignores_selection: bool = False
    """It gives the whole profile, whatever is asked for."""
    rows: dict[bytes, list[CapturedRow]] = field(default_factory=lambda: {BLOCK: [], DAILY: [], BILLING: []})
    logs: dict[bytes, list[LogEntry]] = field(default_factory=dict)
    sequences: dict[bytes, int] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    mirror: Mirror | None = None
    asked: list[tuple[bytes, Span]] = field(default_factory=list)
    """All that it was ever asked for of its profiles."""
    entries_read: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def clock_ms(self) -> int:
        return self.true_ms + int(self.offset_ms)

    @property
    def clock_s(self) -> int:
        return self.clock_ms // 1_000

    def advance(self, true_ms: int) -> None:
        """Let time pass; what falls due by its clock is captured if it has power."""
        before_s = self.clock_s
        self.offset_ms += (true_ms - self.true_ms) * self.drift_ppm / 1_000_000
        self.true_ms = true_ms
        if not self.is_on:
            return
        for profile, period_s, phase_s in (
            (BLOCK, self.period_s, 0),
            (DAILY, DAY_S, MIDNIGHT_S),
            (BILLING, self.billing_days * DAY_S, MIDNIGHT_S),
        ):
            first = (before_s - phase_s) // period_s + 1
            last = (self.clock_s - phase_s) // period_s
            for slot in range(first, last + 1):
                self.capture(profile, phase_s + slot * period_s)

    def capture(self, profile: bytes, instant_s: int) -> None:
        self.rows[profile].append(CapturedRow(instant_s, (next(self._numbers), 2_300 + instant_s % 17)))

    def log(self, log: bytes, number: int) -> None:
        entries = self.logs.setdefault(log, [])
        entries.append(LogEntry(self.clock_s, number, ()))
        del entries[:-LOG_ENTRIES_MAX]
        self.sequences[log] = self.sequences.get(log, 0) + 1

    def cut(self) -> None:
        """Take its supply."""
        self.is_on = False

    def restore(self) -> None:
        """Give supply back; the failure is logged once it is over."""
        self.is_on = True
        self.log(POWER_LOG, 101)
        self.log(POWER_LOG, 102)

    def visit(self, meter_id: str, tasks: Sequence[Task], *, tick_ms: int) -> Iterator[RecordEvent]:
        """Work off tasks; present values are nobody's business here."""
        yield Identified(meter_id=meter_id, tick_ms=tick_ms, serial=self.serial, firmware=self.firmware)
        for task in tasks:
            match task:
                case ReadCaptured(profile=name) | ReadLog(log=name) if name in self.refused:
                    yield TaskRefused(meter_id=meter_id, tick_ms=tick_ms, task=task, detail="object-undefined")
                case ReadCaptured():
                    for span in task.spans:
                        yield self._captured(meter_id, task.profile, span, tick_ms)
                case ReadLog():
                    yield from self._logged(meter_id, task, tick_ms)
                case SyncClock():
                    yield self._synced(meter_id, task, tick_ms)
                case Mirror():
                    self.mirror = task
                    yield Mirrored(meter_id=meter_id, tick_ms=tick_ms, mirror=task)
                case ReadValues():
                    pass

    def _captured(self, meter_id: str, profile: bytes, span: Span, tick_ms: int) -> Captured:
        self.asked.append((profile, span))
        rows = [
            row for row in self.rows[profile] if self.ignores_selection or span.first_s <= row.captured_s <= span.last_s
        ]
        return Captured(
            meter_id=meter_id,
            tick_ms=tick_ms,
            serial=self.serial,
            profile=profile,
            period_s={BLOCK: self.period_s, DAILY: DAY_S, BILLING: 0}[profile],
            channels=CHANNELS if rows else (),
            rows=tuple(rows),
            asked=(span,),
        )

    def _logged(self, meter_id: str, task: ReadLog, tick_ms: int) -> Iterator[Logged]:
        sequence = self.sequences.get(task.log, 0)
        if sequence == task.known_sequence:
            return
        entries = self.logs.get(task.log, [])
        if task.known_sequence is not None and sequence > task.known_sequence:
            entries = entries[-(sequence - task.known_sequence) :]
        else:
            entries = [entry for entry in entries if entry.captured_s >= task.known_s]
        self.entries_read += len(entries)
        yield Logged(meter_id=meter_id, tick_ms=tick_ms, log=task.log, sequence=sequence, entries=tuple(entries))

    def _synced(self, meter_id: str, task: SyncClock, tick_ms: int) -> ClockSeen:
        now_ms = tick_ms + task.utc_less_tick_ms
        offset_ms = self.clock_ms - now_ms
        was_set = should_set(task, meter_ms=self.clock_ms, now_ms=now_ms)
        if was_set:
            self.offset_ms = now_ms - self.true_ms
            self.log(MAKE.logs[3].log, 151)
        return ClockSeen(meter_id=meter_id, tick_ms=tick_ms, offset_ms=offset_ms, was_set=was_set)
