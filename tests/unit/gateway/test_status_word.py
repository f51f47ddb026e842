"""The status word: exactly its changes become events, whatever is repeated, lost, late or cut off by a crash."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlms.axdr.tags import BitString
from gateway.core.acquisition import ClockSeen, Identified, StatusSeen
from gateway.core.effects import Effects, Note, ObserveRelay
from gateway.core.status_word import CHANGES_PER_HOUR_MAX, HOUR_MS, RESTORED, is_overtaken
from tests.unit.gateway.box import METER, UTC_MS, WITHOUT_RELAY, Box, batches, facts_in
from tests.unit.gateway.paper_meter import MAKE
from wire import codec
from wire.facts import Event, MeterEvent
from wire.topics import Lane

NOW_S = UTC_MS // 1_000
MAGNET, COVER, SWITCHED, GASP, BREATH, VENDOR = 81, 83, 84, 85, 86, 111
MOMENTARY = {84, 85, 86, 87}
NAMED = {item.bit for item in (MAKE.status_word.bits if MAKE.status_word is not None else ())}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, visited={METER: MAKE, WITHOUT_RELAY: MAKE})
    box.open_session()
    yield box
    box.store.close()


def word(*bits: int, length: int = 128) -> BitString:
    return BitString.from_int(sum(1 << length - 1 - bit for bit in bits), length)


def see(box: Box, *bits: int, at_s: int | None, length: int = 128, meter: str = METER) -> Effects:
    return take(box, StatusSeen(meter_id=meter, tick_ms=box.now_ms, word=word(*bits, length=length), at_s=at_s))


def take(box: Box, event: StatusSeen) -> Effects:
    return box.do(lambda station, now: station.on_record(event, now))


def told(box: Box) -> list[tuple[int, int]]:
    """Return instant and number of all that was told, each fact once, by instant and number."""
    box.drain()
    facts = {codec.encode(fact): fact for fact in box.sent if isinstance(fact, MeterEvent)}
    return sorted((fact.captured_s - NOW_S, fact.number) for fact in facts.values())


def numbers(box: Box) -> list[int]:
    return sorted(number for _, number in told(box))


def lanes(effects: Effects) -> list[Lane]:
    return [batch.lane for batch in batches(effects) for fact in facts_in(batch) if isinstance(fact, MeterEvent)]


def observed(effects: Effects) -> list[str]:
    return [effect.meter for effect in effects if isinstance(effect, ObserveRelay)]


def test_a_bit_that_rises_is_one_event_and_its_fall_another(box: Box) -> None:
    see(box, MAGNET, at_s=NOW_S)
    see(box, MAGNET, COVER, at_s=NOW_S + 1)
    see(box, COVER, at_s=NOW_S + 2)
    assert told(box) == [(0, MAGNET), (1, COVER), (2, RESTORED + MAGNET)]
    facts = [fact for fact in box.sent if isinstance(fact, MeterEvent)]
    codes = {fact.number: fact.code for fact in facts}
    assert codes == {MAGNET: "3.12.66.242", COVER: "3.12.29.212", RESTORED + MAGNET: "3.12.66.243"}
    assert {fact.log for fact in facts} == {bytes([0, 0, 94, 91, 18, 255])}


def test_what_somebody_should_know_goes_up_at_once_and_its_end_with_the_profiles(box: Box) -> None:
    assert lanes(see(box, MAGNET, at_s=NOW_S)) == [Lane.URGENT]
    assert lanes(see(box, at_s=NOW_S + 1)) == [Lane.BULK]
    assert lanes(see(box, 4, at_s=NOW_S + 2)) == [Lane.BULK], "low voltage"
    assert lanes(see(box, 4, COVER, at_s=NOW_S - 90_000)) == [Lane.BULK], "history"


@pytest.mark.parametrize("restarts", [False, True])
def test_the_same_push_again_tells_nothing(box: Box, restarts: bool) -> None:  # noqa: FBT001
    for _ in range(3):
        see(box, MAGNET, GASP, at_s=NOW_S)
        if restarts:
            box.restart()
            box.open_session()
    assert told(box) == [(0, MAGNET), (0, GASP)]


def test_a_momentary_bit_is_told_anew_by_each_push_that_has_it_and_never_falls(box: Box) -> None:
    see(box, GASP, at_s=NOW_S)
    see(box, GASP, at_s=NOW_S + 3_600)
    see(box, at_s=NOW_S + 3_700)
    see(box, BREATH, at_s=NOW_S + 3_800)
    assert told(box) == [(0, GASP), (3_600, GASP), (3_800, BREATH)]


def test_a_vendors_bit_is_kept_without_a_code_and_named_unknown_in_the_log(box: Box) -> None:
    effects = see(box, VENDOR, at_s=NOW_S)
    see(box, at_s=NOW_S + 1)
    assert told(box) == [(0, VENDOR), (1, RESTORED + VENDOR)]
    assert {fact.code for fact in box.sent if isinstance(fact, MeterEvent)} == {""}
    note = next(effect for effect in effects if isinstance(effect, Note) and effect.event == "status.changed")
    assert dict(note.facts)["rose"] == "111 unknown"


def test_a_load_switch_that_changed_is_looked_at_where_there_is_one(box: Box) -> None:
    assert observed(see(box, SWITCHED, at_s=NOW_S)) == [METER]
    assert observed(see(box, SWITCHED, at_s=NOW_S)) == []
    assert observed(see(box, SWITCHED, at_s=NOW_S + 60)) == [METER]
    assert observed(see(box, MAGNET, at_s=NOW_S + 70)) == []
    assert observed(see(box, SWITCHED, at_s=NOW_S, meter=WITHOUT_RELAY)) == []


def test_what_the_relay_shows_is_told_once_and_drives_nothing(box: Box) -> None:
    for _ in range(2):
        box.do(lambda station, now: station.on_relay_seen(METER, closed=False, now=now))
    assert box.events("3.31.0.68") == 1
    assert box.station.relays.known_closed(METER) is False
    box.do(lambda station, now: station.on_relay_seen(METER, closed=True, now=now))
    assert box.events("3.31.0.42") == 1


def test_a_word_that_is_read_tells_what_was_missed_and_nothing_that_was_not(box: Box) -> None:
    see(box, MAGNET, GASP, at_s=NOW_S)
    see(box, MAGNET, GASP, at_s=None)
    assert told(box) == [(0, MAGNET), (0, GASP)]
    see(box, COVER, at_s=None)
    see(box, COVER, at_s=None)
    assert numbers(box) == sorted([MAGNET, GASP, RESTORED + MAGNET, COVER])
    box.now_ms += 5_000
    see(box, COVER, GASP, at_s=None)
    assert numbers(box).count(GASP) == 2


def test_a_push_that_was_overtaken_tells_what_happened_and_nothing_of_what_stands(box: Box) -> None:
    see(box, COVER, at_s=NOW_S)
    see(box, MAGNET, GASP, at_s=NOW_S - 30)
    assert told(box) == [(-30, GASP), (0, COVER)]
    see(box, COVER, at_s=NOW_S + 1)
    assert told(box) == [(-30, GASP), (0, COVER)]


def test_a_clock_that_is_set_back_makes_no_push_late(box: Box) -> None:
    see(box, MAGNET, at_s=NOW_S)
    seen = ClockSeen(meter_id=METER, tick_ms=box.now_ms, offset_ms=60_000, was_set=True)
    box.do(lambda station, now: station.on_record(seen, now))
    see(box, at_s=NOW_S - 50)
    assert told(box) == [(-50, RESTORED + MAGNET), (0, MAGNET)]


def test_an_instant_in_the_future_keeps_nothing_out(box: Box) -> None:
    see(box, MAGNET, at_s=NOW_S + 10**9)
    see(box, COVER, at_s=NOW_S)
    assert numbers(box) == [MAGNET, COVER, RESTORED + MAGNET]


@pytest.mark.parametrize(
    ("at_s", "newest_s", "now_s", "late"),
    [
        (100, -1, None, False),
        (100, 100, None, False),
        (100, 101, None, True),
        (100, 701, None, False),
        (100, 5_000, 5_001, True),
        (100, 5_000, 4_399, False),
    ],
)
def test_only_what_can_be_newer_overtakes(at_s: int, newest_s: int, now_s: int | None, late: bool) -> None:  # noqa: FBT001
    assert is_overtaken(at_s, newest_s, now_s) is late


def test_a_shorter_word_says_nothing_about_the_bits_it_has_not(box: Box) -> None:
    see(box, 4, MAGNET, at_s=NOW_S)
    see(box, 3, at_s=NOW_S + 1, length=13)
    see(box, MAGNET, at_s=NOW_S + 2)
    assert told(box) == [(0, 4), (0, MAGNET), (1, 3), (1, RESTORED + 4), (2, RESTORED + 3)]


def test_another_instrument_begins_with_nothing_set(box: Box) -> None:
    for serial in ("A1", "A2"):
        event = Identified(meter_id=METER, tick_ms=box.now_ms, serial=serial, firmware="1")
        box.do(lambda station, now, event=event: station.on_record(event, now))  # type: ignore[misc]
        see(box, COVER, at_s=NOW_S + int(serial[1:]))
    assert numbers(box) == [COVER, COVER]


def test_a_word_that_flutters_is_taken_only_so_often_and_what_it_comes_to_later(box: Box) -> None:
    notes: list[str] = []
    for step in range(CHANGES_PER_HOUR_MAX + 41):
        effects = see(box, *([4] if step % 2 == 0 else []), at_s=NOW_S + step)
        notes += [effect.event for effect in effects if isinstance(effect, Note)]
    assert len(told(box)) == CHANGES_PER_HOUR_MAX
    assert notes.count("status.flutters") == 1
    box.now_ms += HOUR_MS
    see(box, 4, MAGNET, at_s=NOW_S + 3_600)
    assert [number for _, number in told(box)[CHANGES_PER_HOUR_MAX:]] == [4, MAGNET]


def test_no_event_of_ours_is_made_of_a_word(box: Box) -> None:
    see(box, MAGNET, at_s=NOW_S)
    assert not [fact for fact in box.sent if isinstance(fact, Event) and fact.meter == METER]


@dataclass(frozen=True)
class Step:
    """A push, how often it comes, and where the gateway dies: before or after the commit of a copy, or never."""

    bits: frozenset[int]
    later_s: int
    copies: int
    dies: str


BITS = st.frozensets(st.sampled_from([0, 4, 51, 79, 81, 83, 84, 85, 86, 111, 127]))
STEPS = st.lists(
    st.builds(
        Step,
        bits=BITS,
        later_s=st.integers(1, 4_000),
        copies=st.integers(1, 3),
        dies=st.sampled_from(["", "", "", "before", "after"]),
    ),
    max_size=12,
)


def expected(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Return what a list of words tells, by the plain meaning of their bits."""
    events = []
    at_s, stood = 0, frozenset[int]()
    for step in steps:
        at_s += step.later_s
        events += [(at_s, RESTORED + bit) for bit in sorted(stood - step.bits - MOMENTARY)]
        events += [(at_s, bit) for bit in sorted((step.bits - stood) | (step.bits & MOMENTARY))]
        stood = step.bits
    return events


