"""GENERAL-BLOCK-TRANSFER, tag 224 (Green Book 9.5 and 9.3.5): one block of any APDU."""

import struct
from collections.abc import Callable
from typing import Any, Final

from dlms.apdu.parts import Reader, encode_octets
from dlms.apdu.services import Apdu, GeneralBlockTransfer

GENERAL_BLOCK_TRANSFER: Final = 224
WINDOW_MAX: Final = 0x3F
"""Blocks in one window: six bits of block-control."""
_IS_LAST: Final = 0x80
_IS_STREAMING: Final = 0x40
_HEAD: Final = struct.Struct(">BBHH")


def _encode(apdu: GeneralBlockTransfer) -> bytes:
    if not 0 <= apdu.window <= WINDOW_MAX:
        raise ValueError(f"a window of {apdu.window} blocks does not fit block-control")
    control = apdu.window | (_IS_LAST if apdu.is_last else 0) | (_IS_STREAMING if apdu.is_streaming else 0)
    return _HEAD.pack(GENERAL_BLOCK_TRANSFER, control, apdu.block, apdu.block_acknowledged) + encode_octets(apdu.part)


def _decode(encoded: bytes) -> GeneralBlockTransfer:
    _, control, block, block_acknowledged = _HEAD.unpack_from(encoded)
    reader = Reader(encoded, _HEAD.size)
    part = reader.octets()
    reader.finish()
    return GeneralBlockTransfer(
        is_last=control & _IS_LAST != 0,
        is_streaming=control & _IS_STREAMING != 0,
        window=control & WINDOW_MAX,
        block=block,
        block_acknowledged=block_acknowledged,
        part=part,
    )


ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {GeneralBlockTransfer: _encode}
DECODERS: Final[dict[int, Callable[[bytes], Apdu]]] = {GENERAL_BLOCK_TRANSFER: _decode}
