"""Block, daily and billing profiles: what is captured when, and how it is selected."""

from collections.abc import Callable

import pytest

from device_sim.core.is15959.clock import DAY_MS, MINUTE_MS
from device_sim.core.is15959.stores import BLOCK_ENTRIES
from dlms.apdu.services import Selection
from dlms.axdr.data import double_long_unsigned, octet_string
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.axdr.values import decode_value
from dlms.cosem.codecs import LONG_UNSIGNED
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.registers import DataObject
from dlms.cosem.schedules import ExecutionTime, ScriptTable, SingleActionSchedule
from dlms.cosem.units import ScalerUnit
from dlms.errors import AccessRefusedError, DecodeError
from dlms.obis import obis, obis_text
from tests.unit.device_sim.core.is15959.bench import (
    BILLING,
    BLOCK,
    CLOCK_COLUMN,
    DAILY,
    HOUR_MS,
    MIDNIGHT_MS,
    NOON_MS,
    TRANSACTION_LOG,
    Bench,
    local,
    local_ms,
)

QUARTER_MS = 15 * MINUTE_MS
CAPTURE_PERIOD = DataObject("1.0.0.8.4.255").value.using(LONG_UNSIGNED)


def test_capture_lists_are_those_of_the_standard(bench: Bench) -> None:
    def names(name: str) -> list[str]:
        return [obis_text(column.name) for column in bench.read(ProfileGeneric(name).capture_objects)]

    assert names("1.0.99.1.0.255") == [
        "0.0.1.0.0.255", "1.0.12.27.0.255", "1.0.1.29.0.255", "1.0.9.29.0.255",
        "1.0.2.29.0.255", "1.0.10.29.0.255", "1.0.11.27.0.255", "0.0.96.10.1.255",
    ]  # fmt: skip
    assert names("1.0.99.2.0.255") == [
        "0.0.1.0.0.255", "1.0.1.8.0.255", "1.0.9.8.0.255", "1.0.2.8.0.255", "1.0.10.8.0.255",
    ]  # fmt: skip
    assert len(names("1.0.94.91.0.255")) == 22
    assert len(names("1.0.98.1.0.255")) == 27


def test_blocks_stand_for_the_ends_of_quarters_and_add_up_to_the_register(bench: Bench) -> None:
    bench.wait(DAY_MS)
    rows = bench.rows(BLOCK)
    assert [local_ms(row[0]) for row in rows] == [NOON_MS + QUARTER_MS * (n + 1) for n in range(96)]
    energies = [row[2] for row in rows if isinstance(row[2], int)]
    assert sum(energies) == bench.number("1.0.1.8.0.255", 3)
    assert all(isinstance(row[1], int) and 18_000 < row[1] < 26_000 for row in rows)


def test_range_gives_both_ends_and_only_what_lies_between(bench: Bench) -> None:
    bench.wait(DAY_MS)
    selection = BLOCK.by_range(CLOCK_COLUMN, local(NOON_MS + HOUR_MS), local(NOON_MS + 2 * HOUR_MS))
    rows = bench.rows(BLOCK, selection)
    assert [local_ms(row[0]) for row in rows] == [NOON_MS + HOUR_MS + n * QUARTER_MS for n in range(5)]
    empty = BLOCK.by_range(CLOCK_COLUMN, local(NOON_MS + 2 * DAY_MS), local(NOON_MS + 3 * DAY_MS))
    assert bench.rows(BLOCK, empty) == ()


def test_range_in_another_time_zone_means_the_same_rows(bench: Bench) -> None:
    bench.wait(4 * HOUR_MS)
    first, last = (CosemDateTime.from_utc_ms(NOON_MS + n * HOUR_MS, 0) for n in (1, 2))
    assert len(bench.rows(BLOCK, BLOCK.by_range(CLOCK_COLUMN, first, last))) == 5


