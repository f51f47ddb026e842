"""A connected MQTT session for a benchmark."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

from wire.runtime.mqtt import Connected, Event, MqttConfig, MqttSession


async def connected_session(stack: AsyncExitStack, port: int, name: str, topic: str) -> MqttSession:
    """Return a session that is connected and subscribed to a topic; it ends with `stack`."""
    connected = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, Connected):
            connected.set()

    config = MqttConfig(
        host="127.0.0.1", port=port, client_id=name, clean_start=True, session_expiry_s=0, subscriptions=(topic,)
    )
    session = await stack.enter_async_context(MqttSession(config, rng=Random(0), on_event=note))
    await connected.wait()
    return session
