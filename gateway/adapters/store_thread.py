"""The one thread that owns the gateway's mind and its disk: events in, one transaction for all that wait, effects out.

While a transaction is being committed the next events gather, so a slow disk makes groups larger instead of queues
longer. An effect is handed on only after the commit of the transaction that decided it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.effects import Effect, Effects
from gateway.core.moment import Moment
from gateway.core.station import Station
from wire.runtime.clock import Clock

EVENTS_WAITING_MAX = 1_000
EVENTS_PER_TRANSACTION_MAX = 200

T = TypeVar("T")

Handling = Callable[[Station, Moment], Effects]
"""What an event makes of the station: a method of it, with the event's arguments bound."""


class StoreThread:
    """Runs a station over its store.

    Args:
        store: The disk, owned by this object's thread from now on.
        start: Makes the station; called inside the first transaction.
        clock: Read once for each event.
        perform: Takes each effect after its commit; called in the event loop, must not block.
    """

    def __init__(
        self,
        store: SqliteStore,
        *,
        start: Callable[[Moment], Station],
        clock: Clock,
        perform: Callable[[Effect], None],
    ) -> None:
        self._store = store
        self._start = start
        self._clock = clock
        self._perform = perform
        self._events: asyncio.Queue[tuple[Handling, bool]] = asyncio.Queue()
        """Each with whether it took a place."""
        self._places = asyncio.Semaphore(EVENTS_WAITING_MAX)
        self._station: Station | None = None
        self._next_deadline_ms = 0

    @property
    def station(self) -> Station:
        """The station, to be asked what needs no transaction."""
        assert self._station is not None, "run() makes the station"
        return self._station

    async def submit(self, handling: Handling) -> None:
        """Queue an event; waits while too many wait already."""
        await self._places.acquire()
        self._events.put_nowait((handling, True))

    def post(self, handling: Handling) -> None:
        """Queue an event that must not be lost and cannot wait; for sources that bring few, whatever waits."""
        self._events.put_nowait((handling, False))

    async def run(self, started: asyncio.Event) -> None:
        """Handle events until cancelled; a transaction under way is finished first, then the store is closed."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store") as thread:
            try:
                await self._in_thread(thread, self._begin)
                started.set()
                while True:
                    group = await self._next_group()
                    for effect in await self._in_thread(thread, partial(self._handle, group)):
                        self._perform(effect)
            finally:
                thread.submit(self._store.close)

    async def _in_thread(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        done = asyncio.get_running_loop().run_in_executor(thread, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait((done,))
            raise

    async def _next_group(self) -> list[Handling]:
        """Return what waits, or a timer's turn if nothing comes before it is due."""
        delay_s = max(self._next_deadline_ms - self._clock.monotonic_ms(), 0) / 1_000
        group: list[Handling] = []
        try:
            async with asyncio.timeout(delay_s):
                group.append(self._taken(await self._events.get()))
        except TimeoutError:
            return [Station.on_timer]
        while len(group) < EVENTS_PER_TRANSACTION_MAX and not self._events.empty():
            group.append(self._taken(self._events.get_nowait()))
        if self._next_deadline_ms <= self._clock.monotonic_ms():
            group.append(Station.on_timer)
        return group

    def _taken(self, event: tuple[Handling, bool]) -> Handling:
        handling, took_place = event
        if took_place:
            self._places.release()
        return handling

    def _begin(self) -> None:
        with self._store.transaction():
            self._station = self._start(self._now())
        self._next_deadline_ms = self.station.next_deadline_ms(self._now())

    def _handle(self, group: list[Handling]) -> list[Effect]:
        effects: list[Effect] = []
        with self._store.transaction():
            for handling in group:
                effects += handling(self.station, self._now())
        self._next_deadline_ms = self.station.next_deadline_ms(self._now())
        return effects

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic_ms(), self._clock.tick_ms(), self._clock.wall_ms())
