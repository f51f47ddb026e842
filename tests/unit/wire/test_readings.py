from collections.abc import Callable

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from tests.rig import strategies
from wire import codec, limits
from wire.errors import LimitExceededError, MalformedError
from wire.facts import UpFact
from wire.readings import (
    CAPTURED_S_MAX,
    QUALITY_MISSING,
    CapturedRow,
    Channel,
    Column,
    Exceptional,
    Profile,
    Readings,
    Row,
    captured,
    to_block,
    to_profile,
    to_rows,
    to_table,
)

BOOT = bytes(8)
CHANNEL = Channel(bytes(6), 0, 30)


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.meter, row.tick_ms))


@hypothesis.given(data=st.data())
def test_rows_come_back_from_a_block_sorted_by_meter_and_time(data: st.DataObject) -> None:
    channels = data.draw(st.lists(strategies.channels, min_size=1, max_size=5))
    rows = data.draw(strategies.rows_of(width=len(channels)))
    block = to_block(BOOT, channels, rows)
    assert to_rows(block) == _sorted(rows)
    assert [column.channel for column in block.columns] == channels


@hypothesis.given(block=strategies.blocks())
def test_any_block_made_is_accepted_by_its_receiver(block: Readings) -> None:
    (received,) = codec.decode_as(codec.encode([block]), list[UpFact])
    assert received == block
    assert to_rows(received) == to_rows(block)


@hypothesis.given(rows=strategies.rows_of(width=2))
def test_the_order_of_rows_makes_no_difference_to_the_rows_of_a_block(rows: list[Row]) -> None:
    keys = {(row.meter, row.tick_ms) for row in rows}
    hypothesis.assume(len(keys) == len(rows))
    assert to_block(BOOT, [CHANNEL] * 2, rows) == to_block(BOOT, [CHANNEL] * 2, reversed(rows))


def test_values_at_both_ends_of_the_range_survive() -> None:
    ends = [limits.VALUE_MAX, -limits.VALUE_MAX, limits.VALUE_MAX]
    rows = [Row("m-1", tick, [value]) for tick, value in enumerate(ends)]
    (received,) = codec.decode_as(codec.encode([to_block(BOOT, [CHANNEL], rows)]), list[UpFact])
    assert to_rows(received) == rows


def test_missing_value_costs_no_step_and_says_why() -> None:
    rows = [Row("m-1", 0, [1_000]), Row("m-1", 1, [None]), Row("m-1", 2, [1_001])]
    block = to_block(BOOT, [CHANNEL], rows)
    assert block.columns[0].deltas == [1_000, 0, 1]
    assert block.exceptions == [Exceptional(1, 0, QUALITY_MISSING)]


def _block(**changes: object) -> Readings:
    plain = to_block(BOOT, [CHANNEL], [Row("m-1", 5, [1]), Row("m-2", 5, [2]), Row("m-2", 9, [3])])
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda: _block(meter_deltas=[0, 1]),
        lambda: _block(tick_deltas=[5, 0]),
        lambda: _block(columns=[Column(CHANNEL, [1, 2])]),
        lambda: _block(columns=[Column(CHANNEL, [1, 2, 3]), Column(CHANNEL, [1, 2, 3, 4])]),
        lambda: _block(meter_deltas=[0, 1, 1]),
        lambda: _block(meter_deltas=[-1, 1, 1]),
        lambda: _block(meter_deltas=[0, 2**63, -(2**63)]),
        lambda: _block(tick_deltas=[0, -1, 1]),
        lambda: _block(tick_deltas=[0, limits.TICK_MS_MAX, 1]),
        lambda: _block(columns=[Column(CHANNEL, [limits.VALUE_MAX, 1, 0])]),
        lambda: _block(columns=[Column(CHANNEL, [-limits.VALUE_MAX, -1, 0])]),
        lambda: _block(exceptions=[Exceptional(3, 0, QUALITY_MISSING)]),
        lambda: _block(exceptions=[Exceptional(0, 1, QUALITY_MISSING)]),
    ],
)
def test_block_that_does_not_add_up_is_refused(change: Callable[[], Readings]) -> None:
    with pytest.raises(MalformedError):
        to_table(change())


def test_block_of_too_many_values_is_refused_before_it_is_summed_up() -> None:
    rows = limits.VALUES_PER_BLOCK_MAX // limits.CHANNELS_PER_BLOCK_MAX + 1
    zeros = [0] * rows
    wide = _block(
        meter_deltas=zeros, tick_deltas=zeros, columns=[Column(CHANNEL, zeros)] * limits.CHANNELS_PER_BLOCK_MAX
    )
    with pytest.raises(LimitExceededError):
        to_table(wide)


def test_table_has_the_columns_summed_up() -> None:
    table = to_table(_block())
    assert table.meter_index == [0, 1, 1]
    assert table.ticks_ms == [5, 5, 9]
    assert table.columns == [[1, 2, 3]]


def _captured(**changes: object) -> Profile:
    rows = [CapturedRow(1_800, [5, None]), CapturedRow(900, [3, 7], [(1, "1.4.64")])]
    fields = msgspec.structs.asdict(
        to_profile(
            rows, meter="m-1", serial="S1", profile=bytes([1, 0, 99, 1, 0, 255]), channels=[CHANNEL, CHANNEL],
            boot=bytes(8), tick_ms=1,
        )
    )  # fmt: skip
    return Profile(**(fields | changes))


def test_captured_rows_come_back_in_the_order_of_time_with_what_is_missing_named() -> None:
    profile = _captured()

    assert captured(profile) == ([900, 1_800], [[3, 5], [7, 7]])
    assert profile.exceptions == [Exceptional(1, 1, QUALITY_MISSING), Exceptional(0, 1, "1.4.64")]


@pytest.mark.parametrize(
    "change",
    [
        {"captured_deltas": [900, 0]},
        {"captured_deltas": [900, -1]},
        {"captured_deltas": [-1, 901]},
        {"captured_deltas": [900, CAPTURED_S_MAX]},
        {"captured_deltas": [900]},
        {"columns": [Column(CHANNEL, [limits.VALUE_MAX, 1])], "exceptions": []},
        {"exceptions": [Exceptional(2, 0, QUALITY_MISSING)]},
    ],
)
def test_a_profile_that_does_not_add_up_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        captured(_captured(**change))
