"""An integrator in a test's hands: signs requests, sends each again until its commands are over, keeps every status.

It speaks the contract through our own code, over the session that our processes use; that a stranger's program can do
the same is shown by `docs/examples/integrator.py`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.rig.installation import CLIENT, Installation
from tests.rig.ports import LOOPBACK
from wire.address import Address, Direction, Kind
from wire.keys import PinnedKeys
from wire.messages import Effect, Request, State, Status, open_message, seal_message
from wire.runtime.errors import UnavailableError
from wire.runtime.mqtt import Event, MqttConfig, MqttSession
from wire.runtime.tasks import background

FINAL: Final = frozenset({State.EXECUTED, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.REFUSED})
VALIDITY_REAL_MS: Final = 600_000
REPEAT_S: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request, and what came back."""

    request: Request
    sealed: bytes
    statuses: list[Status] = field(default_factory=list)
    """In the order of their arrival, repetitions included."""
    repeated_s: float = 0.0

    def states(self, meter: str) -> list[State]:
        """Return the states of one meter's command, each once, in the order of their first arrival."""
        return list(dict.fromkeys(status.state for status in self.statuses if status.meter == meter))

    def status(self, meter: str) -> Status:
        """Return the last word on one meter's command."""
        return next(status for status in reversed(self.statuses) if status.meter == meter and status.state in FINAL)

    @property
    def is_over(self) -> bool:
        over = {status.meter for status in self.statuses if status.state in FINAL}
        return "" in over or over >= set(self.request.meters)


class Requester:
    """One client with its session.

    Args:
        installation: Whose broker and keys.
        session: Subscribed to the client's statuses.
    """

    def __init__(self, installation: Installation, session: MqttSession) -> None:
        self._installation = installation
        self._session = session
        utility = installation.plan.utility
        self._tree = installation.tree
        self._up = Address(utility, Direction.CLIENT_UP, Kind.REQUEST, CLIENT)
        self._down = Address(utility, Direction.CLIENT_DOWN, Kind.STATUS, CLIENT)
        self._keys = PinnedKeys([installation.keys.ack.public])
        self._rng = random.Random(0)
        self.asked: dict[bytes, Asked] = {}

    def make(
        self,
        effect: Effect,
        meters: Sequence[str],
        *,
        request_id: bytes | None = None,
        validity_ms: int | None = None,
    ) -> Request:
        """Return a request.

        Args:
            effect: What is asked for.
            meters: For which meters.
            request_id: 16 bytes; fresh if None.
            validity_ms: Site milliseconds; None for long enough.
        """
        now_ms = self._installation.now_ms()
        longest_ms = VALIDITY_REAL_MS * self._installation.plan.rate
        return Request(
            id=self._rng.randbytes(16) if request_id is None else request_id,
            issued_at_ms=now_ms,
            not_after_ms=now_ms + (longest_ms if validity_ms is None else validity_ms),
            meters=list(meters),
            effect=effect,
        )

    def ask(self, effect: Effect, *meters: str) -> Asked:
        """Send a request, and again until its commands are over."""
        return self.send(self.make(effect, meters))

    def send(self, request: Request) -> Asked:
        """Send a request as it is, and again until its commands are over."""
        asked = Asked(request=request, sealed=seal_message(request, self._up, self._installation.keys.client))
        self.asked[request.id] = asked
        self._publish(asked)
        return asked

    async def over(self, *asked: Asked, seconds_max: float = 60.0) -> None:
        """Wait until requests are over, by default all."""
        wanted = asked or tuple(self.asked.values())
        await self._installation.until(
            lambda: all(item.is_over for item in wanted), what="the end of all commands", seconds_max=seconds_max
        )

    def open_count(self) -> int:
        """Return how many requests are not over."""
        return sum(not asked.is_over for asked in self.asked.values())

    def _publish(self, asked: Asked) -> None:
        asked.repeated_s = time.monotonic()
        try:
            future = self._session.try_publish(self._tree.client(CLIENT, Kind.REQUEST), asked.sealed)
        except UnavailableError:
            return  # sent again by the timer
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def repeat(self) -> None:
        """Send again what is not over, for ever."""
        while True:
            await asyncio.sleep(REPEAT_S / 4)
            for asked in self.asked.values():
                if not asked.is_over and time.monotonic() - asked.repeated_s > REPEAT_S:
                    self._publish(asked)

    async def receive(self) -> None:
        """Take statuses, for ever; one that the cloud did not sign is an error."""
        while True:
            messages = await self._session.next_batch()
            for message in messages:
                status, _ = open_message(message.payload, self._down, self._keys)
                assert isinstance(status, Status)
                if status.request in self.asked:
                    self.asked[status.request].statuses.append(status)
            self._session.ack(messages)


@asynccontextmanager
async def requester(installation: Installation) -> AsyncIterator[Requester]:
    """Run a requester at the installation's broker."""
    config = MqttConfig(
        host=LOOPBACK,
        port=installation.broker_port,
        client_id="requester",
        protocol=installation.plan.protocol,
        subscriptions=(installation.tree.client(CLIENT, Kind.STATUS),),
        clean_start=True,
        session_expiry_s=0,
        publish_window=200,
        reconnect_delay_ms=50,
        reconnect_delay_ms_max=500,
    )
    events: list[Event] = []
    session = MqttSession(config, rng=random.Random(0), on_event=events.append)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(session)
        client = Requester(installation, session)
        await stack.enter_async_context(background(client.receive(), name="statuses"))
        await stack.enter_async_context(background(client.repeat(), name="repeat requests"))
        await installation.until(lambda: session.is_connected, what="the requester's connection")
        yield client
