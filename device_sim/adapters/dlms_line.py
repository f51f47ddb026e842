"""DLMS lines: HDLC with many meters behind one stream, and the wrapper; what reaches a meter and what comes back.

Framing and protocol are those of `dlms`; here bytes meet meters, as far as their faults and their power allow. As on a
real line nothing waits for a late answer. A meter that lost its power has forgotten its sessions.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from device_sim.adapters.pace import Pace
from device_sim.core.is15959.associations import SERVER_SAP
from dlms.errors import DecodeError
from dlms.link.address import StationAddress, decode_address
from dlms.link.events import PeerConnected, PeerDisconnected, PeerReceived, SendBytes
from dlms.link.frame import FRAME_BYTES_MIN, FrameReader, encode_frame
from dlms.link.server import HdlcServerLine, HdlcServerSettings
from dlms.link.wrapper import WrapperServer, WrapperSettings
from dlms.server.port import ServerPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from device_sim.adapters.carriers import Stream
    from device_sim.adapters.meter_life import MeterLife
    from device_sim.adapters.truth import Truth
    from device_sim.core.dlms_meter import DlmsMeter
    from device_sim.core.faults import Impairment
    from dlms.link.events import Peer, ServerEvent
    from dlms.link.frame import Frame

BITS_PER_CHARACTER: Final = 10
"""Start, eight data bits, stop."""
OCTET_GAP_S: Final = 1.0
"""A silence that ends a broken frame: longer than on a real line, since a busy machine may pause amid a frame."""
CHALLENGE_BYTES: Final = 16
_HDLC_SPOILT_FROM: Final = 3
"""Behind flag and length: what is spoilt there fails a checksum, and the frame still ends where it says."""
_WRAPPER_HEADER_BYTES: Final = 8
_NO_APDU: Final = 0x7F
"""A tag that no APDU has."""


def _challenge() -> bytes:
    return secrets.token_bytes(CHALLENGE_BYTES)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one frame or packet brings about."""

    meter: DlmsMeter
    request_bytes: int
    impairment: Impairment


class _DlmsLine:
    """What both kinds of line have in common."""

    def __init__(
        self, units: Mapping[int, DlmsMeter], *, baud: int, truth: Truth, life: MeterLife, rng: Random
    ) -> None:
        """Join meters to a line.

        Args:
            units: The meters by physical address or wrapper port.
            baud: Pace of the line in bits a second; 0 for as fast as it goes.
            truth: Is told what happened.
            life: Keeps the meters' time.
            rng: Chooses the bytes that noise spoils.
        """
        self._units = dict(units)
        self._pace = Pace(baud=baud, bits_per_character=BITS_PER_CHARACTER)
        self._truth = truth
        self._life = life
        self._rng = rng

    def _hear(self, meter: DlmsMeter, request_bytes: int) -> _Outcome | None:
        """Let something reach a meter; None if the meter hears nothing."""
        now_ms = self._life.bring_up(meter)
        impairment = meter.faults.impairment(now_ms=now_ms)
        if meter.is_powered and not impairment.silent:
            return _Outcome(meter, request_bytes, impairment)
        self._truth.silent(meter.id)
        self._pace.occupy(request_bytes)
        return None

    def _answer(self, stream: Stream, outcome: _Outcome, data: bytes, spoilt: Callable[[bytes], bytes]) -> None:
        """Put what a meter answers on the line, in its time."""
        self._life.settle(outcome.meter)
        delay_s = self._pace.occupy(outcome.request_bytes + len(data)) + outcome.impairment.delay_ms / 1000
        if not data:
            return
        sent = spoilt(data) if outcome.impairment.garbled else data
        if delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self._send, stream, outcome, sent)
        else:
            self._send(stream, outcome, sent)

    def _send(self, stream: Stream, outcome: _Outcome, data: bytes) -> None:
        """Write an answer, and count it unless nobody can have understood it."""
        if not stream.is_open():
            self._truth.silent(outcome.meter.id)
            return
        stream.write(data)
        if outcome.impairment.garbled:
            self._truth.garbled(outcome.meter.id)
        else:
            self._truth.carried(outcome.meter.id)


