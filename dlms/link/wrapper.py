"""The wrapper of DLMS over TCP and UDP (IEC 62056-47, Green Book 7.3.3): eight bytes before each APDU; both ends.

    version 1 | source wPort | destination wPort | length | APDU

It has no numbers, so a late answer looks like the next one: after a timeout a client's link is down, and its owner
begins again on a new TCP connection, or from another UDP port. Nothing is repeated here; only what is above can tell
whether a request may be carried out twice.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from dlms.errors import DecodeError, LinkError, LinkTimeoutError
from dlms.link.events import (
    Connected,
    Disconnected,
    Failed,
    LinkEvent,
    Peer,
    PeerReceived,
    Received,
    SendBytes,
    ServerEvent,
)

VERSION: Final = 1
APDU_BYTES_LIMIT: Final = 0xFFFF
"""The longest APDU that the length of the header can say."""

_HEADER: Final = Struct(">HHHH")
_UNSOLICITED_TAGS: Final = frozenset((b"\x0f", b"\xc2", b"\xca", b"\xd2"))
"""DataNotification and EventNotification, the latter also ciphered: never the answer to a request."""


class Packet(NamedTuple):
    """One APDU with the ports of both sides."""

    source: int
    destination: int
    apdu: bytes


def pack(source: int, destination: int, apdu: bytes) -> bytes:
    """Return an APDU with its header.

    Raises:
        LinkError: The APDU is too long.
    """
    if len(apdu) > APDU_BYTES_LIMIT:
        raise LinkError(f"an APDU of {len(apdu)} bytes is longer than the wrapper can say")
    return _HEADER.pack(VERSION, source, destination, len(apdu)) + apdu


def unpack(datagram: bytes) -> Packet:
    """Read a datagram, which is one APDU with its header.

    Raises:
        DecodeError: It is not.
    """
    if len(datagram) < _HEADER.size:
        raise DecodeError("the datagram is shorter than a wrapper header")
    version, source, destination, length = _HEADER.unpack_from(datagram)
    if version != VERSION or length != len(datagram) - _HEADER.size:
        raise DecodeError("the datagram has no wrapper header of version 1, or is not as long as that says")
    return Packet(source, destination, datagram[_HEADER.size :])


class WrapperReader:
    """Finds the packets in a stream that comes in any pieces; holds at most one that is incomplete."""

    __slots__ = ("_apdu_bytes_max", "_held", "_held_bytes", "_needed_bytes")

    def __init__(self, *, apdu_bytes_max: int = APDU_BYTES_LIMIT) -> None:
        self._apdu_bytes_max = apdu_bytes_max
        self.reset()

    def reset(self) -> None:
        """Forget what is incomplete."""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = _HEADER.size

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes and return the packets that they complete.

        Raises:
            DecodeError: What comes is no wrapper header, or announces too long an APDU; a stream has no way back.
        """
        if not self._held and len(data) >= _HEADER.size:
            # Mostly one packet comes whole and alone.
            version, source, destination, length = _HEADER.unpack_from(data)
            if version == VERSION and length == len(data) - _HEADER.size and length <= self._apdu_bytes_max:
                return [Packet(source, destination, data[_HEADER.size :])]
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._needed_bytes:
            return []
        stream = data if len(self._held) == 1 else b"".join(self._held)
        packets: list[Packet] = []
        at = 0
        while True:
            apdu_at = at + _HEADER.size
            self._needed_bytes = _HEADER.size
            if apdu_at > len(stream):
                break
            version, source, destination, length = _HEADER.unpack_from(stream, at)
            if version != VERSION or length > self._apdu_bytes_max:
                raise DecodeError("the stream has no wrapper header of version 1, or announces too long an APDU")
            if apdu_at + length > len(stream):
                self._needed_bytes += length
                break
            at = apdu_at + length
            packets.append(Packet(source, destination, stream[apdu_at:at]))
        rest = stream[at:]
        self._held = [rest] if rest else []
        self._held_bytes = len(rest)
        return packets


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapperSettings:
    """How one end of a wrapper link behaves."""

    is_datagrams: bool = False
    """Whether every `receive` is one UDP datagram; one that makes no sense is then ignored."""
    answer_timeout_ms: int = 10_000
    """How long a client waits for an answer."""
    inactivity_timeout_ms: int = 120_000
    """How long a server keeps a stream without a sign of its client."""
    apdu_bytes_max: int = APDU_BYTES_LIMIT


DEFAULT_SETTINGS: Final = WrapperSettings()


