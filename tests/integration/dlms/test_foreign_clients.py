"""Clients that nobody here wrote, as processes of their own, against IS 15959 meters that `wattpost sim` plays.

What a client reads is compared with what the simulation's truth log and control socket say, and what it changes is
looked up there.
"""

import datetime as dt
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from device_sim.core.is15959.associations import ASSOCIATIONS, Client
from device_sim.core.is15959.catalogue import catalogue
from device_sim.core.is15959.firmware import make_image
from dlms.obis import obis_text
from tests.integration.dlms.told import BALANCE, IMPORT, RELAY, SERIAL, get, rows, set_balance, switch, unix_ms
from tests.rig.foreign_clients import DLMS_COSEM, GURUX, LINKS, MeterInVillage, as_row, village

BLOCK, FIRMWARE, CLOCK, IMAGE = "1.0.99.1.0.255", "1.0.0.2.0.255", "0.0.1.0.0.255", "0.0.44.0.0.255"
OTHER_LOG, TRANSACTION_LOG = "0.0.99.98.4.255", "0.0.99.98.3.255"
NOWHERE = "0.0.96.99.99.255"
INDIA = dt.timezone(dt.timedelta(minutes=330))
DAY = {"first": "2026-05-31T00:15:00+05:30", "last": "2026-06-01T00:00:00+05:30"}
NOON = {"first": "2026-05-31T11:50:00+05:30", "last": "2026-05-31T12:45:00+05:30"}
MAGNET, MAGNET_ENDED, NEUTRAL_DISTURBANCE, CLOCK_SET, FIRMWARE_ACTIVATED = 201, 202, 203, 151, 157
GMAC = {"authentication": "gmac"}
IMAGE_BYTES = 65_536
SECONDS_MAX = 20
BY_GMAC = {"authentication": "high-gmac"}
METERS: dict[str, dict[str, Any]] = {
    "hls": {},
    "gmac": BY_GMAC,
    "clock": {"clock_offset_s": -40},
    "image-gurux": {},
    "image-dlms-cosem": BY_GMAC,
}
Meters = dict[str, MeterInVillage]


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meters]:
    with village(tmp_path_factory.mktemp("village"), METERS) as all_of_them:
        yield all_of_them


def seconds(period: dict[str, str]) -> tuple[float, float]:
    first, last = (dt.datetime.fromisoformat(period[end]).timestamp() for end in ("first", "last"))
    return first, last


