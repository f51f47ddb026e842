"""The quantities of a category D1 meter: name, type, scaler, and where the value comes from.

Decides once for registers, profiles and scaler profiles alike, so that the three never disagree. Logical names after
IS 15959 part 2; types and scalers differ from make to make and are this meter's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.clock import MINUTE_MS
from device_sim.core.is15959.measuring import ZONES
from device_sim.core.is15959.rows import I16, TIME, TRUTH, U8, U16, U32, Kind
from device_sim.core.supply import UJ_PER_WH
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.units import NO_UNIT, ScalerUnit
from dlms.obis import obis

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_sim.core.is15959.measuring import Maximum
    from device_sim.core.is15959.meter import Is15959Meter

DATA: Final = 1
VALUE: Final = 2
"""The attribute of a data object, register or profile that holds what it is there for."""
REGISTER: Final = 3
EXTENDED: Final = 4
CLOCK_NAME: Final = obis("0.0.1.0.0.255")
RELAY_NAME: Final = obis("0.0.96.3.10.255")
LIMITER_NAME: Final = obis("0.0.17.0.0.255")
IMPORT_NAME: Final = obis("1.0.1.8.0.255")
INSTANTANEOUS_NAME: Final = obis("1.0.94.91.0.255")
ENERGY_NAMES: Final = frozenset({IMPORT_NAME, INSTANTANEOUS_NAME})
"""Objects by which the import energy is read as it stands."""
_U32_MASK: Final = 0xFFFF_FFFF
_U16_MAX: Final = 0xFFFF

VOLT: Final = ScalerUnit(-2, 35)
AMPERE: Final = ScalerUnit(-2, 33)
WATT: Final = ScalerUnit(0, 27)
VOLT_AMPERE: Final = ScalerUnit(0, 28)
WATT_HOUR: Final = ScalerUnit(0, 30)
VOLT_AMPERE_HOUR: Final = ScalerUnit(0, 31)
HERTZ: Final = ScalerUnit(-3, 44)
MINUTE: Final = ScalerUnit(0, 6)
RATIO: Final = ScalerUnit(-3, NO_UNIT)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One value: an attribute of an object, how it is written and read off the meter."""

    capture: CaptureObject
    kind: Kind
    read: Callable[[Is15959Meter], int | bytes]
    scaler_unit: ScalerUnit | None = None
    """For registers."""


def _register(
    name: str, kind: Kind, scaler_unit: ScalerUnit, read: Callable[[Is15959Meter], int], *, class_id: int = REGISTER
) -> Quantity:
    return Quantity(CaptureObject(class_id, obis(name), 2), kind, read, scaler_unit)


def _data(name: str, kind: Kind, read: Callable[[Is15959Meter], int | bytes]) -> Quantity:
    return Quantity(CaptureObject(DATA, obis(name), 2), kind, read)


def _capture_time(name: str, maximum: Callable[[Is15959Meter], Maximum]) -> Quantity:
    def read(meter: Is15959Meter) -> bytes:
        local_ms = maximum(meter).at_local_ms
        return meter.clock.encoded(local_ms) if local_ms else NEVER

    return Quantity(CaptureObject(EXTENDED, obis(name), 5), TIME, read)


NEVER: Final = bytes.fromhex("ffffffffffffffffff8000ff")
"""A date-time with nothing specified."""

CLOCK: Final = Quantity(CaptureObject(8, CLOCK_NAME, 2), TIME, lambda m: m.clock.encoded(m.stamp_ms))
"""The time a row stands for; read by itself the clock shows hundredths, too."""