class _Intake:
    """What both ends do with arriving bytes."""

    def __init__(self, settings: WrapperSettings) -> None:
        self._is_datagrams = settings.is_datagrams
        self._apdu_bytes_max = settings.apdu_bytes_max
        self._reader = WrapperReader(apdu_bytes_max=settings.apdu_bytes_max)

    def reset(self) -> None:
        self._reader.reset()

    def packets(self, data: bytes) -> list[Packet]:
        if not self._is_datagrams:
            return self._reader.feed(data)
        try:
            packet = unpack(data)
        except DecodeError:
            return []
        return [packet] if len(packet.apdu) <= self._apdu_bytes_max else []


class WrapperClient:
    """A link to one logical device; a `ClientLink`. The stream is the owner's: connecting here sends nothing."""

    def __init__(self, client_port: int, server_port: int, settings: WrapperSettings = DEFAULT_SETTINGS) -> None:
        self._client_port = client_port
        self._server_port = server_port
        self._settings = settings
        self._intake = _Intake(settings)
        self._is_connected = False
        self._is_waiting = False
        self._answer_by_ms = 0

    @property
    def is_connected(self) -> bool:
        """Whether `send` may be called, now or after the answer that is being waited for."""
        return self._is_connected

    def connect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Begin on a new stream."""
        self.reset()
        self._is_connected = True
        self._answer_by_ms = now_ms
        return (Connected(),)

    def send(self, apdu: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Send a request."""
        if not self._is_connected or self._is_waiting:
            raise LinkError("the wrapper link is not connected, or its last request has no answer yet")
        data = pack(self._client_port, self._server_port, apdu)
        self._is_waiting = True
        self._answer_by_ms = now_ms + self._settings.answer_timeout_ms
        return (SendBytes(data),)

    def keep_waiting(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Wait on, since the APDU received last was no answer after all."""
        if not self._is_connected:
            raise LinkError("the wrapper link has no request that could still be answered")
        self._is_waiting = True
        return self.on_timer(now_ms=now_ms)

    def receive(self, data: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Take any piece of the stream, or one datagram; what nobody waits for any more is dropped."""
        if not self._is_connected:
            return ()
        overdue = self.on_timer(now_ms=now_ms)
        if overdue:
            return overdue
        try:
            packets = self._intake.packets(data)
        except DecodeError as error:
            self.reset()
            return (Failed(LinkError(f"the wrapper stream: {error}")),)
        events: list[LinkEvent] = []
        for packet in packets:
            if packet.source != self._server_port or packet.destination != self._client_port:
                continue
            is_unsolicited = not self._is_waiting or packet.apdu[:1] in _UNSOLICITED_TAGS
            self._is_waiting = self._is_waiting and is_unsolicited
            events.append(Received(packet.apdu, is_unsolicited))
        return tuple(events)

    def disconnect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """End the session; closing the stream is the owner's."""
        self.reset()
        self._answer_by_ms = now_ms
        return (Disconnected(),)

    def reset(self) -> None:
        """Forget everything, since the stream is gone."""
        self._intake.reset()
        self._is_connected = False
        self._is_waiting = False

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due."""
        return self._answer_by_ms if self._is_waiting else None

    def on_timer(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Give up when the answer is overdue."""
        if not self._is_waiting or now_ms < self._answer_by_ms:
            return ()
        self.reset()
        return (Failed(LinkTimeoutError("the server does not answer")),)


class WrapperServer:
    """The server's end of one stream, or of one UDP client; a `ServerLink`."""

    def __init__(self, settings: WrapperSettings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._intake = _Intake(settings)
        self._heard_at_ms: int | None = None

    def receive(self, data: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Take any piece of the stream, or one datagram."""
        self._heard_at_ms = now_ms
        try:
            packets = self._intake.packets(data)
        except DecodeError as error:
            self.reset()
            return (Failed(LinkError(f"the wrapper stream: {error}")),)
        return tuple(PeerReceived(Peer(packet.source, packet.destination), packet.apdu) for packet in packets)

    def send(self, peer: Peer, apdu: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Send an answer."""
        self._heard_at_ms = now_ms
        return self.notify(peer, apdu)

    def pass_turn(self, peer: Peer, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Send nothing: over the wrapper nobody waits for a turn."""
        assert peer.physical is None
        self._heard_at_ms = now_ms
        return ()

    def notify(self, peer: Peer, apdu: bytes) -> tuple[ServerEvent, ...]:
        """Send an APDU that nobody asked for."""
        return (SendBytes(pack(peer.server, peer.client, apdu)),)

    def reset(self) -> None:
        """Forget everything, since the stream is gone."""
        self._intake.reset()
        self._heard_at_ms = None

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due."""
        return None if self._heard_at_ms is None else self._heard_at_ms + self._settings.inactivity_timeout_ms

    def on_timer(self, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Give the stream up when its client has been silent for long."""
        due_ms = self.next_deadline_ms()
        if due_ms is None or now_ms < due_ms:
            return ()
        self.reset()
        return (Failed(LinkTimeoutError("the client is silent")),)
