"""The profiles: nameplate, instantaneous, block, daily, billing, event logs, and the scalers of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959 import programming
from device_sim.core.is15959.clock import DAY_MS
from device_sim.core.is15959.codes import Log
from device_sim.core.is15959.events import ENTRIES_MAX, TABLES, code_name, log_name, sequence_name
from device_sim.core.is15959.objects import Entry, Invocable, Query, Readable, entry, fixed, method, value
from device_sim.core.is15959.profiles import Table, read_ring, read_rows
from device_sim.core.is15959.quantities import DATA, INSTANTANEOUS, INSTANTANEOUS_NAME
from device_sim.core.is15959.stores import BILLED, BILLING_TABLE, BLOCK, BLOCK_TABLE, DAILY, DAILY_TABLE, Store
from dlms.axdr.length import encode_length
from dlms.cosem.codecs import DOUBLE_LONG_UNSIGNED, LONG_UNSIGNED
from dlms.cosem.profile_generic import ENTRY_SELECTOR, RANGE_SELECTOR, ProfileGeneric, SortMethod, read_selection
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.registers import DataObject
from dlms.obis import obis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.is15959.objects import Read
    from device_sim.core.is15959.rows import Ring

_INSTANTANEOUS_TABLE: Final = Table(INSTANTANEOUS)
_NO_OBJECT: Final = CaptureObject(0, bytes(6), 0)
_NAMEPLATE: Final = tuple(
    CaptureObject(DATA, obis(name), 2)
    for name in (
        "0.0.96.1.0.255",
        "0.0.96.1.1.255",
        "1.0.0.2.0.255",
        "0.0.94.91.9.255",
        "0.0.94.91.11.255",
        "0.0.94.91.12.255",
        "0.0.96.1.4.255",
    )
)
_SELECTORS: Final = (RANGE_SELECTOR, ENTRY_SELECTOR)


def _profile(
    name: str | bytes,
    captures: Sequence[CaptureObject],
    read: Read,
    *parts: Readable | Invocable,
    entries_max: int,
    in_use: Callable[[Is15959Meter], int],
    period: Readable | None = None,
) -> Entry:
    thing = ProfileGeneric(name)
    return entry(
        thing,
        Readable(2, read, selectors=_SELECTORS),
        fixed(thing.capture_objects, tuple(captures)),
        period or fixed(thing.capture_period, 0),
        fixed(thing.sort_method, SortMethod.FIFO),
        fixed(thing.sort_object, _NO_OBJECT),
        value(thing.entries_in_use, in_use),
        fixed(thing.profile_entries, entries_max),
        *parts,
    )


def _stored(
    store: Store,
    ring: Callable[[Is15959Meter], Ring],
    *,
    period: Readable | None = None,
    resets: bool = False,
) -> Entry:
    """Describe a profile whose rows were captured."""
    name, table = store.name, store.table

    def read(meter: Is15959Meter, query: Query) -> bytes:
        return read_ring(table, ring(meter), query.selection, meter.clock)

    parts = [method(ProfileGeneric(name).reset, lambda m, _: ring(m).clear())] if resets else []
    return _profile(
        name, table.captures, read, *parts, entries_max=store.entries_max, in_use=lambda m: len(ring(m)), period=period
    )


def _live(name: str | bytes, table: Table) -> Entry:
    """Describe a profile of one row that shows the meter as it stands."""

    def read(meter: Is15959Meter, query: Query) -> bytes:
        return read_rows(table, [table.capture(meter)], query.selection)

    return _profile(name, table.captures, read, entries_max=1, in_use=lambda _: 1)


def _scalers(name: str, table: Table) -> Entry:
    """Describe the profile that says the scalers of another one."""
    captures, buffer = table.scalers()

    def read(_: Is15959Meter, query: Query) -> bytes:
        if query.selection is not None:
            read_selection(query.selection)
        return buffer

    return _profile(name, captures, read, entries_max=1, in_use=lambda _: 1)


def _nameplate() -> Entry:
    def read(meter: Is15959Meter, query: Query) -> bytes:
        if query.selection is not None:
            read_selection(query.selection)
        entries = meter.catalogue.entries
        cells = []
        for capture in _NAMEPLATE:
            attribute = entries[capture.name].attributes[capture.attribute]
            assert attribute.read is not None, "the nameplate can be read"
            cells.append(attribute.read(meter, query))
        return b"\x01\x01\x02" + encode_length(len(cells)) + b"".join(cells)

    return _profile("0.0.94.91.10.255", _NAMEPLATE, read, entries_max=1, in_use=lambda _: 1)


def _block() -> Entry:
    period = value(
        ProfileGeneric(BLOCK.name).capture_period, lambda m: m.due.capture_period_s, programming.set_capture_period
    )
    return _stored(BLOCK, lambda m: m.block_ring, period=period, resets=True)


def profiles() -> Iterator[Entry]:
    """Yield the profiles of values, and those of their scalers."""
    yield _nameplate()
    yield _live(INSTANTANEOUS_NAME, _INSTANTANEOUS_TABLE)
    yield _block()
    daily_period = fixed(ProfileGeneric(DAILY.name).capture_period, DAY_MS // 1000)
    yield _stored(DAILY, lambda m: m.daily_ring, period=daily_period, resets=True)
    yield _stored(BILLED, lambda m: m.billing_ring)
    yield _scalers("1.0.94.91.3.255", _INSTANTANEOUS_TABLE)
    yield _scalers("1.0.94.91.4.255", BLOCK_TABLE)
    yield _scalers("1.0.94.91.5.255", DAILY_TABLE)
    yield _scalers("1.0.94.91.6.255", BILLING_TABLE)
    yield _scalers("1.0.94.91.7.255", TABLES[Log.VOLTAGE])


def event_logs() -> Iterator[Entry]:
    """Yield the seven logs, their last codes and their sequence numbers."""
    for log in Log:
        yield _log(log)
        code = DataObject(code_name(log))
        yield entry(code, value(code.value.using(LONG_UNSIGNED), _code_of(log)))
        sequence = DataObject(sequence_name(log))
        yield entry(sequence, value(sequence.value.using(DOUBLE_LONG_UNSIGNED), _sequence_of(log)))


def _log(log: Log) -> Entry:
    return _stored(Store(log_name(log), TABLES[log], ENTRIES_MAX), lambda m: m.events.rings[log])


def _code_of(log: Log) -> Callable[[Is15959Meter], int]:
    return lambda m: m.events.codes[log]


def _sequence_of(log: Log) -> Callable[[Is15959Meter], int]:
    return lambda m: m.events.sequences[log]