VOLTAGE: Final = _register(
    "1.0.12.7.0.255", U16, VOLT, lambda m: min(_U16_MAX, round(m.shown.phase(m).voltage_v * 100))
)
PHASE_CURRENT: Final = _register(
    "1.0.11.7.0.255", U16, AMPERE, lambda m: min(_U16_MAX, round(m.shown.phase(m).current_a * 100))
)
NEUTRAL_CURRENT: Final = _register(
    "1.0.91.7.0.255", U16, AMPERE, lambda m: min(_U16_MAX, round(m.shown.phase(m).current_a * 100))
)
POWER_FACTOR: Final = _register("1.0.13.7.0.255", I16, RATIO, lambda m: round(m.shown.phase(m).power_factor * 1000))
FREQUENCY: Final = _register("1.0.14.7.0.255", U16, HERTZ, lambda m: round(m.measuring.state.frequency_hz * 1000))
APPARENT_POWER: Final = _register("1.0.9.7.0.255", U32, VOLT_AMPERE, lambda m: round(m.shown.phase(m).apparent_va))
ACTIVE_POWER: Final = _register("1.0.1.7.0.255", U32, WATT, lambda m: m.shown.power_w(m))
IMPORT: Final = _register("1.0.1.8.0.255", U32, WATT_HOUR, lambda m: m.shown.import_wh(m) & _U32_MASK)
APPARENT_IMPORT: Final = _register(
    "1.0.9.8.0.255", U32, VOLT_AMPERE_HOUR, lambda m: m.measuring.apparent_vah & _U32_MASK
)
EXPORT: Final = _register("1.0.2.8.0.255", U32, WATT_HOUR, lambda m: round(m.measuring.state.export_wh) & _U32_MASK)
APPARENT_EXPORT: Final = _register(
    "1.0.10.8.0.255", U32, VOLT_AMPERE_HOUR, lambda m: round(m.measuring.state.export_wh) & _U32_MASK
)
MAXIMUM_POWER: Final = _register("1.0.1.6.0.255", U32, WATT, lambda m: m.measuring.maximum_w.value, class_id=EXTENDED)
MAXIMUM_POWER_TIME: Final = _capture_time("1.0.1.6.0.255", lambda m: m.measuring.maximum_w)
MAXIMUM_APPARENT: Final = _register(
    "1.0.9.6.0.255", U32, VOLT_AMPERE, lambda m: m.measuring.maximum_va.value, class_id=EXTENDED
)
MAXIMUM_APPARENT_TIME: Final = _capture_time("1.0.9.6.0.255", lambda m: m.measuring.maximum_va)
POWER_ON_DURATION: Final = _register("0.0.94.91.14.255", U32, MINUTE, lambda m: m.measuring.on_ms // MINUTE_MS)
CYCLE_ON_DURATION: Final = _register("0.0.94.91.13.255", U32, MINUTE, lambda m: m.measuring.cycle_on_ms // MINUTE_MS)
FAILURE_DURATION: Final = _register("0.0.94.91.8.255", U32, MINUTE, lambda m: m.power.off_ms // MINUTE_MS)
TAMPER_COUNT: Final = _data("0.0.94.91.0.255", U32, lambda m: m.events.tamper_count)
BILLING_COUNT: Final = _data("0.0.0.1.0.255", U32, lambda m: m.billing_count)
PROGRAMMING_COUNT: Final = _data("0.0.96.2.0.255", U32, lambda m: m.programming_count)
FAILURE_COUNT: Final = _data("0.0.96.7.0.255", U32, lambda m: m.power.failure_count)
AVERAGE_VOLTAGE: Final = _register(
    "1.0.12.27.0.255", U16, VOLT, lambda m: min(_U16_MAX, m.measuring.block.voltage_mv // 10)
)
AVERAGE_CURRENT: Final = _register(
    "1.0.11.27.0.255", U16, AMPERE, lambda m: min(_U16_MAX, m.measuring.block.current_ma // 10)
)
BLOCK_IMPORT: Final = _register("1.0.1.29.0.255", U32, WATT_HOUR, lambda m: m.shown.block_wh(m))
BLOCK_APPARENT: Final = _register("1.0.9.29.0.255", U32, VOLT_AMPERE_HOUR, lambda m: m.measuring.block.apparent_vah)
BLOCK_EXPORT: Final = _register("1.0.2.29.0.255", U32, WATT_HOUR, lambda _: 0)
BLOCK_APPARENT_EXPORT: Final = _register("1.0.10.29.0.255", U32, VOLT_AMPERE_HOUR, lambda _: 0)
HEALTH: Final = _data("0.0.96.10.1.255", U8, lambda m: m.health)
CYCLE_POWER_FACTOR: Final = _register("1.0.13.0.0.255", I16, RATIO, lambda m: m.measuring.cycle_power_factor())
BILLING_DATE: Final = _data("0.0.0.1.2.255", TIME, lambda m: m.clock.encoded(m.stamp_ms))
RELAY_STATE: Final = Quantity(CaptureObject(70, RELAY_NAME, 2), TRUTH, lambda m: m.relay.is_closed)
LOAD_LIMIT: Final = Quantity(CaptureObject(71, LIMITER_NAME, 3), U32, lambda m: m.limiter.threshold_w(m.local_ms))


def _zone_import(zone: int) -> Quantity:
    return _register(
        f"1.0.1.8.{zone}.255", U32, WATT_HOUR, lambda m: m.measuring.zone_uj[zone - 1] // UJ_PER_WH & _U32_MASK
    )


def _zone_apparent(zone: int) -> Quantity:
    return _register(
        f"1.0.9.8.{zone}.255",
        U32,
        VOLT_AMPERE_HOUR,
        lambda m: m.measuring.zone_apparent_uj[zone - 1] // UJ_PER_WH & _U32_MASK,
    )


ZONE_IMPORTS: Final = tuple(_zone_import(zone) for zone in range(1, ZONES + 1))
ZONE_APPARENTS: Final = tuple(_zone_apparent(zone) for zone in range(1, ZONES + 1))

INSTANTANEOUS: Final = (
    CLOCK,
    VOLTAGE,
    PHASE_CURRENT,
    NEUTRAL_CURRENT,
    POWER_FACTOR,
    FREQUENCY,
    APPARENT_POWER,
    ACTIVE_POWER,
    IMPORT,
    APPARENT_IMPORT,
    MAXIMUM_POWER,
    MAXIMUM_POWER_TIME,
    MAXIMUM_APPARENT,
    MAXIMUM_APPARENT_TIME,
    POWER_ON_DURATION,
    TAMPER_COUNT,
    BILLING_COUNT,
    PROGRAMMING_COUNT,
    EXPORT,
    APPARENT_EXPORT,
    RELAY_STATE,
    LOAD_LIMIT,
)
BLOCK_LOAD: Final = (
    CLOCK,
    AVERAGE_VOLTAGE,
    BLOCK_IMPORT,
    BLOCK_APPARENT,
    BLOCK_EXPORT,
    BLOCK_APPARENT_EXPORT,
    AVERAGE_CURRENT,
    HEALTH,
)
DAILY_LOAD: Final = (CLOCK, IMPORT, APPARENT_IMPORT, EXPORT, APPARENT_EXPORT)
BILLING: Final = (
    BILLING_DATE,
    CYCLE_POWER_FACTOR,
    IMPORT,
    *ZONE_IMPORTS,
    APPARENT_IMPORT,
    *ZONE_APPARENTS,
    MAXIMUM_POWER,
    MAXIMUM_POWER_TIME,
    MAXIMUM_APPARENT,
    MAXIMUM_APPARENT_TIME,
    CYCLE_ON_DURATION,
    EXPORT,
    APPARENT_EXPORT,
)
EVENT_VALUES: Final = (PHASE_CURRENT, VOLTAGE, POWER_FACTOR, IMPORT)
"""What an event is logged with, besides its time and code."""
REGISTERS: Final = tuple(
    dict.fromkeys(
        quantity
        for quantity in (*INSTANTANEOUS, *BLOCK_LOAD, *DAILY_LOAD, *BILLING, FAILURE_DURATION, FAILURE_COUNT)
        if quantity.capture.class_id in {DATA, REGISTER, EXTENDED} and quantity is not BILLING_DATE
    )
)
"""All that can be read by itself."""
