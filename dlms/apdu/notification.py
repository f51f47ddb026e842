"""DATA-NOTIFICATION, tag 15, and EVENT-NOTIFICATION, tag 194 (Green Book 9.5): what a server says unasked."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import DATE_TIME_BYTES, Reader, encode_attribute, encode_octets
from dlms.apdu.services import Apdu, DataNotification, EventNotification

DATA_NOTIFICATION: Final = 15
EVENT_NOTIFICATION: Final = 194
_HEAD: Final = struct.Struct(">BI")


def _encode_data(apdu: DataNotification) -> bytes:
    return _HEAD.pack(DATA_NOTIFICATION, apdu.long_invoke) + _encode_date_time(apdu.sent_at) + apdu.body


def _encode_event(apdu: EventNotification) -> bytes:
    sent_at = b"\x00" if apdu.sent_at is None else b"\x01" + _encode_date_time(apdu.sent_at)
    return bytes((EVENT_NOTIFICATION,)) + sent_at + encode_attribute(apdu.attribute) + apdu.value


def _encode_date_time(sent_at: bytes) -> bytes:
    if len(sent_at) not in {0, DATE_TIME_BYTES}:
        raise ValueError(f"a date-time has {DATE_TIME_BYTES} bytes or none, not {len(sent_at)}")
    return encode_octets(sent_at)


def _decode_data(encoded: bytes) -> DataNotification:
    reader = Reader(encoded, 1)
    return DataNotification(reader.uint32(), reader.date_time(), reader.rest())


def _decode_event(encoded: bytes) -> EventNotification:
    reader = Reader(encoded, 1)
    sent_at = reader.date_time() if reader.flag() else None
    return EventNotification(sent_at, reader.attribute(), reader.rest())


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    DataNotification: _encode_data,
    EventNotification: _encode_event,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {
    DATA_NOTIFICATION: _decode_data,
    EVENT_NOTIFICATION: _decode_event,
}
