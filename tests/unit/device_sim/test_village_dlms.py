"""DLMS meters of a village: their description, their history, their clocks."""

from random import Random

import pytest

from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.faults import FaultKind, FaultSettings
from device_sim.core.is15959.codes import Log
from device_sim.core.site import Site, UnknownDeviceError
from device_sim.core.village import DLMS_TRANSPORTS, Transport, VillageError, parse_village
from device_sim.core.village_plan import LinePlan, plan_lines, village_text
from dlms.apdu.acse import Mechanism
from dlms.security.counters import PeerCounterPolicy

NOON_MS = 1_780_315_200_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GOOD = """
seed = 1
history_days = 1
[[lines]]
id = "line-1"
transport = "tcp"
[[lines]]
id = "dlms-1"
transport = "hdlc-tcp"
[[meters]]
id = "m-1"
line = "line-1"
unit = 1
kind = "sdm120"
annual_kwh = 1500
[[dlms_meters]]
id = "d-1"
line = "dlms-1"
unit = 17
annual_kwh = 1500
start_wh = 4000
[[faults]]
device = "d-1"
kind = "skewed"
skew_s = 40
starts_at = 2026-06-01T12:00:00Z
ends_at = 2026-06-01T13:00:00Z
"""


def built(text: str = GOOD, now_ms: int = NOON_MS) -> Site:
    return Site(parse_village(text.encode()), now_ms=now_ms, rng=Random)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('line = "dlms-1"', 'line = "line-1"', "whose transport tcp it lacks"),
        ('line = "line-1"\nunit = 1', 'line = "dlms-1"\nunit = 1', "whose transport hdlc-tcp it lacks"),
        ("unit = 17", "unit = 127", "no single meter's"),
        ("unit = 17", "unit = 16382", "16381|unit"),
        ('id = "d-1"', 'id = "m-1"', "device id m-1 is used 2 times"),
        ('device = "d-1"', 'device = "m-1"', "m-1 has no clock"),
        ("start_wh = 4000", 'start_wh = 4000\nsecrets = { encryption = "12" }', "encryption|regex"),
        ("start_wh = 4000", "start_wh = 4000\ncapture_period_s = 901", "901"),
        ("history_days = 1", "history_days = 61", "history_days"),
        ("seed = 1", 'seed = 1\npush = { address = "nowhere" }', "address|regex"),
    ],
)
def test_a_description_that_does_not_hold_together_is_refused_in_one_line(old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(VillageError, match=complaint) as caught:
        parse_village(GOOD.replace(old, new, 1).encode())
    assert "\n" not in str(caught.value)


def test_meters_have_captured_for_as_long_as_the_village_says() -> None:
    for days in (0, 3):
        site = built(GOOD.replace("history_days = 1", f"history_days = {days}"))
        dlms = site.state("d-1", now_ms=NOON_MS).dlms
        assert dlms is not None
        assert dlms.block_rows == days * 96
        assert not site.dlms_meter("d-1").device.take_pushes()


def test_the_energy_at_the_start_is_what_the_history_added() -> None:
    site = built()
    state = site.state("d-1", now_ms=NOON_MS)
    assert 1_000 < state.energy_wh - 4_000 < 15_000
    assert (state.kind, state.line, state.unit, state.relay_closed) == ("is15959-d1", "dlms-1", 17, True)


def test_a_clock_goes_wrong_when_the_fault_begins_and_stays_so() -> None:
    site = built(now_ms=NOON_MS - HOUR_MS)
    offsets = []
    for hour in range(-1, 3):
        dlms = site.state("d-1", now_ms=NOON_MS + hour * HOUR_MS).dlms
        assert dlms is not None
        offsets.append(dlms.clock_offset_ms)
    assert offsets == [0, 40_000, 40_000, 40_000]


def test_a_clock_that_jumps_ends_the_intervals_it_jumps_over() -> None:
    site = built(GOOD.replace("skew_s = 40", "skew_s = 3600"), now_ms=NOON_MS - 1)
    meter = site.dlms_meter("d-1")
    before = len(meter.device.block_ring)
    meter.advance(NOON_MS)
    # The quarter that ended at noon, and the first of those that the clock jumped over.
    assert len(meter.device.block_ring) == before + 2
    assert not meter.device.events.codes[Log.TRANSACTION]


def test_only_meters_with_a_clock_can_have_it_skewed() -> None:
    site = built(now_ms=NOON_MS - HOUR_MS)
    with pytest.raises(UnknownDeviceError, match="no clock"):
        site.switch_fault("m-1", FaultSettings(kind=FaultKind.SKEWED), on=True)
    site.switch_fault("d-1", FaultSettings(kind=FaultKind.SKEWED, skew_s=-5), on=True)
    dlms = site.state("d-1", now_ms=NOON_MS - HOUR_MS).dlms
    assert dlms is not None
    assert dlms.clock_offset_ms == -5_000


def test_what_only_dlms_meters_can_do_is_refused_to_others() -> None:
    site = built()
    with pytest.raises(UnknownDeviceError, match="m-1 is no DLMS meter"):
        site.dlms_meter("m-1")
    with pytest.raises(UnknownDeviceError, match="inside it"):
        site.switch_relay("d-1", closed=False, now_ms=NOON_MS)


def test_a_description_decides_how_a_meter_behaves() -> None:
    told = (
        'authentication = "high-gmac"\npeer_counters = "per-association"\npdu_bytes_max = 256\ndrift_ppm = 50\n'
        f'capture_period_s = 1800\nclock_offset_s = -30\nload_limit_w = 900\nsecrets = {{ encryption = "{"ab" * 16}" }}'
    )
    site = built(GOOD.replace("start_wh = 4000", told), now_ms=NOON_MS - HOUR_MS)
    device = site.dlms_meter("d-1").device
    assert device.settings.mechanism is Mechanism.HIGH_GMAC
    assert device.settings.peer_counters is PeerCounterPolicy.PER_ASSOCIATION
    assert device.settings.secrets.encryption == bytes.fromhex("ab" * 16)
    assert device.settings.secrets.authentication == secrets_of("d-1").authentication
    assert len(device.block_ring) == 48
    assert device.limiter.normal_w == 900


def test_secrets_are_made_of_the_name_and_differ_from_one_another() -> None:
    mine, other = secrets_of("d-1"), secrets_of("d-2")
    assert mine.reader_password == secrets_of("d-1").reader_password
    values = [
        secret
        for secrets in (mine, other)
        for secret in (
            secrets.reader_password,
            secrets.settings_secret,
            secrets.encryption,
            secrets.push_encryption,
            secrets.authentication,
        )
    ]
    assert len(set(values)) == len(values)
    assert {len(mine.encryption), len(mine.authentication), len(mine.settings_secret)} == {16}


def test_a_made_up_village_has_both_kinds_of_line_and_no_two_meters_alike() -> None:
    lines = [
        *plan_lines("line", (Transport.RTU_TCP,), line_count=1, meter_count=3),
        *plan_lines("dlms", DLMS_TRANSPORTS, line_count=4, meter_count=13),
    ]
    text = village_text(seed=1, lines=lines, port_base=0, link_folder="", rng=Random(1))
    village = parse_village(f"history_days = 0\n{text}".encode())
    assert [line.transport for line in village.lines] == [Transport.RTU_TCP, *DLMS_TRANSPORTS]
    site = Site(village, now_ms=NOON_MS, rng=Random)
    assert [len(units) for units in site.dlms_lines.values()] == [4, 3, 3, 3]
    serials = {meter.device.settings.nameplate.serial for meter in site.dlms_meters.values()}
    assert len(serials) == 13


def test_an_hdlc_line_has_room_for_many_meters() -> None:
    text = village_text(
        seed=1, lines=[LinePlan("dlms-1", Transport.HDLC_TCP, 246)], port_base=0, link_folder="", rng=Random(1)
    )
    village = parse_village(text.encode())
    assert len({meter.unit for meter in village.dlms_meters}) == 246


def test_every_option_of_a_dlms_meter_has_a_default() -> None:
    (spec,) = parse_village(GOOD.encode()).dlms_meters
    assert (spec.authentication, spec.peer_counters, spec.capture_period_s) == ("high", "strict", 900)