class KilledError(Exception):
    """The process was killed before it could commit."""


def lose(box: Box, event: StatusSeen) -> None:
    """Let the gateway be killed while it takes a word."""
    with suppress(KilledError), box.store.transaction():
        box.station.on_record(event, box.now)
        raise KilledError


@settings(max_examples=60)
@given(steps=STEPS)
def test_the_events_are_exactly_the_changes(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder), visited={METER: MAKE})
        box.open_session()
        at_s = NOW_S
        for step in steps:
            at_s += step.later_s
            box.now_ms += 1_000 * step.later_s
            event = StatusSeen(meter_id=METER, tick_ms=box.now_ms, word=word(*step.bits), at_s=at_s)
            if step.dies == "before":
                lose(box, event)
                box.restart()
                box.open_session()
            for _ in range(step.copies):
                take(box, event)
            if step.dies == "after":
                box.restart()
                box.open_session()
                take(box, event)
        assert told(box) == sorted(expected(steps))
        box.store.close()


@settings(max_examples=60)
@given(words=st.lists(st.one_of(BITS, st.just(None)), max_size=10))
def test_whatever_pushes_are_lost_a_read_word_brings_the_state_into_line(words: list[frozenset[int] | None]) -> None:
    """None is a push that was lost."""
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder), visited={METER: MAKE})
        box.open_session()
        for step, bits in enumerate(words):
            if bits is not None:
                see(box, *bits, at_s=NOW_S - 60 + step)
        see(box, MAGNET, VENDOR, at_s=None)
        see(box, MAGNET, VENDOR, at_s=None)
        state: dict[int, int] = {}
        for number in numbers(box):
            bit, rise = (number - RESTORED, -1) if number >= RESTORED else (number, 1)
            state[bit] = state.get(bit, 0) + rise
        assert {bit: height for bit, height in state.items() if height and bit not in MOMENTARY} == {
            MAGNET: 1,
            VENDOR: 1,
        }
        box.store.close()
