"""Weeks of a meter's life in a moment: what it captured comes up once, whatever is off, killed or set wrong.

The meter is on paper, gateway and disk are real. A crash drops the transaction that was open, or comes right after one.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.core.acquisition import Captured, ReadCaptured, RecordEvent, Task
from gateway.core.collection import CollectionSettings
from gateway.core.coverage import Span
from tests.unit.gateway.box import GATEWAY, GATEWAY_KEY, UTC_MS, UTILITY, Box
from tests.unit.gateway.paper_meter import BILLING, BLOCK, DAILY, MAKE, PaperMeter
from wire.address import Address, Direction, Kind
from wire.facts import Event, MeterEvent, UpFact
from wire.keys import PinnedKeys
from wire.messages import Batch, facts_of, open_message
from wire.readings import CapturedRow, Profile, captured

METER = "dlms-1"
SLOT_MS = 900_000
HOUR_MS = 3_600_000
Known = tuple[bytes, int, int]
"""A captured row: profile, instant, its number."""
T = TypeVar("T")


class Killed(Exception):  # noqa: N818 - no error
    """The process was killed here."""


class Life:
    """A gateway and a meter, and all that happens to them."""

    def __init__(self, folder: Path, *, seed: int, meter: PaperMeter | None = None) -> None:
        self.rng = random.Random(seed)
        self.box = Box(folder, collection=CollectionSettings(seal_after_ms=2_000), visited={METER: MAKE})
        self.meter = meter or PaperMeter(true_ms=UTC_MS + self.box.now_ms)
        self.box.open_session()
        self.held: set[tuple[bytes, int]] = set()
        """Profile and instant of what is on the disk."""
        self.asked_twice: list[tuple[bytes, int]] = []
        self.tasks_done: list[Task] = []
        self.kill_share = 0.0
        self.break_share = 0.0

    def pass_time(self, passed_ms: int) -> None:
        self.box.now_ms += passed_ms
        self.meter.advance(UTC_MS + self.box.now_ms)
        self.box.do(lambda station, now: station.on_timer(now))

    def live(self, hours: float, *, visits: bool = True) -> None:
        """Let slots pass, each with a visit somewhere in it."""
        for _ in range(int(hours * HOUR_MS / SLOT_MS)):
            before_ms = self.rng.randint(1, SLOT_MS - 1)
            self.pass_time(before_ms)
            if visits and self.meter.is_on:
                self.visit()
            self.pass_time(SLOT_MS - before_ms)

    def visit(self) -> None:
        tasks = self.due()
        for task in tasks:
            if isinstance(task, ReadCaptured):
                self.note_asked(task)
        self.tasks_done += tasks
        pending: list[RecordEvent] = []
        for event in self.meter.visit(METER, tasks, tick_ms=self.box.now_ms):
            pending.append(event)
            if self.rng.random() < self.break_share:
                break
            if self.rng.random() < 0.5 and not self.take(pending):
                return
        self.take(pending)

    def due(self) -> tuple[Task, ...]:
        with self.box.store.transaction():
            return self.box.station.agenda.due(METER, self.box.now)

    def take(self, pending: list[RecordEvent]) -> bool:
        """Commit events as one; False if the gateway was killed before or after."""
        events, pending[:] = list(pending), []
        fate = self.rng.random()
        try:
            with self.box.store.transaction():
                for event in events:
                    self.box.station.on_record(event, self.box.now)
                self.kill_if(fate < self.kill_share / 2)
        except Killed:
            self.restart()
            return False
        for event in events:
            if isinstance(event, Captured):
                self.held |= {(event.profile, row.captured_s) for row in event.rows if _within(row, event.asked)}
        if fate < self.kill_share:
            self.restart()
            return False
        return True

    def kill_if(self, fated: bool) -> None:  # noqa: FBT001 - a condition
        if fated:
            raise Killed

    def restart(self) -> None:
        self.box.restart()
        if self.rng.random() < 0.7:
            self.box.open_session()

    def note_asked(self, task: ReadCaptured) -> None:
        self.asked_twice += [
            (profile, instant_s)
            for profile, instant_s in self.held
            if profile == task.profile and any(span.first_s <= instant_s <= span.last_s for span in task.spans)
        ]

    # ---- the outcome -------------------------------------------------------------------------------------------------

    def facts(self, kind: type[T]) -> list[T]:
        """Return the facts of a kind in all batches on the disk, sealed to the last."""
        box = self.box
        with box.store.transaction():
            box.station.collector.seal(box.now, everything=True)
            batches = box.store.next_batches(live_from=0, count_max=10**6)
            sealed = [box.store.sealed(digest) for digest in {batch.digest for batch in batches}]
        return [fact for letter in sealed for fact in _facts_in(letter) if isinstance(fact, kind)]

    def reported(self) -> Counter[Known]:
        return Counter(
            (fact.profile, instant_s, number)
            for fact in self.facts(Profile)
            for instant_s, number in zip(captured(fact)[0], captured(fact)[1][0], strict=True)
        )

    def kept(self) -> Counter[Known]:
        """Return what the meter has captured."""
        return Counter(
            (profile, row.captured_s, row.values[0] or 0) for profile, rows in self.meter.rows.items() for row in rows
        )

    def close(self) -> None:
        self.box.store.close()


def _within(row: CapturedRow, spans: Iterable[Span]) -> bool:
    return any(span.first_s <= row.captured_s <= span.last_s for span in spans)


def _facts_in(sealed: bytes) -> Sequence[UpFact]:
    address = Address(UTILITY, Direction.UP, Kind.BATCH, GATEWAY)
    message, _ = open_message(sealed, address, PinnedKeys([GATEWAY_KEY.public]))
    assert isinstance(message, Batch)
    return facts_of(message)


def _missing(life: Life, *, newest_s: int) -> Counter[Known]:
    """Return what was captured by an instant and is not reported."""
    return Counter({row: 1 for row in life.kept() - life.reported() if row[1] <= newest_s})


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_each_captured_row_is_reported_once_and_nothing_held_is_asked_for_again(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    meter = PaperMeter(
        true_ms=UTC_MS, offset_ms=rng.randint(-400_000, 400_000), drift_ppm=rng.choice([-200, 0, 50, 300])
    )
    life = Life(tmp_path, seed=seed, meter=meter)
    life.kill_share, life.break_share = 0.05, 0.05
    life.live(30)
    meter.cut()
    life.live(3)
    meter.restore()
    life.live(20)
    life.live(30, visits=False)
    life.restart()
    life.live(20)
    meter.offset_ms += rng.choice([-100_000, 100_000])
    life.live(40)
    life.kill_share = life.break_share = 0.0
    life.box.open_session()
    life.live(8)
    reported = life.reported()
    assert set(reported.values()) == {1}
    assert _missing(life, newest_s=meter.clock_s - 2 * 3_600) == Counter()
    assert life.asked_twice == []
    assert {profile for profile, _, _ in reported} == {BLOCK, DAILY, BILLING}
    logged = Counter((fact.log, fact.captured_s, fact.number) for fact in life.facts(MeterEvent))
    assert logged == Counter(
        {(log, entry.captured_s, entry.number): 1 for log, entries in meter.logs.items() for entry in entries}
    )
    life.close()


def test_a_gap_of_the_meter_and_one_of_the_gateway_are_closed_by_reading_what_is_missing(tmp_path: Path) -> None:
    life = Life(tmp_path, seed=1)
    life.live(40)
    asked_before = len(life.meter.asked)
    life.live(30, visits=False)
    life.restart()
    life.box.open_session()
    life.live(2)
    spans = [span for profile, span in life.meter.asked[asked_before:] if profile == BLOCK]
    slots_asked = sum(round((span.last_s - span.first_s) / 900) for span in spans if span.last_s > UTC_MS // 1_000)
    assert slots_asked == 32 * 4, "30 hours without a gateway and two since"
    assert _missing(life, newest_s=life.meter.clock_s - 2 * 3_600) == Counter()
    life.close()


def test_a_clock_two_hours_fast_is_set_and_what_it_captures_a_second_time_is_read_too(tmp_path: Path) -> None:
    meter = PaperMeter(true_ms=UTC_MS, offset_ms=2 * HOUR_MS)
    life = Life(tmp_path, seed=2, meter=meter)
    life.box.restart()
    life.live(6)
    assert meter.offset_ms == 2 * HOUR_MS, "a gateway that does not know the time sets no clock"
    life.box.open_session()
    life.live(6)
    assert abs(meter.offset_ms) < 1_000
    reported = life.reported()
    assert _missing(life, newest_s=meter.clock_s - 2 * 3_600) == Counter()
    instants = Counter(instant_s for profile, instant_s, _ in reported if profile == BLOCK)
    assert sorted(set(instants.values())) == [1, 2]
    life.close()


def test_another_capture_period_is_followed_and_brings_nothing_twice(tmp_path: Path) -> None:
    life = Life(tmp_path, seed=3)
    life.live(12)
    for period_s in (300, 1_800):
        life.meter.period_s = period_s
        life.live(12)
    assert set(life.reported().values()) == {1}
    assert _missing(life, newest_s=life.meter.clock_s - 2 * 3_600) == Counter()
    life.close()


def test_a_meter_that_gives_its_whole_profile_whatever_is_asked_for_has_each_row_reported_once(tmp_path: Path) -> None:
    life = Life(tmp_path, seed=4, meter=PaperMeter(true_ms=UTC_MS, ignores_selection=True))
    life.live(100)
    assert set(life.reported().values()) == {1}
    assert _missing(life, newest_s=life.meter.clock_s - 2 * 3_600) == Counter()
    life.close()


def test_another_instrument_is_read_from_its_own_beginning(tmp_path: Path) -> None:
    life = Life(tmp_path, seed=5)
    life.live(30)
    old, life.meter = life.meter, PaperMeter(true_ms=life.meter.true_ms - 20 * HOUR_MS, serial="CD7654321")
    life.meter.advance(old.true_ms)
    life.held.clear()
    life.live(4)
    assert _missing(life, newest_s=life.meter.clock_s - 2 * 3_600) == Counter()
    assert [event.detail for event in life.facts(Event) if event.code == "3.0.0.52"] == ["AB1234567 -> CD7654321"]
    assert {fact.serial for fact in life.facts(Profile)} == {"AB1234567", "CD7654321"}
    life.close()


def test_a_full_disk_leaves_rows_with_the_meter_until_there_is_room(tmp_path: Path) -> None:
    life = Life(tmp_path, seed=6)
    life.box.store.close()
    life.box = Box(
        tmp_path, collection=CollectionSettings(seal_after_ms=0, store_bytes_max=12_000), visited={METER: MAKE}
    )
    for _ in range(80):
        life.box.do(lambda station, now: station.on_meter_event(METER, "3.1.0.85", "no answer", now))
    life.box.open_session()
    life.live(24)
    assert life.reported() == Counter()
    life.held.clear()
    life.box.drain()
    life.live(2)
    assert _missing(life, newest_s=life.meter.clock_s - 2 * 3_600) == Counter()
    assert set(life.reported().values()) == {1}
    life.close()
