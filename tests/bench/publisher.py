"""Publishes signed batches as gateways do and waits until the cloud has acknowledged each; a process of its own.

    python -m tests.bench.publisher PORT TOPIC_ROOT TRUSTED_FOLDER BATCHES_FILE [PACE_MS]

Prints how long it took from the first publish to the last acknowledgement, and how long each batch waited for its own.
It publishes as fast as it goes, or waits about PACE_MS before each batch, half of it to one and a half times: never in
step with what the cloud does at a pace of its own.
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


async def main(port: int, root: str, trusted: Path, file: Path, pace_ms: int = 0) -> None:
    """Publish a file's batches."""
    tree = TopicTree(UTILITY, root)
    keys = PinnedKeys(load_public_keys(trusted))
    batches = read_batches(file)
    published_s: dict[bytes, float] = {}
    acknowledged_ms: list[float] = []
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

        async with background(_publish(session, tree, batches, published_s, pace_ms=pace_ms), name="publish"):
            while len(acknowledged_ms) < len(batches):
                messages = await session.next_batch()
                for message in messages:
                    ack, _ = open_message(message.payload, tree.parse(message.topic), keys)
                    assert isinstance(ack, Ack)
                    now_s = perf_counter()
                    # An acknowledgement that comes twice counts once.
                    known = [published_s.pop(digest) for digest in ack.committed if digest in published_s]
                    acknowledged_ms += [(now_s - sent_s) * 1e3 for sent_s in known]
                session.ack(messages)
        wall_s = perf_counter() - started_s
        print(json.dumps({"ready": True, "wall_s": wall_s, "acknowledged_ms": acknowledged_ms}), flush=True)


async def _publish(
    session: MqttSession,
    tree: TopicTree,
    batches: Sequence[Sealed],
    published_s: dict[bytes, float],
    *,
    pace_ms: int,
) -> None:
    """Publish batches and note when.

    Args:
        session: Connected.
        tree: Where batches go.
        batches: All of them different.
        published_s: Gets the instant of each, by its digest.
        pace_ms: About how long to wait before each; 0 for as fast as it goes.
    """
    room = asyncio.Semaphore(WINDOW)
    jitter = Random(0)
    for batch in batches:
        if pace_ms:
            await asyncio.sleep(pace_ms * jitter.uniform(0.5, 1.5) / 1_000)
        await room.acquire()
        digest = digest_of(batch.bytes)
        published_s[digest] = perf_counter()
        sent = session.try_publish(tree.up(batch.gateway, "bulk"), batch.bytes)
        sent.add_done_callback(lambda _: room.release())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), *map(int, sys.argv[5:])))
