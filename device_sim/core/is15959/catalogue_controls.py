"""Objects that act: load switch, limiter, prepaid mirrors, firmware, schedules, tariff times, alerts and pushes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from device_sim.core.is15959 import programming, push
from device_sim.core.is15959.associations import Audience
from device_sim.core.is15959.calendar import TARIFF_SCRIPTS
from device_sim.core.is15959.measuring import ZONES
from device_sim.core.is15959.objects import Entry, Readable, entry, fixed, method, value
from device_sim.core.is15959.quantities import ACTIVE_POWER, LIMITER_NAME, NEVER, RELAY_NAME
from dlms.axdr.datetimes import CosemDateTime
from dlms.cosem.codecs import BITS, DATE_TIME, DOUBLE_LONG, DOUBLE_LONG_UNSIGNED, UNSIGNED
from dlms.cosem.control import DisconnectControl, EmergencyProfile, Limiter, LimiterActions, MonitoredValue
from dlms.cosem.image_transfer import ImageTransfer
from dlms.cosem.push_setup import PushSetup
from dlms.cosem.registers import DataObject
from dlms.cosem.schedules import (
    ActivityCalendar,
    ScheduleType,
    Script,
    ScriptAction,
    ScriptReference,
    ScriptService,
    ScriptTable,
    SingleActionSchedule,
)
from dlms.obis import obis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from device_sim.core.is15959.due import Rules
    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.is15959.push import PushSettings
    from dlms.cosem.attribute import AttributeRef

T = TypeVar("T")
RESET_SCRIPTS: Final = obis("0.0.10.0.1.255")
DISCONNECT_SCRIPTS: Final = obis("0.0.10.0.106.255")
IMAGE_SCRIPTS: Final = obis("0.0.10.0.107.255")
PUSH_SCRIPTS: Final = obis("0.0.10.0.108.255")
_FIRMWARE: Final = Audience.SETTINGS | Audience.FIRMWARE
_PUSHING: Final = Audience.READERS | Audience.PUSH


def load_switch() -> Iterator[Entry]:
    """Yield disconnect control and limiter."""
    relay = DisconnectControl(RELAY_NAME)
    yield entry(
        relay,
        value(relay.output_state, lambda m: m.relay.is_closed),
        value(relay.control_state, lambda m: m.relay.state),
        value(relay.control_mode, lambda m: m.relay.mode, programming.set_control_mode),
        method(relay.remote_disconnect, programming.disconnect),
        method(relay.remote_reconnect, programming.reconnect),
    )
    limit = Limiter(LIMITER_NAME)
    power = ACTIVE_POWER.capture
    scripts = LimiterActions(ScriptReference(DISCONNECT_SCRIPTS, 1), ScriptReference(DISCONNECT_SCRIPTS, 2))
    yield entry(
        limit,
        fixed(limit.monitored_value, MonitoredValue(power.class_id, power.name, power.attribute)),
        value(
            limit.threshold_active.using(DOUBLE_LONG_UNSIGNED),
            lambda m: m.limiter.threshold_w(m.local_ms),
            partial(programming.set_limit, attribute=3),
        ),
        value(
            limit.threshold_normal.using(DOUBLE_LONG_UNSIGNED),
            lambda m: m.limiter.normal_w,
            partial(programming.set_limit, attribute=4),
        ),
        value(
            limit.threshold_emergency.using(DOUBLE_LONG_UNSIGNED),
            lambda m: m.limiter.emergency_w,
            programming.set_emergency_limit,
        ),
        value(limit.min_over_threshold_duration, lambda m: m.limiter.over_s, _set_over),
        value(limit.min_under_threshold_duration, lambda m: m.limiter.under_s, _set_under),
        value(limit.emergency_profile, _emergency, programming.set_emergency),
        value(limit.emergency_profile_group_id_list, lambda m: m.limiter.groups, _set_groups),
        value(limit.emergency_profile_active, lambda m: m.limiter.emergency.holds(m.local_ms)),
        fixed(limit.actions, scripts),
    )


def _set_over(meter: Is15959Meter, seconds: int) -> None:
    meter.limiter.over_s = seconds


def _set_under(meter: Is15959Meter, seconds: int) -> None:
    meter.limiter.under_s = seconds


def _set_groups(meter: Is15959Meter, groups: tuple[int, ...]) -> None:
    meter.limiter.groups = groups


def _emergency(meter: Is15959Meter) -> EmergencyProfile:
    return meter.limiter.emergency.profile or EmergencyProfile(0, CosemDateTime(NEVER), 0)


def prepaid() -> Iterator[Entry]:
    """Yield modes and account mirrors, 0.0.94.96.19 to 25."""
    metering, payment = DataObject("0.0.94.96.19.255"), DataObject("0.0.94.96.20.255")
    yield entry(
        metering,
        value(metering.value.using(UNSIGNED), lambda m: m.prepaid.metering_mode, programming.set_metering_mode),
    )
    yield entry(
        payment, value(payment.value.using(UNSIGNED), lambda m: m.prepaid.payment_mode, programming.set_payment_mode)
    )
    for number, name in ((21, "recharge_amount"), (23, "recharge_total"), (24, "balance")):
        thing = DataObject(f"0.0.94.96.{number}.255")
        yield entry(thing, _mirror(thing.value.using(DOUBLE_LONG), name))
    for number, name in ((22, "recharged_at"), (25, "balance_at")):
        thing = DataObject(f"0.0.94.96.{number}.255")
        yield entry(thing, _mirror(thing.value.using(DATE_TIME), name))


def _mirror(ref: AttributeRef[T], name: str) -> Readable:
    """Describe a value that is only kept."""

    def read(meter: Is15959Meter) -> T:
        kept: T = getattr(meter.prepaid, name)
        return kept

    def write(meter: Is15959Meter, given: T) -> None:
        setattr(meter.prepaid, name, given)

    return value(ref, read, write)


def firmware() -> Iterator[Entry]:
    """Yield image transfer and the schedule of activation."""
    image = ImageTransfer("0.0.44.0.0.255")
    yield entry(
        image,
        value(image.image_block_size, lambda m: m.firmware.block_bytes),
        value(image.image_transferred_blocks_status, lambda m: m.firmware.blocks()),
        value(image.image_first_not_transferred_block_number, lambda m: m.firmware.first_missing()),
        value(image.image_transfer_enabled, lambda m: m.firmware.is_enabled, _enable_images),
        value(image.image_transfer_status, lambda m: m.firmware.status),
        value(image.image_to_activate_info, lambda m: m.firmware.to_activate),
        method(image.image_transfer_initiate, lambda m, wanted: m.firmware.initiate(wanted)),
        method(image.image_block_transfer, lambda m, block: m.firmware.put(block)),
        method(image.image_verify, lambda m, _: m.firmware.verify(m.now_ms)),
        method(image.image_activate, lambda m, _: m.firmware.activate(m.now_ms)),
        readers=_FIRMWARE,
        writers=_FIRMWARE,
    )
    yield _schedule(
        "0.0.15.0.2.255",
        ScriptReference(IMAGE_SCRIPTS, 1),
        lambda m: m.due.activation_rules,
        programming.set_activation_schedule,
        audience=_FIRMWARE,
    )


def _enable_images(meter: Is15959Meter, is_enabled: bool) -> None:  # noqa: FBT001 - the value is what this is about
    meter.firmware.is_enabled = is_enabled


def schedules() -> Iterator[Entry]:
    """Yield billing dates, the times of the periodic push, scripts and tariff times."""
    yield _schedule(
        "0.0.15.0.0.255",
        ScriptReference(RESET_SCRIPTS, 1),
        lambda m: m.due.billing_rules,
        programming.set_billing_schedule,
    )
    yield _schedule(
        "0.0.15.0.4.255",
        ScriptReference(PUSH_SCRIPTS, 1),
        lambda m: m.due.push_rules,
        programming.set_push_schedule,
    )
    scripts = ScriptTable(RESET_SCRIPTS)
    yield entry(scripts, fixed(scripts.scripts, (Script(1, ()),)), method(scripts.execute, programming.reset_demand))
    switching = ScriptTable(DISCONNECT_SCRIPTS)
    actions = tuple(
        Script(index, (ScriptAction(ScriptService.EXECUTE_METHOD, 70, RELAY_NAME, index, 0),)) for index in (1, 2)
    )
    yield entry(switching, fixed(switching.scripts, actions))
    tariffs = ScriptTable(TARIFF_SCRIPTS)
    yield entry(tariffs, fixed(tariffs.scripts, tuple(Script(zone, ()) for zone in range(1, ZONES + 1))))
    yield _activity_calendar()


def _schedule(
    name: str,
    script: ScriptReference,
    read: Callable[[Is15959Meter], Rules],
    write: Callable[[Is15959Meter, Rules], None],
    *,
    audience: Audience = Audience.SETTINGS,
) -> Entry:
    thing = SingleActionSchedule(name)
    return entry(
        thing,
        fixed(thing.executed_script, script),
        fixed(thing.type, ScheduleType.DIFFERENT_TIMES_WILDCARD_IN_DATE),
        value(thing.execution_time, read, write),
        readers=Audience.READERS | audience,
        writers=audience,
    )


def _activity_calendar() -> Entry:
    thing = ActivityCalendar("0.0.13.0.0.255")

    def change(part: str) -> Callable[[Is15959Meter, object], None]:
        def write(meter: Is15959Meter, given: object) -> None:
            meter.calendars.passive = replace(meter.calendars.passive, **{part: given})  # type: ignore[arg-type]

        return write

    return entry(
        thing,
        value(thing.calendar_name_active, lambda m: m.calendars.active.name),
        value(thing.season_profile_active, lambda m: m.calendars.active.seasons),
        value(thing.week_profile_table_active, lambda m: m.calendars.active.weeks),
        value(thing.day_profile_table_active, lambda m: m.calendars.active.days),
        value(thing.calendar_name_passive, lambda m: m.calendars.passive.name, change("name")),
        value(thing.season_profile_passive, lambda m: m.calendars.passive.seasons, change("seasons")),
        value(thing.week_profile_table_passive, lambda m: m.calendars.passive.weeks, change("weeks")),
        value(thing.day_profile_table_passive, lambda m: m.calendars.passive.days, change("days")),
        value(thing.activate_passive_calendar_time, lambda m: m.calendars.activation, programming.set_calendar_time),
        method(thing.activate_passive_calendar, lambda m, _: m.activate_calendar()),
    )


def alerts() -> Iterator[Entry]:
    """Yield the event status word, its filter, and the two push setups."""
    word = DataObject(push.ESW_NAME)
    yield entry(word, value(word.value.using(BITS), lambda m: m.events.status), readers=_PUSHING)
    mask = DataObject("0.0.94.91.26.255")
    yield entry(mask, value(mask.value.using(BITS), lambda m: m.events.status_filter, programming.set_esw_filter))
    yield _push_setup(push.PERIODIC_NAME, lambda m: m.periodic_push)
    yield _push_setup(push.ALERT_NAME, lambda m: m.alert_push)


def _push_setup(name: bytes, of: Callable[[Is15959Meter], PushSettings]) -> Entry:
    thing = PushSetup(name)

    def kept(ref: AttributeRef[T], field: str) -> Readable:
        def read(meter: Is15959Meter) -> T:
            found: T = getattr(of(meter), field)
            return found

        return value(ref, read, lambda meter, given: setattr(of(meter), field, given))

    return entry(
        thing,
        kept(thing.push_object_list, "objects"),
        kept(thing.send_destination_and_method, "destination"),
        kept(thing.communication_window, "windows"),
        kept(thing.randomisation_start_interval, "randomisation_s"),
        kept(thing.number_of_retries, "retries"),
        kept(thing.repetition_delay, "repetition"),
        method(thing.push, lambda m, _: m.send_push(name)),
        readers=_PUSHING,
    )
