"""One DLMS session over a serial line on virtual time: how many bytes, how many round trips, how many seconds.

The real client and the real server talk; bytes take the time that the speed of the line gives them, and the meter is
silent for a while before each answer. The client itself takes no time.
"""

import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final, TypeVar

from dlms.apdu.acse import Mechanism
from dlms.client.association import ClientAssociation
from dlms.client.settings import AssociationSettings
from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import Connected, Disconnected, Failed, LinkEvent, PeerReceived, Received, SendBytes, ServerEvent
from dlms.link.parameters import LinkParameters
from dlms.link.server import HdlcServerLine
from dlms.security.counters import ReservedCounter
from dlms.server.port import ServerPort
from tests.bench.dlms_question import (
    CLIENT_SAP,
    CLIENT_TITLE,
    FIRST_MS,
    KEYS,
    LAST_MS,
    LOGICAL,
    METER_TITLE,
    PHYSICAL,
    rows_expected,
)
from tests.rig.dlms_meter import COLUMNS, PROFILE, ROWS, RigMeter, moment, rules_for

BITS_OF_A_BYTE: Final = 10
"""8N1."""
CHUNK_BYTES: Final = 16
"""What a serial driver hands over at once."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A line and what is agreed on it."""

    baud: int = 9600
    turn_round_ms: float = 20.0
    """Silence of the meter between a request and its answer."""
    info_bytes: int = 128
    window: int = 1
    pdu_bytes_max: int = 512


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a session took."""

    bytes_sent: int = 0
    bytes_received: int = 0
    round_trips: int = 0
    seconds: float = 0.0

    @property
    def bytes_total(self) -> int:
        return self.bytes_sent + self.bytes_received


@dataclass
class _Line:
    wire: Wire
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        rules = rules_for(mechanism=Mechanism.HIGH_GMAC, secret=b"", keys=KEYS, title=METER_TITLE)
        self._port = ServerPort({LOGICAL: RigMeter("bench", {CLIENT_SAP: rules})}, challenge=lambda: b"S" * 16)
        station = StationAddress(LOGICAL, PHYSICAL)
        self._server = HdlcServerLine([station])
        size, window = self.wire.info_bytes, self.wire.window
        proposal = LinkParameters(
            transmit_bytes_max=size, receive_bytes_max=size, transmit_window=window, receive_window=window
        )
        self._client = HdlcClient(CLIENT_SAP, station, HdlcSettings(proposal=proposal))
        self._now_ms = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._ends: list[LinkEvent] = []

    def session(self) -> None:
        """Associate, read the day, release."""
        settings = AssociationSettings(
            client_sap=CLIENT_SAP,
            server_sap=LOGICAL,
            mechanism=Mechanism.HIGH_GMAC,
            keys=KEYS,
            system_title=CLIENT_TITLE,
            pdu_bytes_max=self.wire.pdu_bytes_max,
        )
        counters = ReservedCounter(1, lambda _: None)
        association = ClientAssociation(settings, challenge=b"C" * 16, counters=counters)
        self._until_end(self._client.connect(now_ms=self._ms))
        self._run(association.open())
        rows = self._run(association.get(ROWS, PROFILE.by_range(COLUMNS[0], moment(FIRST_MS), moment(LAST_MS))))
        assert rows == rows_expected()
        self._run(association.close())
        self._until_end(self._client.disconnect(now_ms=self._ms))
        self.tally.seconds = self._now_ms / 1000

    @property
    def _ms(self) -> int:
        return int(self._now_ms)

    def _run(self, exchange: Generator[bytes, bytes, T]) -> T:
        try:
            request = next(exchange)
            while True:
                end = self._until_end(self._client.send(request, now_ms=self._ms))
                assert isinstance(end, Received)
                request = exchange.send(end.apdu)
        except StopIteration as end:
            value: T = end.value
            return value

    def _until_end(self, events: tuple[LinkEvent, ...]) -> Connected | Disconnected | Received:
        self._tell(events)
        while True:
            for event in self._ends:
                self._ends.clear()
                assert not isinstance(event, Failed | SendBytes), "the line is good"
                return event
            self._step()

    def _step(self) -> None:
        deadline_ms = self._client.next_deadline_ms()
        if deadline_ms is not None and deadline_ms < self._agenda[0][0]:
            self._now_ms = max(self._now_ms, deadline_ms)
            self._tell(self._client.on_timer(now_ms=self._ms))
            return
        self._now_ms, _, act = heapq.heappop(self._agenda)
        act()

    def _carry(self, data: bytes, begins_ms: float, arrive: Callable[[bytes], None]) -> None:
        byte_ms = BITS_OF_A_BYTE * 1000 / self.wire.baud
        for start in range(0, len(data), CHUNK_BYTES):
            piece = data[start : start + CHUNK_BYTES]
            at_ms = begins_ms + (start + len(piece)) * byte_ms
            act: Callable[[], None] = partial(arrive, piece)
            heapq.heappush(self._agenda, (at_ms, next(self._order), act))

    def _tell(self, events: tuple[LinkEvent, ...]) -> None:
        for event in events:
            if isinstance(event, SendBytes):
                self.tally.bytes_sent += len(event.data)
                self.tally.round_trips += 1
                self._carry(event.data, self._now_ms, self._serve)
            else:
                self._ends.append(event)

    def _serve(self, data: bytes) -> None:
        self._answer(self._server.receive(data, now_ms=self._ms))

    def _answer(self, events: tuple[ServerEvent, ...]) -> None:
        for event in events:
            match event:
                case SendBytes():
                    self.tally.bytes_received += len(event.data)
                    self._carry(event.data, self._now_ms + self.wire.turn_round_ms, self._hear)
                case PeerReceived(peer, apdu):
                    answer = self._port.handle(apdu, client=peer.client, server=peer.server)
                    assert answer is not None
                    self._answer(self._server.send(peer, answer, now_ms=self._ms))
                case _:
                    pass

    def _hear(self, data: bytes) -> None:
        self._tell(self._client.receive(data, now_ms=self._ms))


def session_over(wire: Wire) -> Tally:
    """Run the session that all clients are asked for, and return what it took."""
    line = _Line(wire)
    line.session()
    return line.tally


def bytes_alone_s(wire: Wire, tally: Tally) -> float:
    """Return how long the line needs for the bytes, had nobody to wait for anybody."""
    return tally.bytes_total * BITS_OF_A_BYTE / wire.baud