def test_range_of_some_columns_has_only_those(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    column = CaptureObject(3, obis("1.0.1.29.0.255"), 2)
    selection = BLOCK.by_range(CLOCK_COLUMN, local(NOON_MS), local(NOON_MS + DAY_MS), (CLOCK_COLUMN, column))
    rows = decode_value(bench.read_raw(BLOCK.buffer, selection))
    assert isinstance(rows, list)
    whole = bench.rows(BLOCK)
    assert [row[1] for row in rows if isinstance(row, tuple)] == [row[2] for row in whole]


def test_entries_count_from_the_oldest(bench: Bench) -> None:
    bench.wait(3 * HOUR_MS)
    rows = bench.rows(BLOCK)
    assert bench.read(BLOCK.buffer, BLOCK.by_entry(1, 2)) == bench.read(BLOCK.buffer)[:2]
    assert len(bench.read(BLOCK.buffer, BLOCK.by_entry(11, 0))) == len(rows) - 10
    assert bench.read(BLOCK.buffer, BLOCK.by_entry(100, 200)) == ()
    columns = bench.read(BLOCK.buffer, BLOCK.by_entry(1, 1, 3, 4))
    assert columns == (rows[0][2:4],)


def test_selection_by_another_column_or_of_another_kind_is_refused(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    energy = CaptureObject(3, obis("1.0.1.29.0.255"), 2)
    by_energy = BLOCK.by_range(energy, double_long_unsigned(0), double_long_unsigned(9))
    assert bench.refused(lambda: bench.rows(BLOCK, by_energy)) == 13
    unknown = BLOCK.by_range(CLOCK_COLUMN, local(0), local(NOON_MS), (CaptureObject(3, bytes(6), 2),))
    assert bench.refused(lambda: bench.rows(BLOCK, unknown)) == 13
    assert bench.refused(lambda: bench.read_raw(BLOCK.buffer, Selection(7, b"\x00"))) == 13
    assert bench.refused(lambda: bench.read_raw(BLOCK.capture_period, Selection(1, b"\x00"))) == 13
    for parameters in (b"\x00", b"\x02\x00", b"", b"\xff" * 9):
        with pytest.raises(DecodeError):
            bench.read_raw(BLOCK.buffer, Selection(1, parameters))
    with pytest.raises(DecodeError):
        bench.read_raw(BLOCK.buffer, BLOCK.by_range(CLOCK_COLUMN, octet_string(b"x"), octet_string(b"y")))


def test_daily_rows_stand_for_midnight_and_carry_cumulative_energy(bench: Bench) -> None:
    bench.wait_until(MIDNIGHT_MS + 2 * DAY_MS)
    rows = bench.rows(DAILY)
    assert [local_ms(row[0]) for row in rows] == [MIDNIGHT_MS + n * DAY_MS for n in range(3)]
    assert rows[-1][1] == bench.number("1.0.1.8.0.255", 3)


def test_billing_ends_with_the_month(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(now_ms=MIDNIGHT_MS + 28 * DAY_MS)
    assert bench.rows(BILLING) == ()
    bench.wait_until(MIDNIGHT_MS + 29 * DAY_MS)
    (row,) = bench.rows(BILLING)
    assert isinstance(row[0], bytes)
    assert row[0][:5] == bytes((0x07, 0xEA, 7, 1, 3))
    assert row[2] == bench.number("1.0.1.8.0.255", 3)
    assert bench.number("0.0.0.1.0.255") == 1
    assert bench.number("1.0.1.6.0.255", 4) == 0


def test_script_ends_a_cycle_at_once_and_is_logged(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    for _ in range(8):
        bench.wait(HOUR_MS)
        bench.invoke(ScriptTable("0.0.10.0.1.255").execute, 1)
    assert bench.number("0.0.0.1.0.255") == 8
    assert bench.number("0.0.0.1.1.255") == 6
    assert bench.codes(TRANSACTION_LOG) == [166] * 8
    assert bench.refused(lambda: bench.invoke(ScriptTable("0.0.10.0.1.255").execute, 2)) == 250


def test_billing_date_can_be_moved(bench: Bench) -> None:
    schedule = SingleActionSchedule("0.0.15.0.0.255").execution_time
    rule = ExecutionTime(CosemTime.of(hour=6, minute=0, second=0), CosemDate.of(day=3))
    bench.write(schedule, (rule,))
    assert bench.read(schedule) == (rule,)
    bench.wait_until(MIDNIGHT_MS + 2 * DAY_MS)
    (row,) = bench.rows(BILLING)
    assert isinstance(row[0], bytes)
    assert row[0][3:7] == bytes((3, 3, 6, 0))
    assert bench.codes(TRANSACTION_LOG) == [154]


def test_half_hour_blocks_follow_when_the_period_is_changed(bench: Bench) -> None:
    bench.wait(HOUR_MS + MINUTE_MS)
    bench.write(CAPTURE_PERIOD, 1800)
    assert bench.read(BLOCK.capture_period) == 1800
    bench.wait_until(NOON_MS + 3 * HOUR_MS)
    times = [(local_ms(row[0]) - NOON_MS) // MINUTE_MS for row in bench.rows(BLOCK)]
    assert times == [15, 30, 45, 60, 90, 120, 150, 180]
    assert bench.codes(TRANSACTION_LOG) == [153]
    assert bench.refused(lambda: bench.write(CAPTURE_PERIOD, 1234)) == 250


def test_a_month_of_quarters_is_kept(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(annual_kwh=500, capture_period_s=300)
    assert BLOCK_ENTRIES >= 22 * 96
    bench.wait((BLOCK_ENTRIES + 50) * 5 * MINUTE_MS)
    rows = bench.rows(BLOCK)
    assert len(rows) == bench.read(BLOCK.entries_in_use) == bench.read(BLOCK.profile_entries) == BLOCK_ENTRIES
    assert local_ms(rows[-1][0]) == bench.now_ms
    late = BLOCK.by_range(CLOCK_COLUMN, local(bench.now_ms - HOUR_MS), local(bench.now_ms))
    assert bench.rows(BLOCK, late) == rows[-13:]


def test_scaler_profiles_say_scaler_and_unit_of_every_register_column(bench: Bench) -> None:
    for values, scalers in (
        ("1.0.94.91.0.255", "1.0.94.91.3.255"),
        ("1.0.99.1.0.255", "1.0.94.91.4.255"),
        ("1.0.99.2.0.255", "1.0.94.91.5.255"),
        ("1.0.98.1.0.255", "1.0.94.91.6.255"),
        ("0.0.99.98.0.255", "1.0.94.91.7.255"),
    ):
        columns = bench.read(ProfileGeneric(values).capture_objects)
        wanted = [column.name for column in columns if column.class_id in {3, 4} and column.attribute == 2]
        described = bench.read(ProfileGeneric(scalers).capture_objects)
        assert [column.name for column in described] == wanted
        (row,) = bench.read(ProfileGeneric(scalers).buffer)
        for column, cell in zip(described, row, strict=True):
            assert column.attribute == 3
            own = DataObject(column.name)
            raw = bench.meter.catalogue.entries[own.name].attributes[3].read
            assert raw is not None
            assert isinstance(cell, tuple)
            assert ScalerUnit(*(int(part) for part in cell if isinstance(part, int))).unit in {
                27,
                28,
                30,
                31,
                33,
                35,
                44,
                6,
                255,
            }


def test_nameplate_is_one_row_of_what_stands_on_the_meter(bench: Bench) -> None:
    (row,) = bench.read(ProfileGeneric("0.0.94.91.10.255").buffer)
    assert row == (b"00000001", b"WATTPOST SIM", b"1.0.0", 6, "D1", "5-30 A", 2026)


def test_instantaneous_profile_is_the_meter_as_it_stands(bench: Bench) -> None:
    bench.wait(100_000)
    (row,) = bench.rows(ProfileGeneric("1.0.94.91.0.255"))
    assert local_ms(row[0]) == bench.now_ms - bench.now_ms % 1000
    assert row[1] == bench.number("1.0.12.7.0.255", 3)
    assert row[8] == bench.number("1.0.1.8.0.255", 3)
    assert row[20] is True


def test_reset_clears_a_load_profile_but_no_other(bench: Bench) -> None:
    bench.wait(HOUR_MS)
    bench.invoke(BLOCK.reset, 0)
    assert bench.rows(BLOCK) == ()
    assert bench.refused(lambda: bench.invoke(BILLING.reset, 0)) == 3
    with pytest.raises(AccessRefusedError):
        bench.read_raw(DAILY.buffer, None, 16)
