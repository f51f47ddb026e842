"""Relays and the holds on them: a relay is closed exactly when no hold stands on it.

The disk says which holds stand; the relay is driven until reading it back agrees, also after a restart, and driven
again from time to time since a relay board can lose its state. A drive that was overtaken by a newer decision is not
carried out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.effects import DriveRelay, Effects
from gateway.core.moment import Moment
from gateway.core.store import SupplyStore
from prepay.holds import Hold, Holds, RelayIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Timers in real milliseconds."""

    retry_ms: int = 2_000
    retry_ms_max: int = 60_000
    answer_ms_max: int = 60_000
    """A drive with no answer for so long is taken as failed."""
    verify_ms: int = 600_000
    """How often a relay that agrees is driven again."""


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of driving a relay."""

    meter: str
    closed: bool
    changed: bool
    """It had another state when last seen."""
    is_current: bool
    """The drive followed the newest decision, so what reading back showed may prove a command."""


@dataclass(slots=True)
class _Relay:
    holds: Holds
    known: bool | None
    """Last state read back in this run; None before the first."""
    sequence: int = 0
    due_ms: int = 0
    retry_ms: int = 0


class Relays:
    """Brings relays into the state their holds ask for."""

    def __init__(self, store: SupplyStore, meters: Iterable[str], settings: RelaySettings) -> None:
        self._store = store
        self._settings = settings
        self._relays = {meter: _Relay(Holds(), None, retry_ms=settings.retry_ms) for meter in meters}
        for meter, code in store.holds():
            relay = self._relays.get(meter)
            if relay is not None:
                relay.holds = relay.holds.place(Hold(code))

    def has_relay(self, meter: str) -> bool:
        return meter in self._relays

    def holds(self, meter: str) -> Holds:
        """Return the holds that stand on a meter's relay."""
        return self._relays[meter].holds

    def wants_closed(self, meter: str) -> bool:
        """Tell what the relay should be."""
        return self._relays[meter].holds.intent is RelayIntent.CLOSED

    def known_closed(self, meter: str) -> bool | None:
        """Return what reading the relay back last showed in this run, or None."""
        return self._relays[meter].known

    def is_wanted(self, drive: DriveRelay) -> bool:
        """Tell, just before a drive is carried out, whether it still is what the holds ask for."""
        relay = self._relays[drive.meter]
        return relay.sequence == drive.sequence and self.wants_closed(drive.meter) == drive.closed

    def place(self, meter: str, hold: Hold) -> bool:
        """Let a hold stand; False if it stood already."""
        relay = self._relays[meter]
        if hold in relay.holds:
            return False
        relay.holds = relay.holds.place(hold)
        self._store.place_hold(meter, hold)
        self._decided_anew(relay)
        return True

    def lift(self, meter: str, hold: Hold) -> bool:
        """Take a hold away; False if it did not stand."""
        relay = self._relays[meter]
        if hold not in relay.holds:
            return False
        relay.holds = relay.holds.lift(hold)
        self._store.lift_hold(meter, hold)
        self._decided_anew(relay)
        return True

    def verify(self, meter: str) -> None:
        """Drive the relay even if it is known to agree, for somebody who waits for proof."""
        self._decided_anew(self._relays[meter])

    def on_driven(self, drive: DriveRelay, *, closed: bool | None, now: Moment) -> Driven | None:
        """Take what reading back showed, or None if the relay did not answer; return it if it says something new."""
        relay = self._relays[drive.meter]
        is_current = relay.sequence == drive.sequence
        if closed is None:
            if is_current:
                relay.due_ms = now.mono_ms + relay.retry_ms
                relay.retry_ms = min(relay.retry_ms * 2, self._settings.retry_ms_max)
            return None
        stored = self._store.relay_state(drive.meter)
        relay.known = closed
        if is_current:
            agrees = closed == self.wants_closed(drive.meter)
            relay.due_ms = now.mono_ms + (self._settings.verify_ms if agrees else relay.retry_ms)
            relay.retry_ms = self._settings.retry_ms
        if stored != closed:
            self._store.set_relay_state(drive.meter, closed=closed)
        return Driven(drive.meter, closed, changed=stored != closed, is_current=is_current)

    def on_seen(self, meter: str, *, closed: bool) -> bool:
        """Take what a relay that may have moved by itself shows; True if it had another state when last seen."""
        self._relays[meter].known = closed
        if self._store.relay_state(meter) == closed:
            return False
        self._store.set_relay_state(meter, closed=closed)
        return True

    def pump(self, now: Moment) -> Effects:
        """Drive the relays that are due."""
        return tuple(
            self._drive(meter, relay, now) for meter, relay in self._relays.items() if relay.due_ms <= now.mono_ms
        )

    def next_deadline_ms(self) -> int | None:
        """Return when `pump` has something to do, real ms."""
        return min((relay.due_ms for relay in self._relays.values()), default=None)

    def _drive(self, meter: str, relay: _Relay, now: Moment) -> DriveRelay:
        relay.sequence += 1
        relay.due_ms = now.mono_ms + self._settings.answer_ms_max
        return DriveRelay(meter=meter, closed=self.wants_closed(meter), sequence=relay.sequence)

    def _decided_anew(self, relay: _Relay) -> None:
        relay.sequence += 1
        relay.due_ms = 0
        relay.retry_ms = self._settings.retry_ms
