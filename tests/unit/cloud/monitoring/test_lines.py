from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from cloud.meterdata.core.meter_day import VALID, ChannelKey
from cloud.meterdata.core.placing import Block, stated_in
from cloud.monitoring.core.fields import field_name, scaled
from cloud.monitoring.core.lines import Happened, event_lines, health_line, reading_lines, unlisted_metrics
from tests.rig import strategies
from wire.facts import Event, Health, LineHealth, MeterEvent, Metric
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, Profile, Readings

UTC = 1_750_000_000_123
BOOT = b"boot-001"
ENERGY = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
VOLTAGE = ChannelKey(bytes((1, 0, 32, 7, 0, 255)), -1, 35)
Point = tuple[str, dict[str, float], int]
"""Measurement with tags, fields, time."""


def of_block(*rows: tuple[int, int], flagged: dict[int, tuple[str, ...]] | None = None) -> Block:
    columns = [list(column) for column in zip(*rows, strict=True)]
    count = len(rows)
    return Block(BOOT, (ENERGY, VOLTAGE), ["m-1"] * count, [0] * count, columns, flagged or {})


def point_of(line: str) -> Point:
    head, fields, stamp = line.split(" ")
    pairs = (field.split("=") for field in fields.split(","))
    return head, {name: float(value) for name, value in pairs}, int(stamp)


# ---- readings --------------------------------------------------------------------------------------------------------


def test_a_row_is_one_line_of_what_the_meter_sent_in_milliseconds() -> None:
    assert reading_lines("demo", "gw-1", of_block((1_000, 2_301)), [UTC]) == [
        f"reading,gateway=gw-1,meter=m-1,utility=demo active_energy_import_wh=1000,voltage_l1_v=2301e-1 {UTC}"
    ]


def test_a_suspect_value_is_counted_and_not_drawn() -> None:
    block = of_block((1_000, 9_999), (1_010, 2_300), flagged={0: ("", QUALITY_SUSPECT)})
    first, second = reading_lines("demo", "gw-1", block, [UTC, UTC + 1])
    assert point_of(first)[1] == {"active_energy_import_wh": 1_000, "flagged": 1}
    assert point_of(second)[1] == {"active_energy_import_wh": 1_010, "voltage_l1_v": 230}


def test_a_row_of_which_all_is_missing_is_no_line() -> None:
    block = of_block((0, 0), flagged={0: (QUALITY_MISSING, QUALITY_MISSING)})
    assert reading_lines("demo", "gw-1", block, [UTC]) == []


def test_a_row_without_an_instant_is_no_line() -> None:
    (line,) = reading_lines("demo", "gw-1", of_block((1, 2), (3, 4)), [None, UTC])
    assert point_of(line)[1:] == ({"active_energy_import_wh": 3, "voltage_l1_v": 0.4}, UTC)


def plainly(utility: str, gateway: str, block: Block, instants: Sequence[int | None]) -> list[Point]:
    """Return what the lines must say, row by row and value by value."""
    found: list[Point] = []
    for row, utc_ms in zip(block.rows(), instants, strict=True):
        told = zip(block.channels, row.values, row.qualities, strict=True)
        fields = {field_name(key): scaled(value, key.scaler) for key, value, code in told if code == VALID}
        if flagged := [code for code in row.qualities if code not in {VALID, QUALITY_MISSING}]:
            fields["flagged"] = len(flagged)
        if fields and utc_ms is not None:
            found.append((f"reading,gateway={gateway},meter={row.meter},utility={utility}", fields, utc_ms))
    return found


@hypothesis.given(
    fact=st.one_of(strategies.blocks(), strategies.profiles()),
    gateway=strategies.names,
    instants=st.lists(st.one_of(st.none(), strategies.times_ms), min_size=12, max_size=12),
)
def test_lines_say_of_any_block_what_its_rows_say(
    fact: Readings | Profile, gateway: str, instants: list[int | None]
) -> None:
    for block in stated_in([fact]).blocks:
        of_rows = instants[: len(block.meters)]
        lines = reading_lines("demo", gateway, block, of_rows)
        assert [point_of(line) for line in lines] == plainly("demo", gateway, block, of_rows)


# ---- health ----------------------------------------------------------------------------------------------------------


