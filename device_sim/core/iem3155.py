"""Schneider iEM3155: three phases, function 3, 32-bit floats and 64-bit watt-hours, high word first.

The manual counts its registers from 1; the addresses here are one lower.
"""

from typing import Final

from device_sim.core.registers import FLOAT32, INT64, Fixed, Measured, RegisterMap, text

_KILO: Final = 1e-3

IEM3155: Final = RegisterMap(
    {
        3: (
            text(0x0031, 20, "iEM3155"),
            Fixed(0x0081, 2, lambda nameplate: nameplate.serial.to_bytes(4, "big")),
            Measured(0x0BB7, FLOAT32, "l1.current_a"),
            Measured(0x0BB9, FLOAT32, "l2.current_a"),
            Measured(0x0BBB, FLOAT32, "l3.current_a"),
            Measured(0x0BC1, FLOAT32, "mean_current_a"),
            Measured(0x0BCB, FLOAT32, "l12_v"),
            Measured(0x0BCD, FLOAT32, "l23_v"),
            Measured(0x0BCF, FLOAT32, "l31_v"),
            Measured(0x0BD3, FLOAT32, "l1.voltage_v"),
            Measured(0x0BD5, FLOAT32, "l2.voltage_v"),
            Measured(0x0BD7, FLOAT32, "l3.voltage_v"),
            Measured(0x0BDB, FLOAT32, "total.voltage_v"),
            Measured(0x0BED, FLOAT32, "l1.active_w", _KILO),
            Measured(0x0BEF, FLOAT32, "l2.active_w", _KILO),
            Measured(0x0BF1, FLOAT32, "l3.active_w", _KILO),
            Measured(0x0BF3, FLOAT32, "total.active_w", _KILO),
            Measured(0x0BFB, FLOAT32, "total.reactive_var", _KILO),
            Measured(0x0C03, FLOAT32, "total.apparent_va", _KILO),
            Measured(0x0C0B, FLOAT32, "total.power_factor"),
            Measured(0x0C25, FLOAT32, "frequency_hz"),
            Measured(0x0C83, INT64, "import_wh"),
            Measured(0x0C87, INT64, "export_wh"),
            Measured(0x0C93, INT64, "reactive_import_varh"),
            Measured(0x0C97, INT64, "reactive_export_varh"),
            Measured(0x0DBD, INT64, "l1_import_wh"),
            Measured(0x0DC1, INT64, "l2_import_wh"),
            Measured(0x0DC5, INT64, "l3_import_wh"),
            Measured(0xB02B, FLOAT32, "import_wh", _KILO),
            Measured(0xB02D, FLOAT32, "export_wh", _KILO),
        ),
    }
)
"""The power factor tells four quadrants apart; these households stay in the first, where it stands as it is."""
