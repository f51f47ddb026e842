"""Firmware: what an image of this meter looks like, and how one gets into it (image transfer, class 18; BB 4.4.6).

Decides which blocks are there, whether the image is whole and what it says it is, and when it runs. An image is the
letters WPFW, the length and text of its version, anything, and the SHA-256 of all that.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from dlms.apdu.results import ActionResult
from dlms.axdr.tags import BitString
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageToActivate, ImageTransferStatus
from dlms.errors import ActionRefusedError

MAGIC: Final = b"WPFW"
DIGEST_BYTES: Final = 32
VERSION_BYTES_MAX: Final = 32


def make_image(version: str, payload: bytes) -> bytes:
    """Return an image that the meter accepts."""
    text = version.encode("ascii")
    if not 0 < len(text) <= VERSION_BYTES_MAX:
        raise ValueError(f"a version has 1 to {VERSION_BYTES_MAX} characters")
    body = MAGIC + bytes((len(text),)) + text + payload
    return body + sha256(body).digest()


def image_version(image: bytes) -> str | None:
    """Return the version that a whole and sound image gives itself, None for any other bytes."""
    body, digest = image[:-DIGEST_BYTES], image[-DIGEST_BYTES:]
    if not body.startswith(MAGIC) or len(body) <= len(MAGIC) or sha256(body).digest() != digest:
        return None
    start = len(MAGIC) + 1
    text = body[start : start + body[len(MAGIC)]]
    is_version = 0 < len(text) <= VERSION_BYTES_MAX and len(text) == body[len(MAGIC)] and text.isascii()
    return text.decode("ascii") if is_version else None


class Firmware:
    """The running firmware, and an image on its way."""

    def __init__(
        self, *, version: str, block_bytes: int, image_bytes_max: int, verify_ms: int, activate_ms: int
    ) -> None:
        self.version = version
        self.block_bytes = block_bytes
        self.is_enabled = True
        """Whether images are accepted at all (attribute 5)."""
        self.status = ImageTransferStatus.NOT_INITIATED
        self.to_activate: tuple[ImageToActivate, ...] = ()
        self._image_bytes_max = image_bytes_max
        self._verify_ms = verify_ms
        self._activate_ms = activate_ms
        self._identifier = b""
        self._image = bytearray()
        self._missing: set[int] = set()
        self._block_count = 0
        self._new_version: str | None = None
        self._due_ms: int | None = None

    def initiate(self, wanted: ImageInitiation) -> None:
        """Begin a transfer; one before it is forgotten."""
        self._refuse_unless(self.is_enabled, ActionResult.READ_WRITE_DENIED)
        self._refuse_unless(self._due_ms is None, ActionResult.TEMPORARY_FAILURE)
        self._refuse_unless(0 < wanted.size_bytes <= self._image_bytes_max, ActionResult.OTHER_REASON)
        self._identifier = wanted.identifier
        self._image = bytearray(wanted.size_bytes)
        self._block_count = -(-wanted.size_bytes // self.block_bytes)
        self._missing = set(range(self._block_count))
        self.to_activate = ()
        self.status = ImageTransferStatus.INITIATED

    def put(self, block: ImageBlock) -> None:
        """Take a block; the same one again changes nothing."""
        self._refuse_unless(self.status is ImageTransferStatus.INITIATED, ActionResult.OTHER_REASON)
        self._refuse_unless(0 <= block.number < self._block_count, ActionResult.OTHER_REASON)
        start = block.number * self.block_bytes
        end = min(start + self.block_bytes, len(self._image))
        self._refuse_unless(len(block.value) == end - start, ActionResult.TYPE_UNMATCHED)
        self._image[start:end] = block.value
        self._missing.discard(block.number)

    def verify(self, now_ms: int) -> None:
        """Begin to verify, and refuse until it is done: temporarily while busy, for good if the image is bad.

        A client asks again until it is told success, or that the image failed (Blue Book 4.4.6.3).
        """
        match self.status:
            case ImageTransferStatus.VERIFICATION_SUCCESSFUL:
                return
            case ImageTransferStatus.VERIFICATION_FAILED:
                raise ActionRefusedError("the image is bad", result=ActionResult.OTHER_REASON)
            case ImageTransferStatus.INITIATED:
                self._refuse_unless(not self._missing, ActionResult.OTHER_REASON)
                self.status = ImageTransferStatus.VERIFICATION_INITIATED
                self._due_ms = now_ms + self._verify_ms
                if not self._verify_ms:
                    self.on_timer(now_ms)
                    self.verify(now_ms)
                    return
                raise ActionRefusedError("being verified", result=ActionResult.TEMPORARY_FAILURE)
            case ImageTransferStatus.VERIFICATION_INITIATED:
                raise ActionRefusedError("being verified", result=ActionResult.TEMPORARY_FAILURE)
            case _:
                raise ActionRefusedError("nothing to verify", result=ActionResult.OTHER_REASON)

    def activate(self, now_ms: int) -> None:
        """Start with the new image, in a while."""
        match self.status:
            case ImageTransferStatus.VERIFICATION_SUCCESSFUL:
                self.status = ImageTransferStatus.ACTIVATION_INITIATED
                self._due_ms = now_ms + self._activate_ms
            case ImageTransferStatus.ACTIVATION_INITIATED:
                raise ActionRefusedError("being activated", result=ActionResult.TEMPORARY_FAILURE)
            case _:
                raise ActionRefusedError("nothing to activate", result=ActionResult.OTHER_REASON)

    def activate_if_verified(self, now_ms: int) -> None:
        """Start with the new image because its time has come, if there is a verified one."""
        if self.status is ImageTransferStatus.VERIFICATION_SUCCESSFUL:
            self.activate(now_ms)

    def next_deadline_ms(self) -> int | None:
        """Return when verification or activation ends."""
        return self._due_ms

    def on_timer(self, now_ms: int) -> bool:
        """End what is due; True if another version runs now."""
        if self._due_ms is None or now_ms < self._due_ms:
            return False
        self._due_ms = None
        if self.status is ImageTransferStatus.VERIFICATION_INITIATED:
            self._finish_verification()
            return False
        assert self._new_version is not None, "only a verified image is activated"
        self.version = self._new_version
        self.status = ImageTransferStatus.ACTIVATION_SUCCESSFUL
        self._image, self._block_count = bytearray(), 0
        return True

    def blocks(self) -> BitString:
        """Return which blocks are there."""
        return BitString.of(*(number not in self._missing for number in range(self._block_count)))

    def first_missing(self) -> int:
        """Return the first block that is not there; the count of all when none is missing."""
        return min(self._missing, default=self._block_count)

    def _finish_verification(self) -> None:
        image = bytes(self._image)
        self._new_version = image_version(image)
        if self._new_version is None:
            self.status = ImageTransferStatus.VERIFICATION_FAILED
            return
        self.status = ImageTransferStatus.VERIFICATION_SUCCESSFUL
        self.to_activate = (ImageToActivate(len(image), self._identifier, image[-DIGEST_BYTES:]),)

    @staticmethod
    def _refuse_unless(holds: bool, result: ActionResult) -> None:  # noqa: FBT001 - a condition reads best bare
        if not holds:
            raise ActionRefusedError("image transfer refused", result=result)
