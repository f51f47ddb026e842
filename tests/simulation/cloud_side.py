"""The cloud as processes: the real intake and desk over a real database file, several handlers sharing the work.

The shells are coroutines that wait for nothing but the database; over one that answers at once they run to their end in
one step, so no event loop is needed. A handler can die before a transaction, before its commit, or before it could act
on it.
"""

import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.desk import Desk
from cloud.effects import Publish
from cloud.epoch import raise_epoch
from cloud.headend.adapters.down_facts import drop_superseded
from cloud.headend.adapters.intake import Intake
from cloud.keys import register_key
from cloud.messaging import Settled
from cloud.meterdata.adapters.projector import project
from cloud.prepaid.adapters.closing import close_due
from cloud.prepaid.core.closing import ClosingRules
from cloud.registry import Registry
from cloud.tally import Tally
from tests.simulation.agenda import Agenda
from tests.simulation.disk import Disk, Image
from tests.simulation.network import Network
from tests.simulation.one_step import CloudClock, Death, HandlerDiedError, OneStepDatabase, in_one_step
from tests.simulation.options import Options
from tests.simulation.parties import TREE, UTILITY, client_names, cloud_keys, gateway_names, key_of
from wire import codec
from wire.facts import Receipt
from wire.keys import Purpose
from wire.messages import Status
from wire.runtime.errors import UnavailableError
from wire.runtime.mqtt import Message

T = TypeVar("T")
HANDLERS_THAT_LISTEN = 0.5


_template: dict[int, bytes] = {}


def _empty_database() -> bytes:
    """Return a database file with all tables and keys, made once."""
    if not _template:
        connection = sqlite3.connect(":memory:")
        engine = sa.create_engine("sqlite://", creator=lambda: connection)
        with engine.begin() as open_connection:
            schema.metadata.create_all(open_connection)
            keys = [key_of(Purpose.GATEWAY, name) for name in gateway_names(9)]
            keys += [key_of(Purpose.INTEGRATOR, name) for name in client_names(9)]
            for key in keys:
                register_key(open_connection, UTILITY, key.public)
        _template[0] = connection.serialize()
        engine.dispose()
        connection.close()
    return _template[0]