@dataclass(slots=True)
class _Heard:
    """What has come of the next frame on a connection."""

    reader: FrameReader = field(default_factory=FrameReader)
    at_s: float = 0.0


class HdlcLine(_DlmsLine):
    """Meters that share a line by their HDLC addresses. Their sessions outlast a connection: they do not see it."""

    def __init__(
        self,
        units: Mapping[int, DlmsMeter],
        *,
        settings: HdlcServerSettings,
        baud: int,
        truth: Truth,
        life: MeterLife,
        rng: Random,
    ) -> None:
        super().__init__(units, baud=baud, truth=truth, life=life, rng=rng)
        self._stations = {unit: StationAddress(SERVER_SAP, unit) for unit in units}
        self._link = HdlcServerLine(self._stations.values(), settings)
        self._heard: dict[Stream, _Heard] = {}
        self._ports: dict[Peer, ServerPort] = {}
        self._failures = {unit: meter.device.power.failure_count for unit, meter in units.items()}

    def received(self, stream: Stream, data: bytes) -> None:
        """Take bytes from a connection and serve the frames that they complete."""
        heard = self._heard.setdefault(stream, _Heard())
        now_s = asyncio.get_running_loop().time()
        if now_s - heard.at_s > OCTET_GAP_S:
            heard.reader.reset()
        heard.at_s = now_s
        self._forget_ended(self._link.on_timer(now_ms=_loop_ms()))
        for frame in heard.reader.feed(data):
            self._serve(stream, frame)

    def closed(self, stream: Stream) -> None:
        """Forget a connection."""
        self._heard.pop(stream, None)

    def _serve(self, stream: Stream, frame: Frame) -> None:
        # Frames are read here to see whom they mean: a dead meter must not even take notice of them.
        raw = encode_frame(frame.destination + frame.source, frame.control, frame.info, is_segmented=frame.is_segmented)
        unit = self._meant(frame.destination)
        if unit is None:
            self._pace.occupy(len(raw))
            return
        meter = self._units[unit]
        outcome = self._hear(meter, len(raw))
        if outcome is None:
            return
        self._forget_power_failure(unit)
        events = self._link.receive(raw, now_ms=_loop_ms())
        self._answer(stream, outcome, self._carry_out(meter, events), self._spoilt)

    def _meant(self, destination: bytes) -> int | None:
        """Return the address of the meter that a frame is for, None for nobody or many."""
        try:
            address = decode_address(destination)
        except DecodeError:
            return None
        if address.lower is None and len(self._units) == 1:
            return next(iter(self._units))
        return address.lower if address.lower in self._units else None

    def _carry_out(self, meter: DlmsMeter, events: Iterable[ServerEvent]) -> bytes:
        """Do what the link says, and return what is to be sent."""
        out: list[bytes] = []
        for event in events:
            match event:
                case SendBytes(data=data):
                    out.append(data)
                case PeerReceived(peer=peer, apdu=apdu, is_confirmed=True):
                    out.append(self._carry_out(meter, self._reply(meter, peer, apdu)))
                case PeerReceived():
                    # What wants no answer changes nothing in these meters.
                    continue
                case _:
                    self._forget_ended((event,))
        return b"".join(out)

    def _reply(self, meter: DlmsMeter, peer: Peer, apdu: bytes) -> tuple[ServerEvent, ...]:
        port = self._ports.get(peer)
        if port is None:
            port = self._ports[peer] = ServerPort({SERVER_SAP: meter.device}, challenge=_challenge)
        answer = port.handle(apdu, client=peer.client, server=peer.server)
        if answer is None:
            return self._link.pass_turn(peer, now_ms=_loop_ms())
        return self._link.send(peer, answer, now_ms=_loop_ms())

    def _forget_ended(self, events: Iterable[ServerEvent]) -> None:
        for event in events:
            if isinstance(event, PeerConnected | PeerDisconnected):
                self._ports.pop(event.peer, None)

    def _forget_power_failure(self, unit: int) -> None:
        count = self._units[unit].device.power.failure_count
        if count != self._failures[unit]:
            self._failures[unit] = count
            self._forget_ended(self._link.remove_station(self._stations[unit]))
            self._link.add_station(self._stations[unit])

    def _spoilt(self, data: bytes) -> bytes:
        """Return frames of which the first fails its checksum."""
        spoilt = bytearray(data)
        spoilt[self._rng.randrange(_HDLC_SPOILT_FROM, FRAME_BYTES_MIN - 1)] ^= self._rng.randrange(1, 256)
        return bytes(spoilt)


