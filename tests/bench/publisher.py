"""Publishes signed batches as gateways do and waits until the cloud has acknowledged each; a process of its own.

    python -m tests.bench.publisher PORT TOPIC_ROOT TRUSTED_FOLDER BATCHES_FILE

Prints how long it took from the first publish to the last acknowledgement.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import perf_counter

from tests.bench.batches import Sealed, read_batches
from tests.bench.installation import UTILITY
from wire.address import Kind
from wire.keys import PinnedKeys
from wire.messages import Ack, open_message
from wire.runtime.keyring import load_public_keys
from wire.runtime.mqtt import Connected, Event, MqttConfig, MqttSession
from wire.runtime.tasks import background
from wire.signing import digest_of
from wire.topics import TopicTree

WINDOW = 100


async def main(port: int, root: str, trusted: Path, file: Path) -> None:
    """Publish a file's batches."""
    tree = TopicTree(UTILITY, root)
    keys = PinnedKeys(load_public_keys(trusted))
    batches = read_batches(file)
    waiting = {digest_of(batch.bytes) for batch in batches}
    connected = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, Connected):
            connected.set()

    config = MqttConfig(
        host="127.0.0.1",
        port=port,
        client_id=f"publisher-{root.replace('/', '-')}",
        clean_start=True,
        session_expiry_s=0,
        publish_window=WINDOW,
        subscriptions=(f"{tree.root}/g/+/down/{Kind.ACK.value}",),
    )
    async with MqttSession(config, rng=Random(0), on_event=note) as session:
        await connected.wait()
        started_s = perf_counter()

        async with background(_publish(session, tree, batches), name="publish"):
            while waiting:
                messages = await session.next_batch()
                for message in messages:
                    ack, _ = open_message(message.payload, tree.parse(message.topic), keys)
                    assert isinstance(ack, Ack)
                    waiting.difference_update(ack.committed)
                session.ack(messages)
        print(json.dumps({"ready": True, "wall_s": perf_counter() - started_s}), flush=True)


async def _publish(session: MqttSession, tree: TopicTree, batches: Sequence[Sealed]) -> None:
    room = asyncio.Semaphore(WINDOW)
    for batch in batches:
        await room.acquire()
        sent = session.try_publish(tree.up(batch.gateway, "bulk"), batch.bytes)
        sent.add_done_callback(lambda _: room.release())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
