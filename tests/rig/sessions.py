"""Our own MQTT session in a test's hands: what it said, and waiting for what it will say."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.rig.ports import LOOPBACK
from wire.runtime.mqtt import Connected, Event, Lost, Message, MqttConfig, MqttSession, SubscribeRefused

DEADLINE_S = 20.0
POLL_S = 0.005

Kind = TypeVar("Kind", Connected, Lost, SubscribeRefused)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It does not come true.
    """
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a condition of any kind has no event to wait for
            await asyncio.sleep(POLL_S)


class Watched:
    """A session with the events it has reported so far."""

    session: MqttSession

    def __init__(self) -> None:
        self.events: list[Event] = []

    def seen(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type[Kind]) -> Kind:
        """Return the oldest event of a kind, and forget it with all before it."""
        await until(lambda: self.seen(kind))
        event = self.seen(kind)[0]
        del self.events[: self.events.index(event) + 1]
        return event

    async def receive(self, count: int, *, ack: bool = True) -> list[Message]:
        """Return the next `count` messages, acknowledged or not."""
        messages: list[Message] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(messages) < count:
                batch = await self.session.next_batch(count - len(messages))
                messages += batch
                if ack:
                    self.session.ack(batch)
        return messages


@asynccontextmanager
async def watched_session(port: int, client_id: str = "owner", **settings: Any) -> AsyncIterator[Watched]:
    """Run a session that reconnects quickly.

    Args:
        port: The broker's, on loopback.
        client_id: Of the session.
        settings: Further fields of `MqttConfig`.
    """
    values = {"host": LOOPBACK, "reconnect_delay_ms": 20, "reconnect_delay_ms_max": 100, **settings}
    watched = Watched()
    config = MqttConfig(port=port, client_id=client_id, **values)
    watched.session = MqttSession(config, rng=random.Random(0), on_event=watched.events.append)
    async with watched.session:
        yield watched


@asynccontextmanager
async def connected_session(port: int, client_id: str = "owner", **settings: Any) -> AsyncIterator[Watched]:
    """Run a session, and give it once it is connected for the first time."""
    async with watched_session(port, client_id, **settings) as watched:
        await watched.next(Connected)
        yield watched
