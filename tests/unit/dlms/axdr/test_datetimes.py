"""Dates and times with parts left open, in both conventions of deviation."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr.datetimes import (
    DST_BEGIN,
    DST_END,
    LAST_DAY,
    SECOND_LAST_DAY,
    ClockStatus,
    CosemDate,
    CosemDateTime,
    CosemTime,
    DeviationSign,
)
from dlms.errors import DecodeError, DlmsError

NOON_UTC_MS = 1_714_564_800_000
"""2024-05-01 12:00:00 UTC, a Wednesday."""


def test_india_is_minus_330_in_the_standard_and_330_the_other_way() -> None:
    standard = CosemDateTime.from_utc_ms(NOON_UTC_MS, -330)
    assert standard.encoded.hex() == "07e8050103111e0000feb600"
    other = CosemDateTime.from_utc_ms(NOON_UTC_MS, 330, sign=DeviationSign.UTC_TO_LOCAL)
    assert other.encoded.hex() == "07e8050103111e0000014a00"
    assert standard.to_utc_ms() == NOON_UTC_MS
    assert other.to_utc_ms(sign=DeviationSign.UTC_TO_LOCAL) == NOON_UTC_MS


def test_a_clock_without_deviation_needs_one_from_elsewhere() -> None:
    local = CosemDateTime.from_utc_ms(NOON_UTC_MS, -330, states_deviation=False)
    assert local.deviation_minutes is None
    assert local.to_utc_ms(-330) == NOON_UTC_MS
    assert local.to_utc_ms(330, sign=DeviationSign.UTC_TO_LOCAL) == NOON_UTC_MS
    with pytest.raises(DecodeError, match="no deviation"):
        local.to_utc_ms()


def test_a_stated_deviation_wins_over_the_default() -> None:
    assert CosemDateTime.from_utc_ms(NOON_UTC_MS, -120).to_utc_ms(-330) == NOON_UTC_MS


def test_every_part_can_be_read() -> None:
    moment = CosemDateTime(bytes.fromhex("07e8 05 01 03 11 1e 07 32 feb6 81"))
    assert (moment.date.year, moment.date.month, moment.date.day, moment.date.weekday) == (2024, 5, 1, 3)
    assert (moment.time.hour, moment.time.minute, moment.time.second, moment.time.hundredths) == (17, 30, 7, 50)
    assert moment.deviation_minutes == -330
    assert moment.status == ClockStatus.INVALID | ClockStatus.DAYLIGHT_SAVING
    assert moment.to_utc_ms() == NOON_UTC_MS + 7_500
    assert str(moment) == "2024-05-01 17:30:07.50 deviation -330"


def test_every_part_can_be_left_open() -> None:
    anything = CosemDateTime.of(CosemDate.of(), CosemTime.of())
    assert anything.encoded.hex() == "ffffffffffffffffff8000ff"
    assert anything.date == CosemDate(b"\xff" * 5)
    assert (anything.date.year, anything.date.month, anything.date.day, anything.date.weekday) == (None,) * 4
    assert (anything.time.hour, anything.time.minute, anything.time.second, anything.time.hundredths) == (None,) * 4
    assert (anything.deviation_minutes, anything.status) == (None, None)
    assert not anything.is_instant
    assert str(anything) == "*-*-* *:*:*"


@pytest.mark.parametrize(
    "encoded",
    [
        "ffff0501030600000080 0000",
        "07e8ff01030600000080 0000",
        "07e805ff030600000080 0000",
        "07e8fe01030600000080 0000",
        "07e805fe030600000080 0000",
        "07e8050103ff00000080 0000",
        "07e805010306ff000080 0000",
        "07e8021e030600000080 0000",
        "07e80501031900000080 0000",
        "07e80501031801000080 0000",
        "07e8050103063c000080 0000",
        "07e805010306003c0080 0000",
        "07e8050103060000c880 0000",
        "000000000000000000800000",
    ],
)
def test_what_is_no_instant_is_kept_and_says_so(encoded: str) -> None:
    moment = CosemDateTime(bytes.fromhex(encoded))
    assert not moment.is_instant
    assert repr(moment).startswith("<CosemDateTime")
    with pytest.raises(DecodeError, match="no instant"):
        moment.to_utc_ms(0)


def test_seconds_left_open_count_as_zero_and_midnight_may_end_a_day() -> None:
    assert CosemDateTime(bytes.fromhex("07e805010 30c00ffff000000".replace(" ", ""))).to_utc_ms() == NOON_UTC_MS
    end = CosemDateTime(bytes.fromhex("07e8041e02180000ff000000"))
    start = CosemDateTime(bytes.fromhex("07e8050103000000ff000000"))
    assert end.to_utc_ms() == start.to_utc_ms()


@pytest.mark.parametrize(
    ("rule", "matching", "text"),
    [
        (CosemDate.of(), ["2024-02-29", "2025-12-31"], "*-*-*"),
        (CosemDate.of(day=1), ["2024-01-01", "2024-12-01"], "*-*-01"),
        (CosemDate.of(year=2024, month=5, day=1), ["2024-05-01"], "2024-05-01"),
        (CosemDate.of(day=LAST_DAY), ["2024-02-29", "2023-02-28", "2024-04-30"], "*-*-last"),
        (CosemDate.of(day=SECOND_LAST_DAY), ["2024-02-28", "2024-12-30"], "*-*-second-last"),
        (CosemDate.of(month=3, day=LAST_DAY, weekday=7), ["2024-03-31", "2025-03-30"], "*-03-last weekday 7"),
        (CosemDate.of(month=4, day=1, weekday=7), ["2024-04-07", "2023-04-02"], "*-04-01 weekday 7"),
        (CosemDate.of(day=8, weekday=1), ["2024-04-08", "2024-01-08"], "*-*-08 weekday 1"),
        (CosemDate.of(weekday=5), ["2024-05-03"], "*-*-* weekday 5"),
    ],
)
def test_a_rule_for_dates_matches_those_it_names(rule: CosemDate, matching: list[str], text: str) -> None:
    assert str(rule) == text
    for named in matching:
        date = dt.date.fromisoformat(named)
        assert rule.matches(date)
        if rule != CosemDate.of():
            assert not all(rule.matches(date + dt.timedelta(days=days)) for days in range(3))


def test_the_daylight_saving_markers_are_shown_and_match_no_date() -> None:
    for marker, name in ((DST_BEGIN, "dst-begin"), (DST_END, "dst-end")):
        rule = CosemDate.of(month=marker)
        assert str(rule) == f"*-{name}-*"
        assert not any(rule.matches(dt.date(2024, month, 1)) for month in range(1, 13))


def test_a_rule_for_times_matches_to_the_second() -> None:
    rule = CosemTime.of(minute=30, second=0)
    assert rule.matches(dt.time(7, 30))
    assert not rule.matches(dt.time(7, 30, 1))
    assert str(rule) == "*:30:00"


@pytest.mark.parametrize(
    ("before", "seconds", "after"),
    [
        ("07e8050103111e00ff800000", 900, "07e8050103112d00ff800000"),
        ("07e8050103173b0000feb680", 60, "07e80502040000 0000feb680"),
        ("07e8050103000000ff800000", -900, "07e8041e02172d00ff800000"),
        ("07e80501ff173bffffff8800", 60, "07e80502ff0000ffffff8800"),
        ("07e8050103180000ff800000", 900, "07e8050204000f00ff800000"),
    ],
)
def test_later_on_the_same_clock_keeps_what_was_open(before: str, seconds: int, after: str) -> None:
    assert CosemDateTime(bytes.fromhex(before)).plus_seconds(seconds) == CosemDateTime(bytes.fromhex(after))


def test_values_that_do_not_fit_are_not_written() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        CosemDate.of(year=70_000)
    with pytest.raises(ValueError, match="further than the world"):
        CosemDateTime.of(CosemDate.of(), CosemTime.of(), deviation_minutes=841)
    with pytest.raises(ValueError, match="no year"):
        CosemDateTime.from_utc_ms(10**18, 0)
    with pytest.raises(DecodeError, match="no year"):
        CosemDateTime(bytes.fromhex("270f0c1fff173b00ff800000")).plus_seconds(86_400)


@pytest.mark.parametrize("kind", [CosemDate, CosemTime, CosemDateTime])
def test_another_number_of_bytes_is_refused(kind: type[CosemDate | CosemTime | CosemDateTime]) -> None:
    with pytest.raises(DecodeError, match="has"):
        kind(b"\x00" * 6)


@given(st.integers(0, 4 * 10**12), st.integers(-720, 840), st.sampled_from(DeviationSign), st.booleans())
def test_any_instant_comes_back_to_the_hundredth(
    utc_ms: int,
    deviation: int,
    sign: DeviationSign,
    stated: bool,  # noqa: FBT001  hypothesis gives them by place
) -> None:
    moment = CosemDateTime.from_utc_ms(utc_ms, deviation, sign=sign, states_deviation=stated)
    assert moment.to_utc_ms(deviation, sign=sign) == utc_ms // 10 * 10
    assert moment.date.weekday is not None


@given(st.integers(0, 4 * 10**12), st.integers(-(10**6), 10**6))
def test_later_is_later_by_as_much(utc_ms: int, seconds: int) -> None:
    moment = CosemDateTime.from_utc_ms(utc_ms, -330)
    later = moment.plus_seconds(seconds)
    assert later.to_utc_ms() == moment.to_utc_ms() + seconds * 1000
    assert later == CosemDateTime.from_utc_ms(moment.to_utc_ms() + seconds * 1000, -330)


@given(st.binary(min_size=12, max_size=12), st.dates())
def test_any_twelve_bytes_answer_or_err(encoded: bytes, date: dt.date) -> None:
    moment = CosemDateTime(encoded)
    assert str(moment)
    moment.date.matches(date)
    assert moment.status is None or int(moment.status) == encoded[11]
    for ask in (moment.to_utc_ms, lambda: moment.plus_seconds(900)):
        try:
            ask()
        except DlmsError:
            assert not moment.is_instant or moment.deviation_minutes is None or moment.date.year in {1, 9999}
