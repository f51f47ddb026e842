"""The meters of a world: real servers over contents that are known, which remember all that was ever true of them."""

import random
from collections.abc import Callable
from typing import Final

from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.link.address import StationAddress
from dlms.link.events import Failed, Peer, PeerDisconnected, PeerReceived, SendBytes, ServerEvent, ServerLink
from dlms.link.server import HdlcServerLine, HdlcServerSettings
from dlms.link.wrapper import WrapperServer, WrapperSettings
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.server.device import Access, AssociationRules, ServerSecurity
from dlms.server.port import ServerPort
from tests.rig.dlms_meter import CLOCK, NOTE, RigMeter
from tests.simulation.dlms.line import Steps
from tests.simulation.dlms.options import STATIONS, Medium, Options

CLIENT_SAP: Final = 16
LOGICAL: Final = 1
SECRET: Final = b"sixteen byte key"
COUNTERS_AT_ONCE: Final = 20
"""Small, so that reservations run out in every world."""
_RESPONSE_GAP_MS: Final = 1_000

Send = Callable[[bytes], None]


class Counters(ReservedCounter):
    """Invocation counters on something that survives a crash, and a record of all that were ever used with a key."""

    def __init__(self, stored: list[int], used: set[int]) -> None:
        super().__init__(stored[-1], stored.append, COUNTERS_AT_ONCE)
        self._used = used

    def take(self) -> int:
        value = super().take()
        assert value not in self._used, f"counter {value} was used twice"
        self._used.add(value)
        return value


class KnownMeter(RigMeter):
    """Contents with a history: what each changing value was, and since when."""

    def __init__(self, seed: str, rules: dict[int, AssociationRules], *, rows_count: int, agenda: Steps) -> None:
        super().__init__(seed, rules, rows_count=rows_count)
        self._agenda = agenda
        self.histories: dict[str, list[tuple[int, object]]] = {name: [] for name in ("note", "clock", "relay")}
        self.written: list[object] = []
        self._remember()

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        super().write(attribute, selection, value, access)
        self.written.append(NOTE.decode(value) if attribute == NOTE.descriptor else CLOCK.time.decode(value))
        self._remember()

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        returned = super().invoke(method, parameters, access)
        self._remember()
        return returned

    def values_since(self, name: str, since_ms: int) -> list[object]:
        """Return what a value was at that time and after."""
        history = self.histories[name]
        before = [value for at_ms, value in history if at_ms <= since_ms]
        return before[-1:] + [value for at_ms, value in history if at_ms > since_ms]

    def _remember(self) -> None:
        for name, value in (("note", self.note), ("clock", self.clock), ("relay", self.is_closed)):
            self.histories[name].append((self._agenda.now_ms, value))


class Station:
    """One meter on the line: what has power, and what outlasts it."""

    def __init__(self, number: int, agenda: Steps, options: Options) -> None:
        self.options = options
        self.address = StationAddress(LOGICAL, STATIONS[number], options.is_wide)
        self.title = b"MTR" + bytes((0, 0, 0, 0, number))
        self.keys = Keys(bytes((number, 1)) * 8, bytes((number, 2)) * 8)
        self._agenda = agenda
        self._rng = random.Random(f"station {number} {options.seed}")
        self._stored = [1]
        self._used: set[int] = set()
        self._peer_counters = PeerCounters(PeerCounterPolicy.STRICT)
        self._life = 0
        self._is_on = True
        self.meter = KnownMeter(f"{options.seed} {number}", {}, rows_count=options.rows, agenda=agenda)
        self._boot()

    # ---- power -------------------------------------------------------------------------------------------------------

    def fail(self, off_ms: int) -> None:
        """Take the power away for a while; sessions and associations are gone, values and counters are not."""
        self._life += 1
        self._is_on = False
        life = self._life

        def back() -> None:
            if self._life == life:
                self._boot()

        self._agenda.after(off_ms, back)

    def _boot(self) -> None:
        options = self.options
        self._is_on = True
        self._links: dict[object, tuple[ServerLink, ServerPort]] = {}
        highest = self._peer_counters.highest
        self._peer_counters = PeerCounters(PeerCounterPolicy.STRICT, highest)
        security = ServerSecurity(
            own_title=self.title,
            keys=self.keys,
            counters=Counters(self._stored, self._used),
            peer_counters=self._peer_counters,
            required=options.control,
        )
        self.meter.rules = {
            CLIENT_SAP: AssociationRules(
                mechanism=options.mechanism,
                secret=SECRET,
                security=security,
                plain_context=not options.is_ciphered,
                pdu_bytes_max=options.server_pdu_bytes,
            )
        }

    # ---- the line ----------------------------------------------------------------------------------------------------

    def hear(self, data: bytes, send: Send, connection: object = None) -> None:
        """Take bytes from the line, on one of the connections there may be."""
        if not self._is_on:
            return
        link, _ = self._link(connection)
        now_ms = self._agenda.now_ms
        deadline_ms = link.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= now_ms:
            self._tell(connection, link.on_timer(now_ms=now_ms), send)
            link, _ = self._link(connection)
        self._tell(connection, link.receive(data, now_ms=now_ms), send)

    def forget(self, connection: object) -> None:
        """Take note that a connection is gone."""
        self._links.pop(connection, None)

    def _link(self, connection: object) -> tuple[ServerLink, ServerPort]:
        if connection not in self._links:
            port = ServerPort({LOGICAL: self.meter}, challenge=lambda: self._rng.randbytes(16))
            self._links[connection] = (self._new_link(), port)
        return self._links[connection]

    def _new_link(self) -> ServerLink:
        if self.options.medium is Medium.BUS:
            return HdlcServerLine([self.address], HdlcServerSettings(octet_gap_ms=_RESPONSE_GAP_MS))
        return WrapperServer(WrapperSettings(is_datagrams=self.options.medium is Medium.DATAGRAMS))

    def _tell(self, connection: object, events: tuple[ServerEvent, ...], send: Send) -> None:
        for event in events:
            match event:
                case SendBytes():
                    send(event.data)
                case PeerReceived():
                    self._serve(connection, event, send)
                case PeerDisconnected():
                    if connection in self._links:
                        self._links[connection][1].close()
                case Failed():
                    self.forget(connection)
                case _:
                    pass

    def _serve(self, connection: object, event: PeerReceived, send: Send) -> None:
        link, port = self._links[connection]
        answer = port.handle(event.apdu, client=event.peer.client, server=event.peer.server)
        if not event.is_confirmed:
            return
        life = self._life

        def done() -> None:
            if self._life == life and self._links.get(connection) == (link, port):
                self._tell(connection, _reply(link, event.peer, answer, self._agenda.now_ms), send)

        if self.options.work_ms_max:
            self._agenda.after(self._rng.randint(0, self.options.work_ms_max), done)
        else:
            done()


def _reply(link: ServerLink, peer: Peer, answer: bytes | None, now_ms: int) -> tuple[ServerEvent, ...]:
    return link.pass_turn(peer, now_ms=now_ms) if answer is None else link.send(peer, answer, now_ms=now_ms)
