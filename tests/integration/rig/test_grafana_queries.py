"""Macros and variables become what Grafana's InfluxDB data source sends."""

import pytest

from tests.rig.grafana.queries import QueryError, Span, interval_of, substitute, written

SPAN = Span(1_790_000_000_000, 1_790_003_600_000)


def sent(text: str, **variables: str | list[str]) -> str:
    return substitute(text, SPAN, interval_ms=60_000, variables=variables)


def test_time_and_interval_are_filled_in() -> None:
    text = "WHERE $timeFilter GROUP BY time($__interval) fill(null) -- ${__interval} $__interval_ms $__from ${__to}"
    assert sent(text) == (
        "WHERE time >= 1790000000000ms and time <= 1790003600000ms GROUP BY time(1m) fill(null) "
        "-- 1m 60000 1790000000000 1790003600000"
    )


def test_the_end_of_a_regular_expression_is_no_variable() -> None:
    assert sent('"gateway" =~ /^$gateway$/', gateway="gw-1") == '"gateway" =~ /^gw-1$/'


@pytest.mark.parametrize(
    ("reference", "chosen", "expected"),
    [
        ("$x", "gw.1", "gw.1"),
        ("${x}", "gw.1", "gw.1"),
        ("[[x]]", "gw.1", "gw.1"),
        ("$x", ["gw.1"], r"gw\.1"),
        ("$x", ["gw-1", "gw-2"], "(gw-1|gw-2)"),
        ("${x:regex}", ["a.b", "c"], r"(a\.b|c)"),
        ("${x:regex}", "a.b", r"a\.b"),
        ("${x:pipe}", ["a", "b"], "a|b"),
        ("${x:csv}", ["a", "b"], "a,b"),
        ("${x:singlequote}", ["a", "b"], "'a','b'"),
        ("${x:doublequote}", ["a", "b"], '"a","b"'),
    ],
)
def test_a_variable_is_written_as_its_format_says(reference: str, chosen: str | list[str], expected: str) -> None:
    assert sent(reference, x=chosen) == expected


def test_a_variable_that_nobody_chose_is_an_error() -> None:
    with pytest.raises(QueryError, match="gateway"):
        sent("$gateway")


@pytest.mark.parametrize(
    ("hours", "expected"), [(1, "5s"), (6, "20s"), (24, "1m"), (24 * 7, "10m"), (24 * 30, "30m"), (24 * 365, "6h")]
)
def test_intervals_are_round_and_few_enough(hours: int, expected: str) -> None:
    assert written(interval_of(Span(0, hours * 3_600_000))) == expected


def test_an_interval_is_never_shorter_than_what_is_asked_for() -> None:
    assert interval_of(SPAN, least_ms=900_000) == 900_000
