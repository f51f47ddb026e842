"""The shell of the commands room: requests in, commands and statuses out, receipts taken.

What it has to say it says right after the commit that decided it, and remembers what the broker has not confirmed yet.
A turn looks through everything: what is due again, receipts that another process committed, statuses left in the
outbox by a crash or by a broker that was away.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from cloud.commands.adapters.dispatch import due_commands, follow_receipts, take_receipts
from cloud.commands.adapters.issuing import Taken, take_request
from cloud.commands.adapters.statuses import Queued, forget_statuses, queued_statuses, sealed_status
from cloud.database import Database
from cloud.effects import Publish
from cloud.headend.adapters.down_facts import due_facts
from cloud.headend.adapters.ingest import count_refusals
from cloud.headend.core.admission import Admitted, AdmittedRequest, Refused
from cloud.keys import CloudKeys
from cloud.messaging import Settled
from wire.address import Kind
from wire.facts import Receipt
from wire.runtime.clock import Clock, SystemClock
from wire.topics import TopicTree

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of a transaction of the room."""

    due: list[Publish]
    """Facts and commands."""
    statuses: Iterable[tuple[int, Publish]]
    """What requesters are to be told, oldest first, signed when it is its turn; `settled` wants to hear of each by its
    number."""
    more: bool = False
    """Whether more receipts may wait."""


class Desk:
    """Issues commands, sends what is due, tells requesters.

    Args:
        database: Where everything is recorded.
        tree: The utility's topics.
        keys: The cloud's signing keys.
        clock: UTC, which deadlines are judged by.
        tell: Called after the head-end committed receipts, with what requesters are to be told, as in a `Turn`, and
            with what wants to hear of each.
        wake: Called when a turn has something to do.
        timer: Real time, which repeating goes by; the machine's own clock if none is given.
    """

    def __init__(
        self,
        database: Database,
        *,
        tree: TopicTree,
        keys: CloudKeys,
        clock: Clock,
        tell: Callable[[Iterable[tuple[int, Publish]], Settled], None],
        wake: Callable[[], None],
        timer: Clock | None = None,
    ) -> None:
        self._database = database
        self._tree = tree
        self._keys = keys
        self._clock = clock
        self._timer = timer if timer is not None else SystemClock()
        self._tell = tell
        self._wake = wake
        self._telling: set[int] = set()
        """Statuses given out and not settled, or settled and still in the outbox."""
        self._told: list[int] = []
        """To be taken out of the outbox by the next transaction, which saves one each time."""

    async def take_requests(self, judged: Sequence[Admitted | Refused], *, may_send: bool) -> Turn:
        """Record requests and issue their commands; facts that are due go with them.

        Args:
            judged: What came in.
            may_send: Whether anything can be sent; what is taken as due and not sent waits for its next turn.

        Raises:
            UnavailableError: The database is away; nothing was recorded.
        """
        now_ms, timer_ms = self._clock.wall_ms(), self._timer.wall_ms() if may_send else None

        def work(connection: sa.Connection, told: Sequence[int]) -> tuple[list[Taken], list[Publish]]:
            taken = [
                take_request(connection, item, self._keys.command, now_ms=now_ms, timer_ms=timer_ms)
                for item in judged
                if isinstance(item, AdmittedRequest)
            ]
            count_refusals(connection, self._tree.utility, [item for item in judged if isinstance(item, Refused)])
            forget_statuses(connection, told)
            return taken, [] if timer_ms is None else self._due_facts(connection, timer_ms)

        taken, facts = await self._transact(work)
        letters = [letter for item in taken for letter in item.letters]
        due = [Publish(topic=self._tree.down(letter.gateway, Kind.COMMAND), sealed=letter.sealed) for letter in letters]
        if not may_send:
            self._wake()
        return Turn(due=due + facts, statuses=self._given_out(status for item in taken for status in item.queued))

    def on_receipts(self, connection: sa.Connection, receipts: Sequence[tuple[str, Receipt]]) -> Callable[[], None]:
        """Take receipts in the transaction of the head-end that commits them; return what to do after the commit."""
        queued = take_receipts(connection, self._tree.utility, receipts, now_ms=self._clock.wall_ms())
        return lambda: self._tell(self._given_out(queued), self.settled)

    async def turn(self, *, may_send: bool) -> Turn:
        """Look through everything, in one transaction.

        Args:
            may_send: As for `take_requests`.

        Raises:
            UnavailableError: The database is away.
        """
        utility, now_ms, timer_ms = self._tree.utility, self._clock.wall_ms(), self._timer.wall_ms()

        def work(connection: sa.Connection, told: Sequence[int]) -> tuple[bool, list[Publish], list[Queued]]:
            # First of all, since a transaction that has written sees less of what others have committed meanwhile.
            more = follow_receipts(connection, utility, now_ms=now_ms)
            forget_statuses(connection, told)
            due: list[Publish] = []
            if may_send:
                due += self._due_facts(connection, timer_ms)
                due += due_commands(connection, self._tree, now_ms=now_ms, timer_ms=timer_ms)
            return more, due, queued_statuses(connection, utility)

        more, due, queued = await self._transact(work)
        return Turn(due=due, statuses=self._given_out(queued), more=more)

    def settled(self, number: int, is_told: bool, /) -> None:  # noqa: FBT001 - as messages report it
        """Know what became of a status: the broker has it, or it is to be told another time."""
        if is_told:
            self._told.append(number)
        else:
            self._telling.discard(number)

    def _due_facts(self, connection: sa.Connection, timer_ms: int) -> list[Publish]:
        return due_facts(connection, self._tree, self._keys.credit, timer_ms=timer_ms)

    async def _transact(self, work: Callable[[sa.Connection, Sequence[int]], T]) -> T:
        """Run a transaction that is given what to take out of the outbox."""
        told, self._told = self._told, []
        try:
            result = await self._database.transact(lambda connection: work(connection, told))
        except BaseException:
            self._told += told
            raise
        # Before anything else may be told: SQLite gives the numbers of rows that are gone to new ones.
        self._telling.difference_update(told)
        return result

    def _given_out(self, queued: Iterable[Queued]) -> Iterable[tuple[int, Publish]]:
        """Return what is not being told already."""
        new = [item for item in queued if item.number not in self._telling]
        self._telling.update(item.number for item in new)
        return ((item.number, sealed_status(item, self._tree, self._keys.ack)) for item in new)
