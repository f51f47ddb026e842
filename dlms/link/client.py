"""The client's side of an HDLC link (Green Book 8.4, IEC 62056-46): the primary station in normal response mode.

It speaks, and gives the turn away with the poll bit; the station answers, and gives it back with the final bit. Rules:

* An I frame counts only by its number: one that was seen before is dropped, and so is one that does not acknowledge the
  whole request that waits for its answer.
* What was not answered in time is sent again: a single I frame as it was, of several only the question RR, whose answer
  tells where to go on. A response without news is otherwise ignored, or every doubled frame would go on being doubled.
* Numbers begin anew with every session, so something left over from one session could fit into the next. A session
  begins only when every answer of the one before has come or is too late to come; and if one is missing, or an SNRM was
  repeated, the station has to answer an RR in the new session before anything is asked of it.

Like HDLC itself this rests on lines that forget: no frame may be under way for as long as its sender tries, and where
frames can overtake each other, none by eight others or into the next session. Serial lines are like that; over TCP a
stalled stream is not, so after a failure its owner begins again on a new one.

One object serves one station for as long as the stream lives. When to connect again is left to its owner.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from dlms.errors import DecodeError, FrameRejectedError, LinkError, LinkRefusedError, LinkTimeoutError
from dlms.link.address import SHORT_MAX, StationAddress, encode_client
from dlms.link.events import APDU_BYTES_MAX, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.frame import (
    DISC,
    DM,
    FINAL,
    FRMR,
    INFO_BYTES_MAX,
    LLC_BYTES,
    LLC_COMMAND,
    RNR,
    RR,
    SNRM,
    UA,
    UI,
    Frame,
    FrameReader,
    encode_frame,
    without_llc,
)
from dlms.link.parameters import DEFAULTS, LinkParameters, decode_parameters
from dlms.link.sequence import Incoming, Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class HdlcSettings:
    """How a client talks to its station."""

    proposal: LinkParameters = DEFAULTS
    """What it asks for with SNRM; with the defaults the SNRM has no information field."""
    response_timeout_ms: int = 2_000
    """How long a frame waits for its response; also when a response is too late ever to come."""
    retries_max: int = 2
    """How often a frame is sent again."""
    answer_timeout_ms: int = 30_000
    """How long a station may put off its answer while it responds that it is there, and the pause between segments."""
    poll_delay_ms: int = 250
    """How long to leave such a station alone before it is asked again."""
    octet_gap_ms: int = 200
    """The longest pause within a frame; while one arrives, its response is not late."""
    apdu_bytes_max: int = APDU_BYTES_MAX


DEFAULT_SETTINGS: Final = HdlcSettings()


class _State(Enum):
    CLOSED = auto()
    HUSHED = auto()
    """Answers of the session before may still come; nothing is sent until they are too late."""
    CONNECTING = auto()
    PROBING = auto()
    """Connected; an RR has to be answered first."""
    READY = auto()
    ASKING = auto()
    PAUSING = auto()
    """The station has taken the request and wants time for its answer."""
    CLOSING = auto()


class HdlcClient:
    """A link to one station; a `ClientLink`."""

    def __init__(self, client_address: int, server: StationAddress, settings: HdlcSettings = DEFAULT_SETTINGS) -> None:
        own = encode_client(client_address)
        self._settings = settings
        self._addresses = server.encode() + own
        self._own = own
        self._everyone = encode_client(SHORT_MAX)
        self._server_forms = server.forms()
        self._reader = FrameReader()
        self._is_doubtful = False
        self._strays_until_ms: int | None = None
        self._reset_session()

    def _reset_session(self) -> None:
        settings = self._settings
        self._state = _State.CLOSED
        self._deadline_ms: int | None = None
        self._deadline_latest_ms = 0
        self._sent_at_ms = 0
        self._answer_by_ms = 0
        self._repeats_count = 0
        self._is_hasty = False
        self._asked_again_at: int | None = None
        self._parameters = DEFAULTS
        self._outgoing = Outgoing(bytes_max=DEFAULTS.transmit_bytes_max, window=DEFAULTS.transmit_window)
        self._incoming = Incoming(bytes_max=settings.apdu_bytes_max + LLC_BYTES, window=DEFAULTS.receive_window)

    # What the owner asks for.

    @property
    def is_connected(self) -> bool:
        """Whether `send` may be called, now or after the answer that is being waited for."""
        return self._state in {_State.READY, _State.ASKING, _State.PAUSING}

    @property
    def frames_bad_count(self) -> int:
        """Frames that arrived damaged."""
        return self._reader.frames_bad_count

    def connect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Begin a session, giving up any other."""
        self._abandon(now_ms)
        self._reset_session()
        self._reader.reset()
        if self._strays_until_ms is not None and now_ms < self._strays_until_ms:
            self._state = _State.HUSHED
            self._deadline_ms = self._strays_until_ms
            return ()
        return self._request_connection(now_ms)

    def send(self, apdu: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Send a request."""
        if self._state is not _State.READY:
            raise LinkError("the HDLC link is not connected, or its last request has no answer yet")
        if len(apdu) > self._settings.apdu_bytes_max:
            raise LinkError(f"an APDU of {len(apdu)} bytes is longer than the HDLC link is set to carry")
        self._outgoing.load(LLC_COMMAND + apdu)
        self._answer_by_ms = now_ms + self._settings.answer_timeout_ms
        self._progress()
        return self._send_window(now_ms)

    def send_unconfirmed(self, apdu: bytes) -> tuple[LinkEvent, ...]:
        """Send an APDU in a UI frame, which needs no session and has no answer.

        Raises:
            LinkError: The APDU does not fit into one frame.
        """
        if len(apdu) + LLC_BYTES > INFO_BYTES_MAX:
            raise LinkError(f"an APDU of {len(apdu)} bytes does not fit into one UI frame")
        return (SendBytes(encode_frame(self._addresses, UI, LLC_COMMAND + apdu)),)

    def keep_waiting(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Wait on, since the APDU received last was no answer after all."""
        if self._state is not _State.READY:
            raise LinkError("the HDLC link has no request that could still be answered")
        return self._poll(now_ms)

    def disconnect(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """End the session, whatever its state."""
        if self._state in {_State.CLOSED, _State.HUSHED}:
            self._reset_session()
            return (Disconnected(),)
        self._abandon(now_ms)
        self._state = _State.CLOSING
        self._progress()
        return self._command(DISC, b"", now_ms)

    def reset(self) -> None:
        """Forget everything, since the stream is gone."""
        self._reset_session()
        self._reader.reset()
        self._is_doubtful = False
        self._strays_until_ms = None

    # Time.

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due."""
        return self._deadline_ms

    def on_timer(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Do what is due; nothing if it is too early."""
        if self._deadline_ms is None or now_ms < self._deadline_ms:
            return ()
        if self._state is _State.HUSHED:
            return self._request_connection(now_ms)
        if self._state is _State.PAUSING:
            return self._poll(now_ms)
        self._reader.reset()
        if self._repeats_count == self._settings.retries_max:
            return self._fail(LinkTimeoutError("the station does not answer"), now_ms)
        self._repeats_count += 1
        self._strays_until_ms = now_ms + self._settings.response_timeout_ms
        return self._repeat(now_ms)

    def _repeat(self, now_ms: int) -> tuple[LinkEvent, ...]:
        match self._state:
            case _State.CONNECTING:
                self._is_doubtful = True
                return self._request_connection(now_ms)
            case _State.CLOSING:
                self._is_doubtful = True
                return self._command(DISC, b"", now_ms)
            case _State.ASKING if self._outgoing.outstanding_count == 1:
                return self._send_window(now_ms)
            case _:
                self._is_hasty = False
                return self._receive_ready(now_ms)

    # What is sent.

    def _transmit(self, data: bytes, now_ms: int) -> tuple[LinkEvent, ...]:
        """Send bytes that give the turn away, and wait for the response."""
        self._sent_at_ms = now_ms
        self._wait(now_ms, self._settings.response_timeout_ms)
        return (SendBytes(data),)

    def _wait(self, now_ms: int, delay_ms: int) -> None:
        # A frame on its way puts the deadline off, but others who never stop talking must not do so for ever.
        self._deadline_ms = now_ms + delay_ms
        self._deadline_latest_ms = self._deadline_ms + self._settings.response_timeout_ms

    def _command(self, control: int, info: bytes, now_ms: int) -> tuple[LinkEvent, ...]:
        return self._transmit(encode_frame(self._addresses, control | FINAL, info), now_ms)

    def _request_connection(self, now_ms: int) -> tuple[LinkEvent, ...]:
        self._state = _State.CONNECTING
        proposal = self._settings.proposal
        return self._command(SNRM, b"" if proposal == DEFAULTS else proposal.encode(), now_ms)

    def _receive_ready(self, now_ms: int) -> tuple[LinkEvent, ...]:
        return self._command(RR | self._incoming.number << 5, b"", now_ms)

    def _send_window(self, now_ms: int) -> tuple[LinkEvent, ...]:
        self._state = _State.ASKING
        return self._transmit(self._outgoing.window_frames(self._addresses, self._incoming.number), now_ms)

    def _poll(self, now_ms: int) -> tuple[LinkEvent, ...]:
        if now_ms >= self._answer_by_ms:
            return self._fail(LinkTimeoutError("the station responds, but its answer does not come"), now_ms)
        self._state = _State.ASKING
        return self._receive_ready(now_ms)

    # What arrives.

    def receive(self, data: bytes, *, now_ms: int) -> tuple[LinkEvent, ...]:
        """Take any piece of the stream."""
        events: list[LinkEvent] = []
        for frame in self._reader.feed(data):
            if frame.source not in self._server_forms:
                continue
            if frame.control & ~FINAL == UI:
                if frame.destination in {self._own, self._everyone} and not frame.is_segmented:
                    events.append(Received(without_llc(frame.info) or frame.info, is_unsolicited=True))
            elif frame.destination == self._own:
                events += self._on_frame(frame, now_ms)
        if self._reader.is_mid_frame and self._deadline_ms is not None and self._state is not _State.HUSHED:
            arriving_until_ms = min(now_ms + self._settings.octet_gap_ms, self._deadline_latest_ms)
            self._deadline_ms = max(self._deadline_ms, arriving_until_ms)
        return tuple(events)

    def _on_frame(self, frame: Frame, now_ms: int) -> tuple[LinkEvent, ...]:
        control = frame.control
        if self._state is _State.ASKING or self._state is _State.PAUSING:
            if not control & 1:
                return self._on_information(frame, now_ms)
            if control & 0x0F in {RR, RNR}:
                return self._on_receive_ready(control, now_ms)
        elif self._state is _State.PROBING and control == RR | FINAL:
            self._is_doubtful = False
            return self._open()
        return self._on_unnumbered(frame, control & ~FINAL, now_ms)

    def _on_unnumbered(self, frame: Frame, response: int, now_ms: int) -> tuple[LinkEvent, ...]:
        if self._state in {_State.CLOSED, _State.HUSHED}:
            return ()
        if self._state is _State.CLOSING:
            if response not in {UA, DM}:
                return ()
            self._reset_session()
            return (Disconnected(),)
        if response == UA and self._state is _State.CONNECTING:
            return self._on_connected(frame, now_ms)
        if response == DM:
            return self._fail(LinkRefusedError("the station is disconnected and says so (DM)"), now_ms)
        if response == FRMR:
            problem = f"the station rejects what it was sent (FRMR {frame.info[:3].hex()})"
            return self._fail(FrameRejectedError(problem), now_ms)
        return ()

    def _on_connected(self, frame: Frame, now_ms: int) -> tuple[LinkEvent, ...]:
        try:
            self._parameters = agreed = self._settings.proposal.agreed_with(decode_parameters(frame.info))
        except DecodeError as error:
            return self._fail(LinkError(f"the station's UA: {error}"), now_ms)
        self._outgoing = Outgoing(bytes_max=agreed.transmit_bytes_max, window=agreed.transmit_window)
        self._incoming.window = agreed.receive_window
        self._progress()
        if not self._is_doubtful:
            return self._open()
        self._state = _State.PROBING
        return self._receive_ready(now_ms)

    def _open(self) -> tuple[LinkEvent, ...]:
        self._state = _State.READY
        self._deadline_ms = None
        return (Connected(self._parameters),)

    def _on_receive_ready(self, control: int, now_ms: int) -> tuple[LinkEvent, ...]:
        acknowledged = self._outgoing.acknowledge(control >> 5)
        if acknowledged:
            self._progress()
            self._answer_by_ms = now_ms + self._settings.answer_timeout_ms
        if acknowledged is None or not control & FINAL or self._state is _State.PAUSING:
            return ()
        if self._outgoing.is_done:
            self._state = _State.PAUSING
            self._progress()
            self._wait(now_ms, self._settings.poll_delay_ms)
            return ()
        if acknowledged:
            return self._send_window(now_ms)
        # Of several frames the first was lost, or this is an old response once more. Going back at once is right in the
        # first case; in the second it doubles a frame, whose second response must then not double the next.
        if self._outgoing.outstanding_count == 1:
            return ()
        self._is_hasty = not self._is_hasty
        return self._send_window(now_ms) if self._is_hasty else ()

    def _on_information(self, frame: Frame, now_ms: int) -> tuple[LinkEvent, ...]:
        control, incoming, outgoing = frame.control, self._incoming, self._outgoing
        if not outgoing.is_sent or control >> 5 != outgoing.next_number:
            return ()
        if not incoming.is_next(control >> 1 & 7):
            if control & FINAL and incoming.is_ahead(control >> 1 & 7) and self._asked_again_at != incoming.number:
                self._asked_again_at = incoming.number
                return self._receive_ready(now_ms)
            return ()
        outgoing.acknowledge(control >> 5)
        try:
            payload = incoming.accept(frame.info, is_segmented=frame.is_segmented)
        except LinkError as error:
            return self._fail(error, now_ms)
        self._progress()
        if payload is None:
            self._state = _State.ASKING
            self._answer_by_ms = now_ms + self._settings.answer_timeout_ms
            if control & FINAL:
                return self._receive_ready(now_ms)
            self._wait(now_ms, self._settings.response_timeout_ms)
            return ()
        apdu = without_llc(payload)
        if apdu is None:
            return self._fail(LinkError("the station's answer has no LLC header"), now_ms)
        self._state = _State.READY
        self._deadline_ms = None
        return (Received(apdu),)

    # What becomes of the session.

    def _progress(self) -> None:
        self._repeats_count = 0
        self._asked_again_at = None

    def _abandon(self, now_ms: int) -> None:
        """Take note that what was asked last may still be answered."""
        if self._state in {_State.CLOSED, _State.HUSHED, _State.READY}:
            return
        self._is_doubtful = True
        late_ms = self._sent_at_ms + self._settings.response_timeout_ms
        self._strays_until_ms = max(self._strays_until_ms or late_ms, late_ms, now_ms)

    def _fail(self, error: LinkError, now_ms: int) -> tuple[LinkEvent, ...]:
        # Even a DM may be an old one: the answer to what was asked last can still come behind it.
        self._abandon(now_ms)
        self._reset_session()
        return (Failed(error),)
