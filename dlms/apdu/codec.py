"""Bytes of application PDUs to values and back: one entry for xDLMS services, one for ACSE.

Decides by the first byte whose codec it is (Green Book 9.5, tags of xDLMS APDUs); each family has its own module.
Ciphered APDUs (tags 33, 40, 200-215, 219, 220) are none of its business: `dlms.security` opens them first.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu import action, blocks, faults, get, initiate, notification
from dlms.apdu import set as set_service
from dlms.apdu.acse_codec import decode_acse, encode_acse
from dlms.apdu.services import Apdu
from dlms.errors import DecodeError

__all__ = ["decode_acse", "decode_apdu", "encode_acse", "encode_apdu"]

_ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    **get.ENCODERS,
    **set_service.ENCODERS,
    **action.ENCODERS,
    **notification.ENCODERS,
    **faults.ENCODERS,
    **blocks.ENCODERS,
    **initiate.ENCODERS,
}
_DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {
    **get.DECODERS,
    **set_service.DECODERS,
    **action.DECODERS,
    **notification.DECODERS,
    **faults.DECODERS,
    **blocks.DECODERS,
    **initiate.DECODERS,
}


def encode_apdu(apdu: Apdu) -> bytes:
    """Return the bytes of an xDLMS APDU; fields out of their range are the caller's mistake and raise ValueError."""
    try:
        return _ENCODERS[type(apdu)](apdu)
    except struct.error as error:
        raise ValueError(f"a field of {type(apdu).__name__} is out of range: {error}") from error


def decode_apdu(encoded: bytes) -> Apdu:
    """Return the one unciphered xDLMS APDU that `encoded` is.

    `Data` inside stays A-XDR: where nothing follows it, it is the rest of the APDU and not looked at.

    Raises:
        DecodeError: Anything else, whatever the bytes.
    """
    try:
        decoder = _DECODERS.get(encoded[0])
        if decoder is None:
            raise DecodeError(f"an APDU with tag {encoded[0]} is not known here")
        return decoder(encoded)
    except (IndexError, struct.error):
        raise DecodeError("the APDU ends too early") from None
