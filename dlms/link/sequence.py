"""The numbered I frames of HDLC, one direction each: what both sides do the same way (Green Book 8.4.3).

`Outgoing` cuts an APDU into segments and keeps them until they are acknowledged; `Incoming` puts segments together in
their order and takes no other. Numbers count modulo eight. When to send, repeat or give up is left to the two sides.
"""

from typing import Final

from dlms.errors import LinkError
from dlms.link.frame import encode_frame, information_control

_MODULUS_MASK: Final = 7


class Outgoing:
    """The segments of one APDU on their way to the peer."""

    __slots__ = (
        "_acknowledged_count",
        "_bytes_max",
        "_first_number",
        "_payload",
        "_segment_count",
        "_sent_count",
        "_window",
    )

    def __init__(self, *, bytes_max: int, window: int) -> None:
        self._bytes_max = bytes_max
        self._window = window
        self._first_number = 0
        self._payload = b""
        self._segment_count = 0
        self._sent_count = 0
        self._acknowledged_count = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to send or to be acknowledged."""
        return self._acknowledged_count == self._segment_count

    @property
    def is_sent(self) -> bool:
        """Whether every segment went out at least once."""
        return self._sent_count == self._segment_count

    @property
    def outstanding_count(self) -> int:
        """How many frames went out and are not acknowledged."""
        return self._sent_count - self._acknowledged_count

    @property
    def next_number(self) -> int:
        """The number that the next new frame gets."""
        return self._first_number + self.outstanding_count & _MODULUS_MASK

    def load(self, payload: bytes) -> None:
        """Take the next APDU, with its LLC header; what was left of the one before is forgotten."""
        self._payload = payload
        self._segment_count = -(-len(payload) // self._bytes_max)
        self._sent_count = self._acknowledged_count = 0

    def acknowledge(self, receive_number: int) -> int | None:
        """Take note of the peer's N(R); return how many frames that acknowledges, None if it is none of ours."""
        count = receive_number - self._first_number & _MODULUS_MASK
        if count > self.outstanding_count:
            return None
        self._acknowledged_count += count
        self._first_number = receive_number
        return count

    def window_frames(self, addresses: bytes, receive_number: int) -> bytes:
        """Return all frames that may be outstanding, from the first that is not acknowledged; the last one is final."""
        end = min(self._segment_count, self._acknowledged_count + self._window)
        number = self._first_number
        frames = []
        for index in range(self._acknowledged_count, end):
            control = information_control(number, receive_number, is_final=index == end - 1)
            info = self._payload[index * self._bytes_max : (index + 1) * self._bytes_max]
            frames.append(encode_frame(addresses, control, info, is_segmented=index < self._segment_count - 1))
            number = number + 1 & _MODULUS_MASK
        self._sent_count = max(self._sent_count, end)
        return frames[0] if len(frames) == 1 else b"".join(frames)


class Incoming:
    """The segments of one APDU as they come in."""

    __slots__ = ("_bytes_max", "_room_bytes", "_segments", "number", "window")

    def __init__(self, *, bytes_max: int, window: int) -> None:
        self.number = 0
        """The number of the frame that is taken next: our N(R)."""
        self.window = window
        self._bytes_max = bytes_max
        self._room_bytes = bytes_max
        self._segments: list[bytes] = []

    def is_next(self, send_number: int) -> bool:
        """Tell whether a frame is the one to come."""
        return send_number == self.number

    def is_ahead(self, send_number: int) -> bool:
        """Tell whether a frame shows by its number that one before it was lost; any other is an old one again."""
        return 0 < (send_number - self.number & _MODULUS_MASK) < self.window

    def accept(self, info: bytes, *, is_segmented: bool) -> bytes | None:
        """Take the next segment; return what the segments make if it is the last.

        Raises:
            LinkError: They make more than is allowed.
        """
        # An empty segment counts too: otherwise a peer could send them for ever.
        self._room_bytes -= len(info) or 1
        if self._room_bytes < 0:
            raise LinkError(f"the peer sends an APDU of more than {self._bytes_max} bytes")
        self.number = self.number + 1 & _MODULUS_MASK
        if is_segmented:
            self._segments.append(info)
            return None
        payload = b"".join((*self._segments, info)) if self._segments else info
        self._segments = []
        self._room_bytes = self._bytes_max
        return payload
