from cloud.tally import Timing


def test_a_timing_tells_mean_and_maximum_since_it_was_last_asked() -> None:
    timing = Timing()
    for spent_ms in (2.0, 4.0):
        timing.add(spent_ms)
    assert timing.take() == (3.0, 4.0)
    timing.add(1.0)
    assert timing.take() == (1.0, 1.0)
    assert timing.total_count == 3


def test_a_timing_of_nothing_says_so() -> None:
    assert Timing().take() == (None, None)
