"""One client's session with one station: the secondary of HDLC in normal response mode (Green Book 8.4).

A station speaks only when it has the turn, which a command with the poll bit gives it. Rules:

* A complete request keeps the turn until its answer is there. Asked again meanwhile, the station responds RR, so that
  the client knows that it is alive; the answer then waits for the next poll.
* Every later poll gets what the client has not acknowledged, from the first missing frame on.
* A frame that was seen before changes nothing, however late it comes. A new one that acknowledges what was never sent,
  or overflows the limits, is rejected with FRMR, and the session is over.

Who the clients and stations are, and how sessions begin and end, is decided by `dlms.link.server`.
"""

from dlms.errors import FrameRejectedError, LinkError
from dlms.link.address import StationAddress
from dlms.link.events import Peer, PeerDisconnected, PeerReceived, SendBytes, ServerEvent
from dlms.link.frame import FINAL, FRMR, LLC_BYTES, LLC_RESPONSE, RNR, RR, Frame, encode_frame, without_llc
from dlms.link.parameters import LinkParameters
from dlms.link.sequence import Incoming, Outgoing

_REJECT_CONTROL = 0x01
"""W of FRMR: a control field that is not known here."""
_REJECT_LENGTH = 0x04
"""Y of FRMR: more information than can be taken."""
_REJECT_NUMBER = 0x08
"""Z of FRMR: an N(R) that acknowledges what was not sent."""


class ServerSession:
    """The state between one SNRM and the end of its session."""

    __slots__ = (
        "_addresses",
        "_apdu_bytes_max",
        "_has_turn",
        "_incoming",
        "_is_working",
        "_outgoing",
        "_station",
        "heard_at_ms",
        "is_over",
        "peer",
    )

    def __init__(
        self,
        peer: Peer,
        station: StationAddress,
        addresses: bytes,
        agreed: LinkParameters,
        *,
        apdu_bytes_max: int,
        now_ms: int,
    ) -> None:
        self.peer = peer
        self.heard_at_ms = now_ms
        """When the client or the application last did something."""
        self.is_over = False
        """Whether the session ended by itself, with FRMR."""
        self._station = station
        self._addresses = addresses
        self._apdu_bytes_max = apdu_bytes_max
        self._outgoing = Outgoing(bytes_max=agreed.transmit_bytes_max, window=agreed.transmit_window)
        self._incoming = Incoming(bytes_max=apdu_bytes_max + LLC_BYTES, window=agreed.receive_window)
        self._is_working = False
        self._has_turn = False

    # What the application does.

    def send(self, apdu: bytes) -> tuple[ServerEvent, ...]:
        """Answer the request received last, now or at the next poll."""
        if not self._is_working:
            raise LinkError("no request of this client waits for an answer")
        if len(apdu) > self._apdu_bytes_max:
            raise LinkError(f"an APDU of {len(apdu)} bytes is longer than the HDLC link is set to carry")
        self._is_working = False
        self._outgoing.load(LLC_RESPONSE + apdu)
        return self._give_turn_back()

    def pass_turn(self) -> tuple[ServerEvent, ...]:
        """Let the client go on, since there is no answer."""
        self._is_working = False
        return self._give_turn_back()

    def _give_turn_back(self) -> tuple[ServerEvent, ...]:
        if not self._has_turn:
            return ()
        self._has_turn = False
        return self._respond()

    # What the client does.

    def on_frame(self, frame: Frame) -> tuple[ServerEvent, ...]:
        """Take an I or S frame, or one that is not known."""
        control = frame.control
        if not control & 1:
            return self._on_information(frame)
        if control & 0x0F not in {RR, RNR}:
            return self._reject(frame, _REJECT_CONTROL)
        if self._outgoing.acknowledge(control >> 5) is None or not control & FINAL:
            return ()
        self._has_turn = False
        return self._respond() if control & 0x0F == RR else self._receive_ready()

    def _on_information(self, frame: Frame) -> tuple[ServerEvent, ...]:
        control = frame.control
        is_known = self._outgoing.acknowledge(control >> 5) is not None
        if self._incoming.is_next(control >> 1 & 7) and not self._is_working:
            if not is_known:
                return self._reject(frame, _REJECT_NUMBER)
            return self._on_next(frame)
        if not is_known or not control & FINAL:
            return ()
        self._has_turn = False
        return self._respond()

    def _on_next(self, frame: Frame) -> tuple[ServerEvent, ...]:
        if not self._outgoing.is_done:
            # The client does not want the rest of the answer before.
            self._outgoing.load(b"")
        try:
            payload = self._incoming.accept(frame.info, is_segmented=frame.is_segmented)
        except LinkError:
            return self._reject(frame, _REJECT_LENGTH)
        is_polled = bool(frame.control & FINAL)
        if payload is None:
            return self._respond() if is_polled else ()
        apdu = without_llc(payload)
        if apdu is None:
            return self._reject(frame, _REJECT_CONTROL)
        self._is_working = True
        self._has_turn = is_polled
        return (PeerReceived(self.peer, apdu),)

    # What is sent.

    def _respond(self) -> tuple[ServerEvent, ...]:
        if self._outgoing.is_done:
            return self._receive_ready()
        return (SendBytes(self._outgoing.window_frames(self._addresses, self._incoming.number), self._station),)

    def _receive_ready(self) -> tuple[ServerEvent, ...]:
        control = RR | FINAL | self._incoming.number << 5
        return (SendBytes(encode_frame(self._addresses, control), self._station),)

    def _reject(self, frame: Frame, reason: int) -> tuple[ServerEvent, ...]:
        self.is_over = True
        numbers = self._incoming.number << 5 | self._outgoing.next_number << 1
        info = bytes((frame.control, numbers, reason))
        return (
            SendBytes(encode_frame(self._addresses, FRMR | FINAL, info), self._station),
            PeerDisconnected(
                self.peer, FrameRejectedError(f"the client sent a frame that cannot be (FRMR {info.hex()})")
            ),
        )
