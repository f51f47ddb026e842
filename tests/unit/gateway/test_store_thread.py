"""One transaction for all events that wait, and a patient event waits for another's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from gateway.adapters.sqlite_store import SqliteStore
from gateway.adapters.store_thread import StoreThread
from gateway.core.effects import Effect, Effects, Note
from gateway.core.moment import Moment
from gateway.core.station import Identity, Station, StationSettings
from tests.unit.gateway.box import ACK_KEY, GATEWAY_KEY, METER, UTILITY
from wire.keys import PinnedKeys
from wire.runtime.clock import SystemClock
from wire.runtime.tasks import background

DEADLINE_S = 20


class Recorder:
    """A store thread whose effects are noted, and its transactions counted."""

    def __init__(self, folder: Path) -> None:
        store = SqliteStore(folder / "gateway.sqlite3")
        self.performed: asyncio.Queue[Effect] = asyncio.Queue()
        self.mind = StoreThread(
            store,
            start=lambda now: Station(
                store,
                identity=Identity(
                    utility=UTILITY,
                    key=GATEWAY_KEY,
                    trusted=PinnedKeys([ACK_KEY.public]),
                    software="test",
                    boot=bytes(8),
                ),
                meters=[METER],
                relay_meters=[],
                settings=StationSettings(),
                rng=Random(1),
                fresh_bytes=Random(2).randbytes,
                now=now,
            ),
            clock=SystemClock(),
            perform=self.performed.put_nowait,
        )

    async def submit(self, name: str, *, is_patient: bool = False) -> None:
        """Queue an event that has this noted."""

        def handling(_station: Station, _now: Moment) -> Effects:
            return (Note(event=name),)

        await self.mind.submit(handling, is_patient=is_patient)

    async def next_notes(self, count: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            notes = [await self.performed.get() for _ in range(count)]
        return [note.event for note in notes if isinstance(note, Note)]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Recorder]:
    recorder, started = Recorder(folder), asyncio.Event()
    async with background(recorder.mind.run(started), name="store"):
        await started.wait()
        yield recorder


async def test_events_are_handled_in_the_order_they_came(tmp_path: Path) -> None:
    async with running(tmp_path) as recorder:
        for name in ("one", "two", "three"):
            await recorder.submit(name)
        assert await recorder.next_notes(3) == ["one", "two", "three"]


async def test_a_patient_event_goes_with_the_next_one_and_keeps_its_place(tmp_path: Path) -> None:
    async with running(tmp_path) as recorder:
        await recorder.submit("patient", is_patient=True)
        await asyncio.sleep(0)
        assert recorder.performed.empty()
        await recorder.submit("urgent")
        assert await recorder.next_notes(2) == ["patient", "urgent"]


async def test_a_patient_event_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as recorder:
        await recorder.submit("patient", is_patient=True)
        assert await recorder.next_notes(1) == ["patient"]


async def test_a_store_that_was_stopped_is_closed_and_can_be_opened_again(tmp_path: Path) -> None:
    async with running(tmp_path) as recorder:
        await recorder.submit("one")
        await recorder.next_notes(1)
    SqliteStore(tmp_path / "gateway.sqlite3").close()


async def test_a_question_is_answered_after_all_that_was_queued_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as recorder:
        handled: list[str] = []

        def handling(_station: Station, _now: Moment) -> Effects:
            handled.append("event")
            return ()

        for _ in range(5):
            await recorder.mind.submit(handling)
        async with asyncio.timeout(DEADLINE_S):
            assert await recorder.mind.ask(lambda _station, _now: len(handled)) == 5
