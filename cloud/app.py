"""The cloud's handlers as one process, with the rooms it is given: the place where their parts are made and joined.

On a small site one process has all rooms and starts the broker; at scale many processes have one room each, share the
topics by shared subscriptions, and meet in the database.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
import structlog

from cloud.broker.choose import run_broker
from cloud.broker.embedded import run_embedded
from cloud.broker.mosquitto import MosquittoConfig, run_mosquitto
from cloud.broker.running import RunningBroker
from cloud.commands.adapters.desk import Desk
from cloud.commands.adapters.purging import keep_purging
from cloud.config import Config
from cloud.database import Database, open_database
from cloud.effects import Publish
from cloud.headend.adapters.intake import Intake
from cloud.keys import CloudKeys
from cloud.messaging import Settled, hand_over, log_event, send, send_in_order, take_in
from cloud.meterdata.adapters import projector
from cloud.migrations import require_current
from cloud.monitoring.adapters.self_report import SelfReport
from cloud.prepaid.adapters.room import keep_accounts
from cloud.prepaid.core.closing import DAY_MS, ClosingRules
from cloud.registry import Registry
from cloud.tally import Tally
from wire.keys import Purpose
from wire.runtime.backoff import Backoff
from wire.runtime.clock import Clock, clock_from_text
from wire.runtime.collector import collect_rarely
from wire.runtime.errors import UnavailableError
from wire.runtime.keyring import load_key
from wire.runtime.mqtt import Connected, Event, Message, MqttConfig, MqttSession
from wire.topics import TopicTree

if TYPE_CHECKING:
    from cloud.monitoring.adapters.room import MonitoringRoom

DISPATCH_EVERY_S = 0.5
"""How often due commands and facts are looked for when nothing wakes the dispatcher."""
CONNECTED_WITHIN_S = 2.0
PUBLISH_WINDOW = 200
SHARE = "cloud"
_log = structlog.get_logger()


def load_cloud_keys(folder: Path) -> CloudKeys:
    """Return the cloud's signing keys.

    Raises:
        ConfigError: One is missing or of another purpose.
    """
    return CloudKeys(
        ack=load_key(folder / "cloud-ack.key", purpose=Purpose.CLOUD_ACK),
        command=load_key(folder / "cloud-command.key", purpose=Purpose.CLOUD_COMMAND),
        credit=load_key(folder / "cloud-credit.key", purpose=Purpose.CLOUD_CREDIT),
    )


class Cloud:
    """The parts of one process and what flows between them."""

    def __init__(self, config: Config) -> None:
        """Take the configuration; nothing runs yet.

        Raises:
            ConfigError: A key is missing.
        """
        self._config = config
        self._clock: Clock = clock_from_text(config.clock)
        self._keys = load_cloud_keys(Path(config.keys_folder))
        self._tree = TopicTree(config.utility, config.topic_root)
        self._tally = Tally()
        self._rng = Random(secrets.randbits(64))  # noqa: S311 - jitter
        self._committed = asyncio.Event()
        self._dispatch = asyncio.Event()

    async def run(self, on_ready: Callable[[RunningBroker | None], None]) -> None:
        """Run until cancelled.

        Args:
            on_ready: Told which broker was started, once all sessions are connected; or soon after the start if a
                broker that is not ours lets them wait.
        """
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(self._broker())
            database = await stack.enter_async_context(open_database(self._config.database, lasts=True))
            await self._wait_for(database)
            # Opened before the group, and so closed after its tasks have ended.
            monitoring = self._open_monitoring(database, stack)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            sessions = _Sessions(self._mqtt_config(broker), self._rng, group)
            registry = Registry(database, self._config.utility, self._clock)
            rooms = self._config.rooms
            out = sessions.start("commands-out", ()) if "commands" in rooms else None
            desk = self._make_desk(database, out) if out is not None else None
            intake = Intake(
                database,
                tree=self._tree,
                registry=registry,
                key=self._keys.ack,
                clock=self._clock,
                on_committed=self._committed.set,
                on_session=self._dispatch.set,
                on_receipts=desk.on_receipts if desk is not None else None,
                tally=self._tally,
            )
            if "headend" in rooms:
                self._start_headend(group, sessions, intake)
            if desk is not None and out is not None:
                self._start_commands(group, sessions, intake, desk, out)
                kept_ms = self._config.commands_kept_days * DAY_MS
                purging = keep_purging(
                    database, self._config.utility, kept_ms=kept_ms, clock=self._clock, rng=self._rng
                )
                group.create_task(purging, name="commands purging")
            if "prepaid" in rooms:
                rules = ClosingRules(lag_ms=self._config.prepaid.close_lag_days * DAY_MS)
                keep = keep_accounts(database, self._config.utility, rules=rules, clock=self._clock, rng=self._rng)
                group.create_task(keep, name="prepaid")
            if "meterdata" in rooms:
                projected = monitoring.on_projected if monitoring is not None else _nothing
                follow = projector.follow(database, notice=self._committed, rng=self._rng, projected=projected)
                group.create_task(follow, name="meterdata")
            if monitoring is not None:
                group.create_task(monitoring.follow(rng=self._rng), name="monitoring")
            report = SelfReport(database, self._config, tally=self._tally, clock=self._clock)
            group.create_task(report.follow(rng=self._rng), name="self report")
            await sessions.connected(within_s=CONNECTED_WITHIN_S)
            collect_rarely()
            _log.info("cloud.started", rooms=rooms, broker=broker.program if broker is not None else "elsewhere")
            on_ready(broker)

    async def _wait_for(self, database: Database) -> None:
        """Wait for a database that is not there yet, as after a power cut that hit both machines.

        Raises:
            ConfigError: It does not fit this program.
        """
        backoff = Backoff(rng=self._rng, delay_ms=200, delay_ms_max=5_000)
        waits = False
        while True:
            try:
                await require_current(database)
            except UnavailableError as error:
                if not waits:
                    _log.warning("database.awaited", problem=str(error), remedy="start it, or correct its address")
                waits = True
                await asyncio.sleep(backoff.next_delay_ms() / 1_000)
            else:
                break
        if waits:
            _log.info("database.found")

    # ---- rooms -------------------------------------------------------------------------------------------------------

    def _start_headend(self, group: asyncio.TaskGroup, sessions: "_Sessions", intake: Intake) -> None:
        out = sessions.start("headend-out", ())
        share = self._share()
        roads = {
            "urgent": ("hello", "urgent", "bye"),
            "bulk": ("bulk",),
        }
        for name, leaves in roads.items():
            session = sessions.start(name, tuple(self._tree.up_filter(leaf, share=share) for leaf in leaves))

            async def handle(messages: Sequence[Message]) -> None:
                await send(out, await intake.handle(messages))

            road = take_in(session, handle, group_max=self._config.group_batches_max, rng=self._rng)
            group.create_task(road, name=f"headend {name}")

    def _make_desk(self, database: Database, out: MqttSession) -> Desk:
        def tell(statuses: Iterable[tuple[int, Publish]], settled: Settled) -> None:
            if not hand_over(out, statuses, settled):
                self._dispatch.set()

        return Desk(database, tree=self._tree, keys=self._keys, clock=self._clock, tell=tell, wake=self._dispatch.set)

    def _start_commands(
        self, group: asyncio.TaskGroup, sessions: "_Sessions", intake: Intake, desk: Desk, out: MqttSession
    ) -> None:
        session = sessions.start("requests", (self._tree.request_filter(share=self._share()),))

        async def handle(messages: Sequence[Message]) -> None:
            judged = await intake.judge(messages)
            turn = await desk.take_requests(judged, may_send=out.is_connected)
            await send(out, turn.due)
            if not hand_over(out, turn.statuses, desk.settled):
                self._dispatch.set()

        requests = take_in(session, handle, group_max=self._config.group_batches_max, rng=self._rng)
        group.create_task(requests, name="commands requests")
        group.create_task(self._dispatch_forever(desk, out), name="commands dispatch")

    async def _dispatch_forever(self, desk: Desk, out: MqttSession) -> None:
        backoff = Backoff(rng=self._rng, delay_ms=100, delay_ms_max=10_000)
        while True:
            self._dispatch.clear()
            try:
                await self._dispatch_once(desk, out)
            except UnavailableError as error:
                _log.warning("dispatch.waits", problem=str(error))
                await asyncio.sleep(backoff.next_delay_ms() / 1_000)
                continue
            backoff.reset()
            try:
                async with asyncio.timeout(DISPATCH_EVERY_S):
                    await self._dispatch.wait()
            except TimeoutError:
                continue

    async def _dispatch_once(self, desk: Desk, out: MqttSession) -> None:
        more = True
        while more:
            # What is taken as due while nothing can be sent would count as sent, and wait for its next turn.
            turn = await desk.turn(may_send=out.is_connected)
            await send(out, turn.due)
            statuses = list(turn.statuses)
            told = set(await send_in_order(out, statuses))
            for number, _ in statuses:
                desk.settled(number, number in told)
            more = turn.more

    def _open_monitoring(self, database: Database, stack: AsyncExitStack) -> "MonitoringRoom | None":
        if "monitoring" not in self._config.rooms or self._config.influx is None:
            return None
        # Its packages are needed where this room is, and slow to load.
        from cloud.monitoring.adapters.room import open_room  # noqa: PLC0415

        return stack.enter_context(
            open_room(database, self._config, self._config.influx, tally=self._tally, clock=self._clock)
        )

    # ---- broker ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _broker(self) -> AsyncIterator[RunningBroker | None]:
        wanted = self._config.broker
        if wanted.run == "none":
            yield None
            return
        mosquitto = MosquittoConfig(state_dir=Path(wanted.state_folder), host=wanted.host, port=wanted.port)
        if wanted.run == "mosquitto":
            started = run_mosquitto(mosquitto, rng=self._rng)
        elif wanted.run == "amqtt":
            started = run_embedded(host=wanted.host, port=wanted.port, rng=self._rng)
        else:
            started = run_broker(mosquitto, rng=self._rng)
        async with started as broker:
            _log.info("broker.started", program=broker.program, port=broker.port, statement=broker.statement)
            yield broker

    def _mqtt_config(self, broker: RunningBroker | None) -> MqttConfig:
        wanted = self._config.broker
        return MqttConfig(
            host=broker.host if broker is not None else wanted.host,
            port=broker.port if broker is not None else wanted.port,
            protocol=broker.protocol if broker is not None else wanted.protocol,
            client_id=f"cloud-{secrets.token_hex(4)}",
            clean_start=True,
            session_expiry_s=0,
            publish_window=PUBLISH_WINDOW,
            reconnect_delay_ms=200,
            reconnect_delay_ms_max=5_000,
            tls=wanted.tls,
        )

    def _share(self) -> str:
        # Shared subscriptions are MQTT 5; a broker that was started here serves this process alone.
        return SHARE if self._config.broker.run == "none" and self._config.broker.protocol == "5" else ""


class _Sessions:
    """Makes the sessions of one process, each under a client id of its own."""

    def __init__(self, config: MqttConfig, rng: Random, group: asyncio.TaskGroup) -> None:
        self._config = config
        self._rng = rng
        self._group = group
        self._connecting: set[str] = set()
        self._changed = asyncio.Event()

    def start(self, name: str, subscriptions: tuple[str, ...]) -> MqttSession:
        """Start a session in the process's task group."""
        config = msgspec.structs.replace(
            self._config, client_id=f"{self._config.client_id}-{name}", subscriptions=subscriptions
        )
        session = MqttSession(config, rng=self._rng, on_event=partial(self._on_event, name))
        self._connecting.add(name)
        self._group.create_task(session.run(), name=f"mqtt {name}")
        return session

    async def connected(self, *, within_s: float) -> None:
        """Wait until every session was connected once, or the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while self._connecting:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _on_event(self, name: str, event: Event) -> None:
        log_event(event)
        if isinstance(event, Connected):
            self._connecting.discard(name)
            self._changed.set()


def _nothing() -> None:
    """Hear of something that nobody waits for."""
