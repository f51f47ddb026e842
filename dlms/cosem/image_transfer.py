"""Transfer of a firmware image into a meter, class 18 (BB 4.4.6)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dlms.axdr.tags import BitString
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import (
    BITS,
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    NOTHING,
    OCTETS,
    enumeration,
    record,
    sequence,
)


class ImageTransferStatus(IntEnum):
    """How far an image has come."""

    NOT_INITIATED = 0
    INITIATED = 1
    VERIFICATION_INITIATED = 2
    VERIFICATION_SUCCESSFUL = 3
    VERIFICATION_FAILED = 4
    ACTIVATION_INITIATED = 5
    ACTIVATION_SUCCESSFUL = 6
    ACTIVATION_FAILED = 7


@dataclass(frozen=True, slots=True)
class ImageToActivate:
    """An image that is in the meter as a whole."""

    size_bytes: int
    identification: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ImageInitiation:
    """What will be transferred."""

    identifier: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """One block; numbers start at 0, all but the last have the block size of the meter."""

    number: int
    value: bytes


_IMAGES: Final = sequence(record(ImageToActivate, DOUBLE_LONG_UNSIGNED, OCTETS, OCTETS))


class ImageTransfer(CosemObject):
    """Initiate, transfer block by block, verify, activate; class 18."""

    CLASS_ID = 18
    __slots__ = ()

    image_block_size: Attribute[int] = Attribute(2, DOUBLE_LONG_UNSIGNED)
    image_transferred_blocks_status: Attribute[BitString] = Attribute(3, BITS)
    """Bit 0, the leftmost, stands for block 0."""
    image_first_not_transferred_block_number: Attribute[int] = Attribute(4, DOUBLE_LONG_UNSIGNED)
    image_transfer_enabled: Attribute[bool] = Attribute(5, BOOLEAN)
    image_transfer_status: Attribute[ImageTransferStatus] = Attribute(6, enumeration(ImageTransferStatus))
    image_to_activate_info: Attribute[tuple[ImageToActivate, ...]] = Attribute(7, _IMAGES)
    image_transfer_initiate: Method[ImageInitiation, None] = Method(
        1, record(ImageInitiation, OCTETS, DOUBLE_LONG_UNSIGNED), NOTHING
    )
    image_block_transfer: Method[ImageBlock, None] = Method(
        2, record(ImageBlock, DOUBLE_LONG_UNSIGNED, OCTETS), NOTHING
    )
    image_verify: Method[int, None] = Method(3, INTEGER, NOTHING)
    image_activate: Method[int, None] = Method(4, INTEGER, NOTHING)
