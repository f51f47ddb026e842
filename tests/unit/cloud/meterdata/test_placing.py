import hypothesis
import pytest
from hypothesis import strategies as st

from cloud.meterdata.core.meter_day import ChannelKey, Source
from cloud.meterdata.core.placing import IMPLAUSIBLE_TIME, Placement, Tenure, instants, meter_clock, place, stated_in
from cloud.meterdata.core.utc import Anchor, Timeline
from tests.rig import strategies
from tests.rig.reporting import CHANNELS, ENERGY, Reporter
from wire.errors import MalformedError
from wire.readings import QUALITY_MISSING, CapturedRow, Channel, Profile, Readings, Row, to_block, to_profile

UTC = 1_750_000_000_000
GATEWAY = Reporter("gw-1")
TIMELINES = {GATEWAY.boot: Timeline([Anchor(0, 10, UTC, synced=True)])}


def placed(
    block: Readings | Profile, tenures: list[Tenure], timelines: dict[bytes, Timeline] | None = None
) -> Placement:
    return place(
        stated_in([block]),
        gateway="gw-1",
        message=5,
        timelines=TIMELINES if timelines is None else timelines,
        tenures={"m-1": tenures},
    )


def test_a_row_of_the_assigned_gateway_lies_at_its_utc() -> None:
    found = placed(GATEWAY.readings("m-1", {7: (1, 2)}), [Tenure(0, None, "gw-1")])

    (item,) = found.placed
    assert (item.meter, item.utc_ms, item.row.message, item.row.tick_ms) == ("m-1", UTC + 7, 5, 7)
    assert (found.refused, found.waiting) == ([], set())


@pytest.mark.parametrize(
    "tenures",
    [[], [Tenure(0, None, "gw-2")], [Tenure(UTC + 8, None, "gw-1")], [Tenure(0, UTC + 7, "gw-1")]],
    ids=["nobody", "another", "not yet", "no longer"],
)
def test_a_gateway_that_is_not_assigned_then_is_refused(tenures: list[Tenure]) -> None:
    found = placed(GATEWAY.readings("m-1", {7: (1, 2)}), tenures)

    assert found.placed == []
    assert [item.reason for item in found.refused] == ["not-assigned"]


def test_a_meter_may_change_hands_and_each_reports_its_time() -> None:
    tenures = [Tenure(0, UTC + 5, "gw-2"), Tenure(UTC + 5, None, "gw-1")]
    found = placed(GATEWAY.readings("m-1", {4: (1, 2), 5: (1, 2)}), tenures)

    assert [item.utc_ms for item in found.placed] == [UTC + 5]
    assert [item.utc_ms for item in found.refused] == [UTC + 4]


def test_rows_of_a_boot_without_a_clock_wait() -> None:
    found = placed(GATEWAY.readings("m-1", {7: (1, 2)}), [Tenure(0, None, "gw-1")], timelines={})
    assert (found.placed, found.refused, found.waiting) == ([], [], {GATEWAY.boot})


def test_a_time_that_cannot_be_is_refused() -> None:
    found = placed(GATEWAY.readings("m-1", {2**53 - 1: (1, 2)}), [Tenure(0, None, "gw-1")])
    assert [item.reason for item in found.refused] == [IMPLAUSIBLE_TIME]


def test_channels_come_in_order_with_their_values_and_codes() -> None:
    block = to_block(GATEWAY.boot, CHANNELS[::-1], [Row("m-1", 7, [2_300, None])])

    (found,) = stated_in([block]).blocks

    assert [channel.obis for channel in found.channels] == [channel.obis for channel in CHANNELS]
    (row,) = found.rows()
    assert (row.values[1], row.qualities) == (2_300, (QUALITY_MISSING, ""))


def test_a_channel_that_stands_twice_in_a_block_is_two_statements() -> None:
    block = to_block(GATEWAY.boot, [ENERGY, ENERGY], [Row("m-1", 7, [1, 2])])

    blocks = stated_in([block]).blocks

    key = ChannelKey(ENERGY.obis, ENERGY.scaler, ENERGY.unit)
    assert [(item.channels, item.columns) for item in blocks] == [((key,), [[1]]), ((key,), [[2]])]


