"""Objects that hold one value: identity, registers, clock, periods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959 import programming
from device_sim.core.is15959.associations import Audience
from device_sim.core.is15959.clock import DAY_MS
from device_sim.core.is15959.objects import Entry, Readable, entry, fixed, method, value
from device_sim.core.is15959.push import DEVICE_ID_NAME
from device_sim.core.is15959.quantities import CLOCK_NAME, DATA, EXTENDED, NEVER, REGISTERS, Quantity
from dlms.axdr.datetimes import CosemDateTime
from dlms.cosem.clock import Clock, ClockBase
from dlms.cosem.codecs import DOUBLE_LONG_UNSIGNED, LONG_UNSIGNED, OCTETS, TEXT, UNSIGNED
from dlms.cosem.registers import DataObject, ExtendedRegister, Register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.is15959.objects import Query

METER_TYPE_SINGLE_PHASE: Final = 6
CATEGORY: Final = "D1"
SIGNAL_STRENGTH: Final = 21
"""What the modem says of itself, as CSQ."""
_PUBLIC: Final = Audience.ALL


def _identity(name: str | bytes, text: Callable[[Is15959Meter], str], *, readers: Audience = Audience.READERS) -> Entry:
    """Describe a name or number that is kept as an octet-string of letters."""
    thing = DataObject(name)
    ref = thing.value.using(OCTETS)
    return entry(thing, value(ref, lambda m: text(m).encode("latin-1")), readers=readers)


def _quantity_parts(quantity: Quantity) -> Iterator[Readable]:
    """Yield the attribute of a quantity, and its scaler."""
    kind, read = quantity.kind, quantity.read

    def read_cell(meter: Is15959Meter, _: Query) -> bytes:
        return kind.cell(read(meter))

    yield Readable(quantity.capture.attribute, read_cell)
    if quantity.scaler_unit is not None:
        yield fixed(Register(quantity.capture.name).scaler_unit, quantity.scaler_unit)


def registers() -> Iterator[Entry]:
    """Yield the objects of all quantities; those that share an object become one."""
    classes = {DATA: DataObject, 3: Register, EXTENDED: ExtendedRegister}
    parts: dict[tuple[int, bytes], list[Readable]] = {}
    for quantity in REGISTERS:
        key = (quantity.capture.class_id, quantity.capture.name)
        parts.setdefault(key, []).extend(_quantity_parts(quantity))
    for (class_id, name), attributes in parts.items():
        thing = classes[class_id](name)
        if isinstance(thing, ExtendedRegister):
            attributes.append(fixed(thing.status, None))
        yield entry(thing, *attributes)


def identity() -> Iterator[Entry]:
    """Yield what stands on the meter."""
    yield _identity(
        "0.0.42.0.0.255", lambda m: m.settings.nameplate.flag + m.settings.nameplate.serial, readers=_PUBLIC
    )
    yield _identity("0.0.96.1.0.255", lambda m: m.settings.nameplate.serial, readers=_PUBLIC)
    yield _identity("0.0.96.1.1.255", lambda m: m.settings.nameplate.manufacturer)
    yield _identity(
        DEVICE_ID_NAME,
        lambda m: m.settings.nameplate.flag + m.settings.nameplate.serial,
        readers=Audience.READERS | Audience.PUSH,
    )
    yield _identity("1.0.0.2.0.255", lambda m: m.firmware.version, readers=Audience.READERS | Audience.FIRMWARE)
    made = DataObject("0.0.96.1.4.255")
    yield entry(made, value(made.value.using(LONG_UNSIGNED), lambda m: m.settings.nameplate.made_in))
    kind = DataObject("0.0.94.91.9.255")
    yield entry(kind, fixed(kind.value.using(UNSIGNED), METER_TYPE_SINGLE_PHASE))
    category = DataObject("0.0.94.91.11.255")
    yield entry(category, fixed(category.value.using(TEXT), CATEGORY))
    rating = DataObject("0.0.94.91.12.255")
    yield entry(rating, value(rating.value.using(TEXT), lambda m: m.settings.nameplate.current_rating))
    signal = DataObject("0.1.96.12.5.255")
    yield entry(signal, fixed(signal.value.using(UNSIGNED), SIGNAL_STRENGTH))


def clock() -> Entry:
    """Return the clock, which everybody may read."""
    thing = Clock(CLOCK_NAME)
    never = CosemDateTime(NEVER)
    return entry(
        thing,
        value(thing.time, lambda m: m.clock.moment(m.local_ms), programming.set_time),
        value(thing.time_zone, lambda m: m.clock.deviation_min),
        value(thing.status, lambda m: m.clock.status),
        fixed(thing.daylight_savings_begin, never),
        fixed(thing.daylight_savings_end, never),
        fixed(thing.daylight_savings_deviation, 0),
        fixed(thing.daylight_savings_enabled, False),
        fixed(thing.clock_base, ClockBase.CRYSTAL),
        method(thing.adjust_to_quarter, programming.adjust_to_quarter),
        method(thing.adjust_to_measuring_period, programming.adjust_to_period),
        method(thing.adjust_to_minute, programming.adjust_to_minute),
        method(thing.shift_time, programming.shift_time),
        readers=_PUBLIC,
    )


def periods() -> Iterator[Entry]:
    """Yield demand integration, block and daily capture periods, in seconds."""
    demand = DataObject("1.0.0.8.0.255")
    yield entry(
        demand,
        value(demand.value.using(LONG_UNSIGNED), lambda m: m.due.demand_period_s, programming.set_demand_period),
    )
    block = DataObject("1.0.0.8.4.255")
    yield entry(
        block,
        value(block.value.using(LONG_UNSIGNED), lambda m: m.due.capture_period_s, programming.set_capture_period),
    )
    daily = DataObject("1.0.0.8.5.255")
    yield entry(daily, fixed(daily.value.using(DOUBLE_LONG_UNSIGNED), DAY_MS // 1000))


def billing() -> Iterator[Entry]:
    """Yield what is known of the billing cycles, besides their profile."""
    date = DataObject("0.0.0.1.2.255")
    never = CosemDateTime(NEVER)
    yield entry(
        date,
        value(
            date.value.using(OCTETS),
            lambda m: (m.clock.moment(m.billed_at_local_ms) if m.billed_at_local_ms else never).encoded,
        ),
    )
    available = DataObject("0.0.0.1.1.255")
    yield entry(available, value(available.value.using(UNSIGNED), lambda m: len(m.billing_ring)))
