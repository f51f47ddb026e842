"""What happens to bytes on their way: one medium for all kinds of lines, as bad as the options say.

Decides nothing of who hears what: `carry` is told where a piece would arrive and schedules it, damaged or not.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from dlms.link.address import StationAddress
from dlms.link.frame import INFO_BYTES_MAX, FrameReader, encode_frame
from dlms.link.wrapper import pack
from tests.simulation.agenda import Agenda
from tests.simulation.dlms.options import LATENCY_MS, STATIONS, Medium, Options

KEPT_MAX: Final = 200
GARBAGE_BYTES_MAX: Final = 40
CALM_LATENCY_MS: Final = LATENCY_MS
_HEADER_BYTES: Final = 8
_SPREAD_MS_MAX: Final = 20
"""Between the first and the last piece of a frame."""
_STRANGE_CONTROLS: Final = (0x10, 0x30, 0x52, 0x11, 0x31, 0x73, 0x1F, 0x97, 0x93, 0x53, 0x03)

Arrive = Callable[[bytes], None]


class Steps(Agenda):
    """Virtual time that goes on one thing at a time."""

    @property
    def next_ms(self) -> int | None:
        """When something happens next; None: never."""
        return self._heap[0][0] if self._heap else None


class Line:
    """The medium of one world."""

    def __init__(self, agenda: Steps, options: Options) -> None:
        self._agenda = agenda
        self._options = options
        self._rng = random.Random(f"line {options.seed}")
        self._arrived_ms: dict[object, int] = {}
        self._kept: list[bytes] = []
        self.is_calm = False
        self.sent_count = 0

    def carry(self, data: bytes, way: object, arrive: Arrive) -> None:
        """Take what was sent; `way` tells directions apart that keep their order each."""
        if self._options.medium is Medium.STREAM:
            self._carry_stream(data, way, arrive)
            return
        for unit in split(data, self._options.medium):
            self._carry_unit(unit, way, arrive)

    # ---- frames and packets ------------------------------------------------------------------------------------------

    def _carry_unit(self, unit: bytes, way: object, arrive: Arrive) -> None:
        self.sent_count += 1
        if self.is_calm:
            self._deliver(unit, way, arrive, CALM_LATENCY_MS)
            return
        options, rng = self._options, self._rng
        self._keep(unit)
        copies = 0 if rng.random() < options.lost else 2 if rng.random() < options.doubled else 1
        if rng.random() < options.strangers:
            self._deliver(self._strange(unit), way, arrive, self._delay_ms())
        for _ in range(copies):
            self._deliver(self._damaged(unit), way, arrive, self._delay_ms())
        if rng.random() < options.garbage:
            self._deliver(self._garbage(), way, arrive, self._delay_ms())
        if rng.random() < options.again:
            self._deliver(rng.choice(self._kept), way, arrive, self._delay_ms())
        if rng.random() < options.forged:
            self._deliver(self._forged(unit), way, arrive, self._delay_ms())

    def _keep(self, unit: bytes) -> None:
        if len(self._kept) < KEPT_MAX:
            self._kept.append(unit)
        else:
            self._kept[self._rng.randrange(KEPT_MAX)] = unit

    def _delay_ms(self) -> int:
        options, rng = self._options, self._rng
        late_ms = rng.randint(0, options.late_ms_max) if rng.random() < options.late else 0
        return LATENCY_MS + late_ms

    def _damaged(self, unit: bytes) -> bytes:
        options, rng = self._options, self._rng
        if options.medium is Medium.DATAGRAMS and not options.is_hostile:
            # UDP has a check sequence of its own; but a modem may hand on part of a packet.
            return unit[: rng.randrange(len(unit))] if rng.random() < options.cut else unit
        damaged = unit
        if rng.random() < options.flipped:
            damaged = flipped(damaged, rng)
        if rng.random() < options.cut:
            at = rng.randrange(len(damaged))
            damaged = damaged[:at] + damaged[at + rng.randint(1, len(damaged)) :]
        return damaged

    def _garbage(self) -> bytes:
        rng = self._rng
        return bytes(rng.choice((0x7E, 0xA0, rng.randrange(256))) for _ in range(rng.randint(1, GARBAGE_BYTES_MAX)))

    def _strange(self, unit: bytes) -> bytes:
        """Return what others could say at this moment: the wrong meter, or another client, with fitting numbers."""
        rng = self._rng
        if self._options.medium is not Medium.BUS:
            ports = rng.choice(((1, 17), (2, 16), (16, 2), (99, 1)))
            return pack(*ports, self._changed(unit[_HEADER_BYTES:]))
        frame = FrameReader().feed(unit)[0]
        is_answer = len(frame.destination) == 1
        wrong = StationAddress(1, rng.choice((*STATIONS, 116)), self._options.is_wide).encode()
        others = [frame.destination + wrong] if is_answer else [frame.destination + b"\x61", wrong + b"\x61"]
        addresses = rng.choice(others)
        if addresses == frame.destination + frame.source:
            return self._garbage()
        control = frame.control if rng.random() < 0.7 else rng.choice(_STRANGE_CONTROLS)
        info = frame.info if control & 1 else frame.info[:3] + self._changed(frame.info[3:])
        return encode_frame(addresses, control, info[:INFO_BYTES_MAX], is_segmented=frame.is_segmented)

    def _forged(self, unit: bytes) -> bytes:
        """Return the unit, or another one, with other contents and correct check sequences."""
        rng = self._rng
        if rng.random() < 0.3:
            unit = rng.choice(self._kept)
        if self._options.medium is not Medium.BUS:
            return _with_length(unit[:_HEADER_BYTES], self._changed(unit[_HEADER_BYTES:]))
        frames = FrameReader().feed(unit)
        if not frames:
            return unit
        frame = frames[0]
        control = frame.control if rng.random() < 0.7 else rng.randrange(256)
        info = self._changed(frame.info) if frame.info else b""
        return encode_frame(
            frame.destination + frame.source, control, info[:INFO_BYTES_MAX], is_segmented=frame.is_segmented
        )

    def _changed(self, contents: bytes) -> bytes:
        rng = self._rng
        match rng.randrange(5):
            case 0:
                return contents[: rng.randrange(len(contents) + 1)]
            case 1:
                return contents + rng.randbytes(rng.randint(1, 8))
            case 2:
                other = rng.choice(self._kept or [contents])
                return other[_HEADER_BYTES:-3] or contents
            case _:
                return flipped(contents, rng)

    def _deliver(self, unit: bytes, way: object, arrive: Arrive, delay_ms: int) -> None:
        at_ms = self._agenda.now_ms + delay_ms
        if self._options.is_ordered and self._options.medium is not Medium.DATAGRAMS:
            at_ms = self._arrived_ms[way] = max(self._arrived_ms.get(way, 0), at_ms)
        if self._options.medium is Medium.DATAGRAMS:
            self._agenda.at(at_ms, partial(arrive, unit))
            return
        for piece in self._pieces(unit):
            self._agenda.at(at_ms, partial(arrive, piece))
            if self._options.is_ordered:
                at_ms += self._rng.randint(0, _SPREAD_MS_MAX // 4)
                self._arrived_ms[way] = max(self._arrived_ms[way], at_ms)

    def _pieces(self, unit: bytes) -> Iterator[bytes]:
        rng = self._rng
        if self.is_calm or rng.random() < 0.6 or len(unit) < 2:
            yield unit
            return
        cuts = sorted(rng.randrange(1, len(unit)) for _ in range(rng.randint(1, 3)))
        for start, end in zip((0, *cuts), (*cuts, len(unit)), strict=True):
            if start < end:
                yield unit[start:end]

    # ---- streams -----------------------------------------------------------------------------------------------------

    def _carry_stream(self, data: bytes, way: object, arrive: Arrive) -> None:
        """Deliver in order; only whoever is hostile changes a stream."""
        options, rng = self._options, self._rng
        self.sent_count += 1
        if not self.is_calm and options.is_hostile:
            self._keep(data)
            if rng.random() < options.flipped:
                data = flipped(data, rng)
            if rng.random() < options.forged:
                data = self._forged(data)
            if rng.random() < options.again:
                data += rng.choice(self._kept)
        delay_ms = CALM_LATENCY_MS if self.is_calm else self._delay_ms()
        at_ms = self._arrived_ms[way] = max(self._arrived_ms.get(way, 0), self._agenda.now_ms + delay_ms)
        for piece in self._pieces(data):
            self._agenda.at(at_ms, partial(arrive, piece))


def split(data: bytes, medium: Medium) -> Iterator[bytes]:
    """Cut what was sent at once into frames by their lengths; a packet is sent alone."""
    if medium is not Medium.BUS:
        yield data
        return
    while data:
        end = 2 + ((data[1] & 7) << 8 | data[2])
        yield data[:end]
        data = data[end:]


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to three bits flipped, if there are any."""
    changed = bytearray(data)
    for position in rng.sample(range(len(changed) * 8), min(rng.randint(1, 3), len(changed) * 8)):
        changed[position >> 3] ^= 1 << (position & 7)
    return bytes(changed)


def _with_length(header: bytes, apdu: bytes) -> bytes:
    return header[:6] + len(apdu).to_bytes(2, "big") + apdu
