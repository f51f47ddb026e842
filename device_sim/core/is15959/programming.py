"""What a client with the right to it changes in the meter, and the entries in the transaction log that follow.

Decides which values are taken; who may give them, the catalogue decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.associations import Client
from device_sim.core.is15959.clock import MINUTE_MS
from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.objects import refuse
from device_sim.core.is15959.prepaid import MeteringMode, PaymentMode
from device_sim.core.is15959.relay import Emergency
from device_sim.core.is15959.settings import CAPTURE_PERIODS_S, DEMAND_PERIODS_S
from dlms.apdu.results import ActionResult, DataAccessResult
from dlms.errors import ActionRefusedError, DecodeError

if TYPE_CHECKING:
    from device_sim.core.is15959.meter import Is15959Meter
    from dlms.axdr.datetimes import CosemDateTime
    from dlms.axdr.tags import BitString
    from dlms.axdr.values import Value
    from dlms.cosem.control import ControlMode, EmergencyProfile
    from dlms.cosem.schedules import ExecutionTime

QUARTER_MS: Final = 15 * MINUTE_MS
SHIFT_S_MAX: Final = 900
SECRET_BYTES_MAX: Final = 64
HLS_SECRET_BYTES: Final = 16
CLOCK_FIRST_MS: Final = 946_684_800_000
CLOCK_END_MS: Final = 4_102_444_800_000
"""The clock runs from 2000 to 2099."""
LIMIT_W_MAX: Final = 1_000_000
SCHEDULES_MAX: Final = 32


def _programmed(meter: Is15959Meter, code: Event) -> None:
    meter.programming_count += 1
    meter.occur(code)


def _rounded(local_ms: int, period_ms: int) -> int:
    return (local_ms + period_ms // 2) // period_ms * period_ms


# ---- clock -----------------------------------------------------------------------------------------------------------


def set_time(meter: Is15959Meter, moment: CosemDateTime) -> None:
    """Set the clock; parts left open other than seconds and deviation are refused."""
    local_ms = meter.clock.local_of(moment)
    if not CLOCK_FIRST_MS <= local_ms < CLOCK_END_MS:
        raise refuse(DataAccessResult.OTHER_REASON)
    meter.set_clock(local_ms)
    meter.programming_count += 1


def adjust_to_quarter(meter: Is15959Meter, _: int) -> None:
    """Set the clock to the nearest quarter of an hour."""
    meter.set_clock(_rounded(meter.local_ms, QUARTER_MS))


def adjust_to_period(meter: Is15959Meter, _: int) -> None:
    """Set the clock to the nearest end of a block load interval."""
    meter.set_clock(_rounded(meter.local_ms, meter.due.capture_period_s * 1000))


def adjust_to_minute(meter: Is15959Meter, _: int) -> None:
    """Set the clock to the nearest minute."""
    meter.set_clock(_rounded(meter.local_ms, MINUTE_MS))


def shift_time(meter: Is15959Meter, shift_s: int) -> None:
    """Shift the clock by up to a quarter of an hour."""
    if abs(shift_s) > SHIFT_S_MAX:
        raise ActionRefusedError("a shift of more than a quarter", result=ActionResult.OTHER_REASON)
    meter.set_clock(meter.local_ms + shift_s * 1000)


# ---- periods and schedules -------------------------------------------------------------------------------------------


def set_capture_period(meter: Is15959Meter, period_s: int) -> None:
    """Change the block load interval: the running one ends with the first full one of the new length."""
    if period_s not in CAPTURE_PERIODS_S:
        raise refuse(DataAccessResult.OTHER_REASON)
    meter.due.capture_period_s = period_s
    meter.due.plan(meter.local_ms)
    _programmed(meter, Event.CAPTURE_PERIOD_SET)


def set_demand_period(meter: Is15959Meter, period_s: int) -> None:
    """Change the demand integration period."""
    if period_s not in DEMAND_PERIODS_S:
        raise refuse(DataAccessResult.OTHER_REASON)
    meter.due.demand_period_s = period_s
    meter.due.plan(meter.local_ms)
    _programmed(meter, Event.DEMAND_PERIOD_SET)


def _checked(rules: tuple[ExecutionTime, ...]) -> tuple[ExecutionTime, ...]:
    if len(rules) > SCHEDULES_MAX:
        raise refuse(DataAccessResult.OTHER_REASON)
    return rules


def set_billing_schedule(meter: Is15959Meter, rules: tuple[ExecutionTime, ...]) -> None:
    """Take when billing cycles end."""
    meter.due.set_billing_rules(_checked(rules), meter.local_ms)
    _programmed(meter, Event.BILLING_DATE_SET)


def set_push_schedule(meter: Is15959Meter, rules: tuple[ExecutionTime, ...]) -> None:
    """Take when the periodic push goes out."""
    meter.due.set_push_rules(_checked(rules), meter.local_ms)


def set_activation_schedule(meter: Is15959Meter, rules: tuple[ExecutionTime, ...]) -> None:
    """Take when a verified image is activated."""
    meter.due.set_activation_rules(_checked(rules), meter.local_ms)


def set_calendar_time(meter: Is15959Meter, moment: CosemDateTime) -> None:
    """Take when the passive tariff times shall hold; a time with open parts means never."""
    meter.calendars.activation = moment
    due_ms = meter.clock.local_of(moment) if moment.is_instant else None
    meter.due.set_calendar_time(due_ms, meter.local_ms)


def reset_demand(meter: Is15959Meter, script: int) -> None:
    """End the billing cycle now, as the script for it says."""
    if script != 1:
        raise ActionRefusedError("no such script", result=ActionResult.OTHER_REASON)
    meter.end_cycle(stamp_ms=meter.local_ms)
    _programmed(meter, Event.DEMAND_RESET)


# ---- load switch and limiter -----------------------------------------------------------------------------------------


def disconnect(meter: Is15959Meter, _: int) -> None:
    """Open the load switch on command."""
    was_closed = meter.relay.is_closed
    if not meter.relay.remote_disconnect():
        raise ActionRefusedError("the mode does not admit it", result=ActionResult.READ_WRITE_DENIED)
    meter.limiter.released()
    meter.apply_relay(was_closed=was_closed)


def reconnect(meter: Is15959Meter, _: int) -> None:
    """Close the load switch on command, or make it ready for the button."""
    was_closed = meter.relay.is_closed
    if not meter.relay.remote_reconnect():
        raise ActionRefusedError("the mode does not admit it", result=ActionResult.READ_WRITE_DENIED)
    meter.limiter.released()
    meter.apply_relay(was_closed=was_closed)


def set_control_mode(meter: Is15959Meter, mode: ControlMode) -> None:
    """Change which ways of switching are admitted."""
    meter.relay.mode = mode
    meter.programming_count += 1


def _watts(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LIMIT_W_MAX:
        raise DecodeError("a limit is a number of watts")
    return value


def set_limit(meter: Is15959Meter, value: Value, *, attribute: int) -> None:
    """Set the load limit by one of its thresholds, as far as this make lets it be written."""
    if attribute not in meter.settings.limit_attributes:
        raise refuse(DataAccessResult.READ_WRITE_DENIED)
    limit_w, before_w = _watts(value), meter.limiter.normal_w
    meter.limiter.normal_w = limit_w
    _programmed(meter, Event.LOAD_LIMIT_SET)
    if bool(limit_w) != bool(before_w):
        meter.occur(Event.LOAD_LIMIT_ENABLED if limit_w else Event.LOAD_LIMIT_DISABLED)


def set_emergency_limit(meter: Is15959Meter, value: Value) -> None:
    """Set the limit that holds in an emergency."""
    meter.limiter.emergency_w = _watts(value)
    _programmed(meter, Event.LOAD_LIMIT_SET)


def set_emergency(meter: Is15959Meter, profile: EmergencyProfile) -> None:
    """Take when the emergency limit holds; a time with open parts means never."""
    starts_ms = meter.clock.local_of(profile.activation_time) if profile.activation_time.is_instant else 0
    duration_s = profile.duration_s if starts_ms else 0
    meter.limiter.emergency = Emergency(profile, starts_ms, duration_s)


# ---- modes, filter, secrets ------------------------------------------------------------------------------------------


def set_metering_mode(meter: Is15959Meter, mode: int) -> None:
    """Count import only, or import and export."""
    if mode not in frozenset(MeteringMode):
        raise refuse(DataAccessResult.OTHER_REASON)
    meter.prepaid.metering_mode = MeteringMode(mode)
    _programmed(meter, Event.METERING_MODE_SET)
    meter.occur(Event.TO_IMPORT_EXPORT if mode else Event.TO_FORWARD_ONLY)


def set_payment_mode(meter: Is15959Meter, mode: int) -> None:
    """Call the meter post-paid or prepaid."""
    if mode not in frozenset(PaymentMode):
        raise refuse(DataAccessResult.OTHER_REASON)
    meter.prepaid.payment_mode = PaymentMode(mode)
    meter.programming_count += 1
    meter.occur(Event.TO_PREPAID if mode else Event.TO_POSTPAID)


def set_esw_filter(meter: Is15959Meter, bits: BitString) -> None:
    """Take which bits of the status word are worth a push."""
    if len(bits) != len(meter.events.status):
        raise refuse(DataAccessResult.TYPE_UNMATCHED)
    meter.events.set_filter(int(bits))
    _programmed(meter, Event.ESW_FILTER_SET)


def set_reader_password(meter: Is15959Meter, secret: bytes) -> None:
    """Change the password of the meter reader."""
    if not 0 < len(secret) <= SECRET_BYTES_MAX:
        raise refuse(DataAccessResult.TYPE_UNMATCHED)
    meter.admission.change_secret(Client.READER, secret)
    _programmed(meter, Event.READER_SECRET_SET)


def change_hls_secret(meter: Is15959Meter, secret: bytes, *, client: Client) -> None:
    """Take the new HLS secret of a client; it comes as it is, within a ciphered association."""
    if len(secret) != HLS_SECRET_BYTES:
        raise ActionRefusedError("no HLS secret", result=ActionResult.TYPE_UNMATCHED)
    meter.admission.change_secret(client, secret)
    _programmed(meter, Event.FIRMWARE_KEY_SET if client is Client.FIRMWARE else Event.SETTINGS_KEY_SET)
