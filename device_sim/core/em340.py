"""Carlo Gavazzi EM330, EM340: three phases, function 4, 32-bit integers, low word first."""

from typing import Final

from device_sim.core.registers import INT16, INT32_LOW_WORD_FIRST, Measured, RegisterMap

_TENTHS: Final = 10.0
_THOUSANDTHS: Final = 1000.0
_TENTHS_OF_KILO: Final = 0.01

EM340: Final = RegisterMap(
    {
        4: (
            Measured(0x0000, INT32_LOW_WORD_FIRST, "l1.voltage_v", _TENTHS),
            Measured(0x0002, INT32_LOW_WORD_FIRST, "l2.voltage_v", _TENTHS),
            Measured(0x0004, INT32_LOW_WORD_FIRST, "l3.voltage_v", _TENTHS),
            Measured(0x000C, INT32_LOW_WORD_FIRST, "l1.current_a", _THOUSANDTHS),
            Measured(0x000E, INT32_LOW_WORD_FIRST, "l2.current_a", _THOUSANDTHS),
            Measured(0x0010, INT32_LOW_WORD_FIRST, "l3.current_a", _THOUSANDTHS),
            Measured(0x0012, INT32_LOW_WORD_FIRST, "l1.active_w", _TENTHS),
            Measured(0x0014, INT32_LOW_WORD_FIRST, "l2.active_w", _TENTHS),
            Measured(0x0016, INT32_LOW_WORD_FIRST, "l3.active_w", _TENTHS),
            Measured(0x0018, INT32_LOW_WORD_FIRST, "l1.apparent_va", _TENTHS),
            Measured(0x001A, INT32_LOW_WORD_FIRST, "l2.apparent_va", _TENTHS),
            Measured(0x001C, INT32_LOW_WORD_FIRST, "l3.apparent_va", _TENTHS),
            Measured(0x001E, INT32_LOW_WORD_FIRST, "l1.reactive_var", _TENTHS),
            Measured(0x0020, INT32_LOW_WORD_FIRST, "l2.reactive_var", _TENTHS),
            Measured(0x0022, INT32_LOW_WORD_FIRST, "l3.reactive_var", _TENTHS),
            Measured(0x0028, INT32_LOW_WORD_FIRST, "total.active_w", _TENTHS),
            Measured(0x002A, INT32_LOW_WORD_FIRST, "total.apparent_va", _TENTHS),
            Measured(0x002C, INT32_LOW_WORD_FIRST, "total.reactive_var", _TENTHS),
            Measured(0x002E, INT16, "l1.power_factor", _THOUSANDTHS),
            Measured(0x002F, INT16, "l2.power_factor", _THOUSANDTHS),
            Measured(0x0030, INT16, "l3.power_factor", _THOUSANDTHS),
            Measured(0x0031, INT16, "total.power_factor", _THOUSANDTHS),
            Measured(0x0033, INT16, "frequency_hz", _TENTHS),
            Measured(0x0034, INT32_LOW_WORD_FIRST, "import_wh", _TENTHS_OF_KILO),
            Measured(0x0040, INT32_LOW_WORD_FIRST, "l1_import_wh", _TENTHS_OF_KILO),
            Measured(0x0042, INT32_LOW_WORD_FIRST, "l2_import_wh", _TENTHS_OF_KILO),
            Measured(0x0044, INT32_LOW_WORD_FIRST, "l3_import_wh", _TENTHS_OF_KILO),
            Measured(0x004E, INT32_LOW_WORD_FIRST, "export_wh", _TENTHS_OF_KILO),
        ),
    }
)
"""Register 0x000B holds the model in the real meter; its values are not known here, and it is left out."""
