"""The terms under which one request is served: who asks, what was granted, and how long the answer may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dlms.apdu.conformance import Conformance
from dlms.apdu.results import DataAccessResult
from dlms.apdu.services import DataResult, SelectedAttribute
from dlms.errors import AccessRefusedError, DlmsError
from dlms.server.device import Access, LogicalDevice

BLOCK_HEAD_BYTES: Final = 12
"""What a response with a data block has besides the block: 9 bytes, and up to 3 of its length (Green Book 9.5)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one request."""

    device: LogicalDevice
    access: Access
    conformance: int
    reply_bytes_max: int
    """Of the unciphered answer, so that the client can receive it ciphered."""
    transfer_bytes_max: int
    """Of what comes or goes in blocks, put together."""
    in_general_blocks: bool = False
    """Whether the answer goes out in general blocks anyway, and may have any length."""

    def grants(self, needed: int) -> bool:
        """Say whether all of these services were granted."""
        return self.conformance & needed == needed

    def fits(self, reply_bytes: int, block_service: Conformance) -> bool:
        """Say whether an answer can go out as it is; general blocks carry it where the service has none of its own."""
        if reply_bytes <= self.reply_bytes_max or self.in_general_blocks:
            return True
        return not self.grants(block_service) and self.grants(Conformance.GENERAL_BLOCK_TRANSFER)

    def block_bytes(self) -> int:
        """Return how much of a long answer fits into one block."""
        return max(1, self.reply_bytes_max - BLOCK_HEAD_BYTES)

    def read(self, attribute: SelectedAttribute) -> DataResult:
        """Ask the device for an attribute."""
        if attribute.selection is not None and not self.grants(Conformance.SELECTIVE_ACCESS):
            return DataResult(None, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return _outcome(lambda: self.device.read(attribute.descriptor, attribute.selection, self.access))

    def write(self, attribute: SelectedAttribute, value: bytes) -> int:
        """Give the device a value, and return the result."""
        if attribute.selection is not None and not self.grants(Conformance.SELECTIVE_ACCESS):
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED

        def write() -> bytes:
            self.device.write(attribute.descriptor, attribute.selection, value, self.access)
            return b""

        return _outcome(write).result


def _outcome(ask: Callable[[], bytes]) -> DataResult:
    try:
        return DataResult(ask())
    except AccessRefusedError as refusal:
        return DataResult(None, refusal.result)
    except DlmsError:
        return DataResult(None, DataAccessResult.TYPE_UNMATCHED)


class Refused(Exception):  # noqa: N818 - a way out to one answer, no error of ours
    """A service ends in an exception-response: state error and service error."""

    def __init__(self, state_error: int, service_error: int) -> None:
        super().__init__()
        self.state_error = state_error
        self.service_error = service_error
