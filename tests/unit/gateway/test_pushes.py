"""Pushed values become readings while they are of now; who sent is known after a restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.acquisition import ClockSeen, Identified, Pushed, Sample
from gateway.core.effects import Effects, Note
from gateway.core.pushes import VALUES_AGE_S_MAX, Sender
from tests.unit.gateway.box import METER, UTC_MS, Box
from tests.unit.gateway.paper_meter import MAKE
from wire.facts import EntryFact
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, Readings, to_rows

NOW_S = UTC_MS // 1_000
VOLTAGE, POWER, IMPORT = 0, 6, 7
SAMPLES = (Sample(VOLTAGE, 2_301), Sample(POWER, 99_999, QUALITY_SUSPECT), Sample(IMPORT, None, QUALITY_MISSING))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, visited={METER: MAKE})
    box.now_ms = 10_000_000
    box.open_session()
    yield box
    box.store.close()


def now_s(box: Box) -> int:
    return NOW_S + box.now_ms // 1_000


def push(box: Box, at_s: int | None = None, **fields: Any) -> Effects:
    event = Pushed(meter_id=METER, tick_ms=box.now_ms, at_s=at_s, **fields)
    return box.do(lambda station, now: station.on_pushed(event, now))


def compare_clock(box: Box, *, offset_ms: int = 0, was_set: bool = False) -> None:
    event = ClockSeen(meter_id=METER, tick_ms=box.now_ms, offset_ms=offset_ms, was_set=was_set)
    box.do(lambda station, now: station.on_record(event, now))


def ticks(box: Box) -> list[int]:
    """Return the ticks of the readings that were sent."""
    box.drain()
    blocks = {id(fact): fact for fact in box.sent if isinstance(fact, Readings)}
    return sorted({row.tick_ms for block in blocks.values() for row in to_rows(block)})


def sender(box: Box) -> Sender:
    with box.store.transaction():
        return box.station.pushes.senders([METER])[METER]


def test_pushed_values_are_a_reading_of_the_channels_they_are_of(box: Box) -> None:
    push(box, samples=SAMPLES)
    box.drain()
    block = next(fact for fact in box.sent if isinstance(fact, Readings))
    (row,) = to_rows(block)
    assert (row.values[VOLTAGE], row.values[POWER], row.values[IMPORT], row.values[1]) == (2_301, 99_999, None, None)
    assert (POWER, QUALITY_SUSPECT) in row.qualities
    assert row.tick_ms == box.now_ms


def test_the_same_values_again_and_older_ones_are_no_reading(box: Box) -> None:
    compare_clock(box)
    first = box.now_ms
    push(box, now_s(box), samples=SAMPLES)
    box.now_ms += 60_000
    push(box, now_s(box) - 60, samples=SAMPLES)
    push(box, now_s(box) - 90, samples=SAMPLES)
    assert ticks(box) == [first]
    box.restart()
    push(box, now_s(box) - 60, samples=SAMPLES)
    assert ticks(box) == [first]
    push(box, now_s(box), samples=SAMPLES)
    assert ticks(box) == [first, box.now_ms]


def test_values_stand_for_the_instant_of_the_meters_clock_as_far_as_that_is_known(box: Box) -> None:
    compare_clock(box, offset_ms=-30_000)
    push(box, now_s(box) - 50, samples=SAMPLES)
    assert ticks(box) == [box.now_ms - 20_000]


def test_values_that_are_old_when_they_come_are_left_to_the_profiles(box: Box) -> None:
    compare_clock(box)
    effects = push(box, now_s(box) - VALUES_AGE_S_MAX - 1, samples=SAMPLES)
    assert [effect.event for effect in effects if isinstance(effect, Note)] == ["push.too_old"]
    assert ticks(box) == []


def test_a_clock_that_is_set_back_lets_values_on(box: Box) -> None:
    compare_clock(box, offset_ms=300_000)
    push(box, now_s(box) + 300, samples=SAMPLES)
    compare_clock(box, offset_ms=300_000, was_set=True)
    box.now_ms += 10_000
    push(box, now_s(box), samples=SAMPLES)
    assert len(ticks(box)) == 2


def test_credit_follows_registers_that_were_asked_for_and_never_pushed_ones(box: Box) -> None:
    push(box, samples=(Sample(IMPORT, 1_000_000),))
    box.now_ms += 3_600_000
    push(box, samples=(Sample(IMPORT, 9_000_000),))
    box.drain()
    assert not [fact for fact in box.sent if isinstance(fact, EntryFact)]


def test_who_proved_to_be_the_sender_is_known_after_a_restart(box: Box) -> None:
    assert sender(box) == Sender(b"", b"", -1, "")
    push(box, title=b"MMM00001", key=b"key one.", counter=7)
    push(box, title=b"MMM00001", key=b"key one.", counter=5)
    box.restart()
    assert sender(box) == Sender(b"MMM00001", b"key one.", 7, "")
    push(box, title=b"MMM00001", key=b"key two.", counter=1)
    assert sender(box) == Sender(b"MMM00001", b"key two.", 1, "")


def test_another_instrument_is_another_sender(box: Box) -> None:
    for serial in ("A1", "A2"):
        event = Identified(meter_id=METER, tick_ms=box.now_ms, serial=serial, firmware="1")
        box.do(lambda station, now, event=event: station.on_record(event, now))  # type: ignore[misc]
        assert sender(box) == Sender(b"", b"", -1, serial)
        push(box, title=b"MMM00001", key=b"key one.", counter=7)
