"""Gurux at every level of security, and with APDUs that hold next to nothing, against meters that admit it.

The meters are those of `tests.rig.meter_house`, which also tells how requests really came.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from device_sim.core.is15959.associations import Client
from device_sim.core.is15959.firmware import make_image
from tests.integration.dlms.told import BALANCE, SERIAL, get, set_balance, switch, unix_ms
from tests.rig.foreign_clients import GURUX, LINKS, MeterInHouse, house

MECHANISMS = {"hls": 2, "md5": 3, "sha1": 4, "gmac": 5, "sha256": 6}
PROTECTIONS = {"none": 0, "authentication": 0x10, "encryption": 0x20, "both": 0x30}
FORMS: dict[str, dict[str, Any]] = {
    "glo": {},
    "ded": {"dedicated_key": b"dedicated key 16".hex()},
    "general": {"general": True},
}
PLAIN_TAGS = {192, 193, 195}
TAGS = {"glo": {200, 201, 203}, "ded": {208, 209, 211}, "general": {219}}
"""First bytes of GET, SET and ACTION in each form."""
NOT_COUNTED = {0x60, 0x62, 203}
"""AARQ, RLRQ, and the answer to the meter's challenge, which Gurux protects with the global key whatever follows."""
LEVELS = [
    *((mechanism, protection, "glo") for mechanism in ("hls", "gmac") for protection in PROTECTIONS),
    *((mechanism, "both", form) for mechanism in ("hls", "gmac") for form in ("ded", "general")),
    *((mechanism, "none", "glo") for mechanism in ("md5", "sha1", "sha256")),
]
METERS: dict[str, dict[str, Any]] = {
    f"{mechanism}-{protection}": {"mechanism": MECHANISMS[mechanism], "required": PROTECTIONS[protection]}
    for mechanism, protection, _ in LEVELS
} | {"small": {"pdu_bytes_max": 128, "verify_ms": 0, "activate_ms": 0}, "tiny": {"mechanism": 6}}
CALENDAR, CAPTURE_PERIOD = "0.0.13.0.0.255", "1.0.0.8.4.255"
IMAGE, FIRMWARE = "0.0.44.0.0.255", "1.0.0.2.0.255"
TARIFF_SCRIPTS = "00000a0064ff"


def number(value: int) -> dict[str, Any]:
    return {"type": "double-long-unsigned", "value": value}


def octets(value: bytes) -> dict[str, Any]:
    return {"type": "octet-string", "value": value.hex()}


def on_image(index: int, *values: dict[str, Any]) -> dict[str, Any]:
    return {"do": "action", "class": 18, "obis": IMAGE, "index": index, "type": "structure", "value": values}


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MeterInHouse]]:
    with house(tmp_path_factory.mktemp("house"), METERS) as inhabitants:
        yield inhabitants


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("mechanism", "protection", "form"), LEVELS, ids=map("-".join, LEVELS))
def test_gurux_reads_writes_and_switches(
    meters: dict[str, MeterInHouse], link: str, mechanism: str, protection: str, form: str
) -> None:
    meter = meters[f"{mechanism}-{protection}"]
    amount = -1000 * LINKS.index(link) - list(FORMS).index(form) - 1
    level = {"authentication": mechanism, "security": protection, **FORMS[form]}
    meter.tell("traffic")
    before = meter.tell("state")
    clock, _, balance, *opened = meter.values(
        GURUX,
        Client.SETTINGS,
        link,
        {"do": "clock"},
        set_balance(amount),
        get(1, BALANCE),
        *switch(closed=False),
        **level,
    )
    between = meter.tell("state")
    assert before["clock_ms"] - 10 <= unix_ms(clock) <= between["clock_ms"]
    assert balance == between["balance"] == amount
    assert opened[1:] == [between["is_closed"], between["control_state"]] == [False, 0]
    assert not between["energised"]
    traffic = meter.tell("traffic")
    assert traffic["proofs"] == [[MECHANISMS[mechanism], PROTECTIONS[protection]]]
    expected = PLAIN_TAGS if protection == "none" else TAGS[form]
    assert set(traffic["tags"]) - NOT_COUNTED == expected - NOT_COUNTED
    closed = meter.values(GURUX, Client.SETTINGS, link, *switch(closed=True), **level)
    after = meter.tell("state")
    assert closed[1:] == [after["is_closed"], after["control_state"]] == [True, 1]
    assert after["energised"]


