"""Picks the answer to the outstanding request out of whatever a Modbus line delivers.

pymodbus 3.16 takes any frame of the right unit for the answer, whatever its function and length, and on TCP any frame
with transaction id 0; undecodable frames raise out of its protocol and cost the connection. So its hook on raw bytes
(`trace_packet`) passes through this filter, which hands on only bytes that begin like the one answer that was asked
for. What is left to pymodbus is the checksum and the decoding; telling a late answer from the awaited one where both
look the same is left to the driver.
"""

from collections.abc import Callable

from pymodbus.framer import FramerRTU

_READ_BITS = 1
_WRITE_COIL = 5


class AnswerFilter:
    """Knows the last request of one line. `hook` is pymodbus's `trace_packet`.

    Args:
        rtu: Frames have a checksum and no transaction id; else they have the MBAP header.
        monotonic_ms: Real time.
    """

    def __init__(self, *, rtu: bool, monotonic_ms: Callable[[], int]) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self.heard = False
        """Anything came in since the last request."""
        self.active_ms = 0
        """When the line was last seen to carry something."""
        self._rtu = rtu
        self._monotonic_ms = monotonic_ms
        self._answer = self._refusal = b"\x00"
        self._answer_bytes = self._refusal_bytes = 0
        self._buffered_bytes = 0

    def hook(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001  pymodbus calls it so
        """Return the bytes that pymodbus shall send or decode."""
        self.active_ms = self._monotonic_ms()
        if sending:
            self._expect(data)
            return data
        # pymodbus hands over its whole buffer each time and cuts off as much as we return.
        self.received_bytes += max(len(data) - self._buffered_bytes, 0)
        self.heard = True
        answer = self._find(data)
        self._buffered_bytes = len(data) - len(answer)
        return answer

    def _expect(self, request: bytes) -> None:
        self.sent_bytes += len(request)
        self.heard = False
        self._buffered_bytes = 0
        start = 0 if self._rtu else 6
        unit, function = request[start], request[start + 1]
        count = int.from_bytes(request[start + 4 : start + 6])
        if function == _WRITE_COIL:
            body = request[start : start + 6]
            body_bytes = 6
        else:
            value_bytes = (count + 7) // 8 if function == _READ_BITS else 2 * count
            body = bytes((unit, function, value_bytes))
            body_bytes = 3 + value_bytes
        refusal = bytes((unit, function | 0x80))
        if self._rtu:
            self._answer, self._answer_bytes = body, body_bytes + 2
            self._refusal, self._refusal_bytes = refusal, 5
        else:
            self._answer = request[:4] + body_bytes.to_bytes(2) + body
            self._answer_bytes = 6 + body_bytes
            self._refusal = request[:4] + b"\x00\x03" + refusal
            self._refusal_bytes = 9

    def _find(self, data: bytes) -> bytes:
        return self._cut(data, self._answer, self._answer_bytes) or self._cut(data, self._refusal, self._refusal_bytes)

    def _cut(self, data: bytes, pattern: bytes, size: int) -> bytes:
        start = data.find(pattern)
        while start >= 0 and start + size <= len(data):
            frame = data[start : start + size]
            # A pattern inside noise or a stranger's frame may be chance; pymodbus would drop the answer behind it.
            if not self._rtu or FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:])):
                return frame
            start = data.find(pattern, start + 1)
        return b""
