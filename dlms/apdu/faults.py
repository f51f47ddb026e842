"""How a server refuses a whole request: CONFIRMED-SERVICE-ERROR, tag 14, EXCEPTION-RESPONSE, tag 216 (GB 9.5)."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import Reader
from dlms.apdu.services import Apdu, ConfirmedServiceError, ExceptionResponse

CONFIRMED_SERVICE_ERROR: Final = 14
EXCEPTION_RESPONSE: Final = 216
_COUNTER: Final = struct.Struct(">I")


def _encode_confirmed(apdu: ConfirmedServiceError) -> bytes:
    return bytes((CONFIRMED_SERVICE_ERROR, apdu.service, apdu.kind, apdu.code))


def _encode_exception(apdu: ExceptionResponse) -> bytes:
    head = bytes((EXCEPTION_RESPONSE, apdu.state_error, apdu.service_error))
    return head if apdu.invocation_counter is None else head + _COUNTER.pack(apdu.invocation_counter)


def _decode_confirmed(encoded: bytes) -> ConfirmedServiceError:
    reader = Reader(encoded, 1)
    error = ConfirmedServiceError(reader.byte(), reader.byte(), reader.byte())
    reader.finish()
    return error


def _decode_exception(encoded: bytes) -> ExceptionResponse:
    """Service error 6 brings a counter; servers older than that choice send none, so its bytes decide."""
    reader = Reader(encoded, 1)
    state_error, service_error = reader.byte(), reader.byte()
    counter = None if reader.at_end() else reader.uint32()
    reader.finish()
    return ExceptionResponse(state_error, service_error, counter)


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    ConfirmedServiceError: _encode_confirmed,
    ExceptionResponse: _encode_exception,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {
    CONFIRMED_SERVICE_ERROR: _decode_confirmed,
    EXCEPTION_RESPONSE: _decode_exception,
}
