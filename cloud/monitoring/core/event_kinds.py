"""Events in few words: what kind an event is of, by its IEC 61968-9 code.

Codes come from gateways and from tables of meters' makers, so there could be any number of them, and each that is a tag
makes series. A code that stands here is a tag as it is; any other is `UNLISTED`, and what it was stands in the event's
detail. `docs/monitoring.md` shows the table.
"""

from collections.abc import Mapping
from enum import StrEnum

UNLISTED = "unlisted"
NONE = "none"
"""The code of an entry of a meter's log for which the gateway knows none; its number stands beside it."""


class EventKind(StrEnum):
    """What an event is about."""

    POWER = "power"
    """Supply, of the whole or of a phase, that failed or came back."""
    QUALITY = "quality"
    """Voltage, current or power factor out of bounds."""
    TAMPER = "tamper"
    """Something was done to the meter or to its wires."""
    RELAY = "relay"
    """The load switch moved, could not, or should for too much load."""
    CREDIT = "credit"
    CLOCK = "clock"
    COMMUNICATION = "communication"
    FIRMWARE = "firmware"
    SETTING = "setting"
    """Somebody set something, or put another meter in the place of one."""
    GATEWAY = "gateway"
    """What gateways say of themselves."""
    OTHER = "other"


_PARTS: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.POWER: (
        "26.0.85 26.0.216",
        "26.131.285 26.131.216 26.132.285 26.132.216 26.133.285 26.133.216 26.38.285",
    ),
    EventKind.QUALITY: (
        "26.38.93 26.38.150 26.38.98 26.38.216 26.38.223 26.38.224 26.38.248 26.38.249",
        "26.131.223 26.131.224 26.131.248 26.131.249 26.132.223 26.132.224 26.132.248 26.132.249",
        "26.133.223 26.133.224 26.133.248 26.133.249",
        "26.6.93 26.6.98 26.6.216 26.137.93 26.137.216 26.27.150 26.27.216",
    ),
    EventKind.TAMPER: (
        "12.6.219 12.6.216 12.6.257 12.6.291 12.137.257 12.137.291 12.66.242 12.66.243 12.66.257 12.66.291",
        "12.29.212 12.29.39 12.29.16 12.141.212 12.141.257 12.141.291 12.0.257 12.0.291",
    ),
    EventKind.RELAY: ("31.0.68 31.0.42 31.0.24 31.0.67 31.0.84 31.26.68 31.26.42 31.91.85 15.261.139 15.261.216",),
    EventKind.CREDIT: ("20.8.150 20.8.216 20.8.223 20.0.79 20.81.22 20.81.26",),
    EventKind.CLOCK: ("36.116.13 36.116.24 36.114.24 36.0.24",),
    EventKind.COMMUNICATION: ("1.0.85 1.0.216 1.0.212 1.0.42",),
    EventKind.FIRMWARE: ("11.17.52 11.283.4 11.283.85 11.0.85 9.283.4 9.283.85",),
    EventKind.SETTING: (
        "0.0.52 8.59.24 8.0.214 16.59.24 20.0.24 20.75.24 20.121.24 7.75.24 7.12.24",
        "31.139.24 31.139.26 31.139.22 12.32.24",
    ),
}
"""Codes without their first number, the kind of device, by what they are about."""
_OF_GATEWAYS = {
    "5.26.0.216": EventKind.GATEWAY,
    "5.26.0.85": EventKind.GATEWAY,
    "5.12.0.38": EventKind.GATEWAY,
    "5.17.0.93": EventKind.GATEWAY,
    "5.20.0.79": EventKind.CREDIT,
    "5.1.0.85": EventKind.COMMUNICATION,
    "5.1.0.216": EventKind.COMMUNICATION,
}
_OF_METERS = ("3", "0")
"""An electric meter, and a device of which it is not said what it is."""
KINDS: Mapping[str, EventKind] = {
    f"{device}.{part}": kind
    for device in _OF_METERS
    for kind, parts in _PARTS.items()
    for part in " ".join(parts).split()
} | _OF_GATEWAYS
"""By code."""


def kind_of(code: str) -> EventKind:
    """Return what an event is about."""
    return KINDS.get(code, EventKind.OTHER)


def tag_of(code: str) -> str:
    """Return what stands for a code among the tags: one of a list that does not grow."""
    if not code:
        return NONE
    return code if code in KINDS else UNLISTED
