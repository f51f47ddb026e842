"""Eastron SDM120 (and SDM230): single phase, function 4, 32-bit floats, high word first."""

from typing import Final

from device_sim.core.registers import FLOAT32, Fixed, Measured, RegisterMap

_KILO: Final = 1e-3

SDM120: Final = RegisterMap(
    {
        4: (
            Measured(0x0000, FLOAT32, "l1.voltage_v"),
            Measured(0x0006, FLOAT32, "l1.current_a"),
            Measured(0x000C, FLOAT32, "l1.active_w"),
            Measured(0x0012, FLOAT32, "l1.apparent_va"),
            Measured(0x0018, FLOAT32, "l1.reactive_var"),
            Measured(0x001E, FLOAT32, "l1.power_factor"),
            Measured(0x0024, FLOAT32, "l1.angle_deg"),
            Measured(0x0046, FLOAT32, "frequency_hz"),
            Measured(0x0048, FLOAT32, "import_wh", _KILO),
            Measured(0x004A, FLOAT32, "export_wh", _KILO),
            Measured(0x004C, FLOAT32, "reactive_import_varh", _KILO),
            Measured(0x004E, FLOAT32, "reactive_export_varh", _KILO),
            Measured(0x0156, FLOAT32, "import_wh", _KILO),
            Measured(0x0158, FLOAT32, "reactive_import_varh", _KILO),
        ),
        3: (
            Fixed(0x0014, 2, lambda nameplate: FLOAT32.pack(nameplate.unit)),
            Fixed(0xFC00, 2, lambda nameplate: nameplate.serial.to_bytes(4, "big")),
        ),
    }
)
"""The totals at 0x0156 and 0x0158 add export, of which these households have none."""
