import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.errors import CountersExhaustedError, ReplayError
from dlms.security.counters import COUNTER_LAST, PeerCounterPolicy, PeerCounters, ReservedCounter


def nowhere(_: int) -> None:
    """Store a bound for nobody to see."""


def test_a_bound_is_stored_before_any_number_below_it_is_used() -> None:
    stored: list[int] = []
    counter = ReservedCounter(7, stored.append, block=3)
    assert stored == []
    assert [counter.take() for _ in range(3)] == [7, 8, 9]
    assert stored == [10]
    assert counter.take() == 10
    assert stored == [10, 13]


def test_a_number_whose_bound_could_not_be_stored_is_not_used() -> None:
    bounds: list[int] = []

    def reserve(bound: int) -> None:
        bounds.append(bound)
        if len(bounds) == 1:
            raise OSError("disk full")

    counter = ReservedCounter(0, reserve, block=2)
    with pytest.raises(OSError, match="disk full"):
        counter.take()
    assert counter.take() == 0
    assert bounds == [2, 2]


@hypothesis.given(
    start=st.integers(0, 1000),
    block=st.integers(1, 7),
    runs=st.lists(st.lists(st.integers(0, 1100), max_size=20), max_size=6),
)
def test_no_number_comes_twice_however_often_the_process_dies(start: int, block: int, runs: list[list[int]]) -> None:
    stored = [start]
    taken: list[int] = []
    for run in runs:
        counter = ReservedCounter(stored[-1], stored.append, block)
        for least in run:
            counter.raise_to(least)
            taken.append(counter.take())
            assert taken[-1] < stored[-1]
            assert taken[-1] >= least
    assert taken == sorted(set(taken))
    assert stored == sorted(stored)


def test_the_last_number_is_never_handed_out() -> None:
    counter = ReservedCounter(COUNTER_LAST - 1, nowhere, block=10)
    assert counter.take() == COUNTER_LAST - 1
    for _ in range(2):
        with pytest.raises(CountersExhaustedError):
            counter.take()


def test_raising_far_exhausts_and_never_wraps() -> None:
    counter = ReservedCounter(0, nowhere)
    counter.raise_to(1 << 40)
    with pytest.raises(CountersExhaustedError):
        counter.take()


def test_raising_never_goes_back() -> None:
    counter = ReservedCounter(50, nowhere)
    counter.raise_to(20)
    assert counter.next_value == 50


@pytest.mark.parametrize(("value", "block"), [(-1, 1), (1 << 32, 1), (0, 0)])
def test_a_counter_begins_within_its_range(value: int, block: int) -> None:
    with pytest.raises(ValueError, match="counter"):
        ReservedCounter(value, nowhere, block)


def test_strict_counters_rise_over_all_associations() -> None:
    counters = PeerCounters(PeerCounterPolicy.STRICT, highest=10)
    counters.begin()
    for counter in (10, 3):
        with pytest.raises(ReplayError):
            counters.accept(counter)
    counters.accept(11)
    counters.begin()
    with pytest.raises(ReplayError):
        counters.accept(11)
    assert counters.highest == 11


def test_counters_of_an_association_rise_within_it_only() -> None:
    counters = PeerCounters(PeerCounterPolicy.PER_ASSOCIATION, highest=10)
    counters.begin()
    counters.accept(2)
    with pytest.raises(ReplayError):
        counters.accept(2)
    counters.begin()
    counters.accept(0)


def test_unchecked_counters_are_still_noted() -> None:
    counters = PeerCounters(PeerCounterPolicy.UNCHECKED)
    for counter in (5, 5, 1):
        counters.accept(counter)
    assert counters.highest == 5


def test_every_key_has_counters_of_its_own() -> None:
    counters = PeerCounters(PeerCounterPolicy.STRICT, highest=10, highest_broadcast=20)
    counters.accept(0, "dedicated")
    counters.accept(21, "broadcast")
    assert (counters.highest, counters.highest_broadcast) == (10, 21)
    with pytest.raises(ReplayError):
        counters.accept(0, "dedicated")
    counters.begin_dedicated()
    counters.accept(0, "dedicated")
