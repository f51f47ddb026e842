"""DLMS lines: meters behind HDLC and the wrapper, on every carrier; their faults, their power, their truth."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from device_sim.app import Simulation
from device_sim.core.dlms_secrets import secrets_of
from dlms.axdr.values import decode_value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.clock import Clock
from dlms.cosem.codecs import BOOLEAN
from dlms.cosem.control import DisconnectControl
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.registers import DataObject
from dlms.errors import DlmsError, LinkTimeoutError
from tests.integration.device_sim.conftest import NOON_MS
from tests.integration.device_sim.dlms_master import BLOCK, Master, session

StartVillage = Callable[..., Awaitable[Simulation]]
Ask = Callable[..., Awaitable[dict[str, Any]]]
TRANSPORTS = ("hdlc-tcp", "hdlc-pty", "wrapper-tcp", "wrapper-udp")
HOUR_MS = 3_600_000
DAY_ROWS = 96
RELAY = DisconnectControl("0.0.96.3.10.255")
START_WH = 5_000_000


def units(transport: str) -> tuple[int, int, int]:
    return (17, 18, 300) if transport.startswith("hdlc") else (1, 2, 3)


def village(transport: str, head: str = "", line: str = "", meter: str = "") -> str:
    meters = "".join(
        f'[[dlms_meters]]\nid = "d-{index + 1}"\nline = "dlms-1"\nunit = {unit}\nannual_kwh = 3000\n'
        f"start_wh = {START_WH}\n{meter}\n"
        for index, unit in enumerate(units(transport))
    )
    return f'seed = 5\n{head}\n[[lines]]\nid = "dlms-1"\ntransport = "{transport}"\n{line}\n{meters}'


async def block_rows(master: Master) -> list[tuple[Any, ...]]:
    rows = decode_value(await master.run(master.association.get_raw(BLOCK.buffer.descriptor)))
    assert isinstance(rows, list)
    return [row for row in rows if isinstance(row, tuple)]


async def spoilt_energy(place: str, transport: str, meter: str, unit: int) -> int | None:
    """Return what a meter says, None if nothing can be had of it."""
    try:
        async with session(place, transport, meter, unit, repeats_max=1, turn_ms=60) as master:
            return await master.energy_wh()
    except DlmsError:
        return None


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_meters_of_a_line_are_read_each_with_its_own_values(
    start_village: StartVillage, clock: Any, transport: str
) -> None:
    sim = await start_village(village(transport))
    place = sim.lines["dlms-1"]
    found = {}
    for index, unit in enumerate(units(transport)):
        meter = f"d-{index + 1}"
        async with session(place, transport, meter, unit) as master:
            found[meter] = await master.energy_wh()
            rows = await block_rows(master)
        assert len(rows) == 2 * DAY_ROWS
        assert found[meter] == sim.site.state(meter, now_ms=clock.now_ms).energy_wh // 1
        assert sum(row[2] for row in rows) <= found[meter] - START_WH
    assert len(set(found.values())) == 3


@pytest.mark.parametrize("transport", ["hdlc-tcp", "wrapper-tcp"])
async def test_a_meter_opens_its_own_switch_on_a_ciphered_command(
    start_village: StartVillage, clock: Any, transport: str
) -> None:
    sim = await start_village(village(transport))
    unit = units(transport)[1]
    async with session(sim.lines["dlms-1"], transport, "d-2", unit, is_utility=True) as master:
        await master.run(master.association.invoke(RELAY.remote_disconnect, 0))
        assert await master.run(master.association.get(AttributeRef(70, RELAY.name, 2, BOOLEAN))) is False
        before = await master.energy_wh()
        clock.now_ms += 24 * HOUR_MS
        assert await master.energy_wh() == before
        state = sim.site.state("d-2", now_ms=clock.now_ms)
        assert (state.relay_closed, state.energised) == (False, False)
        await master.run(master.association.invoke(RELAY.remote_reconnect, 0))
        clock.now_ms += 24 * HOUR_MS
        assert await master.energy_wh() > before + 1000
    assert sim.site.state("d-1", now_ms=clock.now_ms).energised


@pytest.mark.parametrize("transport", ["hdlc-tcp", "wrapper-udp"])
async def test_a_dead_meter_takes_no_notice_and_the_others_go_on(
    start_village: StartVillage, ask: Ask, transport: str
) -> None:
    sim = await start_village(village(transport))
    place, (first, second, _) = sim.lines["dlms-1"], units(transport)
    await ask(sim.control, command="fault", device="d-1", kind="dead", on=True)
    with pytest.raises(LinkTimeoutError):
        async with session(place, transport, "d-1", first, repeats_max=0, turn_ms=50):
            pass
    async with session(place, transport, "d-2", second) as master:
        assert await master.energy_wh() > START_WH
    await ask(sim.control, command="fault", device="d-1", kind="dead", on=False)
    async with session(place, transport, "d-1", first) as master:
        assert await master.energy_wh() > START_WH
    counts = (await ask(sim.control, command="truth"))["devices"]
    assert counts["d-1"]["silent"] >= 1
    assert counts["d-2"]["silent"] == 0


async def test_a_lossy_meter_on_hdlc_is_read_all_the_same(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village("hdlc-tcp"))
    for kind in ("dead", "garbled"):
        await ask(sim.control, command="fault", device="d-1", kind=kind, on=True, one_in=6)
    async with session(sim.lines["dlms-1"], "hdlc-tcp", "d-1", 17, repeats_max=20, turn_ms=40) as master:
        assert await master.energy_wh() == sim.site.state("d-1", now_ms=NOON_MS).energy_wh // 1
        assert len(await block_rows(master)) == 2 * DAY_ROWS
    counts = (await ask(sim.control, command="truth"))["devices"]["d-1"]
    assert counts["silent"] > 0
    assert counts["garbled"] > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_garbled_answer_is_never_taken_for_a_good_one(
    start_village: StartVillage, ask: Ask, transport: str
) -> None:
    sim = await start_village(village(transport))
    await ask(sim.control, command="fault", device="d-1", kind="garbled", on=True)
    for _ in range(3):
        assert await spoilt_energy(sim.lines["dlms-1"], transport, "d-1", units(transport)[0]) is None
    counts = (await ask(sim.control, command="truth"))["devices"]["d-1"]
    assert counts["garbled"] > 0
    assert counts["answered"] == 0


async def test_a_slow_meter_answers_late_and_holds_up_nobody(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village("wrapper-tcp"))
    place = sim.lines["dlms-1"]
    await ask(sim.control, command="fault", device="d-1", kind="slow", on=True, delay_ms=700)
    order: list[str] = []

    async def read(meter: str, unit: int) -> None:
        async with session(place, "wrapper-tcp", meter, unit, turn_ms=9000) as master:
            await master.energy_wh()
            order.append(meter)

    await asyncio.gather(read("d-1", 1), read("d-2", 2))
    assert order == ["d-2", "d-1"]


async def test_an_absurd_energy_shows_once_and_a_repeated_one_stands_still(
    start_village: StartVillage, clock: Any, ask: Ask
) -> None:
    sim = await start_village(village("wrapper-tcp"))
    async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-1", 1) as master:
        true_wh = await master.energy_wh()
        await ask(sim.control, command="fault", device="d-1", kind="absurd", on=True)
        assert await master.energy_wh() == true_wh + 1_000_000_000
        assert await master.energy_wh() == true_wh
        await ask(sim.control, command="fault", device="d-1", kind="absurd", on=False)
        await ask(sim.control, command="fault", device="d-1", kind="repeated", on=True)
        assert await master.energy_wh() == true_wh
        clock.now_ms += 6 * HOUR_MS
        assert await master.energy_wh() == true_wh
        rows = await block_rows(master)
        assert [row[2] for row in rows[-20:]] == [0] * 20
        await ask(sim.control, command="fault", device="d-1", kind="repeated", on=False)
        assert await master.energy_wh() > true_wh


async def test_a_skewed_clock_stays_wrong_until_it_is_set(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village("wrapper-tcp"))
    time = Clock("0.0.1.0.0.255").time
    async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-1", 1, is_utility=True) as master:
        await ask(sim.control, command="fault", device="d-1", kind="skewed", on=True, skew_s=-90)
        shown = await master.run(master.association.get(time))
        assert shown.to_utc_ms() == NOON_MS - 90_000
        await ask(sim.control, command="fault", device="d-1", kind="skewed", on=False)
        assert (await master.run(master.association.get(time))).to_utc_ms() == NOON_MS - 90_000
        await master.run(master.association.set(time, type(shown).from_utc_ms(NOON_MS, -330)))
        assert (await master.run(master.association.get(time))).to_utc_ms() == NOON_MS
    refused = await ask(sim.control, command="fault", device="d-9", kind="skewed", on=True)
    assert not refused["ok"]


@pytest.mark.parametrize("transport", ["hdlc-tcp", "wrapper-tcp"])
async def test_a_meter_without_power_is_silent_and_forgets_its_associations(
    start_village: StartVillage, clock: Any, ask: Ask, transport: str
) -> None:
    sim = await start_village(village(transport))
    place, unit = sim.lines["dlms-1"], units(transport)[0]
    async with session(place, transport, "d-1", unit, repeats_max=0, turn_ms=300) as master:
        assert (await ask(sim.control, command="power", meter="d-1", on=False))["dlms"]["is_powered"] is False
        clock.now_ms += 3 * HOUR_MS
        assert (await ask(sim.control, command="power", meter="d-1", on=True))["dlms"]["is_powered"] is True
        with pytest.raises(DlmsError):
            await master.energy_wh()
    async with session(place, transport, "d-1", unit) as master:
        rows = await block_rows(master)
    # The quarter that the failure broke has its row, the eleven after it have none.
    assert len(rows) == 2 * DAY_ROWS + 1


async def test_the_truth_log_has_every_row_event_and_movement_of_the_switch(
    start_village: StartVillage, clock: Any, ask: Ask, tmp_path: Path
) -> None:
    log = tmp_path / "truth.jsonl"
    sim = await start_village(village("wrapper-tcp", head=f'truth_log = "{log}"\nhistory_days = 1'))
    async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-1", 1, is_utility=True) as master:
        await master.run(master.association.invoke(RELAY.remote_disconnect, 0))
        clock.now_ms += HOUR_MS
        await ask(sim.control, command="event", meter="d-1", code=251)
        energy_wh = await master.energy_wh()
        rows = await block_rows(master)
        cover = decode_value(
            await master.run(master.association.get_raw(ProfileGeneric("0.0.99.98.5.255").buffer.descriptor))
        )
    counts = (await ask(sim.control, command="truth"))["devices"]["d-1"]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    entries = [entry for entry in entries if entry["meter"] == "d-1"]
    blocks = [entry for entry in entries if entry["kind"] == "row" and entry["profile"] == "1.0.99.1.0.255"]
    assert [entry["values"]["1.0.1.29.0.255"] for entry in blocks] == [[row[2], 0, 30] for row in rows]
    assert [entry["stamp_s"] % 900 for entry in blocks] == [0] * len(rows)
    assert blocks[-1]["stamp_s"] * 1000 == clock.now_ms
    events = [(entry["log"], entry["code"], entry["sequence"]) for entry in entries if entry["kind"] == "event"]
    assert events[-2:] == [("0.0.99.98.6.255", 301, 1), ("0.0.99.98.5.255", 251, 1)]
    assert isinstance(cover, list)
    assert len(cover) == 1
    assert [(entry["closed"], entry["at_ms"]) for entry in entries if entry["kind"] == "relay"] == [(False, NOON_MS)]
    energies = [entry for entry in entries if entry["kind"] == "energy"]
    assert [(entry["energy_wh"], entry["at_ms"]) for entry in energies] == [(energy_wh, clock.now_ms)]
    assert counts["energies"] == 1
    assert counts["rows"] == sum(entry["kind"] == "row" for entry in entries)
    assert counts["events"] == sum(entry["kind"] == "event" for entry in entries)


async def test_a_welded_switch_and_a_button_can_be_played(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village("wrapper-tcp"))
    welded = await ask(sim.control, command="weld", meter="d-1", welded=True)
    assert welded["dlms"]["is_welded"] is True
    async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-1", 1, is_utility=True) as master:
        await master.run(master.association.invoke(RELAY.remote_disconnect, 0))
        state = await ask(sim.control, command="relay", meter="d-1")
        assert (state["relay_closed"], state["energised"]) == (True, True)
    pressed = await ask(sim.control, command="button", meter="d-1")
    assert pressed["dlms"]["control_state"] == 0
    refused = await ask(sim.control, command="relay", meter="d-1", closed=True)
    assert "inside it" in refused["error"]


async def test_lines_keep_their_pace(start_village: StartVillage) -> None:
    sim = await start_village(village("hdlc-tcp", line="baud = 9600"))
    started_s = asyncio.get_running_loop().time()
    async with session(sim.lines["dlms-1"], "hdlc-tcp", "d-1", 17, turn_ms=9000) as master:
        rows = await block_rows(master)
    took_s = asyncio.get_running_loop().time() - started_s
    # 192 rows of 49 bytes and what frames them, at 960 bytes a second.
    assert took_s >= len(rows) * 49 / 960


async def test_frames_are_as_long_and_as_many_as_the_line_grants(start_village: StartVillage) -> None:
    sim = await start_village(village("hdlc-pty", line="info_bytes_max = 2030\nwindow_max = 7"))
    async with session(sim.lines["dlms-1"], "hdlc-pty", "d-1", 17) as master:
        assert len(await block_rows(master)) == 2 * DAY_ROWS


@pytest.mark.parametrize("transport", ["hdlc-tcp", "wrapper-tcp"])
async def test_noise_and_strangers_disturb_nobody(start_village: StartVillage, transport: str) -> None:
    sim = await start_village(village(transport))
    place = sim.lines["dlms-1"]
    host, _, port = place.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x7e" + bytes(range(256)) * 8)
    await writer.drain()
    assert await spoilt_energy(place, transport, "d-1", 99) is None
    async with session(place, transport, "d-1", units(transport)[0]) as master:
        assert await master.energy_wh() > START_WH
    writer.close()
    await writer.wait_closed()


async def test_secrets_come_from_the_name_unless_they_are_given(start_village: StartVillage) -> None:
    given = secrets_of("d-1").reader_password.decode()
    sim = await start_village(
        village("wrapper-tcp", meter=f'secrets = {{ reader_password = "{given}" }}\nfirmware = "2.7"')
    )
    firmware = DataObject("1.0.0.2.0.255").value
    async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-1", 1) as master:
        raw = await master.run(master.association.get_raw(firmware.descriptor))
    assert raw.endswith(b"2.7")
    with pytest.raises(DlmsError):
        async with session(sim.lines["dlms-1"], "wrapper-tcp", "d-2", 2):
            pass
