"""Acrel ADW300: three phases, function 3, 16-bit values and 32-bit counters, high word first."""

from typing import Final

from device_sim.core.registers import INT16, INT32, Measured, RegisterMap

_TENTHS: Final = 10.0
_HUNDREDTHS: Final = 100.0
_HUNDREDTHS_OF_KILO: Final = 0.1

ADW300: Final = RegisterMap(
    {
        3: (
            Measured(20, INT16, "l1.voltage_v", _TENTHS),
            Measured(21, INT16, "l2.voltage_v", _TENTHS),
            Measured(22, INT16, "l3.voltage_v", _TENTHS),
            Measured(26, INT16, "l1.current_a", _HUNDREDTHS),
            Measured(27, INT16, "l2.current_a", _HUNDREDTHS),
            Measured(28, INT16, "l3.current_a", _HUNDREDTHS),
            Measured(36, INT32, "total.active_w"),
            Measured(62, INT32, "import_wh", _HUNDREDTHS_OF_KILO),
            Measured(64, INT32, "export_wh", _HUNDREDTHS_OF_KILO),
        ),
    }
)
