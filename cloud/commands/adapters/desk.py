"""The shell of the commands room: requests in, commands and statuses out, receipts followed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cloud.commands.adapters.dispatch import due_commands, follow_receipts
from cloud.commands.adapters.issuing import take_request
from cloud.commands.adapters.statuses import forget_statuses, queued_statuses
from cloud.database import Database
from cloud.effects import Publish
from cloud.headend.adapters.down_facts import due_facts
from cloud.headend.adapters.ingest import count_refusals
from cloud.headend.core.admission import Admitted, AdmittedRequest, Refused
from cloud.keys import CloudKeys
from wire.runtime.clock import Clock, SystemClock
from wire.topics import TopicTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of looking through everything once."""

    due: list[Publish]
    """Facts and commands."""
    statuses: list[tuple[int, Publish]]
    """What requesters are to be told, oldest first, by the number under which it is forgotten once told."""
    more: bool
    """Whether more receipts may wait."""


class Desk:
    """Issues commands, sends what is due, tells requesters.

    Args:
        database: Where everything is recorded.
        tree: The utility's topics.
        keys: The cloud's signing keys.
        clock: UTC, which deadlines are judged by.
        on_issued: Called after requests were recorded.
        timer: Real time, which repeating goes by; the machine's own clock if none is given.
    """

    def __init__(
        self,
        database: Database,
        *,
        tree: TopicTree,
        keys: CloudKeys,
        clock: Clock,
        on_issued: Callable[[], None],
        timer: Clock | None = None,
    ) -> None:
        self._database = database
        self._tree = tree
        self._keys = keys
        self._clock = clock
        self._timer = timer if timer is not None else SystemClock()
        self._on_issued = on_issued
        self._told: list[int] = []

    async def take_requests(self, judged: Sequence[Admitted | Refused], *, may_send: bool) -> list[Publish]:
        """Record requests, issue their commands, and return what to send now.

        Args:
            judged: What came in.
            may_send: Whether anything can be sent; what is taken as due and not sent waits for its next turn.

        Raises:
            UnavailableError: The database is away; nothing was recorded.
        """

        def work(connection: sa.Connection) -> list[Publish]:
            self._record(connection, judged)
            return self._due(connection) if may_send else []

        due = await self._database.transact(work)
        self._on_issued()
        return due

    def told(self, numbers: Sequence[int]) -> None:
        """Know that the broker has these statuses; the next turn forgets them, which saves a transaction each time."""
        self._told += numbers

    async def turn(self, *, may_send: bool) -> Turn:
        """Take note of receipts, and return what to send and to tell: all in one transaction.

        Args:
            may_send: As for `take_requests`.

        Raises:
            UnavailableError: The database is away.
        """
        utility, now_ms, told = self._tree.utility, self._clock.wall_ms(), tuple(self._told)

        def work(connection: sa.Connection) -> Turn:
            # First of all, since a transaction that has written sees less of what others have committed meanwhile.
            more = follow_receipts(connection, utility, now_ms=now_ms)
            forget_statuses(connection, told)
            due = self._due(connection) if may_send else []
            return Turn(due=due, statuses=queued_statuses(connection, self._tree, self._keys.ack), more=more)

        turn = await self._database.transact(work)
        del self._told[: len(told)]
        return turn

    def _record(self, connection: sa.Connection, judged: Sequence[Admitted | Refused]) -> None:
        now_ms = self._clock.wall_ms()
        for item in judged:
            if isinstance(item, AdmittedRequest):
                take_request(connection, item, self._keys.command, now_ms=now_ms)
        count_refusals(connection, self._tree.utility, [item for item in judged if isinstance(item, Refused)])

    def _due(self, connection: sa.Connection) -> list[Publish]:
        timer_ms = self._timer.wall_ms()
        return [
            *due_facts(connection, self._tree, self._keys.credit, timer_ms=timer_ms),
            *due_commands(connection, self._tree, now_ms=self._clock.wall_ms(), timer_ms=timer_ms),
        ]