class Cloud:
    """All of the cloud."""

    intake_class = Intake

    def __init__(
        self, agenda: Agenda, network: Network, options: Options, folder: Path, *, tally: Tally | None = None
    ) -> None:
        self.tally = tally
        self.clock = CloudClock(agenda)
        self.disk = Disk(folder, "cloud")
        self.disk.path.write_bytes(_empty_database())
        self.epoch_announced = 1
        self.was_set_back = False
        self.lost_entries: set[bytes] = set()
        """Digests of account entries that the cloud issued and a backup did not hold."""
        self.told: list[Status] = []
        """Every status handed to the broker."""
        self.restarts = 0
        self.statements = 0
        self._agenda = agenda
        self._network = network
        self._options = options
        self._rng = random.Random(f"cloud {options.seed}")
        self._inboxes: list[list[Message]] = [[] for _ in range(options.handlers)]
        self._busy: set[int] = set()
        """Handlers that will look into their inbox."""
        self._dispatch_at_ms: int | None = None
        self._number = 0
        self._open()
        network.attach("cloud", self._receive)

    def _open(self) -> None:
        self.database = OneStepDatabase(self.disk.path)
        self._handlers = [self._handler() for _ in range(self._options.handlers)]
        self._desk = self._make_desk()
        self.looking = sqlite3.connect(self.disk.path, isolation_level=None)

    def _make_desk(self) -> Desk:
        return Desk(
            self.database,
            tree=TREE,
            keys=cloud_keys(),
            clock=self.clock,
            timer=self.clock,
            tell=self._tell,
            wake=self.wake,
        )

    def _handler(self) -> Intake:
        registry = Registry(self.database, UTILITY, self.clock)
        return self.intake_class(
            self.database,
            tree=TREE,
            registry=registry,
            key=cloud_keys().ack,
            clock=self.clock,
            on_committed=self.wake,
            # Some work beside the commands room in one process, others leave the receipts to its cursor.
            on_receipts=self._on_receipts if self._rng.random() < HANDLERS_THAT_LISTEN else None,
            tally=self.tally,
        )

    def _on_receipts(self, connection: sa.Connection, receipts: Sequence[tuple[str, Receipt]]) -> Callable[[], None]:
        return self._desk.on_receipts(connection, receipts)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Do something in the database that cannot fail: the world's own doing."""
        with self.database.engine.begin() as connection:
            return work(connection)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def crash_soon(self) -> None:
        """Kill whatever handler works next."""
        self.database.death = self._rng.choice(list(Death))

    def step_clock(self) -> None:
        """Somebody sets the cloud's clock."""
        self.clock.offset_ms = self._rng.choice([0, self._rng.randint(-600_000, 600_000)])

    def copy(self) -> Image:
        """Return a backup."""
        return self.disk.image()

    def set_back(self, image: Image) -> None:
        """Go on from a backup, in a new epoch."""
        before = self.issued_entries()
        self.close()
        self.disk.set_back(image)
        for inbox in self._inboxes:
            inbox.clear()
        self._open()
        self.lost_entries |= before - self.issued_entries()
        self.raise_epoch()
        self.was_set_back = True
        self.wake()

    def close_accounts(self) -> None:
        """The prepaid room takes its turn: it closes what can be, and forgets what boxes have dropped."""
        rules = ClosingRules(
            every_ms=self._options.close_every_ms,
            lag_ms=self._options.close_lag_ms,
            followed_ms=0,
            gap_wait_ms=0,
        )
        turn = self.transact(partial(close_due, utility=UTILITY, rules=rules, now_ms=self.clock.wall_ms()))
        self.statements += turn.made
        self.transact(partial(drop_superseded, utility=UTILITY))
        self.wake()

    def raise_epoch(self) -> None:
        """What the operator does after a restore."""
        self.epoch_announced = self.transact(lambda connection: raise_epoch(connection, beyond=self.epoch_announced))

    def calm_down(self) -> None:
        """From now on nothing fails here."""
        self.database.death = None

    def close(self) -> None:
        """Let go of the files."""
        self.looking.close()
        self.database.engine.dispose()

    def issued_entries(self) -> set[bytes]:
        """Return the digests of the account entries that the cloud issued."""
        return {digest for (digest,) in self.looking.execute("SELECT digest FROM entry WHERE gateway IS NULL")}

    # ---- the shells --------------------------------------------------------------------------------------------------

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        self._number += 1
        message = Message(
            topic=topic,
            payload=payload,
            qos=1,
            retain=retained,
            duplicate=False,
            sequence=self._number,
            packet_id=1,
        )
        place = self._rng.randrange(len(self._inboxes))
        self._inboxes[place].append(message)
        self._handle_soon(place, self._rng.randint(0, 300))

    def _handle_soon(self, place: int, delay_ms: int) -> None:
        if place not in self._busy:
            self._busy.add(place)
            self._agenda.after(delay_ms, lambda: self._handle(place))

    def _handle(self, place: int) -> None:
        self._busy.discard(place)
        inbox = self._inboxes[place]
        group = inbox[: self._options.group_max]
        if not group:
            return
        requests = [message for message in group if message.topic.endswith("/request")]
        facts = [message for message in group if not message.topic.endswith("/request")]
        handler = self._handlers[place]
        try:
            if facts:
                for effect in in_one_step(handler.handle(facts)):
                    self._publish(effect)
            if requests:
                judged = in_one_step(handler.judge(requests))
                turn = in_one_step(self._desk.take_requests(judged, may_send=True))
                for effect in turn.due:
                    self._publish(effect)
                self._tell(turn.statuses, self._desk.settled)
        except UnavailableError:
            self._handle_soon(place, 500)
            return
        except HandlerDiedError:
            self._die(place)
            return
        del inbox[: len(group)]
        if inbox:
            self._handle_soon(place, 1)

    def _die(self, place: int) -> None:
        """A handler is killed; the broker may give its messages to another, or forget them."""
        self.restarts += 1
        self._handlers[place] = self._handler()
        if self._rng.random() < 0.5:
            self._inboxes[place].clear()
        self.wake()

    def wake(self) -> None:
        self._dispatch_soon(self._rng.randint(0, 1_000))

    def _dispatch_soon(self, delay_ms: int) -> None:
        at_ms = self._agenda.now_ms + delay_ms
        if self._dispatch_at_ms is None or at_ms < self._dispatch_at_ms:
            self._dispatch_at_ms = at_ms
            self._agenda.at(at_ms, self._on_dispatch)

    def _on_dispatch(self) -> None:
        if self._dispatch_at_ms != self._agenda.now_ms:
            return
        self._dispatch_at_ms = None
        try:
            self._dispatch()
        except UnavailableError:
            self._dispatch_soon(1_000)
            return
        except HandlerDiedError:
            self._desk = self._make_desk()
            self._dispatch_soon(1_000)
            return
        due = self.looking.execute(
            "SELECT min(due) FROM (SELECT min(due_at_ms) AS due FROM command UNION ALL"
            " SELECT min(due_at_ms) FROM down_fact WHERE held_at_ms IS NULL)"
        ).fetchone()[0]
        if due is not None:
            self._dispatch_soon(max(due - self.clock.wall_ms(), self._options.duration_ms // 400, 200))

    def _dispatch(self) -> None:
        more = True
        while more:
            turn = in_one_step(self._desk.turn(may_send=True))
            for effect in turn.due:
                self._publish(effect)
            self._tell(turn.statuses, self._desk.settled)
            more = turn.more
        if self._rng.random() < 0.2:
            in_one_step(self.database.transact(project))

    def _tell(self, statuses: Iterable[tuple[int, Publish]], settled: Settled) -> None:
        for number, status in statuses:
            self._publish(status)
            self.told.append(codec.decode_message(codec.decode_strict(status.sealed[1:])[2], Status))
            settled(number, True)

    def _publish(self, effect: Publish) -> None:
        self._network.send("cloud", effect.topic, effect.sealed)
