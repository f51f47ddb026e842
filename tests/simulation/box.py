"""A gateway: the real station over a real store, run as the shell runs it, on a machine that can lose power anywhere.

Open a transaction, handle the events that wait, commit, then perform the effects. Power can go before, before any write
within, during the commit, after it, and between any two effects.
"""

import random
from collections.abc import Callable
from pathlib import Path

from gateway.core.collection import CollectionSettings
from gateway.core.effects import DemandRead, DriveRelay, Effect, Effects, SendBatch, SendHello
from gateway.core.moment import Moment
from gateway.core.station import Identity, Station, StationSettings
from gateway.core.uplink import UplinkSettings
from tests.simulation.agenda import Agenda
from tests.simulation.machine import Cut, Machine
from tests.simulation.network import Network
from tests.simulation.options import Options
from tests.simulation.parties import TREE, UTILITY, key_of, trusted
from tests.simulation.site import CHANNELS, Site
from tests.simulation.truth import PowerCutError
from wire.errors import WireError
from wire.keys import Purpose

Handling = Callable[[Station, Moment], Effects]


class Box(Machine):
    """One gateway and its connection."""

    def __init__(
        self, agenda: Agenda, network: Network, site: Site, options: Options, *, name: str, folder: Path
    ) -> None:
        super().__init__(agenda, site, options, name=name, folder=folder)
        self.violations: list[str] = []
        self.transactions = 0
        self.sizes: list[tuple[int, int]] = []
        """Writes and effects of each transaction that was reported."""
        self._network = network
        self._fresh = random.Random(f"fresh {options.seed} {name}")
        self._waiting: list[Handling] = []
        self._handling_at_ms: int | None = None
        self._timer_at_ms: int | None = None
        self._connected = False
        network.attach(f"g/{name}", self._receive)

    def calm_down(self) -> None:
        """From now on nothing fails here."""
        self._cut = None
        self.site.calm = True
        if self.is_on:
            self.store.cut_at_step = None
        self.start()
        self.reconnect()

    def _boot(self) -> None:
        try:
            self._transact([], start=True)
        except PowerCutError:
            self._die()
        if self.is_on:
            self._set_timer()
            self._guarded(self._rng.randint(10, 2_000), self.reconnect)

    def _stop(self) -> None:
        super()._stop()
        self._waiting.clear()
        self._connected = False
        self._handling_at_ms = None
        self._timer_at_ms = None

    # ---- the connection ----------------------------------------------------------------------------------------------

    def reconnect(self) -> None:
        """The broker is reached, if it can be."""
        if not self.is_on or self._connected:
            return
        if self._network.is_cut(f"g/{self.name}"):
            self._guarded(5_000 + self._options.duration_ms // 50, self.reconnect)
            return
        self._connected = True
        self.submit(lambda station, now: station.on_connected(now))

    def lose_connection(self) -> None:
        """The connection breaks."""
        if self.is_on and self._connected:
            self._connected = False
            self.submit(lambda station, now: station.on_lost(now))
            self._guarded(self._rng.randint(200, 5_000), self.reconnect)

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: ARG002, FBT001
        if not self._connected:
            return
        try:
            address = TREE.parse(topic)
        except WireError:
            return
        self.submit(lambda station, now: station.on_message(address, payload, now))

    # ---- the shell ---------------------------------------------------------------------------------------------------

    def submit(self, handling: Handling) -> None:
        """Let an event wait for the next transaction."""
        self._waiting.append(handling)
        self._handle_at(self._agenda.now_ms + self._rng.randint(0, 20))

    def poll(self, meter: str) -> None:
        """The schedule reads a meter."""
        if not self.is_on:
            return
        row = self.site.read(meter, self.moment().tick_ms)
        if row is not None:
            self.submit(lambda station, now: station.on_rows(CHANNELS, [row], now))
        elif self._rng.random() < 0.3:
            self.submit(lambda station, now: station.on_meter_event(meter, "3.1.0.85", "no answer", now))

    def report_health(self) -> None:
        """The shell reports how it is."""
        if self.is_on:
            self.submit(lambda station, now: station.on_health((), {}, now))

    def _handle_at(self, time_ms: int) -> None:
        if self._handling_at_ms is None:
            self._handling_at_ms = time_ms
            self._guarded(time_ms - self._agenda.now_ms, self._handle)

    def _handle(self) -> None:
        self._handling_at_ms = None
        group, self._waiting = self._waiting[: self._options.group_max], self._waiting[self._options.group_max :]
        if self._timer_at_ms is not None and self._timer_at_ms <= self._agenda.now_ms:
            group.append(lambda station, now: station.on_timer(now))
        try:
            self._transact(group)
        except PowerCutError:
            self._die()
            return
        if not self.is_on:
            return
        if self._waiting:
            self._handle_at(self._agenda.now_ms + 1)
        self._set_timer()

    def _transact(self, group: list[Handling], *, start: bool = False) -> None:
        planned = self.cuts.get(self.transactions)
        self.transactions += 1
        if planned is not None:
            self._cut, at = planned
            self.store.cut_at_step = at if self._cut is Cut.WITHIN else None
        if self._cut is Cut.BEFORE:
            raise PowerCutError
        effects: list[Effect] = []
        with self.store.transaction():
            if start:
                self.station = self._make_station()
            assert self.station is not None
            for handling in group:
                effects += handling(self.station, self.moment())
            if self._cut is Cut.WITHIN:
                raise PowerCutError
            if self._cut is Cut.COMMITTING:
                self.disk.mark_safe()
        if self._cut is Cut.COMMITTING:
            self.store.on_left_open()
            self._die(within_commit=True)
            return
        self.store.on_reported()
        self.sizes.append((self.store.steps, len(effects)))
        self._check_bounds()
        if self._cut is Cut.COMMITTED:
            raise PowerCutError
        count = len(effects)
        if self._cut is Cut.PERFORMING:
            count = planned[1] if planned is not None else self._rng.randrange(count + 1)
        for effect in effects[:count]:
            self._perform(effect)
        if self._cut is Cut.PERFORMING:
            raise PowerCutError

    def _make_station(self) -> Station:
        options = self._options
        return Station(
            self.store,
            identity=Identity(
                utility=UTILITY,
                key=key_of(Purpose.GATEWAY, self.name),
                trusted=trusted(),
                software="simulated 1",
                boot=self._fresh.randbytes(8),
            ),
            meters=list(self.site.houses),
            relay_meters=list(self.site.houses),
            settings=StationSettings(
                collection=CollectionSettings(
                    seal_after_ms=options.seal_after_ms,
                    rows_per_batch_max=options.rows_per_batch_max,
                    facts_per_batch_max=options.facts_per_batch_max,
                    store_bytes_max=options.store_bytes_max,
                ),
                uplink=UplinkSettings(window_max=options.window_max),
            ),
            rng=self._rng,
            fresh_bytes=self._fresh.randbytes,
            now=self.moment(),
        )

    def _set_timer(self) -> None:
        assert self.station is not None
        now = self.moment()
        wait_ms = self.station.next_deadline_ms(now) - now.mono_ms
        if wait_ms >= 1_000:
            # A world of days need not look each second.
            wait_ms = max(wait_ms, self._options.duration_ms // 400)
        at_ms = self._agenda.now_ms + max(wait_ms, 1)
        if self._timer_at_ms is None or not self._agenda.now_ms < self._timer_at_ms <= at_ms:
            self._timer_at_ms = at_ms
            self._guarded(at_ms - self._agenda.now_ms, self._on_timer)

    def _on_timer(self) -> None:
        if self._timer_at_ms is not None and self._timer_at_ms <= self._agenda.now_ms:
            self._handle_at(self._agenda.now_ms)

    # ---- effects -----------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendHello(sealed=sealed):
                self._publish("hello", sealed)
            case SendBatch(lane=lane, sealed=sealed):
                self._publish(lane.value, sealed)
            case DriveRelay():
                self._guarded(self._rng.randint(1, 3_000), lambda: self._drive(effect))
            case DemandRead():
                self._guarded(self._rng.randint(1, 3_000), lambda: self._read(effect))
            case _:
                pass

    def _publish(self, leaf: str, sealed: bytes) -> None:
        if self._connected:
            self._network.send(f"g/{self.name}", TREE.up(self.name, leaf), sealed)

    def _drive(self, drive: DriveRelay) -> None:
        assert self.station is not None
        closed = None
        if self._is_wanted(drive):
            standing = [hold for meter, hold in self.store.holds() if meter == drive.meter]
            if drive.closed and standing:
                self.violations.append(f"{self.name} closed the relay of {drive.meter} over holds {standing}")
            if not drive.closed and not standing:
                self.violations.append(f"{self.name} opened the relay of {drive.meter} without a hold")
            closed = self.site.drive(drive.meter, closed=drive.closed)
        self.submit(lambda station, now: station.on_relay_driven(drive, closed=closed, now=now))

    def _is_wanted(self, drive: DriveRelay) -> bool:
        assert self.station is not None
        return self.station.relays.is_wanted(drive)

    def _read(self, demand: DemandRead) -> None:
        values = self.site.read_on_demand(demand.meter)
        detail = "" if values is not None else "unavailable"
        self.submit(lambda station, now: station.on_demand_read(demand.command, values, detail, now))

    def _check_bounds(self) -> None:
        assert self.station is not None
        in_flight = len(self.station.uplink._in_flight)
        if in_flight > self._options.window_max:
            self.violations.append(f"{self.name} has {in_flight} batches in flight")
