"""What requesters are told at once, what is told again, and receipts taken while they are committed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.desk import Desk, Turn
from cloud.effects import Publish
from cloud.headend.adapters.ingest import ingest
from cloud.headend.core.admission import AdmittedRequest
from cloud.keys import CloudKeys
from cloud.messaging import Settled
from tests.simulation.agenda import Agenda
from tests.simulation.one_step import CloudClock, OneStepDatabase, in_one_step
from tests.unit.cloud.office import CLIENT, COMMAND_KEY, CREDIT_KEY, METER, NOW_MS, TREE, UTILITY, Office, receipt
from wire import codec
from wire.facts import Stage
from wire.keys import Purpose, SigningKey
from wire.messages import Disconnect, Request, State, Status

ACK_KEY = SigningKey(bytes([4]) * 32, purpose=Purpose.CLOUD_ACK, party="cloud")
EVERYTHING = ["accepted", "sent", "delivered", "executed"]


class Room(Office):
    """The commands room beside the head-end, its requesters' statuses in a list."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.heard: list[str] = []
        self.broker_is_there = True
        self._database = OneStepDatabase(folder / "cloud.sqlite3")
        self._clock = CloudClock(Agenda())
        self.start()

    def start(self) -> None:
        """Begin anew, with what the database holds."""
        self.desk = Desk(
            self._database,
            tree=TREE,
            keys=CloudKeys(ack=ACK_KEY, command=COMMAND_KEY, credit=CREDIT_KEY),
            clock=self._clock,
            tell=self._tell,
            wake=lambda: None,
            timer=self._clock,
        )

    def close(self) -> None:
        self._database.engine.dispose()
        self.engine.dispose()

    def _tell(self, statuses: Iterable[tuple[int, Publish]], settled: Settled) -> None:
        for number, publish in statuses:
            if self.broker_is_there:
                payload = codec.decode_strict(publish.sealed[1:])[2]
                status = codec.decode_message(payload, Status)
                self.heard.append(status.state.value)
            settled(number, self.broker_is_there)

    def ask(self, number: int = 1, *, may_send: bool = True) -> bytes:
        """A request comes in; return its command's id."""
        now_ms = self._clock.wall_ms()
        request = Request(
            id=bytes([number]) * 16,
            issued_at_ms=now_ms,
            not_after_ms=now_ms + 60_000,
            meters=[METER],
            effect=Disconnect(),
        )
        admitted = AdmittedRequest(utility=UTILITY, client=CLIENT, request=request, sealed=b"as signed")
        turn: Turn = in_one_step(self.desk.take_requests([admitted], may_send=may_send))
        assert len(turn.due) == int(may_send)
        self._tell(turn.statuses, self.desk.settled)
        query = sa.select(schema.command.c.id).where(schema.command.c.request == request.id)
        return bytes(self.transact(lambda connection: connection.execute(query).scalar_one()))

    def turn(self) -> Turn:
        """Look through everything."""
        turn: Turn = in_one_step(self.desk.turn(may_send=True))
        self._tell(turn.statuses, self.desk.settled)
        return turn

    def report(self, command: bytes, *stages: Stage, dies: bool = False) -> None:
        """The gateway's receipts are committed, and the room hears of them; unless the process dies before it acts."""

        def work(connection: sa.Connection) -> None:
            batch = self.batch([receipt(command, stage) for stage in stages])
            new = ingest(connection, UTILITY, [batch], [], epoch=1, now_ms=NOW_MS).receipts
            self.afterwards = self.desk.on_receipts(connection, new)

        self.transact(work)
        if dies:
            self.start()
        else:
            self.afterwards()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.close()


def test_every_change_is_told_without_a_turn(room: Room) -> None:
    command = room.ask()
    room.report(command, Stage.ACCEPTED, Stage.EXECUTED)
    assert room.heard == EVERYTHING


def test_the_cursor_that_comes_by_later_changes_and_tells_nothing(room: Room) -> None:
    command = room.ask()
    room.report(command, Stage.ACCEPTED)
    room.report(command, Stage.EXECUTED)
    assert not room.turn().due
    room.turn()
    assert room.heard == EVERYTHING
    assert room.count(schema.status_outbox) == 0


def test_a_process_that_dies_after_the_commit_tells_it_when_it_is_back(room: Room) -> None:
    command = room.ask()
    room.report(command, Stage.EXECUTED, dies=True)
    assert "executed" not in room.heard
    room.turn()
    assert room.heard[-1] == "executed"


def test_what_the_broker_did_not_take_is_told_in_order_by_the_next_turn(room: Room) -> None:
    room.broker_is_there = False
    command = room.ask()
    room.report(command, Stage.ACCEPTED, Stage.EXECUTED)
    room.broker_is_there = True
    room.turn()
    assert room.heard == EVERYTHING


def test_a_status_under_a_number_that_was_used_before_is_told(room: Room) -> None:
    for number in range(1, 5):
        command = room.ask(number)
        room.report(command, Stage.ACCEPTED, Stage.EXECUTED)
        # Empties the outbox, and SQLite begins its numbers anew.
        room.turn()
        assert room.count(schema.status_outbox) == 0
    assert room.heard == EVERYTHING * 4


def test_a_command_that_could_not_be_sent_is_sent_by_a_turn_and_then_said_to_be(room: Room) -> None:
    room.ask(may_send=False)
    assert room.heard == ["accepted"]
    assert len(room.turn().due) == 1
    assert room.heard == ["accepted", "sent"]


def test_a_receipt_that_was_taken_twice_is_told_once(room: Room) -> None:
    command = room.ask()
    for _ in range(2):
        room.report(command, Stage.EXECUTED)
    assert room.heard.count(State.EXECUTED.value) == 1
