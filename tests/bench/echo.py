"""Sends back what it hears, the other end of a bare MQTT round trip; a process of its own.

python -m tests.bench.echo PORT TOPIC_IN TOPIC_OUT
"""

import asyncio
import json
import sys
from random import Random

from wire.runtime.mqtt import Connected, Event, MqttConfig, MqttSession


async def main(port: int, topic_in: str, topic_out: str) -> None:
    """Echo until killed."""

    def say_ready(event: Event) -> None:
        if isinstance(event, Connected):
            print(json.dumps({"ready": True}), flush=True)

    config = MqttConfig(
        host="127.0.0.1", port=port, client_id="echo", clean_start=True, session_expiry_s=0, subscriptions=(topic_in,)
    )
    async with MqttSession(config, rng=Random(0), on_event=say_ready) as session:
        while True:
            messages = await session.next_batch()
            session.ack(messages)
            for message in messages:
                session.try_publish(topic_out, message.payload)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
