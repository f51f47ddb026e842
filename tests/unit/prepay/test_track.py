"""An installation's points are judged as if they had come in order."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from prepay.entries import Assignment, Release
from prepay.items import Dated
from prepay.register import Mark, Verdict, follow, line_start
from prepay.track import Amounts, Change, Track
from tests.unit.prepay.village import HOUR_MS, assignment, release

# Plausible steps, falls and jumps in about equal parts, and several marks in one instant.
marks = st.builds(
    lambda hour, energy_wh, key: Mark(hour * HOUR_MS, energy_wh, key, key),
    st.integers(0, 12),
    st.sampled_from([0, 1_000, 2_000, 3_000, 9_000, 20_000, 21_000, 900_000, 901_000]),
    st.sampled_from([b"k1", b"k2"]),
)
terms = st.sampled_from(
    [None, assignment(), assignment(from_ms=2 * HOUR_MS, opening_wh=2_000), assignment(modulus_wh=10_000)]
)
releases = st.sampled_from([None, release(3_000, 8 * HOUR_MS)])


def in_order(members: set[Mark], start: Assignment | None, until: Release | None) -> dict[Mark, Verdict]:
    line = line_start(start)
    verdicts = {}
    for mark in sorted(members):
        verdicts[mark] = follow(start, until, line, mark)
        line = verdicts[mark].line
    return verdicts


def carry(known: dict[Mark, Verdict], changes: list[Change]) -> None:
    """Apply changes as an account does, checking that each starts from what was known."""
    for mark, before, after in changes:
        assert known.pop(mark, None) == before
        if after is not None:
            known[mark] = after


@settings(max_examples=300)
@given(
    st.lists(marks, max_size=25), st.lists(st.tuples(terms, releases), max_size=3), st.randoms(use_true_random=False)
)
def test_any_order_of_arrival_and_removal_gives_the_verdicts_of_the_sorted_points(
    arriving: list[Mark], changes_of_terms: list[tuple[Assignment | None, Release | None]], rng: random.Random
) -> None:
    track = Track()
    known: dict[Mark, Verdict] = {}
    members: set[Mark] = set()
    carry(known, track.reassign(assignment(), None))
    for mark in arriving:
        if mark in members:
            members.remove(mark)
            carry(known, track.remove(mark))
        else:
            members.add(mark)
            carry(known, track.insert(mark))
        if changes_of_terms and rng.random() < 0.1:
            carry(known, track.reassign(*changes_of_terms.pop()))
        expected = in_order(members, track.assignment, track.release)
        assert known == expected
        assert dict(track.verdicts()) == expected
        assert track.charged_wh == sum(verdict.energy_wh for verdict in expected.values())


@given(st.sets(marks, max_size=20), st.integers(-1, 13))
def test_the_past_of_a_track_is_what_it_was(members: set[Mark], hour: int) -> None:
    track = Track()
    track.reassign(assignment(), None)
    for mark in members:
        track.insert(mark)
    past = in_order({mark for mark in members if mark.taken_at_ms <= hour * HOUR_MS}, assignment(), None)
    later = dict(track.after(hour * HOUR_MS))
    assert later.keys() == members - past.keys()
    assert track.charged_wh - sum(verdict.energy_wh for verdict in later.values()) == sum(
        verdict.energy_wh for verdict in past.values()
    )
    expected = past[max(past)].line if past else line_start(assignment())
    assert track.line_at(hour * HOUR_MS) == expected


@given(st.sets(st.builds(Dated, st.integers(0, 9), st.sampled_from([b"a", b"b", b"c"]), st.integers(-5, 5))))
def test_amounts_add_up_at_every_instant(items: set[Dated]) -> None:
    amounts = Amounts()
    for item in items:
        amounts.insert(item)
    for item in {item for item in items if item.amount_minor < 0}:
        amounts.remove(item)
    for at_ms in range(-1, 10):
        due = [item.amount_minor for item in items if item.at_ms <= at_ms and item.amount_minor >= 0]
        assert amounts.sum_at(at_ms) == sum(due)