def image_of(version: str, size: int = IMAGE_BYTES) -> bytes:
    return make_image(version, bytes(range(256)) * (size // 256))


def wait_for_firmware(meter: MeterInVillage, version: str) -> None:
    """Wait until the meter has started with an image."""
    ends = monotonic() + SECONDS_MAX
    while meter.state()["firmware"] != version:
        assert monotonic() < ends, meter.state()
        sleep(0.02)
    assert meter.log("event", log=TRANSACTION_LOG, code=FIRMWARE_ACTIVATED)


# ---- gurux-dlms ------------------------------------------------------------------------------------------------------


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("client", [Client.PUBLIC, Client.READER, Client.SETTINGS], ids=["none", "lls", "hls"])
def test_gurux_reads_clock_and_object_list(meters: Meters, link: str, client: Client) -> None:
    meter = meters[f"hls-{link}"]
    before = meter.state()
    clock, listed = meter.values(GURUX, client, link, {"do": "clock"}, {"do": "objects"})
    after = meter.state()
    assert before["clock_ms"] - 10 <= unix_ms(clock) <= after["clock_ms"]
    audience = ASSOCIATIONS[client].audience
    entries = [each for each in catalogue().entries.values() if audience & (each.readers | each.writers)]
    told = [(each["class"], each["version"], each["obis"]) for each in listed["objects"]]
    assert sorted(told) == sorted((each.class_id, each.version, obis_text(each.name)) for each in entries)
    assert ((1, 0, BALANCE) in told) == (client is not Client.PUBLIC)


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("name", "changes"), [("hls", {}), ("gmac", GMAC)], ids=["hls", "gmac"])
def test_gurux_reads_a_day_of_the_block_profile_in_blocks(
    meters: Meters, link: str, name: str, changes: dict[str, Any]
) -> None:
    meter = meters[f"{name}-{link}"]
    whole, typed, part = meter.values(
        GURUX,
        Client.SETTINGS,
        link,
        {"do": "range", "obis": BLOCK, **DAY},
        {"do": "range", "obis": BLOCK, "capture_objects": True, **DAY},
        {"do": "range", "obis": BLOCK, **NOON},
        pdu_bytes_max=512,
        **changes,
    )
    assert len(whole) == len(typed) == 96
    assert {len(row) for row in whole} == {8}
    assert rows(whole) == rows(typed) == meter.rows(BLOCK, *seconds(DAY))
    assert rows(part) == meter.rows(BLOCK, *seconds(NOON))
    assert len(part) == 4


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_reads_an_event_log_by_entry(meters: Meters, link: str) -> None:
    meter = meters[f"gmac-{link}"]
    for code in (MAGNET, MAGNET_ENDED, NEUTRAL_DISTURBANCE):
        meter.command("event", code=code)
    truth = [as_row(entry) for entry in meter.log("event", log=OTHER_LOG)]
    count, first, last = meter.values(
        GURUX,
        Client.SETTINGS,
        link,
        get(7, OTHER_LOG, 7),
        {"do": "entries", "obis": OTHER_LOG, "first": 1, "count": 2},
        {"do": "entries", "obis": OTHER_LOG, "first": len(truth) - 1, "count": 2, "capture_objects": True},
        **GMAC,
    )
    assert count == len(truth) >= 3
    assert rows(first) == truth[:2]
    assert rows(last) == truth[-2:]
    assert [row[1] for row in last] == [MAGNET_ENDED, NEUTRAL_DISTURBANCE]


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_reads_a_list_and_is_told_what_is_not_there(meters: Meters, link: str) -> None:
    meter = meters[f"hls-{link}"]
    items = [[3, IMPORT, 2], [1, SERIAL, 2]]
    before = meter.state()["energy_wh"]
    (listed,) = meter.values(GURUX, Client.READER, link, {"do": "get_list", "items": items})
    energy_wh, serial = listed["values"]
    assert int(before) <= energy_wh <= meter.state()["energy_wh"]
    assert bytes.fromhex(serial["hex"]).isalnum()
    (gone,) = meter.converse(GURUX, Client.READER, link, get(1, NOWHERE))
    assert (gone["ok"], gone["code"]) == (False, 4)
    (denied,) = meter.converse(GURUX, Client.READER, link, set_balance(1))
    assert (denied["ok"], denied["code"]) == (False, 3)


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_writes_a_balance_and_switches_the_relay(meters: Meters, link: str) -> None:
    meter = meters[f"hls-{link}"]
    moves = len(meter.log("relay"))
    _, balance, *opened = meter.values(
        GURUX, Client.SETTINGS, link, set_balance(-815), get(1, BALANCE), *switch(closed=False)
    )
    state = meter.state()
    assert balance == state["balance"] == -815
    assert opened[1:] == [state["relay_closed"], state["control_state"]] == [False, 0]
    assert not state["energised"]
    closed = meter.values(GURUX, Client.SETTINGS, link, *switch(closed=True))
    state = meter.state()
    assert closed[1:] == [state["relay_closed"], state["control_state"]] == [True, 1]
    assert state["energised"]
    assert [move["closed"] for move in meter.log("relay")[moves:]] == [False, True]


@pytest.mark.req("A-12")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_sets_the_clock(meters: Meters, link: str) -> None:
    meter = meters[f"clock-{link}"]
    wanted = dt.datetime(2026, 6, 3, 10, 0, 0, tzinfo=INDIA)
    write = {"do": "set", "class": 8, "obis": CLOCK, "index": 2, "type": "date-time", "value": wanted.isoformat()}
    _, clock = meter.values(GURUX, Client.SETTINGS, link, write, {"do": "clock"})
    wanted_ms = wanted.timestamp() * 1000
    assert wanted_ms <= unix_ms(clock) <= meter.state()["clock_ms"] < wanted_ms + 1000 * SECONDS_MAX * 20
    assert len(meter.log("event", log=TRANSACTION_LOG, code=CLOCK_SET)) == 1


@pytest.mark.req("A-13")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_brings_in_a_firmware_image_that_then_runs(meters: Meters, link: str) -> None:
    meter = meters[f"image-gurux-{link}"]
    image = image_of("2.5.1")
    step = {"do": "image", "identification": "WPFW-2.5.1", "image": image.hex(), "poll_s": 0.05}
    (done,) = meter.values(GURUX, Client.FIRMWARE, link, step)
    assert len(image) > IMAGE_BYTES
    assert done["blocks"] == done["first_not_transferred"] == -(-len(image) // 200)
    wait_for_firmware(meter, "2.5.1")
    version, status = meter.values(GURUX, Client.FIRMWARE, link, get(1, FIRMWARE), get(18, IMAGE, 6))
    assert version == {"hex": b"2.5.1".hex()}
    assert status == 6


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_is_told_why_it_is_not_let_in(meters: Meters, link: str) -> None:
    meter = meters[f"gmac-{link}"]
    begin = {"do": "associate"}
    assert meter.refusal(GURUX, Client.READER, link, begin, secret=b"wrong".hex())["diagnostic"] == 13
    key = {"encryption_key": bytes(16).hex()}
    assert meter.refusal(GURUX, Client.SETTINGS, link, begin, **GMAC, **key)["diagnostic"] == 13
    assert meter.refusal(GURUX, Client.SETTINGS, link, begin)["diagnostic"] == 11
    meter.values(GURUX, Client.SETTINGS, link, {"do": "clock"}, **GMAC)
    replayed = meter.refusal(GURUX, Client.SETTINGS, link, begin, invocation_counter=1, **GMAC)
    assert (replayed["state_error"], replayed["service_error"]) == (1, 6)


# ---- dlms-cosem ------------------------------------------------------------------------------------------------------


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("name", "client", "changes"),
    [("hls", Client.PUBLIC, {}), ("hls", Client.READER, {}), ("gmac", Client.SETTINGS, GMAC)],
    ids=["none", "lls", "gmac"],
)
def test_dlms_cosem_reads_clock_and_firmware(
    meters: Meters, link: str, name: str, client: Client, changes: dict[str, Any]
) -> None:
    meter = meters[f"{name}-{link}"]
    before = meter.state()
    (clock,) = meter.values(DLMS_COSEM, client, link, {"do": "clock"}, **changes)
    # The library keeps no fraction of a second.
    assert before["clock_ms"] // 1000 * 1000 <= unix_ms(clock) <= meter.state()["clock_ms"]
    if client is not Client.PUBLIC:
        (version,) = meter.values(DLMS_COSEM, client, link, get(1, FIRMWARE), **changes)
        assert version == {"hex": before["firmware"].encode().hex()}


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_dlms_cosem_reads_a_day_writes_and_switches_ciphered(meters: Meters, link: str) -> None:
    meter = meters[f"gmac-{link}"]
    write = {"do": "set", "class": 1, "obis": BALANCE, "index": 2, "value": "05" + (4711).to_bytes(4, "big").hex()}
    day, _, balance, listed, *opened = meter.values(
        DLMS_COSEM,
        Client.SETTINGS,
        link,
        {"do": "range", "obis": BLOCK, **DAY},
        write,
        get(1, BALANCE),
        {"do": "get_list", "items": [[70, RELAY, 2], [1, NOWHERE, 2]]},
        *switch(closed=False),
        pdu_bytes_max=512,
        **GMAC,
    )
    state = meter.state()
    assert rows(day) == meter.rows(BLOCK, *seconds(DAY))
    assert len(day) == 96
    assert balance == state["balance"] == 4711
    assert listed == [True, {"refused": 4}]
    assert opened[1:] == [state["relay_closed"], state["control_state"]] == [False, 0]
    closed = meter.values(DLMS_COSEM, Client.SETTINGS, link, *switch(closed=True), **GMAC)
    state = meter.state()
    assert closed[1:] == [state["relay_closed"], state["control_state"]] == [True, 1]


@pytest.mark.req("A-13")
@pytest.mark.parametrize("link", LINKS)
def test_dlms_cosem_brings_in_a_firmware_image_that_then_runs(meters: Meters, link: str) -> None:
    meter = meters[f"image-dlms-cosem-{link}"]
    image = image_of("3.0")
    step = {"do": "image", "identification": "WPFW-3.0", "image": image.hex(), "poll_s": 0.05}
    (done,) = meter.values(DLMS_COSEM, Client.FIRMWARE, link, step, **GMAC)
    assert done["blocks"] == -(-len(image) // 200)
    wait_for_firmware(meter, "3.0")
    assert meter.values(DLMS_COSEM, Client.FIRMWARE, link, get(1, FIRMWARE), **GMAC) == [{"hex": b"3.0".hex()}]
