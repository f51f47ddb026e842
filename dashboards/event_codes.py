"""Events by name: what the codes of IEC 61968-9 mean that gateways and meters are known to send.

A code that does not stand here is shown as it is. Codes begin with the kind of device: 3 is a meter, 5 a gateway.
"""

from collections.abc import Mapping
from typing import Final

_OF_METERS: Final[Mapping[str, str]] = {
    "0.0.52": "meter replaced",
    "1.0.42": "communication module fitted",
    "1.0.85": "meter lost",
    "1.0.212": "communication module removed",
    "1.0.216": "meter found again",
    "7.12.24": "metering mode changed",
    "7.75.24": "status word filter changed",
    "8.0.214": "maximum demand reset",
    "8.59.24": "demand period changed",
    "9.283.4": "configuration image activated",
    "9.283.85": "configuration image failed",
    "11.0.85": "firmware failed",
    "11.17.52": "firmware changed",
    "11.283.4": "new firmware activated",
    "11.283.85": "new firmware failed",
    "12.0.257": "tampering begun",
    "12.0.291": "tampering ended",
    "12.6.216": "current right again",
    "12.6.219": "current reversed",
    "12.6.257": "current bypassed",
    "12.6.291": "current bypass ended",
    "12.29.16": "meter cover closed",
    "12.29.39": "meter cover opened",
    "12.29.212": "meter cover opened",
    "12.32.24": "key changed",
    "12.66.242": "magnet present",
    "12.66.243": "magnet gone",
    "12.66.257": "magnetic tampering begun",
    "12.66.291": "magnetic tampering ended",
    "12.137.257": "neutral disturbed",
    "12.137.291": "neutral disturbance ended",
    "12.141.212": "terminal cover opened",
    "12.141.257": "terminal tampering begun",
    "12.141.291": "terminal tampering ended",
    "15.261.139": "power limit exceeded",
    "15.261.216": "power below limit again",
    "16.59.24": "capture period changed",
    "20.0.24": "billing counter raised",
    "20.0.79": "billing error",
    "20.8.150": "credit used up",
    "20.8.216": "credit again",
    "20.8.223": "credit low",
    "20.75.24": "billing dates changed",
    "20.81.22": "set to post-paid",
    "20.81.26": "set to prepaid",
    "20.121.24": "activity calendar changed",
    "26.0.85": "power failed",
    "26.0.216": "power restored",
    "26.6.93": "over-current",
    "26.6.98": "current unbalanced",
    "26.6.216": "current normal again",
    "26.27.150": "low power factor",
    "26.27.216": "power factor normal again",
    "26.38.93": "over-voltage",
    "26.38.98": "voltage unbalanced",
    "26.38.150": "low voltage",
    "26.38.216": "voltage normal again",
    "26.38.223": "voltage sag begun",
    "26.38.224": "voltage sag ended",
    "26.38.248": "voltage swell begun",
    "26.38.249": "voltage swell ended",
    "26.38.285": "neutral missing",
    "26.131.216": "phase 1 back",
    "26.131.285": "phase 1 missing",
    "26.132.216": "phase 2 back",
    "26.132.285": "phase 2 missing",
    "26.133.216": "phase 3 back",
    "26.133.285": "phase 3 missing",
    "26.137.93": "earth loading",
    "26.137.216": "earth loading ended",
    "31.0.24": "load switch changed",
    "31.0.42": "load switch closed",
    "31.0.67": "load switch armed to open",
    "31.0.68": "load switch opened",
    "31.0.84": "load switch did not move",
    "31.26.42": "load switch closed after outage",
    "31.26.68": "load switch opened by outage",
    "31.91.85": "load switch welded",
    "31.139.22": "load limit disabled",
    "31.139.24": "load limit changed",
    "31.139.26": "load limit enabled",
    "36.0.24": "clock changed",
    "36.114.24": "time zone changed",
    "36.116.13": "clock set",
    "36.116.24": "clock set",
}
_OF_GATEWAYS: Final[Mapping[str, str]] = {
    "1.0.85": "line lost",
    "1.0.216": "line found again",
    "12.0.38": "gateway refused a message",
    "17.0.93": "gateway's store is full",
    "20.0.79": "account differs from the cloud's",
    "26.0.85": "gateway lost power",
    "26.0.216": "gateway started",
}
_OF_VOLTAGE: Final[Mapping[str, str]] = {
    "223": "sag begun",
    "224": "sag ended",
    "248": "swell begun",
    "249": "swell ended",
}
_PHASES: Final[Mapping[str, str]] = {"131": "phase 1", "132": "phase 2", "133": "phase 3"}
_DEVICES: Final = ("3", "0")
"""A meter, and a device of which it is not said what it is."""
NAMES: Final[Mapping[str, str]] = (
    {f"{device}.{code}": name for device in _DEVICES for code, name in _OF_METERS.items()}
    | {
        f"{device}.26.{phase}.{action}": f"{where}: {what}"
        for device in _DEVICES
        for phase, where in _PHASES.items()
        for action, what in _OF_VOLTAGE.items()
    }
    | {f"5.{code}": name for code, name in _OF_GATEWAYS.items()}
    | {"none": "no code known", "unlisted": "code in the detail"}
)
