"""One meter after IS 15959 part 2, category D1: its life in time, and its face to the DLMS server.

Decides what happens when: the steps in which the supply is measured, the ends of intervals, days and billing cycles,
limits and their consequences, power failure. Time is told from outside: call `advance` before anything is asked of it,
and whenever `next_deadline_ms` has come. What it wants sent by itself waits in `take_pushes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959 import push
from device_sim.core.is15959.associations import ASSOCIATIONS, Admission, Client
from device_sim.core.is15959.calendar import Calendars
from device_sim.core.is15959.catalogue import catalogue
from device_sim.core.is15959.clock import MINUTE_MS, MeterClock
from device_sim.core.is15959.codes import EswBit, Event
from device_sim.core.is15959.due import Due
from device_sim.core.is15959.events import RELAY_CODES, Events
from device_sim.core.is15959.firmware import Firmware
from device_sim.core.is15959.measuring import Measuring
from device_sim.core.is15959.objects import Catalogue, Query, refuse
from device_sim.core.is15959.prepaid import Prepaid
from device_sim.core.is15959.quantities import ENERGY_NAMES, VALUE
from device_sim.core.is15959.relay import Limiter, Relay, Verdict
from device_sim.core.is15959.rows import Ring
from device_sim.core.is15959.shown import Shown
from device_sim.core.is15959.stores import BILLED, BLOCK, DAILY
from device_sim.core.is15959.watch import VoltageWatch
from device_sim.core.is15959.witness import NOBODY, Witness
from dlms.apdu.results import DataAccessResult
from dlms.cosem.control import ControlMode
from dlms.server.notify import Notifier

if TYPE_CHECKING:
    from device_sim.core.faults import Faults
    from device_sim.core.is15959.settings import MeterSettings
    from device_sim.core.supply import Supply
    from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
    from dlms.server.device import Access, AssociationRules

PUSHES_MAX: Final = 64
"""That wait to be taken; the oldest are dropped, as a modem does."""
_ZONE_STEP_MS: Final = 5 * MINUTE_MS


@dataclass(slots=True)
class Power:
    """Whether the meter has any."""

    is_on: bool = True
    failed_at_ms: int = 0
    failure_count: int = 0
    off_ms: int = 0


class Is15959Meter:
    """A smart meter with a load switch, before a household."""

    catalogue: Catalogue
    """Its objects."""
    clock: MeterClock
    measuring: Measuring
    shown: Shown
    relay: Relay
    limiter: Limiter
    power: Power
    prepaid: Prepaid
    calendars: Calendars
    events: Events
    firmware: Firmware
    admission: Admission
    due: Due
    block_ring: Ring
    daily_ring: Ring
    billing_ring: Ring
    billing_count: int
    billed_at_local_ms: int
    """When the last billing cycle ended; 0 for never."""
    programming_count: int
    local_ms: int
    """What the clock shows."""
    stamp_ms: int
    """The local time that a row captured now stands for."""

    def __init__(
        self, settings: MeterSettings, *, supply: Supply, faults: Faults, now_ms: int, witness: Witness = NOBODY
    ) -> None:
        """Switch a new meter on; for a history make it earlier and advance it.

        Args:
            settings: What it is told about itself.
            supply: The household behind it; the meter drives its switch.
            faults: What is wrong with its registers; those of the line are for whoever carries its bytes.
            now_ms: Site time.
            witness: Is told what really happens.
        """
        self.catalogue = catalogue()
        self.settings = settings
        self.supply = supply
        self.faults = faults
        self.witness = witness
        self.clock = MeterClock(
            now_ms=now_ms,
            utc_offset_min=settings.utc_offset_min,
            offset_ms=settings.clock_offset_ms,
            drift_ppm=settings.drift_ppm,
            states_deviation=settings.states_deviation,
        )
        self.measuring = Measuring(supply, now_ms=now_ms)
        self.shown = Shown(faults)
        self.relay = Relay(mode=ControlMode.MODE_7)
        self.limiter = Limiter(normal_w=settings.load_limit_w)
        self.power = Power()
        self.prepaid = Prepaid()
        self.calendars = Calendars()
        self.events = Events(alert=self._alert)
        self.firmware = Firmware(
            version=settings.nameplate.firmware,
            block_bytes=settings.image_block_bytes,
            image_bytes_max=settings.image_bytes_max,
            verify_ms=settings.verify_ms,
            activate_ms=settings.activate_ms,
        )
        self.admission = Admission(settings)
        self.alert_push = push.push_settings(push.ALERT_OBJECTS, settings)
        self.periodic_push = push.push_settings(push.PERIODIC_OBJECTS, settings)
        self.block_ring, self.daily_ring, self.billing_ring = BLOCK.new_ring(), DAILY.new_ring(), BILLED.new_ring()
        self.billing_count = 0
        self.billed_at_local_ms = 0
        self.programming_count = 0
        self._watch = VoltageWatch()
        self._notifier = Notifier(self.admission.push_protector())
        self._pushes: list[push.SendPush] = []
        self._is_weld_told = False
        self._at_ms = now_ms
        self.local_ms = self.stamp_ms = self.clock.local_ms(now_ms)
        self.due = Due(
            self.local_ms,
            capture_period_s=settings.capture_period_s,
            demand_period_s=settings.demand_period_s,
        )
        self.set_zone()

    # ---- time --------------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Site time up to which the meter has lived."""
        return self._at_ms

    @property
    def health(self) -> int:
        """The meter health indicator: bit 0 the load switch does not open, bit 1 the clock is not to be believed."""
        return self.relay.is_failed | bool(self.clock.status) << 1

    def advance(self, now_ms: int) -> None:
        """Live up to site time `now_ms`."""
        while self._at_ms < now_ms:
            until_ms = min(now_ms, self._next_stop_ms()) if self.power.is_on else now_ms
            if self.power.is_on:
                self.measuring.step(until_ms)
            self._at_ms = until_ms
            self.local_ms = self.stamp_ms = self.clock.local_ms(until_ms)
            if self.power.is_on:
                self._settle()

    def next_deadline_ms(self) -> int | None:
        """Return when `advance` should be called though nobody asks anything; None while the power is off."""
        return self._next_stop_ms() if self.power.is_on else None

    def _next_stop_ms(self) -> int:
        """Return until when the supply can be measured in one step: demand changes with every minute of site time."""
        deadlines = [self.clock.site_ms(self.due.first_ms), (self._at_ms // MINUTE_MS + 1) * MINUTE_MS]
        deadlines += [
            deadline
            for deadline in (self.limiter.next_deadline_ms(), self.firmware.next_deadline_ms())
            if deadline is not None
        ]
        return max(min(deadlines), self._at_ms + 1)

    def _settle(self) -> None:
        """Do what has become due."""
        if self.local_ms >= self.due.first_ms:
            self._end_intervals()
        self._limit()
        if self._at_ms % MINUTE_MS == 0:
            for code in self._watch.look(self.measuring.state.phases[0].voltage_v):
                self.occur(code)
            if self._at_ms % _ZONE_STEP_MS == 0:
                self.set_zone()
            if self.relay.is_failed and not self._is_weld_told:
                self._is_weld_told = True
                self.occur(Event.RELAY_WELD)
        if self.firmware.on_timer(self._at_ms):
            self.occur(Event.FIRMWARE_ACTIVATED)

    def set_clock(self, local_ms: int) -> None:
        """Show another time from now on; what it jumps over is due at once."""
        self._show_time(local_ms)
        self.occur(Event.CLOCK_SET)

    def skew_clock(self, by_ms: int, *, now_ms: int) -> None:
        """Let the clock go wrong, which it does not notice."""
        self.advance(now_ms)
        self._show_time(self.local_ms + by_ms)

    def _show_time(self, local_ms: int) -> None:
        self.clock.set(local_ms, now_ms=self._at_ms)
        self.local_ms = self.stamp_ms = local_ms
        self.due.follow_clock(local_ms)
        if self.power.is_on:
            if local_ms >= self.due.first_ms:
                self._end_intervals()
            self.set_zone()

    def _end_intervals(self) -> None:
        """End every interval whose time has come; of those that the clock jumped over only the first is captured."""
        local_ms, due = self.local_ms, self.due
        if local_ms >= due.demand_ms:
            self.measuring.end_demand(self._at_ms, local_ms=due.take_demand(local_ms))
        if local_ms >= due.block_ms:
            self.stamp_ms = due.take_block(local_ms)
            self.measuring.end_block(self._at_ms)
            BLOCK.keep(self.block_ring, self)
        if local_ms >= due.day_ms:
            self.stamp_ms = due.take_day(local_ms)
            DAILY.keep(self.daily_ring, self)
        if local_ms >= due.billing_ms:
            self.end_cycle(stamp_ms=due.take_billing(local_ms))
        self.stamp_ms = local_ms
        if local_ms >= due.calendar_ms:
            due.take_calendar()
            self.activate_calendar()
        if local_ms >= due.push_ms:
            due.take_push(local_ms)
            self.send_push(push.PERIODIC_NAME)
        if local_ms >= due.activation_ms:
            due.take_activation(local_ms)
            self.firmware.activate_if_verified(self._at_ms)

    def activate_calendar(self) -> None:
        """Let the passive tariff times hold."""
        self.calendars.activate()
        self.set_zone()
        self.occur(Event.CALENDAR_SET)

    def end_cycle(self, *, stamp_ms: int) -> None:
        """End a billing cycle and begin the next."""
        self.billing_count += 1
        self.stamp_ms = self.billed_at_local_ms = stamp_ms
        BILLED.keep(self.billing_ring, self)
        self.measuring.end_cycle(self._at_ms)
        self.stamp_ms = self.local_ms
        self.events.raise_bit(EswBit.BILLING_COUNTED)

    def set_zone(self) -> None:
        self.measuring.zone = self.calendars.active.zone(self.local_ms)

    # ---- what happens to it ------------------------------------------------------------------------------------------

    def occur(self, code: int) -> None:
        """Log that something happens at the time the meter has lived to."""
        self.events.add(code, self)

    def happen(self, code: int, *, now_ms: int) -> None:
        """Let something happen that only a scenario knows of, such as a magnet or an opened cover."""
        self.advance(now_ms)
        if self.power.is_on:
            self.occur(code)

    def apply_relay(self, *, was_closed: bool) -> None:
        """Let the load switch take effect on the supply, and log it if it moved."""
        is_closed = self.relay.is_closed
        self.supply.switch(closed=is_closed and self.power.is_on, now_ms=self._at_ms)
        self.measuring.step(self._at_ms)
        if is_closed != was_closed:
            self.witness.switched(is_closed=is_closed, at_ms=self._at_ms)
            self.occur(RELAY_CODES[is_closed])

    def press_button(self, *, now_ms: int) -> None:
        """Let somebody press the meter's button."""
        self.advance(now_ms)
        was_closed = self.relay.is_closed
        if self.relay.press_button():
            self.limiter.released()
            self.apply_relay(was_closed=was_closed)

    def weld_relay(self, *, is_welded: bool, now_ms: int) -> None:
        """Let the contacts of the load switch stick, or repair them."""
        self.advance(now_ms)
        was_closed = self.relay.is_closed
        self.relay.is_welded = is_welded
        self._is_weld_told = self._is_weld_told and is_welded
        self.apply_relay(was_closed=was_closed)

    def fail_power(self, *, now_ms: int) -> None:
        """Take the mains away: a last gasp, then silence."""
        self.advance(now_ms)
        if not self.power.is_on:
            return
        self.occur(Event.POWER_FAILED)
        self.power.is_on = False
        self.power.failed_at_ms = self._at_ms
        self.power.failure_count += 1
        self.supply.switch(closed=False, now_ms=self._at_ms)

    def restore_power(self, *, now_ms: int) -> None:
        """Give the mains back: a first breath.

        The clock has run on its battery. The interval that the failure broke is captured under the time it should have
        ended; those that passed without power are missing.
        """
        self.advance(now_ms)
        if self.power.is_on:
            return
        self.power.is_on = True
        self.power.off_ms += self._at_ms - self.power.failed_at_ms
        self.supply.switch(closed=self.relay.is_closed, now_ms=self._at_ms)
        self.measuring.skip(self._at_ms)
        if self.local_ms >= self.due.first_ms:
            self._end_intervals()
        self.set_zone()
        self.occur(Event.POWER_RESTORED)

    def _limit(self) -> None:
        power_w = self.measuring.state.phases[0].active_w
        verdict = self.limiter.watch(power_w, local_ms=self.local_ms, now_ms=self._at_ms)
        if verdict is Verdict.NOTHING:
            return
        was_closed = self.relay.is_closed
        if verdict is Verdict.DISCONNECT and self.relay.local_disconnect():
            self.occur(Event.OVERLOAD)
            self.limiter.opened(self._at_ms)
            self.apply_relay(was_closed=was_closed)
        elif verdict is Verdict.RECONNECT and self.relay.local_reconnect():
            self.limiter.reconnected(self._at_ms)
            self.occur(Event.OVERLOAD_ENDED)
            self.apply_relay(was_closed=was_closed)
        else:
            self.limiter.released()

    # ---- what it says by itself --------------------------------------------------------------------------------------

    def take_pushes(self) -> tuple[push.SendPush, ...]:
        """Return what the meter wants sent, oldest first, once."""
        pushes, self._pushes = tuple(self._pushes), []
        return pushes

    def send_push(self, name: bytes) -> None:
        """Push what the setup of that name lists."""
        setup = self.alert_push if name == push.ALERT_NAME else self.periodic_push
        body, sent_at = push.body(self, setup), self.clock.encoded(self.local_ms)
        destination = setup.destination
        self._pushes.append(
            push.SendPush(
                apdu=self._notifier.data_notification(body, sent_at),
                destination=destination.destination,
                transport=destination.transport,
                retries=setup.retries,
                retry_delay_s=setup.repetition.delay_s,
            )
        )
        del self._pushes[:-PUSHES_MAX]

    def _alert(self) -> None:
        self.send_push(push.ALERT_NAME)

    # ---- the logical device ------------------------------------------------------------------------------------------

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        return self.admission.rules(Client(client_sap)) if client_sap in ASSOCIATIONS else None

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        client = Client(access.client_sap)
        found = self.catalogue.read(self, attribute, Query(client, selection), ASSOCIATIONS[client].audience)
        if attribute.name in ENERGY_NAMES and attribute.attribute == VALUE:
            self.witness.energy_read(self.shown.last_import_wh, at_ms=self._at_ms)
        return found

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        if selection is not None:
            raise refuse(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        audience = ASSOCIATIONS[Client(access.client_sap)].audience
        self.catalogue.write(self, attribute, value, audience)

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        audience = ASSOCIATIONS[Client(access.client_sap)].audience
        self.catalogue.invoke(self, method, parameters, audience)
        return None
