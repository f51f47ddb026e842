"""The seven event logs and the event status word (ESW).

Decides where a code is logged, how often it happened, which bits of the ESW stand, and whether that is worth a push.
What happens, and when, is told from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.codes import ESW_BITS, MOMENTARY, Event, Log, is_tamper, meaning
from device_sim.core.is15959.profiles import Table
from device_sim.core.is15959.quantities import CLOCK, DATA, EVENT_VALUES, Quantity
from device_sim.core.is15959.rows import U16, Ring
from device_sim.core.is15959.witness import Captured
from dlms.axdr.tags import BitString
from dlms.cosem.profile_rows import CaptureObject
from dlms.obis import obis

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_sim.core.is15959.meter import Is15959Meter

ENTRIES_MAX: Final = 100
_MOMENTARY_MASK: Final = sum(1 << (ESW_BITS - 1 - bit) for bit in MOMENTARY)
_WITH_VALUES: Final = frozenset({Log.VOLTAGE, Log.CURRENT, Log.OTHER})
"""Logs whose entries say how current, voltage and energy stood; the others have time and code."""


def code_name(log: Log) -> bytes:
    """Return the logical name of the last code of a log."""
    return obis(f"0.0.96.11.{log.value}.255")


def sequence_name(log: Log) -> bytes:
    """Return the logical name of the sequence number of a log."""
    return obis(f"0.0.96.15.{log.value}.255")


def log_name(log: Log) -> bytes:
    """Return the logical name of a log."""
    return obis(f"0.0.99.98.{log.value}.255")


def _table(log: Log) -> Table:
    def last_code(meter: Is15959Meter) -> int:
        return meter.events.codes[log]

    code = Quantity(CaptureObject(DATA, code_name(log), 2), U16, last_code)
    return Table((CLOCK, code, *EVENT_VALUES) if log in _WITH_VALUES else (CLOCK, code))


TABLES: Final = {log: _table(log) for log in Log}


def bit_mask(bit: int) -> int:
    """Return the place of a bit in the status word as a number; bit 0 is the leftmost."""
    return 1 << (ESW_BITS - 1 - bit)


class Events:
    """What happened to one meter."""

    codes: dict[Log, int]
    """The last code of each log, 0 for none."""
    sequences: dict[Log, int]
    """How many entries each log has had."""
    tamper_count: int

    def __init__(self, *, alert: Callable[[], None]) -> None:
        """Begin with empty logs; `alert` is called when bits rise that the filter lets through."""
        self._alert = alert
        self.codes = dict.fromkeys(Log, 0)
        self.sequences = dict.fromkeys(Log, 0)
        self.rings = {log: Ring(TABLES[log].layout.size, ENTRIES_MAX) for log in Log}
        self.tamper_count = 0
        self._status = 0
        self._filter = (1 << ESW_BITS) - 1

    @property
    def status(self) -> BitString:
        """The event status word."""
        return BitString.from_int(self._status, ESW_BITS)

    @property
    def status_filter(self) -> BitString:
        """Which bits are worth a push."""
        return BitString.from_int(self._filter, ESW_BITS)

    def set_filter(self, mask: int) -> None:
        self._filter = mask

    def stands(self, bit: int) -> bool:
        """Say whether a bit of the status word is set."""
        return bool(self._status & bit_mask(bit))

    def add(self, code: int, meter: Is15959Meter) -> None:
        """Log what happened just now."""
        what = meaning(code)
        log = what.log
        self.tamper_count += is_tamper(code)
        self.codes[log] = code
        self.sequences[log] += 1
        ring, table = self.rings[log], TABLES[log]
        row = table.capture(meter)
        if log is not Log.NON_ROLLOVER or not ring.is_full:
            ring.append(meter.stamp_ms, row)
        captured = Captured(meter.now_ms, log_name(log), meter.stamp_ms, table, row)
        meter.witness.occurred(code, self.sequences[log], captured)
        if what.clears is not None:
            self._status &= ~bit_mask(what.clears)
        if what.sets is not None:
            self.raise_bit(what.sets)

    def raise_bit(self, bit: int) -> None:
        """Set a bit of the status word, and tell whoever waits for it; a momentary one falls again at once."""
        mask = bit_mask(bit)
        is_news = not self._status & mask
        self._status |= mask
        if is_news and mask & self._filter:
            self._alert()
        self._status &= ~_MOMENTARY_MASK


RELAY_CODES: Final = {True: Event.LOAD_SWITCH_CLOSED, False: Event.LOAD_SWITCH_OPENED}
