"""A billing office somewhere else, as the demo plays it: signed requests on its command topic, statuses back.

It is an integrator like any other: a key of its own, a scope, and nothing but the broker between it and the cloud. A
request is sent again, the same bytes, until a final status comes.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wire.address import Address, Direction, Kind
from wire.errors import WireError
from wire.messages import Effect, Request, State, Status, open_message, seal_message
from wire.runtime.errors import UnavailableError

if TYPE_CHECKING:
    from wire.keys import KeyRegistry, SigningKey
    from wire.runtime.clock import Clock
    from wire.runtime.mqtt import MqttSession
    from wire.topics import TopicTree

FINAL: Final = frozenset({State.EXECUTED, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.REFUSED})
RESEND_S: Final = 4.0
ANSWER_S_MAX: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request."""

    meter: str
    effect: Effect
    state: State
    """`unknown` if no final status came in time."""
    detail: str
    latency_ms: float
    """Real time from the first byte sent to the final status understood."""
    from_ms: int
    """Site time of the request ..."""
    until_ms: int
    """... and of its end."""


class Integrator:
    """One integrator's client.

    Args:
        session: Subscribed to `topics.client(name, Kind.STATUS)`.
        topics: The utility's.
        key: Its own.
        trusted: The cloud's public keys.
        clock: Site time, which requests are stamped with.
    """

    def __init__(
        self, session: MqttSession, *, topics: TopicTree, key: SigningKey, trusted: KeyRegistry, clock: Clock
    ) -> None:
        self._session = session
        self._key = key
        self._trusted = trusted
        self._clock = clock
        name = key.public.party
        self._topic = topics.client(name, Kind.REQUEST)
        self._up = Address(topics.utility, Direction.CLIENT_UP, Kind.REQUEST, name)
        self._down = Address(topics.utility, Direction.CLIENT_DOWN, Kind.STATUS, name)
        self._waiting: dict[bytes, asyncio.Future[Status]] = {}
        self.outcomes: list[Outcome] = []

    async def listen(self) -> None:
        """Take statuses in, for ever."""
        while True:
            messages = await self._session.next_batch()
            for message in messages:
                with suppress(WireError):
                    status, _ = open_message(message.payload, self._down, self._trusted)
                    assert isinstance(status, Status), "the address says so"
                    self._on_status(status)
            self._session.ack(messages)

    async def request(self, meter: str, effect: Effect, *, valid_ms: int) -> Outcome:
        """Ask for an effect on a meter and wait for what becomes of it.

        Args:
            meter: In this integrator's scope.
            effect: What to do.
            valid_ms: How long the gateway may begin, in site ms.
        """
        loop = asyncio.get_running_loop()
        from_ms = self._clock.wall_ms()
        request = Request(
            id=secrets.token_bytes(16),
            issued_at_ms=from_ms,
            not_after_ms=from_ms + valid_ms,
            meters=[meter],
            effect=effect,
        )
        answered = self._waiting[request.id] = loop.create_future()
        started_s = loop.time()
        status = await self._answer(seal_message(request, self._up, self._key), answered)
        del self._waiting[request.id]
        outcome = Outcome(
            meter=meter,
            effect=effect,
            state=State.UNKNOWN if status is None else status.state,
            detail="" if status is None else status.detail,
            latency_ms=(loop.time() - started_s) * 1000,
            from_ms=from_ms,
            until_ms=self._clock.wall_ms(),
        )
        self.outcomes.append(outcome)
        return outcome

    async def _answer(self, sealed: bytes, answered: asyncio.Future[Status]) -> Status | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S_MAX):
                while True:
                    with suppress(UnavailableError):
                        self._session.try_publish(self._topic, sealed)
                    await asyncio.wait((answered,), timeout=RESEND_S)
                    if answered.done():
                        return answered.result()
        return None

    def _on_status(self, status: Status) -> None:
        answered = self._waiting.get(status.request)
        if answered is not None and status.state in FINAL and not answered.done():
            answered.set_result(status)
