"""The head-end's shell: groups of messages from the broker, one transaction each, answers after the commit."""

from collections.abc import Callable, Sequence
from time import perf_counter

import sqlalchemy as sa
import structlog

from cloud.database import Database, UnfitError
from cloud.effects import Publish
from cloud.epoch import current_epoch
from cloud.headend.adapters.ingest import Ingested, ingest
from cloud.headend.adapters.sessions import on_bye, open_session
from cloud.headend.core.admission import Admitted, AdmittedBatch, AdmittedHello, AdmittedRequest, Refused, admit
from cloud.registry import Registry
from cloud.tally import Tally
from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.facts import Receipt
from wire.keys import PinnedKeys, SigningKey
from wire.messages import Ack, Welcome, seal_message
from wire.runtime.clock import Clock
from wire.runtime.mqtt import Message
from wire.topics import TopicTree

_log = structlog.get_logger()

ReceiptListener = Callable[[sa.Connection, Sequence[tuple[str, Receipt]]], Callable[[], None]]
"""Takes the new receipts of a group, with the gateways they are of, in the transaction that commits them; returns what
to do once it is committed. What it writes is of its own room and must fit wherever the receipts do."""


class Intake:
    """Takes groups of messages in.

    Args:
        database: Where they are committed.
        tree: The utility's topics.
        registry: Public keys.
        key: Signs welcomes and acknowledgements.
        clock: UTC for welcomes and stamps.
        on_committed: Called after each commit, to wake those who follow.
        on_session: Called after a session was opened, to wake those who have something for a gateway.
        on_receipts: The room that hears of receipts at once; others follow by a cursor.
        tally: Where the process counts what it does.
    """

    def __init__(
        self,
        database: Database,
        *,
        tree: TopicTree,
        registry: Registry,
        key: SigningKey,
        clock: Clock,
        on_committed: Callable[[], None],
        on_session: Callable[[], None] = lambda: None,
        on_receipts: ReceiptListener | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._database = database
        self._tree = tree
        self._registry = registry
        self._key = key
        self._clock = clock
        self._on_committed = on_committed
        self._on_session = on_session
        self._on_receipts = on_receipts
        self._tally = tally or Tally()

    async def handle(self, messages: Sequence[Message]) -> list[Publish]:
        """Commit a group and return the answers.

        Raises:
            UnavailableError: The database is away; nothing was committed.
        """
        byes = {name for message in messages if (name := self._tree.bye_gateway(message.topic)) is not None}
        judged = await self.judge([item for item in messages if self._tree.bye_gateway(item.topic) is None])
        now_ms = self._clock.wall_ms()
        answers: list[Publish] = []
        begun_s = perf_counter()
        committed = await self._committed(judged, byes, now_ms)
        self._tally.commits.add((perf_counter() - begun_s) * 1_000)
        self._tally.messages_count += len(messages)
        for result, welcomes in committed:
            self._count(result)
            _log.debug(
                "group.committed",
                batches_new=result.batches_new,
                batches_known=result.batches_known,
                batches_quarantined=result.batches_quarantined,
                refused=result.refused,
                hellos=len(welcomes),
            )
            if welcomes:
                self._on_session()
            answers += [self._welcome(gateway, welcome) for gateway, welcome in welcomes]
            answers += [self._ack(gateway, ack) for gateway, ack in result.acks.items()]
        self._on_committed()
        return answers

    def _count(self, result: Ingested) -> None:
        self._tally.batches_count += result.batches_new
        self._tally.repeats_count += result.batches_known
        self._tally.refused_count += result.refused

    async def judge(self, messages: Sequence[Message]) -> list[Admitted | Refused]:
        """Check messages against the registry, read anew if it may know a stranger by now.

        Raises:
            UnavailableError: The database is away.
        """
        keys = await self._registry.keys()
        judged = [self._admit(message, keys) for message in messages]
        if any(isinstance(item, Refused) and item.reason is Reason.UNKNOWN_KEY for item in judged):
            anew = await self._registry.keys_anew()
            if anew is not None:
                judged = [self._admit(message, anew) for message in messages]
        return judged

    def _admit(self, message: Message, keys: PinnedKeys) -> Admitted | Refused:
        return admit(message.topic, message.payload, retained=message.retain, tree=self._tree, keys=keys)

    async def _committed(
        self, judged: Sequence[Admitted | Refused], byes: set[str], now_ms: int
    ) -> list[tuple[Ingested, list[tuple[str, Welcome]]]]:
        """Commit a group; where the database does not take it, in halves until what does not fit stands alone."""
        try:
            committed = await self._database.transact(lambda connection: self._commit(connection, judged, byes, now_ms))
        except UnfitError as error:
            if len(judged) > 1:
                half = len(judged) // 2
                first = await self._committed(judged[:half], byes, now_ms)
                return [*first, *await self._committed(judged[half:], set(), now_ms)]
            if not judged or isinstance(judged[0], Refused):
                raise
            _log.error("message.unfit", problem=str(error))
            return await self._committed([_without_facts(judged[0])], byes, now_ms)
        result, welcomes, afterwards = committed
        afterwards()
        return [(result, welcomes)]

    def _commit(
        self, connection: sa.Connection, judged: Sequence[Admitted | Refused], byes: set[str], now_ms: int
    ) -> tuple[Ingested, list[tuple[str, Welcome]], Callable[[], None]]:
        result = ingest(
            connection,
            self._tree.utility,
            [item for item in judged if isinstance(item, AdmittedBatch)],
            [item for item in judged if isinstance(item, Refused)],
            epoch=current_epoch(connection),
            now_ms=now_ms,
        )
        hellos = [item for item in judged if isinstance(item, AdmittedHello)]
        welcomes = [(item.gateway, open_session(connection, item, now_ms=now_ms)) for item in hellos]
        for gateway in byes:
            on_bye(connection, self._tree.utility, gateway, now_ms=now_ms)
        if self._on_receipts is None or not result.receipts:
            return result, welcomes, _nothing
        return result, welcomes, self._on_receipts(connection, result.receipts)

    def _ack(self, gateway: str, ack: Ack) -> Publish:
        address = Address(self._tree.utility, Direction.DOWN, Kind.ACK, gateway)
        return Publish(topic=self._tree.down(gateway, Kind.ACK), sealed=seal_message(ack, address, self._key))

    def _welcome(self, gateway: str, welcome: Welcome) -> Publish:
        address = Address(self._tree.utility, Direction.DOWN, Kind.WELCOME, gateway)
        return Publish(topic=self._tree.down(gateway, Kind.WELCOME), sealed=seal_message(welcome, address, self._key))


def _nothing() -> None:
    """What is to be done after a commit that nobody listens to."""


def _without_facts(admitted: Admitted) -> Refused:
    """Return a message as one that does not hold: a batch is kept aside as evidence."""
    match admitted:
        case AdmittedBatch():
            return Refused(
                utility=admitted.utility,
                reason=Reason.MALFORMED,
                party=admitted.gateway,
                set_aside=admitted.sealed,
                lane=admitted.lane,
            )
        case AdmittedHello():
            return Refused(utility=admitted.utility, reason=Reason.MALFORMED, party=admitted.gateway)
        case AdmittedRequest():
            return Refused(utility=admitted.utility, reason=Reason.MALFORMED, party=admitted.client)
