"""The server's end of an HDLC line: any number of stations behind one reader (Green Book 8.4).

A line reads each byte once, whoever it is for, and hands frames to stations by their address as it stands on the wire;
frames for anyone else pass by. It decides how sessions begin (SNRM), end (DISC, silence, a new SNRM) and what those get
who have none (DM). What happens within one is `dlms.link.session`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dlms.errors import DecodeError, LinkError, LinkTimeoutError
from dlms.link.address import SHORT_MAX, StationAddress, encode_client
from dlms.link.events import (
    APDU_BYTES_MAX,
    Peer,
    PeerConnected,
    PeerDisconnected,
    PeerReceived,
    SendBytes,
    ServerEvent,
)
from dlms.link.frame import (
    DISC,
    DM,
    FINAL,
    INFO_BYTES_MAX,
    LLC_BYTES,
    LLC_RESPONSE,
    SNRM,
    UA,
    UI,
    Frame,
    FrameReader,
    encode_frame,
    without_llc,
)
from dlms.link.parameters import UTMOST, LinkParameters, decode_parameters
from dlms.link.session import ServerSession


@dataclass(frozen=True, slots=True, kw_only=True)
class HdlcServerSettings:
    """What the stations of a line grant."""

    limits: LinkParameters = UTMOST
    """The most that a station agrees to."""
    inactivity_timeout_ms: int = 120_000
    """How long a session lives without a sign of its client (Green Book 8.4.5.2)."""
    octet_gap_ms: int = 1_000
    """After a pause as long as this, what arrived of a frame is given up."""
    sessions_max: int = 8
    """Clients that one station serves at once."""
    apdu_bytes_max: int = APDU_BYTES_MAX


DEFAULT_SETTINGS: Final = HdlcServerSettings()


class _Station:
    """A station and its sessions, by the client's address on the wire."""

    __slots__ = ("address", "sessions")

    def __init__(self, address: StationAddress) -> None:
        self.address = address
        self.sessions: dict[bytes, ServerSession] = {}


