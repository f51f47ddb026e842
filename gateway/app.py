"""A gateway as one process: the only place where its parts are made and joined.

Tasks: the MQTT session, the intake of its messages, the store's thread, one worker a bus, the health report. An
unforeseen error ends the process; the supervisor starts it again and the disk knows where it was.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import structlog

from gateway.adapters.dlms.push import PushReader
from gateway.adapters.dlms.push_door import DoorSettings, PushDoor
from gateway.adapters.dlms.push_senders import PushSenders
from gateway.adapters.machine import machine_numbers
from gateway.adapters.meters import Meters, row_of
from gateway.adapters.sqlite_store import SqliteStore
from gateway.adapters.store_thread import Handling, StoreShelf, StoreThread
from gateway.config import Config, clock_of
from gateway.core.acquisition import (
    BusEvent,
    Captured,
    ClockSeen,
    Identified,
    LineFound,
    LineLost,
    Logged,
    MeterFound,
    MeterLost,
    MeterNeglected,
    Mirrored,
    Pushed,
    ReadFailed,
    Reading,
    RecordEvent,
    StatusSeen,
    Task,
    TaskRefused,
)
from gateway.core.collection import CollectionSettings
from gateway.core.effects import (
    AlignPolls,
    DemandRead,
    DriveRelay,
    Effect,
    Effects,
    Note,
    ObserveRelay,
    SendBatch,
    SendHello,
)
from gateway.core.moment import Moment
from gateway.core.numbers import LineNumbers, PushNumbers
from gateway.core.pushes import Sender
from gateway.core.schedule import BusBusyError
from gateway.core.station import Identity, Station, StationSettings
from gateway.ports import BusError
from wire.address import Address
from wire.errors import MalformedError, Reason, WireError
from wire.facts import ReadValue
from wire.keys import PinnedKeys, Purpose
from wire.messages import Ack
from wire.messages import Message as WireMessage
from wire.readings import Channel, Row
from wire.runtime.collector import collect_rarely
from wire.runtime.errors import PublishRefusedError, UnavailableError
from wire.runtime.keyring import load_key, load_public_keys
from wire.runtime.mqtt import Connected, Event, Lost, Message, MqttConfig, MqttSession, Will
from wire.topics import TopicTree

EVENT_METER_LOST = "3.1.0.85"
"""IEC 61968-9: electric meter, communication, failed."""
EVENT_METER_FOUND = "3.1.0.216"
EVENT_LINE_LOST = "5.1.0.85"
EVENT_LINE_FOUND = "5.1.0.216"
PUBLISH_WINDOW = 64
GATHER_FACTOR = 30
"""What meters captured waits so much longer for company than present values do."""
Opened = WireMessage | WireError
_log = structlog.get_logger()


class Gateway:
    """The parts of a gateway and what flows between them."""

    def __init__(self, config: Config) -> None:
        """Make the parts; nothing runs yet.

        Raises:
            ConfigError: Something the operator must change first.
        """
        self._config = config
        self._clock = clock_of(config)
        key = load_key(Path(config.key_file), purpose=Purpose.GATEWAY)
        self.name = key.public.party
        self._tree = TopicTree(config.utility, config.topic_root)
        self._meters = Meters(
            config,
            clock=self._clock,
            sink=self._on_bus_event,
            agenda=self._due,
            shelf=StoreShelf(lambda: self._mind),
            gateway=self.name,
        )
        identity = Identity(
            utility=config.utility,
            key=key,
            trusted=PinnedKeys(load_public_keys(Path(config.trusted_folder))),
            software=f"wattpost {version('wattpost')}",
            boot=secrets.token_bytes(8),
        )
        store = SqliteStore(Path(config.store.path))
        settings = StationSettings(
            collection=CollectionSettings(
                seal_after_ms=config.seal_after_ms,
                gather_after_ms=GATHER_FACTOR * config.seal_after_ms,
                store_bytes_max=config.store.bytes_max,
            )
        )
        self._mind = StoreThread(
            store,
            start=lambda now: Station(
                store,
                identity=identity,
                meters=self._meters.ids,
                relay_meters=self._meters.with_relay,
                settings=settings,
                rng=Random(secrets.randbits(64)),  # noqa: S311 - jitter
                fresh_bytes=secrets.token_bytes,
                now=now,
                visited=self._meters.visited,
            ),
            clock=self._clock,
            perform=self._perform,
        )
        self._session = MqttSession(
            self._mqtt_config(),
            rng=Random(secrets.randbits(64)),  # noqa: S311 - jitter
            on_event=self._on_session_event,
        )
        self._pushes = PushReader(
            PushSenders(
                self._meters.pushing, book=self._meters.push_book, ask=self._senders, now_ms=self._clock.monotonic_ms
            ),
            book=self._meters.push_book,
            sink=self._on_pushed,
            clock=self._clock,
        )
        self._door = self._push_door()
        self._refused_topics: set[str] = set()
        self._group: asyncio.TaskGroup | None = None

    def _mqtt_config(self) -> MqttConfig:
        broker = self._config.broker
        return MqttConfig(
            host=broker.host,
            port=broker.port,
            protocol=broker.protocol,
            client_id=self.name,
            subscriptions=(self._tree.down_filter(self.name),),
            # Nothing relies on what the broker kept: the cloud sends again what has no receipt.
            clean_start=True,
            session_expiry_s=0,
            keep_alive_s=broker.keep_alive_s,
            publish_window=PUBLISH_WINDOW,
            reconnect_delay_ms_max=broker.reconnect_delay_ms_max,
            tls=broker.tls,
            will=Will(topic=self._tree.up(self.name, "bye")),
        )

    def _push_door(self) -> PushDoor | None:
        port = self._config.push
        if port is None:
            return None
        settings = DoorSettings(host=port.host, port=port.port, tcp=port.tcp, udp=port.udp)
        return PushDoor(settings, take=self._pushes.take, clock=self._clock)

    async def run(self) -> None:
        """Run until cancelled."""
        started = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._mind.run(started), name="store")
            await started.wait()
            collect_rarely()
            group.create_task(self._session.run(), name="mqtt")
            group.create_task(self._take_in(), name="intake")
            group.create_task(self._report_health(), name="health")
            for name, worker in self._meters.workers.items():
                group.create_task(worker.run(), name=f"bus {name}")
            if self._door is not None:
                group.create_task(self._door.run(), name="pushes")
            _log.info("gateway.started", gateway=self.name, meters=len(self._meters.ids))

    # ---- the broker --------------------------------------------------------------------------------------------------

    def _on_session_event(self, event: Event) -> None:
        match event:
            case Connected():
                _log.info("broker.connected")
                self._refused_topics.clear()
                self._mind.post(Station.on_connected)
            case Lost(was_connected=was_connected):
                if was_connected:
                    self._mind.post(Station.on_lost)
                _log.warning("broker.lost", cause=event.cause, detail=event.detail, remedy=event.remedy)
            case _:
                _log.warning("broker.subscription_refused", detail=event.detail, remedy=event.remedy)

    async def _take_in(self) -> None:
        while True:
            messages = await self._session.next_batch()
            for message in messages:
                await self._take(message)
            # The cloud repeats what has no answer, so the broker need not keep it.
            self._session.ack(messages)

    async def _take(self, message: Message) -> None:
        try:
            address = self._tree.parse(message.topic)
            if message.retain:
                raise MalformedError("retained by the broker", Reason.RETAINED)
        except WireError as error:
            _log.warning("message.refused", reason=error.reason)
            return
        station = self._mind.station
        # Checked here, so that no transaction stands open meanwhile.
        opened = station.open(address, message.payload)
        # What was acknowledged is let go of in the transaction of the next event, unless something waits for its place.
        is_patient = isinstance(opened, Ack) and not station.uplink.waits_for_room
        await self._mind.submit(partial(_on_opened, address=address, message=opened), is_patient=is_patient)

    # ---- effects -----------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendHello(sealed=sealed):
                self._publish(self._tree.up(self.name, "hello"), sealed)
            case SendBatch(lane=lane, sealed=sealed):
                self._publish(self._tree.up(self.name, lane.value), sealed)
            case DriveRelay():
                self._spawn(self._drive(effect))
            case ObserveRelay(meter=meter):
                self._spawn(self._observe(meter))
            case DemandRead():
                self._spawn(self._read(effect))
            case AlignPolls(offset_ms=offset_ms):
                for worker in self._meters.workers.values():
                    worker.align(offset_ms % (self._config.period_s * 1_000))
            case Note(event=event, facts=facts, is_warning=is_warning):
                (_log.warning if is_warning else _log.info)(event, **dict(facts))

    def _publish(self, topic: str, sealed: bytes) -> None:
        try:
            self._session.try_publish(topic, sealed).add_done_callback(self._on_published)
        except UnavailableError:
            return  # the uplink's own timer sends it again

    def _on_published(self, outcome: asyncio.Future[None]) -> None:
        error = None if outcome.cancelled() else outcome.exception()
        if isinstance(error, PublishRefusedError) and error.topic not in self._refused_topics:
            # Once in a connection: the uplink goes on trying, since only the broker's operator can mend it.
            self._refused_topics.add(error.topic)
            remedy = "let the broker's access list admit this gateway to its own topics"
            _log.error("publish.refused", topic=error.topic, problem=error.problem, remedy=remedy)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None, "effects come while it runs"
        self._group.create_task(work)

    async def _drive(self, drive: DriveRelay) -> None:
        closed = await self._meters.drive(drive, is_wanted=self._mind.station.relays.is_wanted)
        await self._mind.submit(lambda station, now: station.on_relay_driven(drive, closed=closed, now=now))

    async def _observe(self, meter: str) -> None:
        closed = await self._meters.observe(meter)
        if closed is not None:
            await self._mind.submit(lambda station, now: station.on_relay_seen(meter, closed=closed, now=now))

    async def _read(self, demand: DemandRead) -> None:
        values: list[ReadValue] | None = None
        detail = ""
        try:
            values = await self._meters.read(demand)
        except (BusError, BusBusyError) as error:
            detail = f"{getattr(error, 'reason', 'busy')}: {error}"
        await self._mind.submit(lambda station, now: station.on_demand_read(demand.command, values, detail, now))

    # ---- the meters --------------------------------------------------------------------------------------------------

    async def _on_bus_event(self, event: BusEvent) -> None:
        match event:
            case Reading():
                channels = self._meters.channels(event.meter_id)
                await self._mind.submit(_rows(channels, row_of(event, channels)))
            case Captured() | Logged() | ClockSeen() | Identified() | Mirrored() | TaskRefused() | StatusSeen():
                await self._mind.submit(_record(event))
            case ReadFailed(meter_id=meter, reason=reason):
                # The schedule tries again, and MeterLost says when it matters.
                _log.debug("read.failed", meter=meter, reason=reason)
            case MeterLost(meter_id=meter):
                await self._mind.submit(_event(meter, EVENT_METER_LOST, "no answer"))
            case MeterNeglected(meter_id=meter):
                await self._mind.submit(_event(meter, EVENT_METER_LOST, "not asked for three periods"))
            case MeterFound(meter_id=meter):
                await self._mind.submit(_event(meter, EVENT_METER_FOUND, ""))
            case LineLost(bus_id=bus):
                await self._mind.submit(_event("", EVENT_LINE_LOST, bus))
            case LineFound(bus_id=bus):
                await self._mind.submit(_event("", EVENT_LINE_FOUND, bus))

    async def _due(self, meter: str) -> tuple[Task, ...]:
        return await self._mind.ask(lambda station, now: station.agenda.due(meter, now))

    async def _senders(self) -> dict[str, Sender]:
        meters = self._meters.push_book.meters
        return await self._mind.ask(lambda station, _now: station.pushes.senders(meters))

    async def _on_pushed(self, event: Pushed) -> None:
        await self._mind.submit(lambda station, now: station.on_pushed(event, now))

    async def _report_health(self) -> None:
        folder = Path(self._config.store.path).parent
        while True:
            await asyncio.sleep(self._config.health_s)
            lines = {name: worker.numbers() for name, worker in self._meters.workers.items()}
            await self._mind.submit(_health(folder, self._push_numbers(), lines))

    def _push_numbers(self) -> tuple[PushNumbers, ...]:
        if self._door is None:
            return ()
        numbers = PushNumbers(
            pushes_taken=self._pushes.taken,
            pushes_refused=sum(self._pushes.refused.values()),
            pushes_turned_away=sum(self._door.turned_away.values()),
        )
        return (numbers,)


def _on_opened(station: Station, now: Moment, *, address: Address, message: Opened) -> Effects:
    return station.on_opened(address, message, now)


def _rows(channels: Sequence[Channel], row: Row) -> Handling:
    return lambda station, now: station.on_rows(channels, [row], now)


def _record(event: RecordEvent | StatusSeen) -> Handling:
    return lambda station, now: station.on_record(event, now)


def _event(meter: str, code: str, detail: str) -> Handling:
    return lambda station, now: station.on_meter_event(meter, code, detail, now)


def _health(folder: Path, pushes: tuple[PushNumbers, ...], lines: Mapping[str, LineNumbers]) -> Handling:
    # Disk and process are looked at in the store's thread, where that may take its time.
    return lambda station, now: station.on_health((machine_numbers(folder), *pushes), lines, now)
