"""What the meter pushes: the periodic report and the alert with its event status word (push setup, class 40).

Decides what stands in a push and that it is due; carrying it to its destination, with retries, is the adapter's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959.associations import ASSOCIATIONS, Client
from device_sim.core.is15959.objects import Query
from device_sim.core.is15959.quantities import ACTIVE_POWER, CLOCK_NAME, DATA, IMPORT, VOLTAGE
from dlms.apdu.services import AttributeDescriptor
from dlms.axdr.length import encode_length
from dlms.cosem.push_setup import CommunicationWindow, PushDestination, PushObject, RepetitionDelay
from dlms.errors import AccessRefusedError
from dlms.obis import obis

if TYPE_CHECKING:
    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.is15959.quantities import Quantity
    from device_sim.core.is15959.settings import MeterSettings

PERIODIC_NAME: Final = obis("0.0.25.9.0.255")
ALERT_NAME: Final = obis("0.4.25.9.0.255")
DEVICE_ID_NAME: Final = obis("0.0.96.1.2.255")
ESW_NAME: Final = obis("0.0.94.91.18.255")
PUSH_CLASS: Final = 40
PUSH_CLIENT_SAP: Final = 64
BODY_BYTES_MAX: Final = 4096
"""Of all values of a push; what goes beyond is left out as null-data."""
_STRUCTURE: Final = b"\x02"
_NULL: Final = b"\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPush:
    """An APDU that the meter wants carried to its head-end."""

    apdu: bytes
    """DATA-NOTIFICATION, plain or ciphered."""
    destination: bytes
    """As it stands in the push setup, often `host:port`; empty for wherever the adapter sends pushes."""
    transport: int
    client_sap: int = PUSH_CLIENT_SAP
    retries: int = 0
    retry_delay_s: int = 0


def _pushed(quantity: Quantity) -> PushObject:
    return PushObject(quantity.capture.class_id, quantity.capture.name, quantity.capture.attribute)


def _head(name: bytes) -> tuple[PushObject, ...]:
    return (PushObject(DATA, DEVICE_ID_NAME, 2), PushObject(PUSH_CLASS, name, 1), PushObject(8, CLOCK_NAME, 2))


ALERT_OBJECTS: Final = (*_head(ALERT_NAME), PushObject(DATA, ESW_NAME, 2))
PERIODIC_OBJECTS: Final = (*_head(PERIODIC_NAME), _pushed(VOLTAGE), _pushed(ACTIVE_POWER), _pushed(IMPORT))


@dataclass(slots=True)
class PushSettings:
    """One push setup."""

    objects: tuple[PushObject, ...]
    destination: PushDestination
    windows: tuple[CommunicationWindow, ...] = ()
    randomisation_s: int = 0
    retries: int = 3
    repetition: RepetitionDelay = RepetitionDelay(30)  # noqa: RUF009 - frozen


def push_settings(objects: tuple[PushObject, ...], settings: MeterSettings) -> PushSettings:
    """Return a push setup as a new meter has it."""
    return PushSettings(objects, PushDestination(settings.push_transport, settings.push_destination, 0))


def body(meter: Is15959Meter, setup: PushSettings) -> bytes:
    """Return the values that a setup lists, as the meter stands."""
    values, total_bytes = [], 0
    for each in setup.objects:
        found = _value(meter, each)
        total_bytes += len(found)
        values.append(found if total_bytes <= BODY_BYTES_MAX else _NULL)
    return _STRUCTURE + encode_length(len(values)) + b"".join(values)


def _value(meter: Is15959Meter, each: PushObject) -> bytes:
    """Return a value for a push; what cannot be read goes out as null-data."""
    wanted = AttributeDescriptor(each.class_id, each.name, each.attribute)
    try:
        return meter.catalogue.read(meter, wanted, Query(Client.SETTINGS, None), ASSOCIATIONS[Client.SETTINGS].audience)
    except AccessRefusedError:
        return _NULL
