"""Fills a gateway's store and drains it to a cloud that acknowledges at once; a process of its own.

    python -m tests.bench.store_worker STORE_FILE SNAPSHOTS_FILE

The store, its thread and the station are the real ones. Each row is an event of its own, as a bus delivers it. The
acknowledgements are signed before the draining begins, so that its cost is the gateway's alone. Prints what filling
and draining cost.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import psutil

from gateway.adapters.sqlite_store import SqliteStore
from gateway.adapters.store_thread import StoreThread
from gateway.core.collection import CollectionSettings
from gateway.core.effects import Effect, Effects, SendBatch, SendHello
from gateway.core.moment import Moment
from gateway.core.station import Identity, Station, StationSettings
from tests.bench.batches import METERS, read_snapshots
from tests.rig.parties import PARTIES, REGISTRY, UTILITY, address_of
from wire.address import Kind
from wire.messages import Ack, Hello, Welcome, open_message, seal_message
from wire.readings import Channel, Row
from wire.runtime.clock import SystemClock
from wire.runtime.tasks import background

NEVER_MS = 600_000
WINDOW = 16
"""What the cloud grants."""
_ACK_KEY = PARTIES["cloud-ack"].key


class Worker:
    """A gateway without buses whose cloud is around the corner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        store = SqliteStore(path)
        identity = Identity(
            utility=UTILITY, key=PARTIES["gateway"].key, trusted=REGISTRY, software="bench", boot=bytes(8)
        )
        settings = StationSettings(collection=CollectionSettings(seal_after_ms=NEVER_MS, rows_per_batch_max=METERS))
        self._mind = StoreThread(
            store,
            start=lambda now: Station(
                store,
                identity=identity,
                meters=[],
                relay_meters=[],
                settings=settings,
                rng=Random(0),
                fresh_bytes=bytes,
                now=now,
            ),
            clock=SystemClock(),
            perform=self._perform,
        )
        self._acks: dict[bytes, bytes] = {}
        self._drained = asyncio.Event()

    async def run(self, snapshots: Sequence[Sequence[Row]], channels: Sequence[Channel]) -> dict[str, Any]:
        """Fill and drain, and return what both cost."""
        started = asyncio.Event()
        async with background(self._mind.run(started), name="store"):
            await started.wait()
            before_bytes = psutil.Process().memory_info().rss
            filling = _Stopwatch()
            for row in (row for snapshot in snapshots for row in snapshot):
                await self._mind.submit(partial(_take_row, channels=channels, row=row))
            await self._handled()
            fill = filling.stop()
            filled_bytes = psutil.Process().memory_info().rss
            self._sign_acks()
            draining = _Stopwatch()
            self._mind.post(Station.on_connected)
            await self._drained.wait()
            await self._handled()
            drain = draining.stop()
        return {"fill": fill, "drain": drain, "grown_bytes": filled_bytes - before_bytes}

    async def _handled(self) -> None:
        """Wait until everything submitted before is committed."""
        handled = asyncio.Event()
        loop = asyncio.get_running_loop()

        def note(_station: Station, _now: Moment) -> Effects:
            loop.call_soon_threadsafe(handled.set)
            return ()

        await self._mind.submit(note)
        await handled.wait()

    def _sign_acks(self) -> None:
        with sqlite3.connect(self._path) as reader:
            digests = [digest for (digest,) in reader.execute("SELECT digest FROM batch")]
        reader.close()
        for position, digest in enumerate(digests):
            ack = Ack(epoch=1, position=position, committed=[digest], quarantined=[])
            self._acks[digest] = seal_message(ack, address_of(Kind.ACK), _ACK_KEY)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendHello(sealed=sealed):
                hello, _ = open_message(sealed, address_of(Kind.HELLO), REGISTRY)
                assert isinstance(hello, Hello)
                welcome = Welcome(
                    nonce=hello.nonce,
                    cloud_utc_ms=SystemClock().wall_ms(),
                    epoch=1,
                    window=WINDOW,
                    restores=[],
                    floors=[],
                )
                self._deliver(Kind.WELCOME, seal_message(welcome, address_of(Kind.WELCOME), _ACK_KEY))
            case SendBatch(digest=digest):
                # What is sealed only now, such as the clock fact of the session, is not part of the backlog.
                if digest in self._acks:
                    self._deliver(Kind.ACK, self._acks.pop(digest))
                if not self._acks:
                    self._drained.set()
            case _:
                pass

    def _deliver(self, kind: Kind, sealed: bytes) -> None:
        self._mind.post(partial(_on_message, kind=kind, sealed=sealed))


class _Stopwatch:
    def __init__(self) -> None:
        self._wall_s, self._cpu_s = perf_counter(), process_time()

    def stop(self) -> dict[str, float]:
        return {"wall_s": perf_counter() - self._wall_s, "cpu_s": process_time() - self._cpu_s}


def _take_row(station: Station, now: Moment, *, channels: Sequence[Channel], row: Row) -> Effects:
    return station.on_rows(channels, [row], now)


def _on_message(station: Station, now: Moment, *, kind: Kind, sealed: bytes) -> Effects:
    return station.on_message(address_of(kind), sealed, now)


def main(path: Path, snapshots_path: Path) -> None:
    """Fill, drain, print."""
    channels, snapshots = read_snapshots(snapshots_path)
    cost = asyncio.run(Worker(path).run(snapshots, channels))
    print(json.dumps({"ready": True} | cost), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
