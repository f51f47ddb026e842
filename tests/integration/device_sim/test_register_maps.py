"""Every kind of meter, read by a plain pymodbus client, over every transport, against the physics behind it."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pymodbus.client.base import ModbusBaseClient
from pymodbus.client.mixin import ModbusClientMixin

from device_sim.app import Simulation

StartVillage = Callable[..., Awaitable[Simulation]]
Connect = Callable[..., Awaitable[ModbusBaseClient]]

DATATYPE = ModbusClientMixin.DATATYPE
F32, I16, I32, I64 = DATATYPE.FLOAT32, DATATYPE.INT16, DATATYPE.INT32, DATATYPE.INT64
Row = tuple[int, ModbusClientMixin.DATATYPE, float, str, float]

WIDTH = {F32: 2, I16: 1, I32: 2, I64: 4}

# Function, word order, then: address, type, factor from register to SI, quantity of the snapshot, tolerance in SI.
MAPS: dict[str, tuple[int, Literal["big", "little"], list[Row]]] = {
    "sdm120": (
        4,
        "big",
        [
            (0x0000, F32, 1, "l1.voltage_v", 1e-4),
            (0x0006, F32, 1, "l1.current_a", 1e-5),
            (0x000C, F32, 1, "l1.active_w", 1e-3),
            (0x0012, F32, 1, "l1.apparent_va", 1e-3),
            (0x0018, F32, 1, "l1.reactive_var", 1e-3),
            (0x001E, F32, 1, "l1.power_factor", 1e-6),
            (0x0046, F32, 1, "frequency_hz", 1e-4),
            (0x0048, F32, 1000, "import_wh", 1),
            (0x004A, F32, 1000, "export_wh", 0),
            (0x0156, F32, 1000, "import_wh", 1),
        ],
    ),
    "sdm630": (
        4,
        "big",
        [
            (0x0002, F32, 1, "l2.voltage_v", 1e-4),
            (0x000A, F32, 1, "l3.current_a", 1e-5),
            (0x0034, F32, 1, "total.active_w", 1e-3),
            (0x003C, F32, 1, "total.reactive_var", 1e-3),
            (0x0046, F32, 1, "frequency_hz", 1e-4),
            (0x0048, F32, 1000, "import_wh", 1),
            (0x00CA, F32, 1, "l23_v", 1e-3),
            (0x00E0, F32, 1, "neutral_a", 1e-5),
            (0x015E, F32, 1000, "l3_import_wh", 1),
        ],
    ),
    "em112": (
        4,
        "little",
        [
            (0x0000, I32, 0.1, "l1.voltage_v", 0.05),
            (0x0002, I32, 0.001, "l1.current_a", 0.0005),
            (0x0004, I32, 0.1, "l1.active_w", 0.05),
            (0x0006, I32, 0.1, "l1.apparent_va", 0.05),
            (0x0008, I32, 0.1, "l1.reactive_var", 0.05),
            (0x000E, I16, 0.001, "l1.power_factor", 0.0005),
            (0x000F, I16, 0.1, "frequency_hz", 0.05),
            (0x0010, I32, 100, "import_wh", 50),
            (0x0020, I32, 100, "export_wh", 0),
        ],
    ),
    "em340": (
        4,
        "little",
        [
            (0x0004, I32, 0.1, "l3.voltage_v", 0.05),
            (0x000E, I32, 0.001, "l2.current_a", 0.0005),
            (0x0028, I32, 0.1, "total.active_w", 0.05),
            (0x0031, I16, 0.001, "total.power_factor", 0.0005),
            (0x0033, I16, 0.1, "frequency_hz", 0.05),
            (0x0034, I32, 100, "import_wh", 50),
            (0x0042, I32, 100, "l2_import_wh", 50),
        ],
    ),
    "iem3155": (
        3,
        "big",
        [
            (0x0BB7, F32, 1, "l1.current_a", 1e-5),
            (0x0BD5, F32, 1, "l2.voltage_v", 1e-4),
            (0x0BCF, F32, 1, "l31_v", 1e-3),
            (0x0BF1, F32, 1000, "l3.active_w", 1e-3),
            (0x0BF3, F32, 1000, "total.active_w", 1e-3),
            (0x0BFB, F32, 1000, "total.reactive_var", 1e-3),
            (0x0C03, F32, 1000, "total.apparent_va", 1e-3),
            (0x0C0B, F32, 1, "total.power_factor", 1e-6),
            (0x0C25, F32, 1, "frequency_hz", 1e-4),
            (0x0C83, I64, 1, "import_wh", 0.5),
            (0x0DC1, I64, 1, "l2_import_wh", 0.5),
            (0xB02B, F32, 1000, "import_wh", 1),
        ],
    ),
    "adw300": (
        3,
        "big",
        [
            (20, I16, 0.1, "l1.voltage_v", 0.05),
            (28, I16, 0.01, "l3.current_a", 0.005),
            (36, I32, 1, "total.active_w", 0.5),
            (62, I32, 10, "import_wh", 5),
            (64, I32, 10, "export_wh", 0),
        ],
    ),
}


def number(
    registers: Sequence[int], datatype: ModbusClientMixin.DATATYPE, word_order: Literal["big", "little"] = "big"
) -> float:
    value = ModbusClientMixin.convert_from_registers(registers, datatype, word_order)
    assert isinstance(value, int | float)
    return value


def village(transport: str, link: Path) -> str:
    meters = "".join(
        f'[[meters]]\nid = "m-{kind}"\nline = "line-1"\nunit = {unit}\nkind = "{kind}"\n'
        f"annual_kwh = 5000\nstart_wh = 8123456\n"
        for unit, kind in enumerate(MAPS, start=1)
    )
    place = f'link = "{link}"' if transport == "pty" else ""
    return f'seed = 3\n[[lines]]\nid = "line-1"\ntransport = "{transport}"\n{place}\n{meters}'


@pytest.mark.parametrize("transport", ["tcp", "rtu-tcp", "pty"])
async def test_registers_show_the_physics_of_each_meter_on_a_shared_line(
    start_village: StartVillage, connect: Connect, clock: Any, tmp_path: Path, transport: str
) -> None:
    sim = await start_village(village(transport, tmp_path / "line-1"))
    client = await connect(sim.lines["line-1"], transport=transport)
    clock.now_ms += 7 * 3_600_000
    for unit, (kind, (function, word_order, rows)) in enumerate(MAPS.items(), start=1):
        snapshot = sim.site.meters[f"m-{kind}"].supply.snapshot(clock.now_ms)
        read = client.read_input_registers if function == 4 else client.read_holding_registers
        for address, datatype, factor, quantity, tolerance in rows:
            answer = await read(address, count=WIDTH[datatype], device_id=unit)
            assert not answer.isError(), (kind, address)
            value = number(answer.registers, datatype, word_order)
            expected: Any = snapshot
            for name in quantity.split("."):
                expected = getattr(expected, name)
            assert value * factor == pytest.approx(expected, abs=tolerance + 1e-9), (kind, hex(address))


async def test_a_whole_block_is_read_at_one_instant(
    start_village: StartVillage, connect: Connect, tmp_path: Path
) -> None:
    sim = await start_village(village("tcp", tmp_path))
    client = await connect(sim.lines["line-1"], transport="tcp")
    block = (await client.read_input_registers(0, count=80, device_id=1)).registers
    values = {address: number(block[address : address + 2], F32) for address in (0, 6, 12, 18, 24, 30)}
    assert values[0] * values[6] == pytest.approx(values[18], rel=1e-5)
    assert (values[12] ** 2 + values[24] ** 2) ** 0.5 == pytest.approx(values[18], rel=1e-5)
    assert values[12] / values[18] == pytest.approx(values[30], rel=1e-5)


async def test_nameplates_can_be_read(start_village: StartVillage, connect: Connect, tmp_path: Path) -> None:
    sim = await start_village(village("tcp", tmp_path))
    client = await connect(sim.lines["line-1"], transport="tcp")
    model = await client.read_holding_registers(0x0031, count=20, device_id=list(MAPS).index("iem3155") + 1)
    assert client.convert_from_registers(model.registers, DATATYPE.STRING) == "iEM3155"
    unit = await client.read_holding_registers(0x0014, count=2, device_id=1)
    assert number(unit.registers, F32) == 1
