"""The one thread that owns the gateway's mind and its disk: events in, one transaction for all that wait, effects out.

While a transaction is being committed the next events gather, so a slow disk makes groups larger instead of queues
longer. A patient event waits for another's transaction, for a moment at most. An effect is handed on only after the
commit of the transaction that decided it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.effects import Effect, Effects
from gateway.core.moment import Moment
from gateway.core.station import Station
from wire.runtime.clock import Clock
from wire.runtime.threads import WorkerThread

EVENTS_WAITING_MAX = 1_000
EVENTS_PER_TRANSACTION_MAX = 200
PATIENCE_MS = 100
"""How long a patient event waits for another's transaction, real ms."""

T = TypeVar("T")

Handling = Callable[[Station, Moment], Effects]
"""What an event makes of the station: a method of it, with the event's arguments bound."""


class _Event(NamedTuple):
    handling: Handling
    took_place: bool


class StoreShelf:
    """A `gateway.ports.Shelf` over a store thread that is made later than those who keep something on it."""

    def __init__(self, mind: Callable[[], "StoreThread"]) -> None:
        self._mind = mind

    async def kept(self, name: str) -> bytes | None:
        return await self._mind().kept(name)

    async def keep(self, name: str, value: bytes) -> None:
        await self._mind().keep(name, value)


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
        self._events: deque[_Event] = deque()
        self._places = asyncio.Semaphore(EVENTS_WAITING_MAX)
        self._awaited: list[asyncio.Future[None]] = []
        """Who waits for the commit of the transaction under way."""
        self._patient_until_ms: int | None = None
        """None while an event waits that is not patient, or none at all."""
        self._wake = asyncio.Event()
        self._station: Station | None = None
        self._next_deadline_ms = 0

    @property
    def station(self) -> Station:
        """The station, to be asked what needs no transaction."""
        assert self._station is not None, "run() makes the station"
        return self._station

    async def submit(self, handling: Handling, *, is_patient: bool = False) -> None:
        """Queue an event; waits while too many wait already.

        Args:
            handling: What it makes of the station.
            is_patient: Whether it may wait for the transaction of another event.
        """
        await self._places.acquire()
        self._put(_Event(handling, took_place=True), is_patient=is_patient)

    async def ask(self, question: Callable[[Station, Moment], T]) -> T:
        """Return what the station answers once it has handled all that was queued before."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def tell(value: T) -> None:
            if not answer.done():
                answer.set_result(value)

        def handling(station: Station, now: Moment) -> Effects:
            loop.call_soon_threadsafe(tell, question(station, now))
            return ()

        await self.submit(handling)
        return await answer

    async def commit(self, handling: Handling) -> None:
        """Queue an event and return once what it changed is on the disk."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def handled(station: Station, now: Moment) -> Effects:
            effects = handling(station, now)
            self._awaited.append(committed)
            return effects

        await self.submit(handled)
        await committed

    async def kept(self, name: str) -> bytes | None:
        """Return a value of the store by its name; for adapters (`gateway.ports.Shelf`)."""
        return await self.ask(lambda _station, _now: self._store.value(name))

    async def keep(self, name: str, value: bytes) -> None:
        """Set a value of the store; it is on the disk when this returns."""

        def handling(_station: Station, _now: Moment) -> Effects:
            self._store.set_value(name, value)
            return ()

        await self.commit(handling)

    def post(self, handling: Handling) -> None:
        """Queue an event that must not be lost and cannot wait; for sources that bring few, whatever waits."""
        self._put(_Event(handling, took_place=False), is_patient=False)

    def _put(self, event: _Event, *, is_patient: bool) -> None:
        if not is_patient:
            self._patient_until_ms = None
        elif not self._events:
            self._patient_until_ms = self._clock.monotonic_ms() + PATIENCE_MS
        self._events.append(event)
        self._wake.set()

    async def run(self, started: asyncio.Event) -> None:
        """Handle events until cancelled; a transaction under way is finished first, then the store is closed."""
        thread = WorkerThread("store")
        try:
            await self._in_thread(thread, self._begin)
            started.set()
            while True:
                group = await self._next_group()
                for effect in await self._in_thread(thread, partial(self._handle, group)):
                    self._perform(effect)
                while self._awaited:
                    committed = self._awaited.pop()
                    if not committed.done():
                        committed.set_result(None)
        finally:
            closed = thread.run(self._store.close)
            thread.stop()
            await asyncio.wait((closed,))

    async def _in_thread(self, thread: WorkerThread, work: Callable[[], T]) -> T:
        done = thread.run(work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait((done,))
            raise

    async def _next_group(self) -> list[Handling]:
        """Return what waits, with a timer's turn if it is due; waits for either."""
        while (delay_ms := self._delay_ms()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(delay_ms / 1_000):
                    await self._wake.wait()
            except TimeoutError:
                break
        group = [self._taken() for _ in range(min(len(self._events), EVENTS_PER_TRANSACTION_MAX))]
        if not self._events:
            self._patient_until_ms = None
        if not group or self._next_deadline_ms <= self._clock.monotonic_ms():
            group.append(Station.on_timer)
        return group

    def _delay_ms(self) -> int:
        """Return how long to wait for more, at most."""
        due_ms = self._next_deadline_ms
        if self._events:
            if self._patient_until_ms is None:
                return 0
            due_ms = min(due_ms, self._patient_until_ms)
        return max(due_ms - self._clock.monotonic_ms(), 0)

    def _taken(self) -> Handling:
        handling, took_place = self._events.popleft()
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
