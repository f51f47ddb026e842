"""The messages received and not yet acknowledged, and when to stop receiving.

A message counts from its arrival until its owner acknowledges it, taken or not, since all that time it occupies
memory here and a place at the broker. This module only counts; stopping the socket and telling the broker is left to
the session.
"""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True, gc=False):
    """One message from the broker; also the token that acknowledges it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    """Whether the broker had kept it, instead of forwarding it now."""
    duplicate: bool
    """Whether the broker says that it sent it before."""
    sequence: int
    """Number of arrival within this session object, never used twice."""
    packet_id: int
    """The broker's name for this delivery, only good on the connection it came by."""


class Intake:
    """Queue of messages, bounded by its user through `is_full`.

    Args:
        messages_max: Unacknowledged messages at which it is full.
        bytes_max: Bytes of topic and payload at which it is full.
    """

    def __init__(self, *, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._queue: deque[Message] = deque()
        self._size_by_sequence: dict[int, int] = {}
        self._bytes_count = 0

    @property
    def messages_count(self) -> int:
        """Messages not acknowledged."""
        return len(self._size_by_sequence)

    @property
    def bytes_count(self) -> int:
        """Bytes of topic and payload not acknowledged."""
        return self._bytes_count

    @property
    def is_full(self) -> bool:
        return self.messages_count >= self._messages_max or self._bytes_count >= self._bytes_max

    @property
    def is_below_half(self) -> bool:
        return 2 * self.messages_count < self._messages_max and 2 * self._bytes_count < self._bytes_max

    @property
    def has_queued(self) -> bool:
        return bool(self._queue)

    def add(self, message: Message) -> None:
        size_bytes = len(message.topic) + len(message.payload)
        self._queue.append(message)
        self._size_by_sequence[message.sequence] = size_bytes
        self._bytes_count += size_bytes

    def take(self, messages_max: int) -> list[Message]:
        """Return the oldest messages not taken yet, at most `messages_max`; they still count."""
        return [self._queue.popleft() for _ in range(min(messages_max, len(self._queue)))]

    def release(self, messages: Iterable[Message]) -> list[Message]:
        """Stop counting `messages`; return those of them that were counted, each once."""
        released = []
        for message in messages:
            size_bytes = self._size_by_sequence.pop(message.sequence, None)
            if size_bytes is not None:
                self._bytes_count -= size_bytes
                released.append(message)
        return released

    def clear(self) -> None:
        """Forget everything: the connection these messages came by is gone, and the broker has them still."""
        self._queue.clear()
        self._size_by_sequence.clear()
        self._bytes_count = 0
