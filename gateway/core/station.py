"""The gateway's mind: every event comes in here, inside an open transaction, and effects go out after its commit.

It decides who handles what and in which order; what each part decides stands in its own module. It is the one object
that a shell (asyncio) and a simulation (virtual time) drive alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.acquisition import Pushed, RecordEvent, StatusSeen
from gateway.core.agenda import Agenda, AgendaSettings
from gateway.core.channels import column_of, quantity
from gateway.core.collection import CollectionSettings, Collector, make_store_id
from gateway.core.credit import CreditControl, signed_ms
from gateway.core.deliveries import Deliveries
from gateway.core.dlms_profiles import DlmsProfile
from gateway.core.effects import AlignPolls, DriveRelay, Effect, Effects, Note
from gateway.core.health import SelfReport
from gateway.core.held import HeldFacts
from gateway.core.journal import Journal
from gateway.core.moment import Moment
from gateway.core.numbers import IntakeNumbers, LineNumbers, Numbers
from gateway.core.progress import Progress
from gateway.core.pushes import Pushes
from gateway.core.records import Records
from gateway.core.relays import Relays, RelaySettings
from gateway.core.store import Priority, Store
from gateway.core.timekeeping import Timekeeper
from gateway.core.uplink import DiskState, IdSource, Uplink, UplinkSettings
from prepay.entries import Entry
from prepay.holds import Hold
from wire import codec
from wire.address import Address, Direction
from wire.errors import MalformedError, Reason, UntrustedError, WireError
from wire.facts import EntryFact, FactsHeld, PrepaidPolicy, ReadValue, decode_down_fact, fact_id
from wire.keys import KeyRegistry, SigningKey
from wire.messages import Ack, Command, Facts, Message, Welcome, open_message
from wire.readings import Channel, Row

if TYPE_CHECKING:
    import random

ENERGY_IMPORT = bytes([1, 0, 1, 8, 0, 255])
POWER_IMPORT = bytes([1, 0, 1, 7, 0, 255])
UNIT_WATT = 27
UNIT_WATT_HOUR = 30
EVENT_STARTED = "5.26.0.216"
"""IEC 61968-9: gateway, power, restored."""
EVENT_RELAY_OPENED = "3.31.0.68"
EVENT_RELAY_CLOSED = "3.31.0.42"
EVENT_POWER_LIMIT = "3.15.261.139"
EVENT_REFUSED = "5.12.0.38"
PRUNE_EVERY_MS = 3_600_000
JOURNAL_ENTRIES_KEPT = 20_000
"""For whoever looks into what a box did; what was run is remembered by the commands and floors themselves."""
POWER_LIMIT_HOLD_MS = 300_000
"""How long supply stays off after the power limit was exceeded, site ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this gateway is."""

    utility: str
    key: SigningKey
    trusted: KeyRegistry
    """The cloud's public keys."""
    software: str
    boot: bytes
    """Fresh for each start of the program, 8 random bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings:
    """The settings of all parts."""

    collection: CollectionSettings = field(default_factory=CollectionSettings)
    uplink: UplinkSettings = field(default_factory=UplinkSettings)
    relays: RelaySettings = field(default_factory=RelaySettings)
    agenda: AgendaSettings = field(default_factory=AgendaSettings)


@dataclass(slots=True)
class Counts:
    """What happened since the start, for the health report."""

    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Station:
    """Handles every event of a gateway."""

    def __init__(
        self,
        store: Store,
        *,
        identity: Identity,
        meters: Sequence[str],
        relay_meters: Sequence[str],
        settings: StationSettings,
        rng: "random.Random",
        fresh_bytes: IdSource,
        now: Moment,
        visited: Mapping[str, DlmsProfile] | None = None,
    ) -> None:
        """Take up where the disk left off; call it inside a transaction.

        `visited` has the make of each meter that keeps records of its own.
        """
        self._store = store
        self._identity = identity
        self.counts = Counts()
        store_id = make_store_id(store, fresh_bytes(8))
        self.time = Timekeeper(store, identity.boot, now)
        self.collector = Collector(
            store, self.time, settings.collection, key=identity.key, utility=identity.utility, boot=identity.boot
        )
        self.relays = Relays(store, relay_meters, settings.relays)
        self.journal = Journal(
            store,
            store,
            collector=self.collector,
            relays=self.relays,
            meters=meters,
            boot=identity.boot,
            trusted_ms=self.time.trusted_ms,
        )
        self._held = HeldFacts(store)
        self.credit = CreditControl(store, collector=self.collector, relays=self.relays, boot=identity.boot)
        deliveries = Deliveries(store, self.time)
        self._report = SelfReport(store, self.collector, deliveries, self.time, identity.boot)
        self.uplink = Uplink(
            store,
            deliveries,
            settings=settings.uplink,
            key=identity.key,
            utility=identity.utility,
            software=identity.software,
            boot=identity.boot,
            store_id=store_id,
            meters=tuple(meters),
            rng=rng,
            fresh_bytes=fresh_bytes,
        )
        progress, makes = Progress(store), visited or {}
        self.agenda = Agenda(progress, makes=makes, time=self.time, mirror=self.credit.mirror, settings=settings.agenda)
        self._records = Records(
            progress,
            makes=makes,
            collector=self.collector,
            time=self.time,
            settings=settings.agenda,
            boot=identity.boot,
        )
        self.pushes = Pushes(
            progress, makes, self.collector, self.time, has_relay=self.relays.has_relay, boot=identity.boot
        )
        self._power_limit_until: dict[str, int] = {}
        self._prune_due_ms = now.mono_ms + PRUNE_EVERY_MS
        self._begin(now)

    def _begin(self, now: Moment) -> None:
        clock = self.time.system_fact(now)
        if clock is not None:
            self.collector.add_fact(clock, Priority.URGENT)
        self.collector.add_event(EVENT_STARTED, now=now, detail=self._identity.software)
        for meter in self._store.power_limits():
            if self.relays.has_relay(meter) and Hold.POWER_LIMIT in self.relays.holds(meter):
                self._power_limit_until[meter] = now.tick_ms + POWER_LIMIT_HOLD_MS
        self.collector.seal(now)

    # ---- the broker --------------------------------------------------------------------------------------------------

    def on_connected(self, now: Moment) -> Effects:
        """The broker is reached: open a session."""
        return self.uplink.on_connected(disk=self._disk_state(), now=now)

    def on_lost(self, now: Moment) -> Effects:
        """The broker is gone; nothing else changes."""
        self.uplink.on_lost()
        return self._after(now, ())

    def on_message(self, address: Address, sealed: bytes, now: Moment) -> Effects:
        """Take a message from the cloud; one that does not hold is refused, counted, and changes nothing."""
        return self.on_opened(address, self.open(address, sealed), now)

    def open(self, address: Address, sealed: bytes) -> Message | WireError:
        """Check a message from the cloud, or say why it does not hold; needs no transaction and changes nothing."""
        try:
            self._require_ours(address)
            message, _ = open_message(sealed, address, self._identity.trusted)
        except WireError as error:
            return error
        return message

    def on_opened(self, address: Address, message: Message | WireError, now: Moment) -> Effects:
        """Take a message as `open` returned it."""
        if isinstance(message, WireError):
            return (self._refused(message, address),)
        try:
            effects = self._dispatch(message, now)
        except WireError as error:
            return (self._refused(error, address),)
        return self._after(now, effects)

    def _require_ours(self, address: Address) -> None:
        """Refuse a road that is not ours: a broker may deliver what the cloud signed for another gateway."""
        if address.direction is not Direction.DOWN or address.party != self._identity.key.public.party:
            raise UntrustedError(Reason.WRONG_PARTY, f"a message {address.direction} of {address.party}")

    def _dispatch(self, message: object, now: Moment) -> Effects:
        match message:
            case Welcome():
                return self._on_welcome(message, now)
            case Ack():
                return self.uplink.on_ack(message, now=now)
            case Facts():
                return self._on_facts(message, now)
            case Command():
                self.time.on_signed_time(message.issued_at_ms)
                return self.journal.on_command(message, now=now)
            case _:
                raise MalformedError(f"a {type(message).__name__} does not come down")

    def _on_welcome(self, welcome: Welcome, now: Moment) -> Effects:
        hello_tick_ms = self.uplink.answered_hello_tick_ms(welcome)
        if hello_tick_ms is None:
            return (Note(event="welcome.of_other_session"),)
        clock = self.time.on_welcome(welcome.cloud_utc_ms, hello_tick_ms=hello_tick_ms, now=now)
        self.collector.add_fact(clock, Priority.URGENT)
        self.journal.on_floors(welcome.floors, now)
        self.journal.on_session()
        opened = self.uplink.on_welcome(welcome, now=now)
        align = AlignPolls(offset_ms=clock.utc_ms - clock.tick_ms)
        return (
            *opened,
            align,
            Note(event="session.opened", facts=(("window", welcome.window),)),
            *self.journal.pump(now),
        )

    def _on_facts(self, message: Facts, now: Moment) -> Effects:
        held = []
        refused: list[Effect] = []
        with self.credit.together(now):
            for encoded in message.facts:
                try:
                    self._take_fact(encoded, now)
                except MalformedError as error:
                    # Held all the same: repeating it would not mend it, and the event tells the cloud.
                    self.collector.add_event(EVENT_REFUSED, now=now, detail=f"fact refused: {error}")
                    refused.append(Note(event="fact.refused", facts=(("problem", str(error)),)))
                held.append(fact_id(encoded))
        self.collector.add_fact(FactsHeld(facts=held, boot=self._identity.boot, tick_ms=now.tick_ms), Priority.URGENT)
        return tuple(refused)

    def _take_fact(self, encoded: bytes, now: Moment) -> None:
        if not self._held.take(encoded):
            return
        fact = decode_down_fact(encoded)
        match fact:
            case EntryFact():
                entry: Entry = codec.decode_as(fact.entry, Entry)
                self.time.on_signed_time(signed_ms(entry))
                self.credit.on_entry(fact.account, entry, at_ms=self.time.best_ms(now), now=now)
            case PrepaidPolicy():
                self.credit.on_policy(fact, at_ms=self.time.best_ms(now), now=now)

    # ---- the meters --------------------------------------------------------------------------------------------------

    def on_rows(self, channels: Sequence[Channel], rows: Sequence[Row], now: Moment) -> Effects:
        """Take what polls brought: rows of the same channels; credit and limits are followed on a full disk, too."""
        self.counts.rows += len(rows)
        notes: Effects = ()
        if not self.collector.add_rows(channels, rows):
            notes = (Note(event="rows.not_taken", facts=(("rows", len(rows)),)),)
        energy = column_of(channels, ENERGY_IMPORT, UNIT_WATT_HOUR)
        power = column_of(channels, POWER_IMPORT, UNIT_WATT)
        limits_w = self._store.power_limits()
        for row in rows:
            energy_wh = quantity(row, energy, channels)
            if energy_wh is not None:
                at_ms = self.time.best_ms(now) - max(now.tick_ms - row.tick_ms, 0)
                self.credit.on_register(row.meter, energy_wh, tick_ms=row.tick_ms, at_ms=at_ms, now=now)
            power_w = quantity(row, power, channels)
            limit_w = limits_w.get(row.meter)
            if power_w is not None and limit_w is not None and power_w > limit_w:
                self._cut_for_power(row.meter, limit_w, now)
        return self._after(now, notes)

    def _cut_for_power(self, meter: str, limit_w: int, now: Moment) -> None:
        if self.relays.has_relay(meter) and self.relays.place(meter, Hold.POWER_LIMIT):
            self._power_limit_until[meter] = now.tick_ms + POWER_LIMIT_HOLD_MS
            self.collector.add_event(EVENT_POWER_LIMIT, now=now, meter=meter, detail=f"limit {limit_w} W")

    def on_record(self, event: RecordEvent | StatusSeen, now: Moment) -> Effects:
        """Take what a visit brought beside present values."""
        if isinstance(event, StatusSeen):
            return self._after(now, self.pushes.on_status(event, now))
        self.pushes.on_record(event)
        return self._after(now, self._records.on_event(event, now))

    def on_pushed(self, event: Pushed, now: Moment) -> Effects:
        """Take what a meter said without being asked."""
        return self._after(now, self.pushes.on_pushed(event, now))

    def on_relay_seen(self, meter: str, *, closed: bool, now: Moment) -> Effects:
        """Take what reading a relay showed that may have moved by itself."""
        if self.relays.on_seen(meter, closed=closed):
            self.collector.add_event(EVENT_RELAY_CLOSED if closed else EVENT_RELAY_OPENED, now=now, meter=meter)
        return self._after(now, ())

    def on_meter_event(self, meter: str, code: str, detail: str, now: Moment) -> Effects:
        """Report something that the bus noticed of a meter or of itself."""
        self.collector.add_event(code, now=now, meter=meter, detail=detail)
        return self._after(now, ())

    def on_relay_driven(self, drive: DriveRelay, *, closed: bool | None, now: Moment) -> Effects:
        """Take what reading a relay back showed; None if it did not answer."""
        driven = self.relays.on_driven(drive, closed=closed, now=now)
        if driven is not None:
            if driven.changed:
                code = EVENT_RELAY_CLOSED if driven.closed else EVENT_RELAY_OPENED
                self.collector.add_event(code, now=now, meter=driven.meter)
            if driven.is_current:
                self.journal.on_relay_driven(driven.meter, now)
        return self._after(now, ())

    def on_demand_read(self, command: bytes, values: Sequence[ReadValue] | None, detail: str, now: Moment) -> Effects:
        """Take what a read for a command brought, or why it brought nothing."""
        self.journal.on_read(command, values, detail, now)
        return self._after(now, ())

    def on_health(self, parts: Sequence[Numbers], lines: Mapping[str, LineNumbers], now: Moment) -> Effects:
        """Report how the gateway and its lines are doing; `parts` is what only the shell knows."""
        intake = IntakeNumbers(rows_count=self.counts.rows, refused_count=sum(self.counts.refused.values()))
        self._report.make((intake, *parts), lines, now)
        return self._after(now, ())

    # ---- time --------------------------------------------------------------------------------------------------------

    def on_timer(self, now: Moment) -> Effects:
        """Do what is due."""
        for meter in [meter for meter, until in self._power_limit_until.items() if until <= now.tick_ms]:
            del self._power_limit_until[meter]
            self.relays.lift(meter, Hold.POWER_LIMIT)
        if now.mono_ms >= self._prune_due_ms:
            self._prune_due_ms = now.mono_ms + PRUNE_EVERY_MS
            self.journal.prune(now)
            self._store.forget_journal(keep=JOURNAL_ENTRIES_KEPT)
        return self._after(now, self.journal.pump(now))

    def next_deadline_ms(self, now: Moment) -> int:
        """Return when `on_timer` is to be called, real ms; at the latest in a second, for deadlines in site time."""
        deadlines = (
            self.uplink.next_deadline_ms(),
            self.collector.next_deadline_ms(),
            self.relays.next_deadline_ms(),
        )
        return min((now.mono_ms + 1_000, *(deadline for deadline in deadlines if deadline is not None)))

    def _after(self, now: Moment, effects: Effects) -> Effects:
        """Finish a transaction: seal, send, drive."""
        batches_count = self.collector.batches_count
        notes = self.collector.seal(now)
        if self.collector.batches_count > batches_count:
            self.uplink.on_sealed()
        return (
            *effects,
            *notes,
            *self.relays.pump(now),
            *self.uplink.pump(disk=self._disk_state(), now=now),
        )

    @property
    def facts_held(self) -> bytes:
        """What the hello says of the cloud's facts."""
        return self._held.digest

    def _disk_state(self) -> DiskState:
        index, digest = self.journal.head
        return DiskState(journal_index=index, journal_digest=digest, facts_held=self.facts_held)

    def _refused(self, error: WireError, address: Address) -> Note:
        self.counts.refused[error.reason] = self.counts.refused.get(error.reason, 0) + 1
        return Note(event="message.refused", facts=(("reason", error.reason.value), ("kind", address.kind.value)))
