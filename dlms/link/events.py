"""What a data link asks of its shell and tells it, and the one shape of all links.

A link does no I/O: the shell hands it what arrived and the time, does what the events say in their order, and calls
`on_timer` when `next_deadline_ms` has come. APDUs are opaque bytes here.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from dlms.errors import LinkError
from dlms.link.address import StationAddress
from dlms.link.parameters import LinkParameters

APDU_BYTES_MAX: Final = 1 << 17
"""What a link puts together unless told otherwise: the longest PDU, 65 535 bytes, and room for its protection."""


class Peer(NamedTuple):
    """A client as a server sees it: who talks to which device, in which session."""

    client: int
    """The client's SAP: HDLC address or wrapper port."""
    server: int
    """The logical device: upper HDLC address or wrapper port."""
    physical: int | None = None
    """The physical device on an HDLC line: lower address."""
    session: int = 0
    """Counts the connections of a line, so that an answer never goes to a later one; always 0 over the wrapper."""


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Write these bytes to the stream, or send them as one datagram."""

    data: bytes = field(repr=False)
    station: StationAddress | None = None
    """The station that speaks, where several share one line."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The link carries APDUs now."""

    parameters: LinkParameters | None = None
    """What was agreed with the station; None over the wrapper."""


@dataclass(frozen=True, slots=True)
class Received:
    """The answer to the APDU sent last, or something the station said unasked."""

    apdu: bytes = field(repr=False)
    is_unsolicited: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link was closed as asked."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The link is down and whatever was under way is lost; a client has to connect again, over TCP on a new stream."""

    error: LinkError


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A client has connected; associations of its earlier sessions with this device are void."""

    peer: Peer
    parameters: LinkParameters


@dataclass(frozen=True, slots=True)
class PeerReceived:
    """A client has sent an APDU."""

    peer: Peer
    apdu: bytes = field(repr=False)
    is_confirmed: bool = True
    """Whether the client waits: then exactly one `send` or `pass_turn` is due."""


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """A client's session has ended."""

    peer: Peer
    error: LinkError | None = None
    """Why, if the client did not ask for it."""


LinkEvent = SendBytes | Connected | Received | Disconnected | Failed
ServerEvent = SendBytes | PeerConnected | PeerReceived | PeerDisconnected | Failed


class ClientLink(Protocol):
    """A link from a client to one server, over HDLC or the wrapper: one APDU goes out, one answer comes back."""

    @property
    def is_connected(self) -> bool:
        """Whether `send` may be called, now or after the answer that is being waited for."""

    def connect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Begin a session, giving up any other; ends in `Connected` or `Failed`."""

    def send(self, apdu: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Send a request; ends in one `Received` that is not unsolicited, or in `Failed`.

        Raises:
            LinkError: Not connected, an answer is still due, or the APDU is longer than the link can carry.
        """

    def keep_waiting(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Wait on, since the APDU received last was no answer after all; the time allowed goes on as before."""

    def receive(self, data: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Take what arrived: any piece of a stream, or one datagram."""

    def disconnect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """End the session, whatever its state; ends in `Disconnected` or `Failed`."""

    def reset(self) -> None:
        """Forget everything, since the stream is gone; the next one carries nothing of it."""

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due; None: not before something else happens."""

    def on_timer(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Do what is due; nothing if it is too early."""


class ServerLink(Protocol):
    """The server's end of a line or stream, with any number of clients and devices on it."""

    def receive(self, data: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Take what arrived: any piece of a stream, or one datagram."""

    def send(self, peer: Peer, apdu: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Answer the APDU received last from this peer; nothing happens if its session is over.

        Raises:
            LinkError: No answer is due, or the APDU is longer than the link can carry.
        """

    def pass_turn(self, peer: Peer, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Say that the APDU received last from this peer has no answer."""

    def notify(self, peer: Peer, apdu: bytes) -> tuple[ServerEvent, ...]:
        """Send an APDU that nobody asked for; `peer.session` does not matter.

        Raises:
            LinkError: The APDU is longer than can be sent at once.
        """

    def reset(self) -> None:
        """Forget every session, since the stream is gone."""

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due; None: not before something else happens."""

    def on_timer(self, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Do what is due; nothing if it is too early."""
