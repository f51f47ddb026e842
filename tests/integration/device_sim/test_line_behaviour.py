"""What a line and its devices do: relays, faults, refusals, pace."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU

from device_sim.adapters.carriers import Stream
from device_sim.adapters.modbus_line import ModbusLine
from device_sim.app import Simulation

StartVillage = Callable[..., Awaitable[Simulation]]
Connect = Callable[..., Awaitable[ModbusBaseClient]]
Ask = Callable[..., Awaitable[dict[str, Any]]]

HOUR_MS = 3_600_000


def village(transport: str = "rtu-tcp", head: str = "", line: str = "") -> str:
    meters = "".join(
        f'[[meters]]\nid = "m-{unit}"\nline = "line-1"\nunit = {unit}\nkind = "em112"\nannual_kwh = 3000\n'
        f"start_wh = 5000000\n"
        f'board = "board-1"\ncoil = {unit - 1}\n'
        for unit in (1, 2)
    )
    return (
        f'seed = 5\n{head}\n[[lines]]\nid = "line-1"\ntransport = "{transport}"\n{line}\n'
        f'[[boards]]\nid = "board-1"\nline = "line-1"\nunit = 100\ncoils = 4\n{meters}'
    )


async def energy(client: ModbusBaseClient, unit: int) -> int:
    answer = await client.read_input_registers(0x0010, count=2, device_id=unit)
    assert not answer.isError()
    value = client.convert_from_registers(answer.registers, client.DATATYPE.INT32, "little")
    assert isinstance(value, int)
    return value * 100


async def answer_of(awaited: Awaitable[ModbusPDU]) -> ModbusPDU | None:
    try:
        return await awaited
    except ModbusIOException:
        return None


@pytest.mark.parametrize("transport", ["tcp", "rtu-tcp", "pty"])
async def test_a_coil_stops_the_power_and_the_energy_of_its_household_only(
    start_village: StartVillage, connect: Connect, clock: Any, transport: str
) -> None:
    sim = await start_village(village(transport))
    client = await connect(sim.lines["line-1"], transport=transport)
    written = await client.write_coil(0, False, device_id=100)
    assert not written.isError()
    coils = await client.read_coils(0, count=4, device_id=100)
    assert coils.bits[:4] == [False, True, True, True]
    before = [await energy(client, unit) for unit in (1, 2)]
    clock.now_ms += 48 * HOUR_MS
    after = [await energy(client, unit) for unit in (1, 2)]
    assert after[0] == before[0]
    assert after[1] > before[1] + 1000
    power = await client.read_input_registers(0x0004, count=2, device_id=1)
    assert power.registers == [0, 0]
    await client.write_coil(0, True, device_id=100)
    clock.now_ms += 48 * HOUR_MS
    assert await energy(client, 1) > after[0] + 1000


async def test_a_dead_meter_is_silent_and_the_others_go_on(
    start_village: StartVillage, connect: Connect, ask: Ask
) -> None:
    sim = await start_village(village())
    client, impatient = await connect(sim.lines["line-1"]), await connect(sim.lines["line-1"], seconds_max=0.15)
    assert (await ask(sim.control, command="fault", device="m-1", kind="dead", on=True))["ok"]
    assert await answer_of(impatient.read_input_registers(0, count=2, device_id=1)) is None
    assert await energy(client, 2) >= 5_000_000
    assert (await ask(sim.control, command="fault", device="m-1", kind="dead", on=False))["ok"]
    assert await energy(client, 1) >= 5_000_000


async def test_an_address_without_a_device_is_silent(start_village: StartVillage, connect: Connect) -> None:
    sim = await start_village(village())
    client = await connect(sim.lines["line-1"], seconds_max=0.15)
    assert await answer_of(client.read_input_registers(0, count=2, device_id=77)) is None


async def test_a_slow_meter_answers_late_and_holds_up_nobody(
    start_village: StartVillage, connect: Connect, ask: Ask
) -> None:
    sim = await start_village(village("tcp"))
    slow, quick = [await connect(sim.lines["line-1"], transport="tcp", seconds_max=10) for _ in range(2)]
    await ask(sim.control, command="fault", device="m-1", kind="slow", on=True, delay_ms=1500)
    order: list[int] = []

    async def read(client: ModbusBaseClient, unit: int) -> None:
        await energy(client, unit)
        order.append(unit)

    await asyncio.gather(read(slow, 1), read(quick, 2))
    assert order == [2, 1]


@pytest.mark.parametrize("transport", ["tcp", "rtu-tcp"])
async def test_a_garbled_answer_is_never_taken_for_a_good_one(
    start_village: StartVillage, connect: Connect, ask: Ask, transport: str
) -> None:
    sim = await start_village(village(transport))
    await ask(sim.control, command="fault", device="m-1", kind="garbled", on=True)
    for _ in range(5):
        client = await connect(sim.lines["line-1"], transport=transport, seconds_max=0.1)
        answer = await answer_of(client.read_input_registers(0, count=2, device_id=1))
        assert answer is None or answer.isError()
    truth = await ask(sim.control, command="truth")
    assert truth["devices"]["m-1"]["garbled"] == 5
    assert truth["devices"]["m-1"]["answered"] == 0


async def test_a_garbled_write_was_carried_out_all_the_same(
    start_village: StartVillage, connect: Connect, ask: Ask
) -> None:
    sim = await start_village(village())
    client = await connect(sim.lines["line-1"], seconds_max=0.1)
    await ask(sim.control, command="fault", device="board-1", kind="garbled", on=True)
    assert await answer_of(client.write_coil(0, False, device_id=100)) is None
    assert (await ask(sim.control, command="relay", meter="m-1"))["energised"] is False


async def test_register_faults_show_on_the_wire(
    start_village: StartVillage, connect: Connect, ask: Ask, clock: Any
) -> None:
    sim = await start_village(village())
    client = await connect(sim.lines["line-1"])
    await ask(sim.control, command="fault", device="m-1", kind="absurd", on=True)
    assert await energy(client, 1) == 1_005_000_000
    assert await energy(client, 1) == 5_000_000
    await ask(sim.control, command="fault", device="m-1", kind="repeated", on=True)
    await energy(client, 1)
    clock.now_ms += 48 * HOUR_MS
    assert await energy(client, 1) == 5_000_000
    await ask(sim.control, command="fault", device="m-1", kind="repeated", on=False)
    await ask(sim.control, command="fault", device="m-1", kind="rollover", on=True, rollover_wh=5_001_000)
    assert 0 < await energy(client, 1) < 100_000


async def test_what_a_device_does_not_have_is_refused_with_the_right_code(
    start_village: StartVillage, connect: Connect
) -> None:
    sim = await start_village(village("tcp"))
    client = await connect(sim.lines["line-1"], transport="tcp")
    answers = [
        await client.read_holding_registers(0, count=2, device_id=1),
        await client.read_input_registers(0x4000, count=2, device_id=1),
        await client.read_coils(0, count=2, device_id=1),
        await client.write_register(0, 1, device_id=1),
        await client.read_coils(3, count=2, device_id=100),
        await client.write_coil(4, True, device_id=100),
    ]
    assert [answer.exception_code for answer in answers] == [1, 2, 1, 1, 2, 2]


async def test_noise_on_a_line_leads_to_no_answer_and_no_harm(start_village: StartVillage, connect: Connect) -> None:
    sim = await start_village(village())
    host, _, port = sim.lines["line-1"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(bytes(range(256)) * 8)
    await writer.drain()
    client = await connect(sim.lines["line-1"])
    assert await energy(client, 1) == 5_000_000
    writer.close()
    assert await reader.read() == b""


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
async def test_any_bytes_are_answered_or_ignored(start_village: StartVillage, clock: Any, framing: str) -> None:
    is_rtu = framing == "rtu"
    sim = await start_village(village())
    rng = Random(1)
    line = ModbusLine(sim.site.lines["line-1"], is_rtu=is_rtu, baud=0, clock=clock, truth=sim.truth, rng=rng)
    answers: list[bytes] = []
    for _ in range(5000):
        stream = Stream(write=answers.append, is_open=lambda: True)
        body = bytes([rng.choice([1, 100]), rng.choice([*range(1, 25), rng.randrange(256)])]) + rng.randbytes(
            rng.randrange(14)
        )
        if is_rtu:
            line.received(stream, body + FramerRTU.compute_CRC(body).to_bytes(2, "big"))
        else:
            line.received(stream, rng.randbytes(2) + b"\0\0" + len(body).to_bytes(2, "big") + body)
    assert answers


async def test_an_unknown_function_over_tcp_is_refused_and_the_connection_lives(start_village: StartVillage) -> None:
    sim = await start_village(village("tcp"))
    host, _, port = sim.lines["line-1"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(bytes.fromhex("000700000006014100000001"))
    assert (await reader.readexactly(9)).hex() == "00070000000301c101"
    writer.write(bytes.fromhex("000800000006010400000000"))
    assert (await reader.readexactly(9)).hex() == "000800000003018403"
    writer.close()


async def test_a_paced_line_takes_the_time_of_its_bytes(start_village: StartVillage, connect: Connect) -> None:
    sim = await start_village(village(line="baud = 2400"))
    client = await connect(sim.lines["line-1"], seconds_max=5)
    started_s = asyncio.get_running_loop().time()
    for _ in range(3):
        await energy(client, 1)
    # A request of 8 bytes, an answer of 9 and two gaps are 24 characters of 11 bits: 110 ms each time at 2400 baud.
    assert asyncio.get_running_loop().time() - started_s >= 3 * 0.110


async def test_every_energy_sent_stands_in_the_truth_log(
    start_village: StartVillage, connect: Connect, ask: Ask, clock: Any, tmp_path: Path
) -> None:
    log = tmp_path / "truth.jsonl"
    sim = await start_village(village(head=f'truth_log = "{log}"'))
    client = await connect(sim.lines["line-1"])
    seen = []
    for _ in range(20):
        clock.now_ms += HOUR_MS
        seen.append(("m-1", clock.now_ms, await energy(client, 1)))
        seen.append(("m-2", clock.now_ms, await energy(client, 2)))
        await client.read_input_registers(0, count=2, device_id=1)
    counted = await ask(sim.control, command="truth")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["meter"], entry["at_ms"], round(entry["energy_wh"])) for entry in entries] == seen
    assert all(entry["address"] == 0x10 and len(entry["raw"]) == 2 for entry in entries)
    assert counted["devices"]["m-1"] == {
        "answered": 40,
        "refused": 0,
        "silent": 0,
        "garbled": 0,
        "energies": 20,
        "last_energy_wh": seen[-2][2],
    }


async def test_the_control_socket_tells_how_households_stand(start_village: StartVillage, ask: Ask) -> None:
    sim = await start_village(village())
    state = await ask(sim.control, command="state")
    assert [meter["id"] for meter in state["meters"]] == ["m-1", "m-2"]
    first = state["meters"][0]
    assert first["energy_wh"] == 5_000_000
    assert first["relay_closed"] is first["energised"] is True
    moved = await ask(sim.control, command="relay", meter="m-2", closed=False)
    assert moved == {"ok": True, "meter": "m-2", "relay_closed": False, "energised": False}
    (second,) = (await ask(sim.control, command="state", meter="m-2"))["meters"]
    assert (second["power_w"], second["energised"]) == (0, False)


@pytest.mark.parametrize(
    "command",
    [
        {"command": "dance"},
        {"command": "state", "meter": "m-9"},
        {"command": "fault", "device": "m-1", "kind": "tired", "on": True},
        {"command": "fault", "device": "board-1", "kind": "absurd", "on": True},
        {"command": "relay", "meter": "m-1", "force": 9},
        {"command": "cutter", "cutter": "wan", "restore": True},
    ],
)
async def test_a_command_that_cannot_be_done_gets_a_reason(
    start_village: StartVillage, ask: Ask, command: dict[str, Any]
) -> None:
    sim = await start_village(village())
    reply = await ask(sim.control, **command)
    assert reply["ok"] is False
    assert reply["error"]
