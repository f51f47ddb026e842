"""Eastron SDM630: three phases, function 4, 32-bit floats, high word first."""

from typing import Final

from device_sim.core.registers import FLOAT32, Fixed, Measured, RegisterMap

_KILO: Final = 1e-3

SDM630: Final = RegisterMap(
    {
        4: (
            Measured(0x0000, FLOAT32, "l1.voltage_v"),
            Measured(0x0002, FLOAT32, "l2.voltage_v"),
            Measured(0x0004, FLOAT32, "l3.voltage_v"),
            Measured(0x0006, FLOAT32, "l1.current_a"),
            Measured(0x0008, FLOAT32, "l2.current_a"),
            Measured(0x000A, FLOAT32, "l3.current_a"),
            Measured(0x000C, FLOAT32, "l1.active_w"),
            Measured(0x000E, FLOAT32, "l2.active_w"),
            Measured(0x0010, FLOAT32, "l3.active_w"),
            Measured(0x0012, FLOAT32, "l1.apparent_va"),
            Measured(0x0014, FLOAT32, "l2.apparent_va"),
            Measured(0x0016, FLOAT32, "l3.apparent_va"),
            Measured(0x0018, FLOAT32, "l1.reactive_var"),
            Measured(0x001A, FLOAT32, "l2.reactive_var"),
            Measured(0x001C, FLOAT32, "l3.reactive_var"),
            Measured(0x001E, FLOAT32, "l1.power_factor"),
            Measured(0x0020, FLOAT32, "l2.power_factor"),
            Measured(0x0022, FLOAT32, "l3.power_factor"),
            Measured(0x0034, FLOAT32, "total.active_w"),
            Measured(0x0038, FLOAT32, "total.apparent_va"),
            Measured(0x003C, FLOAT32, "total.reactive_var"),
            Measured(0x003E, FLOAT32, "total.power_factor"),
            Measured(0x0046, FLOAT32, "frequency_hz"),
            Measured(0x0048, FLOAT32, "import_wh", _KILO),
            Measured(0x004A, FLOAT32, "export_wh", _KILO),
            Measured(0x004C, FLOAT32, "reactive_import_varh", _KILO),
            Measured(0x004E, FLOAT32, "reactive_export_varh", _KILO),
            Measured(0x0050, FLOAT32, "apparent_import_vah", _KILO),
            Measured(0x00C8, FLOAT32, "l12_v"),
            Measured(0x00CA, FLOAT32, "l23_v"),
            Measured(0x00CC, FLOAT32, "l31_v"),
            Measured(0x00E0, FLOAT32, "neutral_a"),
            Measured(0x0156, FLOAT32, "import_wh", _KILO),
            Measured(0x015A, FLOAT32, "l1_import_wh", _KILO),
            Measured(0x015C, FLOAT32, "l2_import_wh", _KILO),
            Measured(0x015E, FLOAT32, "l3_import_wh", _KILO),
            Measured(0x0160, FLOAT32, "export_wh", _KILO),
            Measured(0x0162, FLOAT32, "export_wh", _KILO),
            Measured(0x0164, FLOAT32, "export_wh", _KILO),
        ),
        3: (
            Fixed(0x0014, 2, lambda nameplate: FLOAT32.pack(nameplate.unit)),
            Fixed(0xFC00, 2, lambda nameplate: nameplate.serial.to_bytes(4, "big")),
        ),
    }
)
"""The total at 0x0156 adds export, of which these households have none, on any phase."""