def test_health_of_gateway_line_and_meter_are_told_apart() -> None:
    stamp = {"boot": BOOT, "tick_ms": 0}
    of_gateway = Health(**stamp, meter="", metrics=[Metric("pending_count", 5), Metric("clock_step_ms", 1)])  # type: ignore[arg-type]
    of_line = LineHealth(**stamp, line="bus-1", metrics=[Metric("failures_count", 2)])  # type: ignore[arg-type]
    of_meter = Health(**stamp, meter="m-1", metrics=[Metric("clock_offset_ms", -70)])  # type: ignore[arg-type]

    assert [health_line("demo", "gw-1", fact, utc_ms=UTC) for fact in (of_gateway, of_line, of_meter)] == [
        f"gateway_health,gateway=gw-1,utility=demo pending_count=5.0,clock_step_ms=1.0 {UTC}",
        f"line_health,gateway=gw-1,line=bus-1,utility=demo failures_count=2.0 {UTC}",
        f"meter_health,gateway=gw-1,meter=m-1,utility=demo clock_offset_ms=-70.0 {UTC}",
    ]


def test_a_metric_that_is_not_in_the_catalogue_makes_no_field() -> None:
    new = Metric("brightness", 1)
    fact = Health(boot=BOOT, tick_ms=0, meter="", metrics=[Metric("pending_count", 5), new])

    assert health_line("demo", "gw-1", fact, utc_ms=UTC) == (
        f"gateway_health,gateway=gw-1,utility=demo pending_count=5.0 {UTC}"
    )
    assert list(unlisted_metrics(fact)) == ["gateway_health.brightness"]
    alone = Health(boot=BOOT, tick_ms=0, meter="", metrics=[new])
    assert health_line("demo", "gw-1", alone, utc_ms=UTC) is None


# ---- events ----------------------------------------------------------------------------------------------------------


def event(meter: str, code: str = "3.26.0.85", *, detail: str = "", serial: int = 1) -> Event:
    return Event(boot=BOOT, tick_ms=0, serial=serial, meter=meter, code=code, detail=detail)


def logged(meter: str, number: int = 101, *, captured_s: int = UTC // 1_000) -> MeterEvent:
    return MeterEvent(
        meter=meter,
        log=bytes(6),
        captured_s=captured_s,
        number=number,
        code="3.26.0.85",
        values=[],
        boot=BOOT,
        tick_ms=9,
    )


def happened(fact: Event | MeterEvent, *, utc_ms: int = UTC, gateway: str = "gw-1", assigned: bool = True) -> Happened:
    return Happened("demo", gateway, fact, utc_ms, assigned)


def test_an_event_tells_kind_meter_and_what_was_said_of_it() -> None:
    (line,) = event_lines([happened(event("m-1", detail='a"b\\c\nx y=1 2'))], meters=True)
    assert line == (
        "event,code=3.26.0.85,gateway=gw-1,kind=power,meter=m-1,source=gateway,utility=demo "
        f'count=1.0,detail="a\\"b\\\\c x y=1 2",meter_id="m-1" {UTC}'
    )


def test_without_series_of_meters_events_of_an_instant_are_counted_together() -> None:
    facts = [event("m-1", detail="first"), event("m-2"), event("m-3", "3.31.0.68"), event("m-4")]
    lines = event_lines([*map(happened, facts), happened(event("m-5"), gateway="gw-2")], meters=False)

    power = "kind=power,source=gateway,utility=demo"
    assert lines == [
        f'event,code=3.26.0.85,gateway=gw-1,{power} count=3.0,detail="first",meter_id="m-1" {UTC}',
        f'event,code=3.31.0.68,gateway=gw-1,kind=relay,source=gateway,utility=demo count=1.0,meter_id="m-3" {UTC}',
        f'event,code=3.26.0.85,gateway=gw-2,{power} count=1.0,meter_id="m-5" {UTC}',
    ]


def test_a_meter_that_the_gateway_may_not_report_of_gets_no_series() -> None:
    (line,) = event_lines([happened(event("m-1"), assigned=False)], meters=True)
    assert ",meter=" not in line
    assert 'meter_id="m-1"' in line


def test_a_code_that_no_list_has_is_told_in_the_detail() -> None:
    (line,) = event_lines([happened(event("", "3.99.99.99", detail="what is this"))], meters=True)
    assert line == (
        "event,code=unlisted,gateway=gw-1,kind=other,source=gateway,utility=demo "
        f'count=1.0,detail="3.99.99.99 what is this" {UTC}'
    )


@pytest.mark.parametrize("meters", [False, True])
def test_entries_of_many_logs_in_one_second_stay_apart_though_they_come_one_by_one(*, meters: bool) -> None:
    names = [f"m-{index}" for index in range(20)]
    apart = [line for name in names for line in event_lines([happened(logged(name))], meters=meters)]
    stamps = {int(line.rpartition(" ")[2]) for line in apart}

    assert apart == event_lines([happened(logged(name)) for name in names], meters=meters)
    assert {stamp // 1_000 for stamp in stamps} == {UTC // 1_000}
    assert len(stamps) == len(names)
    assert all("source=meter" in line and "number=101.0" in line for line in apart)
