"""GENERAL-BLOCK-TRANSFER on the server's side: requests that come in general blocks, answers that leave in them.

Decides how blocks are numbered, acknowledged and repeated (Green Book 9.4.6.13). The server sends one block at a time
and lets the client acknowledge each, which every client can follow; what it receives may stream in windows.
"""

from collections.abc import Callable
from typing import Final

from dlms.apdu.services import GeneralBlockTransfer

WINDOW: Final = 1
HEAD_BYTES: Final = 10
"""Tag, control, two numbers of two bytes, and up to three bytes of length, one to spare."""
_NUMBERS: Final = 0xFFFF


class GeneralBlocks:
    """The general blocks of one association, both ways."""

    __slots__ = ("_first", "_is_answering", "_part_bytes", "_parts", "_pending", "_received", "_sent", "_total_bytes")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._total_bytes = 0
        self._received = 0
        """Number of the last block that came in order."""
        self._sent = 0
        """Number of the last block that was sent."""
        self._is_answering = False
        self._pending = b""
        self._part_bytes = 1
        self._first = 1
        """Number of the first block of the answer."""

    def receive(
        self,
        block: GeneralBlockTransfer,
        serve: Callable[[bytes], bytes | None],
        *,
        block_bytes_max: int,
        transfer_bytes_max: int,
    ) -> GeneralBlockTransfer | None:
        """Take a block and return the one to send, if it is the server's turn.

        Args:
            block: What came.
            serve: Answers the whole APDU, once it is together.
            block_bytes_max: Of a block sent, with its head.
            transfer_bytes_max: Of a request put together; a longer one is dropped.
        """
        if block.block == 1 and block.block_acknowledged == 0 and (block.part or not self._is_answering):
            self.forget()
        if self._is_answering:
            return self._go_on(block)
        self._take(block, transfer_bytes_max)
        if block.is_streaming:
            return None
        if not block.is_last or block.block != self._received:
            return self._acknowledge()
        request, self._parts = b"".join(self._parts), []
        answer = serve(request)
        return None if answer is None else self.answer(answer, block_bytes_max=block_bytes_max)

    def answer(self, apdu: bytes, *, block_bytes_max: int) -> GeneralBlockTransfer:
        """Begin to send an answer in blocks."""
        self._is_answering = True
        self._pending = apdu
        self._part_bytes = max(1, block_bytes_max - HEAD_BYTES)
        self._first = self._sent + 1
        return self._send(self._first)

    def forget(self) -> None:
        """Begin anew."""
        self._parts, self._pending = [], b""
        self._total_bytes = self._received = self._sent = 0
        self._is_answering = False

    def _take(self, block: GeneralBlockTransfer, transfer_bytes_max: int) -> None:
        """Keep a block that comes in order; a repeated one, or one after a gap, is passed over."""
        if block.block == self._received + 1 and self._total_bytes + len(block.part) <= transfer_bytes_max:
            self._parts.append(block.part)
            self._total_bytes += len(block.part)
            self._received += 1

    def _acknowledge(self) -> GeneralBlockTransfer:
        """Say how far it came, and let the client go on from there."""
        self._sent = self._sent + 1 & _NUMBERS
        return GeneralBlockTransfer(False, False, WINDOW, self._sent, self._received, b"")

    def _go_on(self, block: GeneralBlockTransfer) -> GeneralBlockTransfer | None:
        """Send what comes after the block acknowledged, nothing once all of it is."""
        if block.block == self._received + 1:
            self._received += 1
        number = block.block_acknowledged + 1
        if not self._first <= number <= self._sent + 1:
            return None
        if (number - self._first) * self._part_bytes >= len(self._pending):
            return None
        return self._send(number)

    def _send(self, number: int) -> GeneralBlockTransfer:
        start = (number - self._first) * self._part_bytes
        part = self._pending[start : start + self._part_bytes]
        is_last = start + len(part) >= len(self._pending)
        self._sent = max(self._sent, number)
        return GeneralBlockTransfer(is_last, False, WINDOW, number, self._received, part)
