import random

import msgspec
import pytest

from device_sim.core.faults import FaultKind, FaultSettings
from device_sim.core.site import Site, UnknownDeviceError
from device_sim.core.village import Transport, Village, VillageError, parse_village
from device_sim.core.village_plan import plan_lines, village_text

NOON_MS = 1_780_315_200_000

GOOD = """
seed = 1
[[lines]]
id = "line-1"
transport = "tcp"
[[boards]]
id = "board-1"
line = "line-1"
unit = 200
coils = 2
[[meters]]
id = "m-1"
line = "line-1"
unit = 1
kind = "sdm120"
annual_kwh = 1500
board = "board-1"
coil = 1
[[faults]]
device = "m-1"
kind = "slow"
delay_ms = 300
starts_at = 2026-06-01T12:00:00Z
ends_at = 2026-06-01T13:00:00Z
"""


def planned(
    *, seed: int = 1, meter_count: int = 48, line_count: int = 3, transport: Transport = Transport.RTU_TCP
) -> str:
    lines = plan_lines("line", (transport,), line_count=line_count, meter_count=meter_count)
    return village_text(seed=seed, lines=lines, port_base=0, link_folder="", rng=random.Random(seed))


def built(village: Village) -> Site:
    return Site(village, now_ms=NOON_MS, rng=random.Random)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("seed = 1", "seed = one", "Invalid"),
        ("seed = 1", "seed = 1\ncolour = 2", "colour"),
        ("seed = 1", "seed = -1", "seed"),
        ('line = "line-1"\nunit = 1', 'line = "line-2"\nunit = 1', "line line-2, which is not described"),
        ("unit = 1\n", "unit = 200\n", "unit 200 of line line-1 is used 2 times"),
        ("unit = 1\n", "unit = 248\n", "248|unit"),
        ("coil = 1", "coil = 2", "coil 2 of board-1"),
        ('id = "m-1"', 'id = "board-1"', "device id board-1 is used 2 times"),
        ('device = "m-1"', 'device = "m-2"', "device m-2, which is not described"),
        (
            'device = "m-1"\nkind = "slow"',
            'device = "board-1"\nkind = "repeated"',
            "board-1 cannot have the fault repeated",
        ),
        ("13:00:00Z", "11:00:00Z", "ends before it starts"),
        ("12:00:00Z", "12:00:00", "datetime|timezone"),
        ('kind = "sdm120"', 'kind = "abacus"', "abacus"),
    ],
)
def test_a_description_that_does_not_hold_together_is_refused_in_one_line(old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(VillageError, match=complaint) as caught:
        parse_village(GOOD.replace(old, new, 1).encode())
    assert "\n" not in str(caught.value)


def test_a_planned_fault_stands_at_its_site_time() -> None:
    site = built(parse_village(GOOD.encode()))
    assert site.state("m-1", now_ms=NOON_MS).faults == (FaultKind.SLOW,)
    assert site.state("m-1", now_ms=NOON_MS + 3_600_000).faults == ()


def test_a_made_up_village_can_be_played_and_has_a_switch_for_each_household() -> None:
    site = built(parse_village(planned().encode()))
    assert len(site.meters) == 48
    assert [len(devices) for devices in site.lines.values()] == [17, 17, 17]
    for meter_id in site.meters:
        site.switch_relay(meter_id, closed=False, now_ms=NOON_MS)
        assert not site.state(meter_id, now_ms=NOON_MS).energised


def test_the_same_seed_makes_the_same_village_and_another_another() -> None:
    assert planned() == planned()
    assert planned().replace("seed = 1", "") != planned(seed=2).replace("seed = 2", "")


@pytest.mark.parametrize("transport", list(Transport))
def test_villages_can_be_made_for_each_transport(transport: Transport) -> None:
    village = parse_village(planned(meter_count=2, line_count=1, transport=transport).encode())
    assert village.lines[0].transport is transport


def test_more_meters_than_addresses_are_refused() -> None:
    with pytest.raises(VillageError, match="do not fit"):
        planned(meter_count=247, line_count=1)


def test_commands_to_devices_that_cannot_do_them_are_refused() -> None:
    village = parse_village(GOOD.encode())
    site = built(msgspec.structs.replace(village, meters=[msgspec.structs.replace(village.meters[0], board=None)]))
    with pytest.raises(UnknownDeviceError, match="no relay"):
        site.switch_relay("m-1", closed=False, now_ms=NOON_MS)
    with pytest.raises(UnknownDeviceError, match="cannot have"):
        site.switch_fault("board-1", FaultSettings(kind=FaultKind.ABSURD), on=True)
    with pytest.raises(UnknownDeviceError, match="no device m-9"):
        site.state("m-9", now_ms=NOON_MS)


def test_a_day_in_a_minute_changes_no_energy() -> None:
    village = parse_village(planned(meter_count=8, line_count=1).encode())
    slow, fast = built(village), built(village)
    # Read every real second: at rate 1 that is every site second, at rate 1440 every 24 site minutes.
    for second in range(0, 86_401, 60):
        slow.state("m-001", now_ms=NOON_MS + second * 1000)
    for second in range(61):
        fast.state("m-001", now_ms=NOON_MS + second * 1_440_000)
    end_ms = NOON_MS + 86_400_000
    for meter_id in slow.meters:
        assert slow.state(meter_id, now_ms=end_ms) == fast.state(meter_id, now_ms=end_ms)
    assert fast.state("m-001", now_ms=end_ms).energy_wh - village.meters[0].start_wh > 1000
