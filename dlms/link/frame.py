"""HDLC frames of format type 3 (Green Book 8.4.2, IEC 62056-46): their bytes, and finding them in a stream.

    7E | format, segmentation, length | destination | source | control | HCS | information | FCS | 7E

A frame is found by its length, so that 0x7E may stand anywhere inside it, and its header is checked as soon as it is
there: a flag that only looks like a beginning costs a few bytes of waiting, never a whole frame. A frame whose header
and closing flag hold but whose FCS does not is skipped as a whole; when the closing flag is not where it should be,
bytes went missing, and the search goes on behind the opening flag. What frames mean is left to client and server.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from dlms.link import fcs

FLAG: Final = b"\x7e"
FRAME_BYTES_MIN: Final = 9
"""A frame without information, addresses of one byte, both flags counted."""
FRAME_LENGTH_MAX: Final = 0x7FF
"""What the eleven bits of the length can say; it counts all but the flags."""
INFO_BYTES_MAX: Final = 2030
"""The longest information field (Green Book 8.4.4.3)."""

FINAL: Final = 0x10
"""The poll bit of a command and the final bit of a response."""
RR: Final = 0x01
RNR: Final = 0x05
SNRM: Final = 0x83
DISC: Final = 0x43
UA: Final = 0x63
DM: Final = 0x0F
FRMR: Final = 0x87
UI: Final = 0x03

LLC_COMMAND: Final = b"\xe6\xe6\x00"
"""What precedes an APDU of a client (Green Book 8.3.2)."""
LLC_RESPONSE: Final = b"\xe6\xe7\x00"
"""What precedes an APDU of a server."""
LLC_BYTES: Final = 3

_FORMAT_TYPE_3: Final = 0xA0
_SEGMENTED: Final = 0x08
_FLAG_BYTE: Final = FLAG[0]


class Frame(NamedTuple):
    """A frame that arrived whole."""

    destination: bytes
    """As on the wire; `dlms.link.address` reads it."""
    source: bytes
    control: int
    info: bytes = b""
    is_segmented: bool = False
    """Whether more of the same APDU follows in the next frame."""


@lru_cache(maxsize=4096)
def _opening(format_word: int, addresses: bytes, control: int) -> bytes:
    """Return the opening flag, the header and its check sequence; a conversation needs few different ones."""
    header = format_word.to_bytes(2, "big") + addresses + bytes((control,))
    return FLAG + header + fcs.check_sequence(header)


def encode_frame(addresses: bytes, control: int, info: bytes = b"", *, is_segmented: bool = False) -> bytes:
    """Return a frame with its flags.

    Args:
        addresses: Destination and source, as on the wire.
        control: The control field with its poll or final bit.
        info: Up to `INFO_BYTES_MAX` bytes.
        is_segmented: Whether more of the same APDU follows in the next frame.
    """
    length = 5 + len(addresses) + (len(info) + 2 if info else 0)
    assert length <= FRAME_LENGTH_MAX
    format_word = (_FORMAT_TYPE_3 | (_SEGMENTED if is_segmented else 0)) << 8 | length
    opening = _opening(format_word, addresses, control)
    if not info:
        return opening + FLAG
    return b"".join((opening, info, fcs.check_sequence(info, fcs.GOOD), FLAG))


def information_control(send_number: int, receive_number: int, *, is_final: bool) -> int:
    """Return the control field of an I frame."""
    return receive_number << 5 | (FINAL if is_final else 0) | send_number << 1


def without_llc(info: bytes) -> bytes | None:
    """Return the APDU behind the LLC header, whichever side it names; None if there is no such header."""
    return info[LLC_BYTES:] if info.startswith((LLC_COMMAND, LLC_RESPONSE)) else None


class FrameReader:
    """Finds the frames in a stream of bytes that comes in any pieces.

    Holds at most one incomplete frame. Joins what it holds only when there is something to decide, so a stream that
    comes byte by byte costs no more than its bytes.
    """

    __slots__ = ("_addresses", "_held", "_held_bytes", "_needed_bytes", "frames_bad_count", "is_mid_frame")

    def __init__(self) -> None:
        self.frames_bad_count = 0
        """Frames that began with a correct header and did not end well."""
        self.is_mid_frame = False
        """Whether a frame with a correct header is arriving."""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = FRAME_BYTES_MIN
        self._addresses = (b"", b"", b"")
        """Destination and source of the last frame, together and apart: mostly they are those of the next one, too."""

    def reset(self) -> None:
        """Forget the beginning of a frame whose rest will not come."""
        self._hold(b"", FRAME_BYTES_MIN)

    def _hold(self, rest: bytes, needed_bytes: int) -> None:
        self._held = [rest] if rest else []
        self._held_bytes = len(rest)
        self._needed_bytes = needed_bytes
        self.is_mid_frame = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete."""
        if self._held_bytes == 1 and data.startswith(FLAG):
            # What is held was the end of the frame before, and no beginning.
            self._hold(b"", FRAME_BYTES_MIN)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._needed_bytes:
            return []
        stream = data if len(self._held) == 1 else b"".join(self._held)
        self._hold(b"", FRAME_BYTES_MIN)
        frames: list[Frame] = []
        start = stream.find(FLAG)
        while start >= 0:
            if len(stream) - start < FRAME_BYTES_MIN:
                self._hold(stream[start:], FRAME_BYTES_MIN)
                break
            after = self._take(stream, start, frames)
            if after == start:
                break
            start = stream.find(FLAG, after)
        return frames

    def _take(self, stream: bytes, start: int, frames: list[Frame]) -> int:
        """Look at what follows the flag at `start`; return where to go on, or `start` if bytes are missing."""
        if stream[start + 1] & 0xF0 != _FORMAT_TYPE_3:
            return start + 1
        length = (stream[start + 1] & 0x07) << 8 | stream[start + 2]
        together, destination, source = self._addresses
        if together and stream.startswith(together, start + 3):
            control_at = start + 3 + len(together)
        else:
            source_at = _address_end(stream, start + 3)
            control_at = _address_end(stream, source_at) if source_at > 0 else source_at
            destination, source = stream[start + 3 : source_at], stream[source_at:control_at]
        info_at = control_at + 3
        if control_at < 0 or info_at > len(stream):
            self._hold(stream[start:], len(stream) - start + 1)
            return start
        tail_bytes = start + 1 + length - info_at
        if control_at == 0 or tail_bytes < 0 or tail_bytes in {1, 2} or not fcs.is_intact(stream[start + 1 : info_at]):
            return start + 1
        end = info_at + tail_bytes
        if end >= len(stream):
            self._hold(stream[start:], length + 2)
            self.is_mid_frame = True
            return start
        if stream[end] != _FLAG_BYTE:
            self.frames_bad_count += 1
            return start + 1
        if tail_bytes and not fcs.is_intact(stream[info_at:end], fcs.GOOD):
            self.frames_bad_count += 1
            return end
        info = stream[info_at : end - 2] if tail_bytes else b""
        if destination is not self._addresses[1]:
            self._addresses = (destination + source, destination, source)
        frames.append(Frame(destination, source, stream[control_at], info, bool(stream[start + 1] & _SEGMENTED)))
        return end


def _address_end(stream: bytes, at: int) -> int:
    """Return where the address at `at` ends; 0 if it is none, -1 if its end has not come yet."""
    for index in range(at, min(at + 4, len(stream))):
        if stream[index] & 1:
            return 0 if index == at + 2 else index + 1
    return 0 if len(stream) >= at + 4 else -1
