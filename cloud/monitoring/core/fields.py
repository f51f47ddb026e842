"""What a channel is called in the copy for looking at: a table of names, each with one unit and one type for ever.

A time-series server fixes the type of a field with its first write, so every number is a float, in the unit that ends
its name. A channel that the table does not know, or that comes in another unit, keeps its logical name.
`docs/monitoring.md` shows the table.
"""

from functools import lru_cache

from cloud.meterdata.core.meter_day import ChannelKey

_UNIT_NAMES = {27: "w", 28: "va", 29: "var", 30: "wh", 31: "vah", 32: "varh", 33: "a", 35: "v", 44: "hz", 255: ""}
"""DLMS unit codes (IEC 62056-6-2 table 4)."""
_MAXIMUM, _INSTANT, _TOTAL, _AVERAGE, _INTERVAL = 6, 7, 8, 27, 29
_QUANTITIES = {
    (1, _INSTANT): ("active_power", 27),
    (2, _INSTANT): ("active_power_export", 27),
    (3, _INSTANT): ("reactive_power", 29),
    (4, _INSTANT): ("reactive_power_export", 29),
    (9, _INSTANT): ("apparent_power", 28),
    (10, _INSTANT): ("apparent_power_export", 28),
    (11, _INSTANT): ("current", 33),
    (12, _INSTANT): ("voltage", 35),
    (13, _INSTANT): ("power_factor", 255),
    (14, _INSTANT): ("frequency", 44),
    (15, _INSTANT): ("active_power_absolute", 27),
    (16, _INSTANT): ("active_power_net", 27),
    (1, _TOTAL): ("active_energy_import", 30),
    (2, _TOTAL): ("active_energy_export", 30),
    (3, _TOTAL): ("reactive_energy_import", 32),
    (4, _TOTAL): ("reactive_energy_export", 32),
    (9, _TOTAL): ("apparent_energy_import", 31),
    (10, _TOTAL): ("apparent_energy_export", 31),
    (15, _TOTAL): ("active_energy_absolute", 30),
    (16, _TOTAL): ("active_energy_net", 30),
    (1, _INTERVAL): ("active_energy_import_interval", 30),
    (2, _INTERVAL): ("active_energy_export_interval", 30),
    (9, _INTERVAL): ("apparent_energy_import_interval", 31),
    (10, _INTERVAL): ("apparent_energy_export_interval", 31),
    (11, _AVERAGE): ("current_average", 33),
    (12, _AVERAGE): ("voltage_average", 35),
    (1, _MAXIMUM): ("active_power_maximum", 27),
    (9, _MAXIMUM): ("apparent_power_maximum", 28),
}
"""Name and unit by value groups C and D of an electricity object (IEC 62056-6-1 tables 13 and 14), all phases."""
_NEUTRAL_CURRENT = 91
_SINGLE = {bytes((0, 0, 96, 3, 10, 255)): ("relay_closed", 255)}
"""Objects that are not of electricity: the disconnect control's output state."""


@lru_cache(maxsize=4_096)
def field_name(channel: ChannelKey) -> str:
    """Return the field that a channel's values go to."""
    known = _SINGLE.get(channel.obis) or _electricity(channel.obis)
    if known is not None and known[1] == channel.unit:
        stem, unit = known
        return "_".join(part for part in (stem, _UNIT_NAMES[unit]) if part)
    return f"obis_{'_'.join(map(str, channel.obis))}_unit_{channel.unit}"


def scaled(value: int, scaler: int) -> float:
    """Return a value in its unit: `value * 10**scaler`, as exact as a float can be."""
    return value / 10**-scaler if scaler < 0 else float(value * 10**scaler)


def _electricity(obis: bytes) -> tuple[str, int] | None:
    """Return stem and unit of an object 1-0:C.D.E.255, where C may be of one phase and E a tariff."""
    a, b, c, d, e, f = obis
    if (a, b, f) != (1, 0, 255):
        return None
    phase = ""
    if c == _NEUTRAL_CURRENT and d == _INSTANT:
        c, phase = 11, "_neutral"
    elif c > 20:
        # Groups 21 to 40, 41 to 60 and 61 to 80 repeat 1 to 20 for each phase.
        index, c = divmod(c - 1, 20)
        c += 1
        if index > 3:
            return None
        phase = f"_l{index}"
    quantity = _QUANTITIES.get((c, d))
    if quantity is None:
        return None
    stem, unit = quantity
    return f"{stem}{phase}{f'_t{e}' if e else ''}", unit
