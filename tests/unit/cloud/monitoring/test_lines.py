from cloud.meterdata.core.meter_day import ChannelKey, Row, Source
from cloud.meterdata.core.placing import PlacedRow
from cloud.monitoring.core.lines import in_batches, reading_lines, stamped_line
from wire.facts import Event, Health, Metric, Receipt, Stage
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT

UTC = 1_750_000_000_123
BOOT = b"boot-001"
ENERGY = ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
VOLTAGE = ChannelKey(bytes((1, 0, 32, 7, 0, 255)), -1, 35)


def placed(values: tuple[int, int], qualities: tuple[str, str] = ("", "")) -> PlacedRow:
    row = Row(
        Source("gw-1", BOOT),
        0,
        UTC,
        estimated=False,
        message=1,
        channels=(ENERGY, VOLTAGE),
        values=values,
        qualities=qualities,
    )
    return PlacedRow("m-1", UTC, row)


def test_a_row_is_one_line_of_floats_in_milliseconds() -> None:
    assert list(reading_lines("demo", "gw-1", [placed((1_000, 2_301))])) == [
        f"reading,utility=demo,gateway=gw-1,meter=m-1 active_energy_import_wh=1000.0,voltage_l1_v=230.1 {UTC}"
    ]


def test_a_suspect_value_is_counted_and_not_drawn() -> None:
    (line,) = reading_lines("demo", "gw-1", [placed((1_000, 9_999), ("", QUALITY_SUSPECT))])
    assert line.split(" ")[1] == "active_energy_import_wh=1000.0,flagged=1.0"


def test_a_row_of_which_all_is_missing_is_no_line() -> None:
    assert list(reading_lines("demo", "gw-1", [placed((0, 0), (QUALITY_MISSING, QUALITY_MISSING))])) == []


def test_health_of_the_gateway_and_of_a_meter_are_told_apart() -> None:
    metrics = [Metric("spool_rows", 5), Metric("cpu_c", -1)]
    of_gateway = Health(boot=BOOT, tick_ms=0, meter="", metrics=metrics)
    of_meter = Health(boot=BOOT, tick_ms=0, meter="m-1", metrics=metrics[:1])

    assert stamped_line("demo", "gw-1", of_gateway, utc_ms=UTC) == (
        f"gateway_health,utility=demo,gateway=gw-1 spool_rows=5.0,cpu_c=-1.0 {UTC}"
    )
    assert stamped_line("demo", "gw-1", of_meter, utc_ms=UTC) == (
        f"meter_health,utility=demo,gateway=gw-1,meter=m-1 spool_rows=5.0 {UTC}"
    )


def test_text_of_a_peer_stays_inside_its_quotes() -> None:
    event = Event(boot=BOOT, tick_ms=0, serial=1, meter="m-1", code="3.26.0.85", detail='a"b\\c\nx y=1 2')
    assert stamped_line("demo", "gw-1", event, utc_ms=UTC) == (
        f'event,utility=demo,gateway=gw-1,meter=m-1,code=3.26.0.85 count=1.0,detail="a\\"b\\\\c x y=1 2" {UTC}'
    )


def test_a_receipt_tells_stage_command_and_relay() -> None:
    receipt = Receipt(
        command=bytes(16),
        meter="m-1",
        stage=Stage.EXECUTED,
        boot=BOOT,
        tick_ms=0,
        detail="",
        relay_closed=False,
        values=[],
        journal_index=1,
        journal_digest=bytes(32),
    )
    assert stamped_line("demo", "gw-1", receipt, utc_ms=UTC) == (
        f"receipt,utility=demo,gateway=gw-1,meter=m-1,stage=executed "
        f'count=1.0,command="{"00" * 16}",detail="",relay_closed=0.0 {UTC}'
    )


def test_batches_are_bounded_in_lines_and_in_bytes_and_lose_nothing() -> None:
    lines = ["x" * length for length in (3, 3, 3, 50, 1)]
    batches = list(in_batches(lines, lines_max=2, bytes_max=10))

    assert batches == [["xxx", "xxx"], ["xxx"], ["x" * 50], ["x"]]
