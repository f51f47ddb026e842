"""The shell of the commands room: requests in, commands and statuses out, receipts followed."""

from collections.abc import Callable, Sequence

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

    async def take_requests(self, judged: Sequence[Admitted | Refused]) -> None:
        """Record requests and issue their commands.

        Raises:
            UnavailableError: The database is away; nothing was recorded.
        """
        await self._database.transact(lambda connection: self._record(connection, judged))
        self._on_issued()

    async def follow(self) -> bool:
        """Take note of receipts; True if there may be more.

        Raises:
            UnavailableError: The database is away.
        """
        utility, now_ms = self._tree.utility, self._clock.wall_ms()
        return await self._database.transact(lambda connection: follow_receipts(connection, utility, now_ms=now_ms)) > 0

    async def due(self) -> list[Publish]:
        """Return the facts and commands to send now.

        Raises:
            UnavailableError: The database is away.
        """
        return await self._database.transact(self._due)

    async def statuses(self) -> list[tuple[int, Publish]]:
        """Return what requesters are to be told.

        Raises:
            UnavailableError: The database is away.
        """
        queued = await self._database.transact(
            lambda connection: queued_statuses(connection, self._tree, self._keys.ack)
        )
        return [(number, Publish(topic=topic, sealed=sealed)) for number, topic, sealed in queued]

    async def told(self, numbers: list[int]) -> None:
        """Forget statuses that the broker has.

        Raises:
            UnavailableError: The database is away.
        """
        await self._database.transact(lambda connection: forget_statuses(connection, numbers))

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