@pytest.mark.req("A-14")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_sets_a_short_value_and_a_long_one_in_blocks(meters: dict[str, MeterInHouse], link: str) -> None:
    meter = meters["small"]
    count = 9 + LINKS.index(link)
    actions = [
        {
            "type": "structure",
            "value": [
                {"type": "octet-string", "value": f"{2 * hour:02x}000000"},
                {"type": "octet-string", "value": TARIFF_SCRIPTS},
                {"type": "long-unsigned", "value": hour % 4 + 1},
            ],
        }
        for hour in range(count)
    ]
    day = {"type": "structure", "value": [{"type": "unsigned", "value": 7}, {"type": "array", "value": actions}]}
    write = {"do": "set", "class": 20, "obis": CALENDAR, "index": 9, "type": "array", "value": [day]}
    period = {"do": "set", "class": 1, "obis": CAPTURE_PERIOD, "index": 2, "type": "long-unsigned", "value": 1800}
    before = meter.tell("state")["programmed"]
    results = meter.converse(GURUX, Client.SETTINGS, link, write, get(20, CALENDAR, 9), period, period | {"value": 77})
    assert [result["ok"] for result in results] == [True, True, True, False], results
    truth = meter.tell("state")
    assert truth["passive_days"] == [[7, [[[2 * hour, 0], hour % 4 + 1] for hour in range(count)]]]
    written = [[{"hex": f"{2 * hour:02x}000000"}, {"hex": TARIFF_SCRIPTS}, hour % 4 + 1] for hour in range(count)]
    assert results[1]["value"] == [[7, written]]
    assert truth["capture_period_s"] == 1800
    assert truth["programmed"] == before + 1


@pytest.mark.req("A-13")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_invokes_methods_with_parameters_in_blocks(meters: dict[str, MeterInHouse], link: str) -> None:
    meter = meters["small"]
    version = f"{link}-1"
    image = make_image(version, bytes(range(256)) * 3)
    size = 200
    parts = [image[start : start + size] for start in range(0, len(image), size)]
    results = meter.converse(
        GURUX,
        Client.FIRMWARE,
        link,
        on_image(1, octets(version.encode()), number(len(image))),
        *(on_image(2, number(block), octets(part)) for block, part in enumerate(parts)),
        get(18, IMAGE, 4),
        {"do": "action", "class": 18, "obis": IMAGE, "index": 3},
        {"do": "action", "class": 18, "obis": IMAGE, "index": 4},
        get(18, IMAGE, 6),
        get(1, FIRMWARE),
    )
    *done, first_missing, _, _, _, _ = results
    assert all(result["ok"] for result in done), results
    assert first_missing["value"] == len(parts) == 5
    assert meter.tell("state")["firmware"] == version


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
def test_gurux_with_hardly_any_room_still_gets_every_answer(meters: dict[str, MeterInHouse], link: str) -> None:
    meter = meters["tiny"]
    meter.tell("traffic")
    level = {"authentication": "sha256", "general": True, "pdu_bytes_max": 64}
    listed, serial = meter.values(GURUX, Client.SETTINGS, link, {"do": "objects"}, get(1, SERIAL), **level)
    assert len(listed["objects"]) > 100
    assert serial == {"hex": b"tiny".hex()}
    # The AARE goes out as long as it is: it says how long the others may be.
    assert meter.tell("traffic")["answer_bytes_max"] < 200
