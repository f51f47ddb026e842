"""The client of one meter: the real link and the real association, driven as a gateway drives them, on virtual time."""

import random
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Final, TypeVar

from dlms.apdu.conformance import Conformance
from dlms.client.association import ClientAssociation
from dlms.client.settings import DEFAULT_CONFORMANCE, AssociationSettings
from dlms.errors import DlmsError, LinkError
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.parameters import LinkParameters
from dlms.link.wrapper import WrapperClient, WrapperSettings
from dlms.security.counters import PeerCounterPolicy, PeerCounters
from dlms.security.keys import Keys
from tests.simulation.dlms.line import Steps
from tests.simulation.dlms.meters import CLIENT_SAP, LOGICAL, SECRET, Counters, Station
from tests.simulation.dlms.options import RESPONSE_TIMEOUT_MS, Medium, Options

CLIENT_TITLE: Final = b"WPT\x00\x00\x00\x00\x01"
STEPS_MAX: Final = 200_000
CONVERSATION_MS_MAX: Final = 3_600_000
"""Of virtual time: a conversation that takes longer hangs."""

T = TypeVar("T")
End = Connected | Disconnected | Failed | Received


class CrashedError(Exception):
    """The power of the client has gone; no error of `dlms`."""


class HangsError(AssertionError):
    """A conversation does not end."""


