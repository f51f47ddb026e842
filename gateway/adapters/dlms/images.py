"""A firmware image on its way into a meter (class 18, Blue Book 4.4.6), a bounded piece at a time.

Every piece is an association of its own, so that a line of many meters is never held for long, and going on after a
break is the same as going on. Where a transfer stands, the meter knows, block by block; which image it is about, it
does not say before the image is whole, so that is noted on our disk. What the meter says about the whole image must be
what was sent before it is activated.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from dlms.apdu.results import ActionResult, DataAccessResult
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageToActivate, ImageTransfer, ImageTransferStatus
from dlms.errors import AccessRefusedError, ActionRefusedError, DecodeError
from gateway.adapters.dlms.conversation import Conversation
from gateway.ports import DisagreedError, Shelf
from wire import codec
from wire.errors import MalformedError

BLOCKS_MAX = 64
"""Blocks sent in one piece unless told otherwise: some 15 s at 9600 baud."""
BLOCK_BYTES_MAX = 1 << 16
IMAGE_BYTES_MAX = 16 * 1024 * 1024


class Stage(StrEnum):
    """How far an image has come."""

    TRANSFERRING = "transferring"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    """It is whole, and the one that was sent; it may be activated."""
    ACTIVATING = "activating"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Image:
    """What is to run in a meter."""

    identifier: bytes
    content: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()


@dataclass(frozen=True, slots=True)
class ImageProgress:
    """Where a transfer stands."""

    stage: Stage
    blocks_done: int
    blocks_total: int


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """Which image the transfer in a meter is about."""

    digest: bytes
    identifier: bytes
    is_activated: bool = False
    """It was told to run."""


class Images:
    """Brings images into meters."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def push(
        self, talk: Conversation, image: Image, *, activates: bool, blocks_max: int = BLOCKS_MAX
    ) -> ImageProgress:
        """Bring an image one piece further.

        Args:
            talk: With the meter, as firmware client.
            image: What is to run.
            activates: It is activated once it is verified.
            blocks_max: Blocks to send at most.

        Raises:
            DisagreedError: The meter finds the image bad, or has another one than was sent.
            LineDownError: The line broke.
            DlmsError: The meter refuses or broke off.
        """
        thing = _transfer(talk)
        status, block_bytes = await self._look(talk, thing)
        note = await self._note(talk)
        total = -(-len(image.content) // block_bytes)
        is_ours = note is not None and (note.digest, note.identifier) == (image.digest, image.identifier)
        is_told = note is not None and note.is_activated
        if not is_ours or status in {ImageTransferStatus.NOT_INITIATED, ImageTransferStatus.ACTIVATION_FAILED}:
            await self._initiate(talk, thing, image)
            return await self._transfer(talk, thing, image, block_bytes, blocks_max)
        match status:
            case ImageTransferStatus.INITIATED:
                return await self._transfer(talk, thing, image, block_bytes, blocks_max)
            case ImageTransferStatus.VERIFICATION_INITIATED:
                # Told once more, some meters would begin anew.
                return ImageProgress(Stage.VERIFYING, total, total)
            case ImageTransferStatus.VERIFICATION_SUCCESSFUL:
                return await self._verified(talk, thing, image, total, activates=activates)
            case ImageTransferStatus.VERIFICATION_FAILED:
                await self._forget(talk)
                raise DisagreedError(f"meter {talk.meter.id} finds the image bad")
            case ImageTransferStatus.ACTIVATION_INITIATED:
                return ImageProgress(Stage.ACTIVATING, total, total)
            case _ if is_told:
                await self._forget(talk)
                return ImageProgress(Stage.ACTIVE, total, total)
            case _:
                # It was activated by its schedule, or by somebody else.
                return ImageProgress(Stage.ACTIVE, total, total)

    async def _look(self, talk: Conversation, thing: ImageTransfer) -> tuple[ImageTransferStatus, int]:
        enabled, block_bytes, status = await talk.get_many(
            [thing.image_transfer_enabled, thing.image_block_size, thing.image_transfer_status]
        )
        for found in (block_bytes, status):
            if isinstance(found, AccessRefusedError):
                raise found
        if enabled is False:
            raise AccessRefusedError(
                "image transfer is not enabled at this meter", result=DataAccessResult.READ_WRITE_DENIED
            )
        if not 0 < block_bytes <= BLOCK_BYTES_MAX:
            raise DecodeError(f"the meter wants blocks of {block_bytes} bytes")
        return status, block_bytes

    # ---- steps -------------------------------------------------------------------------------------------------------

    async def _initiate(self, talk: Conversation, thing: ImageTransfer, image: Image) -> None:
        # Noted after the meter has taken it: a break in between begins the transfer once more, which does no harm.
        await self._forget(talk)
        await talk.invoke(thing.image_transfer_initiate, ImageInitiation(image.identifier, len(image.content)))
        await self._shelf.keep(_name(talk), codec.encode(_Note(image.digest, image.identifier)))

    async def _transfer(
        self, talk: Conversation, thing: ImageTransfer, image: Image, block_bytes: int, blocks_max: int
    ) -> ImageProgress:
        total = -(-len(image.content) // block_bytes)
        missing = await _missing_blocks(talk, thing, total)
        for number in missing[:blocks_max]:
            start = number * block_bytes
            await talk.invoke(
                thing.image_block_transfer, ImageBlock(number, image.content[start : start + block_bytes])
            )
        left = len(missing) - blocks_max
        if left > 0:
            return ImageProgress(Stage.TRANSFERRING, total - left, total)
        if await _missing_blocks(talk, thing, total):
            # Some that it took it does not have: they are sent again with the next piece.
            return ImageProgress(Stage.TRANSFERRING, total - len(missing), total)
        return await self._verify(talk, thing, total)

    async def _verify(self, talk: Conversation, thing: ImageTransfer, total: int) -> ImageProgress:
        """Let the meter verify; it says "temporary failure" where it does not know at once."""
        try:
            await talk.invoke(thing.image_verify, 0)
        except ActionRefusedError as refusal:
            if refusal.result != ActionResult.TEMPORARY_FAILURE:
                status = await talk.get(thing.image_transfer_status)
                if status is not ImageTransferStatus.VERIFICATION_FAILED:
                    raise
                await self._forget(talk)
                raise DisagreedError(f"meter {talk.meter.id} finds the image bad") from refusal
        return ImageProgress(Stage.VERIFYING, total, total)

    async def _verified(
        self, talk: Conversation, thing: ImageTransfer, image: Image, total: int, *, activates: bool
    ) -> ImageProgress:
        await self._check_identity(talk, thing, image)
        if not activates:
            return ImageProgress(Stage.VERIFIED, total, total)
        await self._shelf.keep(_name(talk), codec.encode(_Note(image.digest, image.identifier, is_activated=True)))
        try:
            await talk.invoke(thing.image_activate, 0)
        except ActionRefusedError as refusal:
            # It has begun, and cannot say yet how it will end.
            if refusal.result != ActionResult.TEMPORARY_FAILURE:
                raise
        return ImageProgress(Stage.ACTIVATING, total, total)

    async def _check_identity(self, talk: Conversation, thing: ImageTransfer, image: Image) -> None:
        """See to it that the image that would run is the one that was sent."""
        there = await talk.get(thing.image_to_activate_info)
        if not any(_is_same(each, image) for each in there):
            await self._forget(talk)
            raise DisagreedError(f"meter {talk.meter.id} would activate another image than was sent")

    # ---- the note ----------------------------------------------------------------------------------------------------

    async def _note(self, talk: Conversation) -> _Note | None:
        kept = await self._shelf.kept(_name(talk))
        try:
            note: _Note | None = codec.decode_as(kept, _Note) if kept else None
        except MalformedError:
            return None
        return note

    async def _forget(self, talk: Conversation) -> None:
        await self._shelf.keep(_name(talk), b"")


def _is_same(there: ImageToActivate, image: Image) -> bool:
    return (there.size_bytes, there.identification) == (len(image.content), image.identifier)


async def _missing_blocks(talk: Conversation, thing: ImageTransfer, total: int) -> list[int]:
    """Return which blocks the meter does not have yet."""
    try:
        there = await talk.get(thing.image_transferred_blocks_status)
    except AccessRefusedError:
        first = await talk.get(thing.image_first_not_transferred_block_number)
        return list(range(first, total))
    return [number for number in range(total) if number >= len(there) or not there[number]]


def _transfer(talk: Conversation) -> ImageTransfer:
    name = talk.meter.profile.objects.image_transfer
    if name is None:
        raise AccessRefusedError("the make takes no images", result=DataAccessResult.OBJECT_UNDEFINED)
    return ImageTransfer(name)


def _name(talk: Conversation) -> str:
    return f"dlms/image/{talk.meter.id}"
