"""Carlo Gavazzi EM111, EM112: single phase, function 4, 32-bit integers, low word first."""

from typing import Final

from device_sim.core.registers import INT16, INT32_LOW_WORD_FIRST, Measured, RegisterMap

_TENTHS: Final = 10.0
_THOUSANDTHS: Final = 1000.0
_TENTHS_OF_KILO: Final = 0.01

EM112: Final = RegisterMap(
    {
        4: (
            Measured(0x0000, INT32_LOW_WORD_FIRST, "l1.voltage_v", _TENTHS),
            Measured(0x0002, INT32_LOW_WORD_FIRST, "l1.current_a", _THOUSANDTHS),
            Measured(0x0004, INT32_LOW_WORD_FIRST, "l1.active_w", _TENTHS),
            Measured(0x0006, INT32_LOW_WORD_FIRST, "l1.apparent_va", _TENTHS),
            Measured(0x0008, INT32_LOW_WORD_FIRST, "l1.reactive_var", _TENTHS),
            Measured(0x000E, INT16, "l1.power_factor", _THOUSANDTHS),
            Measured(0x000F, INT16, "frequency_hz", _TENTHS),
            Measured(0x0010, INT32_LOW_WORD_FIRST, "import_wh", _TENTHS_OF_KILO),
            Measured(0x0020, INT32_LOW_WORD_FIRST, "export_wh", _TENTHS_OF_KILO),
        ),
    }
)