class Reader:
    """One meter's client, from session to session."""

    link_class: type[HdlcClient] = HdlcClient
    counters_class: type[Counters] = Counters

    def __init__(self, station: Station, agenda: Steps, options: Options, write: Callable[[bytes], None]) -> None:
        self.station = station
        self.connection = 0
        """Counts TCP connections or UDP ports; what comes over an older one is not heard."""
        self.is_crashing = False
        self.is_broken = False
        """Whether the TCP connection was cut."""
        self._agenda = agenda
        self._options = options
        self._write = write
        self._rng = random.Random(f"reader {station.address} {options.seed}")
        self._stored = [1]
        self._used: set[int] = set()
        self._highest = -1
        self._ends: list[End] = []
        self._start()

    def _start(self) -> None:
        self._link = self._new_link()
        self._counters = self.counters_class(self._stored, self._used)
        self.association: ClientAssociation | None = None

    def _new_link(self) -> ClientLink:
        options = self._options
        if options.medium is not Medium.BUS:
            settings = WrapperSettings(is_datagrams=options.medium is Medium.DATAGRAMS, answer_timeout_ms=5_000)
            return WrapperClient(CLIENT_SAP, LOGICAL, settings)
        size, window = options.info_bytes, options.window
        proposal = LinkParameters(
            transmit_bytes_max=size, receive_bytes_max=size, transmit_window=window, receive_window=window
        )
        link_settings = HdlcSettings(proposal=proposal, response_timeout_ms=RESPONSE_TIMEOUT_MS, octet_gap_ms=100)
        return self.link_class(CLIENT_SAP, self.station.address, link_settings)

    # ---- sessions ----------------------------------------------------------------------------------------------------

    def open(self) -> ClientAssociation:
        """Connect and associate, with a new challenge and the counters that were kept.

        Raises:
            DlmsError: It does not succeed.
        """
        self.connection += 1
        self.is_broken = False
        if self._options.medium is not Medium.BUS:
            self._link.reset()
        self._until_end(self._link.connect(now_ms=self._agenda.now_ms), Connected)
        self._peer_counters = PeerCounters(PeerCounterPolicy.STRICT, self._highest)
        self.association = association = ClientAssociation(
            self._settings(),
            challenge=self._rng.randbytes(16),
            counters=self._counters,
            peer_counters=self._peer_counters,
        )
        self.run(association.open())
        return association

    def close(self) -> None:
        """Release and disconnect, or not even that; a link that is used again has to bear it."""
        association, self.association = self.association, None
        if association is not None:
            self._highest = max(self._highest, self._peer_counters.highest)
        with suppress(DlmsError):
            if association is not None and association.is_open and self._rng.random() < 0.8:
                self.run(association.close())
            if self._rng.random() < 0.8:
                self._until_end(self._link.disconnect(now_ms=self._agenda.now_ms), Disconnected)

    def restart(self) -> None:
        """Come back after the power had gone; only what was stored is still known."""
        self.is_crashing = False
        self._ends.clear()
        self._start()

    def _settings(self) -> AssociationSettings:
        options, station = self._options, self.station
        extra = Conformance.GENERAL_BLOCK_TRANSFER if options.general_blocks else Conformance(0)
        dedicated = self._rng.randbytes(16) if options.form.is_dedicated else None
        return AssociationSettings(
            client_sap=CLIENT_SAP,
            server_sap=LOGICAL,
            mechanism=options.mechanism,
            secret=SECRET,
            keys=Keys(station.keys.encryption, station.keys.authentication, dedicated=dedicated),
            system_title=CLIENT_TITLE,
            server_title=station.title,
            control=options.control,
            form=options.form,
            conformance=DEFAULT_CONFORMANCE | extra,
            pdu_bytes_max=options.client_pdu_bytes,
        )

    # ---- conversations -----------------------------------------------------------------------------------------------

    def run(self, exchange: Generator[bytes, bytes, T]) -> T:
        """Carry a conversation to its end.

        Raises:
            DlmsError: It ends in one.
        """
        try:
            request = next(exchange)
            while True:
                now_ms = self._agenda.now_ms
                events = self._link.send(request, now_ms=now_ms) if request else self._link.keep_waiting(now_ms=now_ms)
                end = self._until_end(events, Received)
                assert isinstance(end, Received)
                request = exchange.send(end.apdu)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            exchange.close()

    def hear(self, data: bytes, connection: int | None = None) -> None:
        """Take bytes from the line."""
        if connection in {None, self.connection}:
            self._tell(self._link.receive(data, now_ms=self._agenda.now_ms))

    def _tell(self, events: tuple[LinkEvent, ...]) -> None:
        for event in events:
            if isinstance(event, SendBytes):
                self._write(event.data)
            elif isinstance(event, Received) and event.is_unsolicited:
                self._take_unsolicited(event.apdu)
            else:
                self._ends.append(event)

    def _take_unsolicited(self, apdu: bytes) -> None:
        if self.association is not None:
            with suppress(DlmsError):
                self.association.on_unsolicited(apdu)

    def _until_end(self, events: tuple[LinkEvent, ...], wanted: type[End]) -> End:
        self._ends.clear()
        self._tell(events)
        begun_ms = self._agenda.now_ms
        for _ in range(STEPS_MAX):
            if self.is_crashing:
                raise CrashedError
            if self._ends:
                end = self._ends.pop(0)
                if isinstance(end, Failed):
                    raise end.error
                assert isinstance(end, wanted), f"{end} where {wanted.__name__} was due"
                return end
            if self.is_broken:
                raise LinkError("the connection was cut")
            self._step()
            if self._agenda.now_ms - begun_ms > CONVERSATION_MS_MAX:
                break
        raise HangsError(f"no end after {self._agenda.now_ms - begun_ms} ms of virtual time")

    def _step(self) -> None:
        """Let happen what comes next, be it on the line or a deadline of our own."""
        deadline_ms, next_ms = self._link.next_deadline_ms(), self._agenda.next_ms
        if deadline_ms is None and next_ms is None:
            raise HangsError("nothing will ever happen again")
        if next_ms is None or (deadline_ms is not None and deadline_ms < next_ms):
            assert deadline_ms is not None
            self._agenda.run_until(max(deadline_ms, self._agenda.now_ms))
            self._tell(self._link.on_timer(now_ms=self._agenda.now_ms))
        else:
            self._agenda.run_until(next_ms)