def test_spans_cover_all_that_is_stamped_in_a_boot() -> None:
    stated = stated_in([GATEWAY.readings("m-1", {7: (1, 2), 90: (1, 2)}), GATEWAY.readings("m-2", {3: (1, 2)})])
    assert stated.spans() == {GATEWAY.boot: (3, 90)}
    assert stated.meters() == {"m-1", "m-2"}


def test_a_block_that_is_none_is_refused_whole() -> None:
    block = to_block(GATEWAY.boot, [Channel(ENERGY.obis, 0, 30)], [Row("m-1", 7, [1])])
    broken = Readings(
        boot=block.boot,
        meters=block.meters,
        meter_deltas=[1],
        tick_deltas=block.tick_deltas,
        columns=block.columns,
        exceptions=[],
    )
    with pytest.raises(MalformedError):
        stated_in([broken])


BLOCK_LOAD = bytes([1, 0, 99, 1, 0, 255])


def captured(*instants_s: int) -> Profile:
    rows = [CapturedRow(instant_s, [1]) for instant_s in instants_s]
    energy = Channel(bytes([1, 0, 1, 29, 0, 255]), 0, 30)
    return to_profile(
        rows, meter="m-1", serial="S1", profile=BLOCK_LOAD, channels=[energy], boot=GATEWAY.boot, tick_ms=9
    )


def test_what_a_meter_stamped_lies_at_its_instant_and_belongs_to_no_gateway_or_boot() -> None:
    found = placed(captured(UTC // 1_000), [Tenure(0, None, "gw-1")], timelines={})

    (item,) = found.placed
    assert item.utc_ms == UTC
    assert item.row.source == Source("", meter_clock(BLOCK_LOAD))
    assert found.waiting == set()


def test_a_gateway_may_report_what_its_meter_captured_before_it_came_and_not_what_after_it_left() -> None:
    tenures = [Tenure(UTC, UTC + 5_000, "gw-1"), Tenure(UTC + 5_000, None, "gw-2")]
    found = placed(captured(UTC // 1_000 - 900, UTC // 1_000 + 4, UTC // 1_000 + 5), tenures)

    assert [item.utc_ms for item in found.placed] == [UTC - 900_000, UTC + 4_000]
    assert [item.reason for item in found.refused] == ["not-assigned"]


def test_a_meter_whose_clock_was_never_set_is_refused_for_its_time() -> None:
    assert [item.reason for item in placed(captured(0), [Tenure(0, None, "gw-1")]).refused] == [IMPLAUSIBLE_TIME]


timelines_of = st.lists(
    st.builds(Anchor, strategies.ticks_ms, st.integers(0, 99), strategies.times_ms, st.booleans()), max_size=3
).map(Timeline)


@hypothesis.given(data=st.data(), fact=st.one_of(strategies.blocks(), strategies.profiles()), timeline=timelines_of)
def test_instants_are_those_of_the_rows_that_are_placed(
    data: st.DataObject, fact: Readings | Profile, timeline: Timeline
) -> None:
    stated = stated_in([fact])
    gateways = st.sampled_from(["gw-1", "gw-2"])
    spans = st.builds(Tenure, strategies.times_ms, st.one_of(st.none(), strategies.times_ms), gateways)
    tenures = {meter: data.draw(st.lists(spans, max_size=2)) for meter in sorted(stated.meters())}
    boots = {block.boot for block in stated.blocks if not block.by_meter}
    known = dict.fromkeys(boots, timeline) if timeline.anchors else {}

    placement = place(stated, gateway="gw-1", message=5, timelines=known, tenures=tenures)
    found = [
        (meter, utc_ms)
        for block in stated.blocks
        for meter, utc_ms in zip(
            block.meters, instants(block, gateway="gw-1", timeline=timeline, tenures=tenures), strict=True
        )
        if utc_ms is not None
    ]

    assert found == [(row.meter, row.utc_ms) for row in placement.placed]
