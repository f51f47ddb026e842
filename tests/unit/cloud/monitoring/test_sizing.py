import pytest

from cloud.monitoring.core.catalogue import BY_NAME, MEASUREMENTS, Of, Retention
from cloud.monitoring.core.sizing import Network, sizes, total

LARGE = Network(gateways=20_000, meters=1_000_000)
ONE_PER_CENT = Network(gateways=200, meters=10_000)


def test_readings_are_counted_by_meters_and_quarters() -> None:
    reading = sizes(LARGE, meters=True)["reading"]
    assert (reading.series, reading.series_a_day, reading.points_a_day) == (1_000_000, 1_000_000, 96_000_000)


def test_without_series_of_meters_nothing_grows_with_meters_but_what_is_silent() -> None:
    of = sizes(LARGE, meters=False)

    assert {"reading", "meter_health", "meter_hour", "meter_day", "account"}.isdisjoint(of)
    assert {name for name in of if BY_NAME[name].of is Of.METER} == {"meter_silent"}
    assert total(of).series < 1_000_000
    assert total(of).bytes_a_day < total(sizes(LARGE, meters=True)).bytes_a_day / 10


def test_every_measurement_has_a_size() -> None:
    of = sizes(LARGE, meters=True)
    assert set(of) == {shape.name for shape in MEASUREMENTS}
    assert all(size.series > 0 and size.points_a_day > 0 and size.bytes_a_day > 0 for size in of.values())


@pytest.mark.parametrize("meters", [False, True])
def test_one_per_cent_of_the_network_is_one_per_cent_of_the_copy(*, meters: bool) -> None:
    for retention in Retention:
        whole = total(sizes(LARGE, meters=meters), retention=retention)
        part = total(sizes(ONE_PER_CENT, meters=meters), retention=retention)
        assert part.bytes_a_day * 100 == pytest.approx(whole.bytes_a_day, rel=0.1)
        assert part.series * 100 == pytest.approx(whole.series, rel=0.1)


def test_retention_policies_add_up() -> None:
    of = sizes(LARGE, meters=True)
    both = total(of, retention=Retention.DETAIL) + total(of, retention=Retention.HISTORY)
    assert both.series == pytest.approx(total(of).series)
    assert both.bytes_a_day == pytest.approx(total(of).bytes_a_day)


def test_longer_files_repeat_their_index_less_often() -> None:
    daily = sizes(LARGE, meters=True, span_days=dict.fromkeys(Retention, 1))
    weekly = sizes(LARGE, meters=True, span_days=dict.fromkeys(Retention, 7))
    assert weekly["meter_day"].bytes_a_day < daily["meter_day"].bytes_a_day / 2
