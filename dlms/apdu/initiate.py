"""xDLMS InitiateRequest, tag 1, and InitiateResponse, tag 8 (Green Book 9.5): the user information of AARQ and AARE.

A-XDR with one exception: the conformance block is [APPLICATION 31] in BER, tag 5F 1F, length 4, no unused bits.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.conformance import CONFORMANCE_BYTES, CONFORMANCE_MASK
from dlms.apdu.parts import Reader, encode_octets
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import Apdu
from dlms.errors import DecodeError

INITIATE_REQUEST: Final = 1
INITIATE_RESPONSE: Final = 8
_CONFORMANCE_TAG: Final = b"\x5f\x1f\x04\x00"
_APPLICATION: Final = 0x5F
_TAG_31: Final = 0x1F
_LENGTH: Final = CONFORMANCE_BYTES + 1
_UINT16: Final = struct.Struct(">H")
_INT8: Final = struct.Struct(">b")


def _encode_request(apdu: InitiateRequest) -> bytes:
    parts = [
        bytes((INITIATE_REQUEST,)),
        b"\x00" if apdu.dedicated_key is None else b"\x01" + encode_octets(apdu.dedicated_key),
        b"\x00" if apdu.response_allowed else b"\x01\x00",
        _encode_quality(apdu.quality_of_service),
        bytes((apdu.version,)),
        _encode_conformance(apdu.conformance),
        _UINT16.pack(apdu.pdu_bytes_max),
    ]
    return b"".join(parts)


def _encode_response(apdu: InitiateResponse) -> bytes:
    parts = [
        bytes((INITIATE_RESPONSE,)),
        _encode_quality(apdu.quality_of_service),
        bytes((apdu.version,)),
        _encode_conformance(apdu.conformance),
        _UINT16.pack(apdu.pdu_bytes_max),
        _UINT16.pack(apdu.vaa_name),
    ]
    return b"".join(parts)


def _encode_quality(quality_of_service: int | None) -> bytes:
    return b"\x00" if quality_of_service is None else b"\x01" + _INT8.pack(quality_of_service)


def _encode_conformance(conformance: int) -> bytes:
    if not 0 <= conformance <= CONFORMANCE_MASK:
        raise ValueError(f"conformance {conformance:#x} does not fit its 24 bits")
    return _CONFORMANCE_TAG + int(conformance).to_bytes(CONFORMANCE_BYTES, "big")


def _decode_request(encoded: bytes) -> InitiateRequest:
    reader = Reader(encoded, 1)
    dedicated_key = reader.octets() if reader.flag() else None
    response_allowed = not reader.flag() or reader.flag()  # absent means the default, TRUE
    quality_of_service = _read_quality(reader)
    version = reader.byte()
    request = InitiateRequest(
        conformance=_read_conformance(reader),
        pdu_bytes_max=reader.uint16(),
        dedicated_key=dedicated_key,
        response_allowed=response_allowed,
        quality_of_service=quality_of_service,
        version=version,
    )
    reader.finish()
    return request


def _decode_response(encoded: bytes) -> InitiateResponse:
    reader = Reader(encoded, 1)
    quality_of_service = _read_quality(reader)
    version = reader.byte()
    response = InitiateResponse(
        conformance=_read_conformance(reader),
        pdu_bytes_max=reader.uint16(),
        quality_of_service=quality_of_service,
        version=version,
        vaa_name=reader.uint16(),
    )
    reader.finish()
    return response


def _read_quality(reader: Reader) -> int | None:
    if not reader.flag():
        return None
    quality: int = _INT8.unpack(reader.take(1))[0]
    return quality


def _read_conformance(reader: Reader) -> int:
    """Return the conformance block, tagged 5F 1F or, as older stacks write it, 5F alone."""
    tag = reader.byte()
    length = reader.byte()
    if length == _TAG_31:
        length = reader.byte()
    unused_bits = reader.byte()
    if tag != _APPLICATION or length != _LENGTH or unused_bits != 0:
        raise DecodeError("no conformance block of 24 bits where one belongs")
    return int.from_bytes(reader.take(CONFORMANCE_BYTES), "big")


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    InitiateRequest: _encode_request,
    InitiateResponse: _encode_response,
}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {
    INITIATE_REQUEST: _decode_request,
    INITIATE_RESPONSE: _decode_response,
}