class HdlcServerLine:
    """The stations of one line; a `ServerLink`."""

    def __init__(self, stations: Iterable[StationAddress], settings: HdlcServerSettings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._reader = FrameReader()
        self._heard_at_ms = 0
        self._stations = {address: _Station(address) for address in stations}
        self._directory: dict[bytes, _Station] = {}
        self._sessions: dict[Peer, ServerSession] = {}
        self._sessions_begun_count = 0
        self._check_at_ms: int | None = None
        self._list_forms()

    def _list_forms(self) -> None:
        """Write down who answers to which destination; the logical device alone will do where there is one meter."""
        self._directory = {form: station for station in self._stations.values() for form in station.address.forms()}
        if len({address.lower for address in self._stations}) == 1:
            for address, station in self._stations.items():
                if address.upper < SHORT_MAX:
                    self._directory[StationAddress(address.upper).encode()] = station

    @property
    def frames_bad_count(self) -> int:
        """Frames that arrived damaged."""
        return self._reader.frames_bad_count

    # Stations.

    def add_station(self, address: StationAddress) -> None:
        """Let a station answer from now on; one that is there stays as it is."""
        self._stations.setdefault(address, _Station(address))
        self._list_forms()

    def remove_station(self, address: StationAddress) -> tuple[ServerEvent, ...]:
        """Let a station fall silent and forget its sessions."""
        station = self._stations.pop(address, None)
        self._list_forms()
        if station is None:
            return ()
        gone = list(station.sessions.values())
        for session in gone:
            self._forget(station, session)
        return tuple(PeerDisconnected(session.peer, LinkError("the station was taken off")) for session in gone)

    def reset(self) -> None:
        """Forget every session, since the stream is gone."""
        self._reader.reset()
        self._sessions.clear()
        for station in self._stations.values():
            station.sessions.clear()
        self._check_at_ms = None

    # What the application does.

    def send(self, peer: Peer, apdu: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Answer the request received last from this peer; nothing happens if its session is over."""
        session = self._sessions.get(peer)
        if session is None:
            return ()
        session.heard_at_ms = now_ms
        return session.send(apdu)

    def pass_turn(self, peer: Peer, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Say that the request received last from this peer has no answer."""
        session = self._sessions.get(peer)
        if session is None:
            return ()
        session.heard_at_ms = now_ms
        return session.pass_turn()

    def notify(self, peer: Peer, apdu: bytes) -> tuple[ServerEvent, ...]:
        """Send an APDU that nobody asked for, in a UI frame."""
        station = self._stations.get(StationAddress(peer.server, peer.physical))
        if station is None:
            raise LinkError(f"there is no station {peer.server}/{peer.physical} on this line")
        if len(apdu) + LLC_BYTES > INFO_BYTES_MAX:
            raise LinkError(f"an APDU of {len(apdu)} bytes does not fit into one UI frame")
        addresses = encode_client(peer.client) + station.address.encode()
        return (SendBytes(encode_frame(addresses, UI | FINAL, LLC_RESPONSE + apdu), station.address),)

    # Time.

    def next_deadline_ms(self) -> int | None:
        """Return when `on_timer` is due; it may find that nothing has expired yet."""
        return self._check_at_ms

    def on_timer(self, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """End the sessions of clients that have fallen silent."""
        if self._check_at_ms is None or now_ms < self._check_at_ms:
            return ()
        silent_since_ms = now_ms - self._settings.inactivity_timeout_ms
        expired = [session for session in self._sessions.values() if session.heard_at_ms <= silent_since_ms]
        for session in expired:
            self._forget(self._stations[StationAddress(session.peer.server, session.peer.physical)], session)
        # One look at all sessions now and then instead of one timer for each frame.
        oldest_ms = min((session.heard_at_ms for session in self._sessions.values()), default=None)
        self._check_at_ms = None if oldest_ms is None else oldest_ms + self._settings.inactivity_timeout_ms
        return tuple(PeerDisconnected(session.peer, LinkTimeoutError("the client is silent")) for session in expired)

    # What arrives.

    def receive(self, data: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        """Take any piece of the stream."""
        if now_ms - self._heard_at_ms > self._settings.octet_gap_ms:
            self._reader.reset()
        self._heard_at_ms = now_ms
        events: list[ServerEvent] = []
        for frame in self._reader.feed(data):
            if len(frame.source) != 1:
                continue
            if frame.control & ~FINAL == UI:
                events += self._on_unconfirmed(frame)
                continue
            station = self._directory.get(frame.destination)
            if station is not None:
                events += self._on_frame(station, frame, now_ms)
        return tuple(events)

    def _on_frame(self, station: _Station, frame: Frame, now_ms: int) -> tuple[ServerEvent, ...]:
        session = station.sessions.get(frame.source)
        command = frame.control & ~FINAL
        if command == SNRM:
            return self._connect(station, session, frame, now_ms)
        if session is None:
            return self._respond(station, frame, DM) if frame.control & FINAL else ()
        if command == DISC:
            self._forget(station, session)
            return (PeerDisconnected(session.peer), *self._respond(station, frame, UA))
        session.heard_at_ms = now_ms
        events = session.on_frame(frame)
        if session.is_over:
            self._forget(station, session)
        return events

    def _connect(
        self, station: _Station, former: ServerSession | None, frame: Frame, now_ms: int
    ) -> tuple[ServerEvent, ...]:
        try:
            agreed = self._settings.limits.agreed_with(decode_parameters(frame.info))
        except DecodeError:
            return self._respond(station, frame, DM)
        events: tuple[ServerEvent, ...] = ()
        if former is not None:
            self._forget(station, former)
            events = (PeerDisconnected(former.peer),)
        elif len(station.sessions) >= self._settings.sessions_max:
            return self._respond(station, frame, DM)
        self._sessions_begun_count += 1
        address = station.address
        peer = Peer(frame.source[0] >> 1, address.upper, address.lower, self._sessions_begun_count)
        session = ServerSession(
            peer,
            address,
            frame.source + frame.destination,
            agreed,
            apdu_bytes_max=self._settings.apdu_bytes_max,
            now_ms=now_ms,
        )
        self._sessions[peer] = station.sessions[frame.source] = session
        if self._check_at_ms is None:
            self._check_at_ms = now_ms + self._settings.inactivity_timeout_ms
        return (*events, PeerConnected(peer, agreed), *self._respond(station, frame, UA, agreed.encode()))

    def _on_unconfirmed(self, frame: Frame) -> list[ServerEvent]:
        """Hand a UI frame to the station it names, or to all of them."""
        apdu = without_llc(frame.info)
        if apdu is None or frame.is_segmented:
            return []
        station = self._directory.get(frame.destination)
        meant = [station] if station is not None else self._stations.values()
        client = frame.source[0] >> 1
        return [
            PeerReceived(Peer(client, each.address.upper, each.address.lower), apdu, is_confirmed=False)
            for each in meant
            if station is not None or each.address.is_meant_by(frame.destination)
        ]

    def _respond(self, station: _Station, frame: Frame, control: int, info: bytes = b"") -> tuple[ServerEvent, ...]:
        return (SendBytes(encode_frame(frame.source + frame.destination, control | FINAL, info), station.address),)

    def _forget(self, station: _Station, session: ServerSession) -> None:
        del self._sessions[session.peer]
        del station.sessions[encode_client(session.peer.client)]
