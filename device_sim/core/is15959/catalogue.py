"""All objects of the meter, put together once for all meters of a process."""

from __future__ import annotations

from functools import cache

from device_sim.core.is15959.catalogue_access import access
from device_sim.core.is15959.catalogue_controls import alerts, firmware, load_switch, prepaid, schedules
from device_sim.core.is15959.catalogue_profiles import event_logs, profiles
from device_sim.core.is15959.catalogue_values import billing, clock, identity, periods, registers
from device_sim.core.is15959.objects import Catalogue


@cache
def catalogue() -> Catalogue:
    """Return the objects by their logical names."""
    entries = (
        *access(),
        *identity(),
        clock(),
        *registers(),
        *periods(),
        *billing(),
        *profiles(),
        *event_logs(),
        *load_switch(),
        *prepaid(),
        *firmware(),
        *schedules(),
        *alerts(),
    )
    by_name = {each.name: each for each in entries}
    assert len(by_name) == len(entries), "each logical name stands for one object"
    return Catalogue(by_name)
