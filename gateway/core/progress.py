"""What of each meter's own records has been taken, as it stands on the disk.

It is read when a visit is planned and written in the transaction that takes what the visit brought, so that disk and
facts never disagree; nothing of it is kept in memory. It decides nothing.
"""

from typing import Any, TypeVar

import msgspec

from dlms.obis import obis_text
from gateway.core.acquisition import Mirror
from gateway.core.coverage import Coverage
from gateway.core.store import ValueStore
from wire import codec

T = TypeVar("T")


class Rows(msgspec.Struct, array_like=True, kw_only=True):
    """Of a profile with a period."""

    coverage: Coverage
    before: Coverage | None = None
    """By the capture period that the meter had before."""


class Bills(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Of a profile without a period."""

    newest_s: int = -1
    """Instant of the newest row taken, Unix seconds by the meter's clock; -1 for none."""
    asked_s: int = -1
    """When it was asked for, UTC."""


class Log(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Of an event log."""

    sequence: int | None = None
    newest_s: int = 0
    """Instant of the newest entry taken, Unix seconds by the meter's clock."""
    recent: list[bytes] = []
    """Digests of the entries taken last, oldest first: more of them than a meter keeps."""


class ClockState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Of a meter's clock."""

    offset_ms: int = 0
    """By how much it is ahead of ours, after it was set if it was."""
    seen_s: int = -1
    """When they were compared, UTC."""
    by_trusted: bool = False
    """Ours was known to be right."""
    off_since_s: int = -1
    """Since when it should have been set, UTC; -1 while it need not be."""


class Instrument(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Which instrument stands there."""

    serial: str = ""
    firmware: str = ""


class Shown(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a meter shows of its prepaid account."""

    is_prepaid: bool
    balance_minor: int
    recharge_minor: int | None
    recharge_at_s: int
    total_minor: int
    at_s: int
    """When it was written, UTC."""

    def differs(self, mirror: Mirror) -> bool:
        """Tell whether more than the balance has changed."""
        shown = (self.is_prepaid, self.recharge_minor, self.recharge_at_s, self.total_minor)
        return shown != (mirror.is_prepaid, mirror.recharge_minor, mirror.recharge_at_s, mirror.total_minor)


class Status(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Of a meter's event status word."""

    word: bytes = b""
    """As it stood last; bits beyond it were never seen set."""
    newest_s: int = -1
    """Instant of the newest push of it by the meter's clock, Unix seconds; -1 for none."""
    recent: list[bytes] = []
    """Digests of the pushes taken last, oldest first."""


class Heard(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Of what a meter sends by itself."""

    title: bytes = b""
    """System title that its keys proved; empty for none yet."""
    key: bytes = b""
    """Names the key without telling it: with another one counters begin anew."""
    counter: int = -1
    """Highest invocation counter under that title and key."""
    values_s: int = -1
    """Instant of the newest values taken, Unix seconds by the meter's clock; -1 for none."""


class Progress:
    """All of it, by meter."""

    def __init__(self, store: ValueStore) -> None:
        self._store = store

    def rows(self, meter: str, profile: bytes) -> Rows | None:
        return self._read(f"coverage/{meter}/{obis_text(profile)}", Rows)

    def set_rows(self, meter: str, profile: bytes, rows: Rows | None) -> None:
        self._write(f"coverage/{meter}/{obis_text(profile)}", rows)

    def bills(self, meter: str, profile: bytes) -> Bills:
        return self._read(f"bills/{meter}/{obis_text(profile)}", Bills) or Bills()

    def set_bills(self, meter: str, profile: bytes, bills: Bills | None) -> None:
        self._write(f"bills/{meter}/{obis_text(profile)}", bills)

    def log(self, meter: str, log: bytes) -> Log:
        return self._read(f"log/{meter}/{obis_text(log)}", Log) or Log()

    def set_log(self, meter: str, log: bytes, state: Log | None) -> None:
        self._write(f"log/{meter}/{obis_text(log)}", state)

    def clock(self, meter: str) -> ClockState:
        return self._read(f"clock/{meter}", ClockState) or ClockState()

    def set_clock(self, meter: str, clock: ClockState | None) -> None:
        self._write(f"clock/{meter}", clock)

    def instrument(self, meter: str) -> Instrument:
        return self._read(f"instrument/{meter}", Instrument) or Instrument()

    def set_instrument(self, meter: str, instrument: Instrument) -> None:
        self._write(f"instrument/{meter}", instrument)

    def shown(self, meter: str) -> Shown | None:
        return self._read(f"shown/{meter}", Shown)

    def set_shown(self, meter: str, shown: Shown | None) -> None:
        self._write(f"shown/{meter}", shown)

    def status(self, meter: str) -> Status:
        return self._read(f"status/{meter}", Status) or Status()

    def set_status(self, meter: str, status: Status | None) -> None:
        self._write(f"status/{meter}", status)

    def heard(self, meter: str) -> Heard:
        return self._read(f"heard/{meter}", Heard) or Heard()

    def set_heard(self, meter: str, heard: Heard | None) -> None:
        self._write(f"heard/{meter}", heard)

    def rests(self, meter: str) -> dict[str, int]:
        """Return what the meter refused, with the time (UTC, s) until which it is not asked again."""
        return self._read(f"rests/{meter}", dict[str, int]) or {}

    def set_rests(self, meter: str, rests: dict[str, int] | None) -> None:
        self._write(f"rests/{meter}", rests)

    def _read(self, name: str, kind: type[T]) -> T | None:
        encoded = self._store.value(name)
        value: Any = codec.decode_as(encoded, kind) if encoded else None
        return value  # type: ignore[no-any-return]

    def _write(self, name: str, value: object) -> None:
        self._store.set_value(name, codec.encode(value) if value is not None else b"")
