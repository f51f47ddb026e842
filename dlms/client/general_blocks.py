"""GENERAL-BLOCK-TRANSFER: APDUs of any kind, ciphered or not, in numbered blocks (Green Book 9.3.5, 9.4.6.13).

Decides the order of blocks and acknowledgements. Each side numbers its own blocks from 1 and acknowledges the other's;
acknowledgements have numbers, too, after which a server goes on counting, or begins with 1 again.
We send one block at a time; a server may send as many as our window admits, or stream. A gap is an error and no
reason to ask again: the links below lose nothing without saying so.
"""

from collections.abc import Callable, Generator
from typing import Final, NamedTuple

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.services import GeneralBlockTransfer
from dlms.errors import DecodeError, ProtocolError

HEAD_BYTES: Final = 9
"""Tag, block control, two numbers, and up to 3 bytes of length."""
_BLOCK_NUMBER_MAX: Final = 0xFFFF
_WINDOW: Final = 1


class Reassembly:
    """Blocks of one APDU, in order."""

    __slots__ = ("_length", "_length_max", "_parts", "next_block")

    def __init__(self, bytes_max: int, first_block: int = 1) -> None:
        self.next_block = first_block
        self._parts: list[bytes] = []
        self._length = 0
        self._length_max = bytes_max

    def add(self, block: GeneralBlockTransfer) -> bytes | None:
        """Take the next block, and return the APDU if it was the last.

        Raises:
            ProtocolError: It is not the next one, empty though more follow, or more than may be.
        """
        if block.block != self.next_block & _BLOCK_NUMBER_MAX:
            raise ProtocolError(f"general block {block.block} came where {self.next_block} was due")
        if not block.part and not block.is_last:
            raise ProtocolError("an empty general block came though more follow")
        self._length += len(block.part)
        if self._length > self._length_max:
            raise ProtocolError(f"more than {self._length_max} bytes came in general blocks")
        self._parts.append(block.part)
        self.next_block += 1
        return b"".join(self._parts) if block.is_last else None


class Numbers(NamedTuple):
    """Of the blocks that each side sent last in one exchange."""

    ours: int = 0
    theirs: int = 0


def send(
    apdu: bytes, pdu_bytes_max: int, refuse: Callable[[bytes], object]
) -> Generator[bytes, bytes, tuple[bytes, Numbers]]:
    """Send a long APDU, and return what answers its last block, and the numbers of the blocks before that.

    Args:
        apdu: As it would be sent in one piece.
        pdu_bytes_max: Of the server.
        refuse: Raises the error that an answer other than an acknowledgement stands for.

    Raises:
        ProtocolError: A block is not acknowledged.
    """
    size = pdu_bytes_max - HEAD_BYTES
    if size < 1 or len(apdu) > size * _BLOCK_NUMBER_MAX:
        raise ProtocolError(f"a server that takes {pdu_bytes_max} bytes at once cannot be sent {len(apdu)}")
    count = -(-len(apdu) // size)
    answer, theirs = b"", 0
    for number in range(1, count + 1):
        part = apdu[(number - 1) * size : number * size]
        is_last = number == count
        answer = yield encode_apdu(GeneralBlockTransfer(is_last, False, _WINDOW, number, 0, part))
        if not is_last:
            theirs = _acknowledged(answer, number, refuse)
    return answer, Numbers(count, theirs)


def _acknowledged(answer: bytes, number: int, refuse: Callable[[bytes], object]) -> int:
    """Return the number that the acknowledgement of a block has itself."""
    try:
        block = decode_apdu(answer)
    except DecodeError:
        block = None
    if not isinstance(block, GeneralBlockTransfer):
        refuse(answer)
        raise ProtocolError("a general block was answered with something else than an acknowledgement")
    if block.block_acknowledged != number or block.part:
        raise ProtocolError(f"general block {number} was not acknowledged")
    return block.block


def receive(answer: bytes, before: Numbers, window: int, bytes_max: int) -> Generator[bytes, bytes, bytes]:
    """Return the APDU that comes in general blocks, of which `answer` is the first.

    Args:
        answer: An APDU with tag 224.
        before: Numbers of the blocks that brought the request.
        window: Blocks the server may send before it waits.
        bytes_max: Of the whole.

    Raises:
        ProtocolError: The blocks are not in order, or too many.
        DecodeError: One is none.
    """
    sent = before.ours
    reassembly: Reassembly | None = None
    while True:
        block = decode_apdu(answer)
        if not isinstance(block, GeneralBlockTransfer):
            raise ProtocolError("general blocks ended before the last one")
        if reassembly is None:
            goes_on = block.block == (before.theirs + 1) & _BLOCK_NUMBER_MAX
            reassembly = Reassembly(bytes_max, block.block if goes_on else 1)
        apdu = reassembly.add(block)
        if apdu is not None:
            return apdu
        if block.is_streaming:
            answer = yield b""
            continue
        sent += 1
        answer = yield encode_apdu(
            GeneralBlockTransfer(True, False, window, sent & _BLOCK_NUMBER_MAX, block.block, b"")
        )
