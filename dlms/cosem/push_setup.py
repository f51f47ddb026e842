"""What a meter sends without being asked, where to and when; class 40 (BB 4.4.8)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dlms.axdr.data import Data
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.values import Value
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import (
    DATE_TIME,
    ENUM,
    INTEGER,
    LONG_UNSIGNED,
    NAME,
    NOTHING,
    OCTETS,
    UNSIGNED,
    Codec,
    record,
    sequence,
)


class TransportService(IntEnum):
    """Ways to a destination; from 200 on the manufacturer's."""

    TCP = 0
    UDP = 1
    FTP = 2
    SMTP = 3
    SMS = 4
    HDLC = 5
    MBUS = 6
    ZIGBEE = 7


@dataclass(frozen=True, slots=True)
class PushObject:
    """One attribute that is pushed; `data_index` 0 is the whole of it."""

    class_id: int
    name: bytes
    attribute: int
    data_index: int = 0


@dataclass(frozen=True, slots=True)
class PushDestination:
    """Where to and how."""

    transport: int
    """`TransportService`, or a manufacturer's."""
    destination: bytes
    message: int
    """0 A-XDR encoded xDLMS APDU, 1 XML, from 128 on the manufacturer's."""


@dataclass(frozen=True, slots=True)
class CommunicationWindow:
    """When pushing is admitted."""

    start: CosemDateTime
    end: CosemDateTime


@dataclass(frozen=True, slots=True)
class RepetitionDelay:
    """Time until a push is repeated: always the same, or from version 2 on growing up to a most."""

    delay_s: int
    exponent: int | None = None
    """Growth in hundredths; None in versions 0 and 1."""
    delay_s_max: int = 0


_GROWING: Final = record(RepetitionDelay, LONG_UNSIGNED, LONG_UNSIGNED, LONG_UNSIGNED)


def _delay_of(value: Value) -> RepetitionDelay:
    return _GROWING.of(value) if isinstance(value, tuple) else RepetitionDelay(LONG_UNSIGNED.of(value))


def _delay_to(delay: RepetitionDelay) -> Data:
    return LONG_UNSIGNED.to(delay.delay_s) if delay.exponent is None else _GROWING.to(delay)


class PushSetup(CosemObject):
    """A list of attributes and how to push them, class 40; attributes that version 2 added are not here."""

    CLASS_ID = 40
    __slots__ = ()

    push_object_list: Attribute[tuple[PushObject, ...]] = Attribute(
        2, sequence(record(PushObject, LONG_UNSIGNED, NAME, INTEGER, LONG_UNSIGNED))
    )
    send_destination_and_method: Attribute[PushDestination] = Attribute(3, record(PushDestination, ENUM, OCTETS, ENUM))
    communication_window: Attribute[tuple[CommunicationWindow, ...]] = Attribute(
        4, sequence(record(CommunicationWindow, DATE_TIME, DATE_TIME))
    )
    randomisation_start_interval: Attribute[int] = Attribute(5, LONG_UNSIGNED)
    """Seconds."""
    number_of_retries: Attribute[int] = Attribute(6, UNSIGNED)
    repetition_delay: Attribute[RepetitionDelay] = Attribute(7, Codec(_delay_of, _delay_to))
    push: Method[int, None] = Method(1, INTEGER, NOTHING)