@dataclass(slots=True)
class _Conversation:
    """What is known of one connection."""

    link: WrapperServer
    ports: dict[int, tuple[int, ServerPort]] = field(default_factory=dict)
    """By meter: how often its power had failed when the port was made, and the port."""
    watch: asyncio.TimerHandle | None = None


class WrapperLine(_DlmsLine):
    """Meters behind one TCP or UDP address, told apart by their wrapper ports."""

    def __init__(
        self,
        units: Mapping[int, DlmsMeter],
        *,
        settings: WrapperSettings,
        baud: int,
        truth: Truth,
        life: MeterLife,
        rng: Random,
    ) -> None:
        super().__init__(units, baud=baud, truth=truth, life=life, rng=rng)
        self._settings = settings
        self._conversations: dict[Stream, _Conversation] = {}

    def received(self, stream: Stream, data: bytes) -> None:
        """Take bytes from a connection, or a datagram, and serve the packets that they complete."""
        conversation = self._conversations.get(stream)
        if conversation is None:
            conversation = self._conversations[stream] = _Conversation(WrapperServer(self._settings))
        for event in conversation.link.receive(data, now_ms=_loop_ms()):
            if isinstance(event, PeerReceived):
                self._serve(stream, conversation, event.peer, event.apdu)
            else:
                stream.close()
        if conversation.watch is None and stream in self._conversations:
            self._watch(stream)

    def closed(self, stream: Stream) -> None:
        """Forget a connection."""
        conversation = self._conversations.pop(stream, None)
        if conversation is not None and conversation.watch is not None:
            conversation.watch.cancel()

    def _serve(self, stream: Stream, conversation: _Conversation, peer: Peer, apdu: bytes) -> None:
        request_bytes = _WRAPPER_HEADER_BYTES + len(apdu)
        meter = self._units.get(peer.server)
        if meter is None:
            self._pace.occupy(request_bytes)
            return
        outcome = self._hear(meter, request_bytes)
        if outcome is None:
            return
        answer = self._port(conversation, meter).handle(apdu, client=peer.client, server=peer.server)
        data = b""
        if answer is not None:
            events = conversation.link.send(peer, answer, now_ms=_loop_ms())
            data = b"".join(event.data for event in events if isinstance(event, SendBytes))
        self._answer(stream, outcome, data, _without_tag)

    def _port(self, conversation: _Conversation, meter: DlmsMeter) -> ServerPort:
        failures = meter.device.power.failure_count
        known = conversation.ports.get(meter.unit)
        if known is not None and known[0] == failures:
            return known[1]
        port = ServerPort({meter.unit: meter.device}, challenge=_challenge)
        conversation.ports[meter.unit] = (failures, port)
        return port

    def _watch(self, stream: Stream) -> None:
        """End a connection whose client has been silent for long, and until then look again when it may be so."""
        conversation = self._conversations[stream]
        if conversation.link.on_timer(now_ms=_loop_ms()):
            conversation.watch = None
            stream.close()
            return
        due_ms = conversation.link.next_deadline_ms()
        assert due_ms is not None, "it has heard something"
        conversation.watch = asyncio.get_running_loop().call_at(due_ms / 1000, self._watch, stream)


def _without_tag(data: bytes) -> bytes:
    """Return a packet whose APDU is none: over TCP and UDP a changed byte further on might pass for another value."""
    spoilt = bytearray(data)
    spoilt[_WRAPPER_HEADER_BYTES] = _NO_APDU
    return bytes(spoilt)


def _loop_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)
