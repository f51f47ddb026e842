"""The worlds can see: a fault that is planted in a part is found within a few seeds, and as what it is."""

from collections.abc import Container, Generator
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest

from dlms.apdu.acse import Mechanism
from dlms.link.client import HdlcClient
from dlms.link.events import LinkEvent, ServerEvent, ServerLink
from dlms.link.frame import FLAG, Frame, FrameReader
from dlms.link.sequence import Incoming
from dlms.link.server import HdlcServerLine
from dlms.security.suite0 import TAG_BYTES, Suite0
from tests.simulation.dlms.meters import Counters, Station
from tests.simulation.dlms.options import Medium, Options, draw
from tests.simulation.dlms.reader import Reader
from tests.simulation.dlms.world import Parts, run_world

SEEDS_MAX = 60
T = TypeVar("T")


class _Credulous(FrameReader):
    """Finds frames of the bus by their lengths and believes what is in them."""

    def feed(self, data: bytes) -> list[Frame]:
        stream = b"".join([*self._held, data])
        frames = []
        start = stream.find(FLAG + b"\xa0")
        while start >= 0 and start + 3 < len(stream) and start + 2 + stream[start + 2] <= len(stream):
            frame, start = stream[start : start + 2 + stream[start + 2]], start + 1 + stream[start + 2]
            if len(frame) > 9:
                frames.append(Frame(frame[3:4], frame[4:6], frame[6], frame[9:-3]))
        self._held = [stream[max(start, 0) :]]
        return frames


class _ChecksNoFrames(HdlcClient):
    def _reset_session(self) -> None:
        super()._reset_session()
        self._reader = _Credulous()


class ChecksNoFrames(Reader):
    """A client that does not look at check sequences."""

    link_class = _ChecksNoFrames


class _Everybody(Container[bytes]):
    def __contains__(self, _: object) -> bool:
        return True


class _HearsEverybody(HdlcClient):
    def _reset_session(self) -> None:
        super()._reset_session()
        self._server_forms = _Everybody()  # type: ignore[assignment]


class HearsEverybody(Reader):
    """A client that takes whatever answers for the answer of its meter."""

    link_class = _HearsEverybody


class _NeverGivesUp(HdlcClient):
    def on_timer(self, *, now_ms: int) -> tuple[LinkEvent, ...]:
        self._repeats_count = 0
        return super().on_timer(now_ms=now_ms)


class NeverGivesUp(Reader):
    """A client that asks again for ever."""

    link_class = _NeverGivesUp


class _KeepsNothing(Counters):
    def __init__(self, stored: list[int], used: set[int]) -> None:
        super().__init__(list(stored), used)


class KeepsNoCounters(Reader):
    """A client that hands counters out before it has stored a bound above them."""

    counters_class = _KeepsNothing


class _ChecksNothing(Suite0):
    def open(self, control: int, vector: bytes, body: bytes) -> bytes:
        sealed = self.seal(control, vector, body[:-TAG_BYTES])
        return sealed[:-TAG_BYTES]


class ChecksNoTags(Reader):
    """A client that does not look at authentication tags."""

    def run(self, exchange: Generator[bytes, bytes, T]) -> T:
        if self.association is not None and (protector := self.association._channel.protector) is not None:
            keys = self.station.keys
            protector._suites["global"] = _ChecksNothing(keys.encryption, keys.authentication)
        return super().run(exchange)


class _TakesAll(Incoming):
    def is_next(self, send_number: int) -> bool:
        self.number = send_number
        return True


class _ServesAgain(HdlcServerLine):
    def receive(self, data: bytes, *, now_ms: int) -> tuple[ServerEvent, ...]:
        for session in self._sessions.values():
            if type(session._incoming) is Incoming:
                session._incoming = _TakesAll(bytes_max=100_000, window=1)
        return super().receive(data, now_ms=now_ms)


class ServesAgain(Station):
    """A meter that carries a repeated request out once more."""

    def _new_link(self) -> ServerLink:
        return _ServesAgain([self.address])


class ForgetsCounters(Station):
    """A meter whose counters begin anew when its power comes back."""

    def fail(self, off_ms: int) -> None:
        super().fail(off_ms)
        self._stored = [1]


@dataclass(frozen=True, slots=True)
class Planted:
    parts: Parts
    forced: dict[str, object]
    """Options that give the fault a chance."""
    seen_as: str


BUS: dict[str, object] = {"medium": Medium.BUS, "is_hostile": False, "again": 0.0, "forged": 0.0}
PLAIN = BUS | {"is_ciphered": False, "control": 0}
CIPHERED: dict[str, object] = {"is_ciphered": True, "control": 0x30}
PLANTED = {
    "a client checks no frames": Planted(
        Parts(reader=ChecksNoFrames),
        PLAIN | {"flipped": 0.2, "info_bytes": 128, "window": 1, "is_wide": False, "rows": 4},
        "is right",
    ),
    "a client hears everybody": Planted(
        Parts(reader=HearsEverybody),
        PLAIN | {"strangers": 0.5, "mechanism": Mechanism.LOW, "is_wide": False},
        "is right",
    ),
    "a client never gives up": Planted(
        Parts(reader=NeverGivesUp), BUS | {"reboots": 4, "off_ms_max": 10_000_000}, "no end after"
    ),
    "a client keeps no counters": Planted(
        Parts(reader=KeepsNoCounters), CIPHERED | {"crashes": 2, "lost": 0.0}, "was used twice"
    ),
    "a client checks no tags": Planted(
        Parts(reader=ChecksNoTags), CIPHERED | {"is_hostile": True, "forged": 0.2, "medium": Medium.STREAM}, "is right"
    ),
    "a meter serves a request again": Planted(
        Parts(station=ServesAgain), PLAIN | {"doubled": 0.3, "lost": 0.1, "errands": 6}, "was carried out"
    ),
    "a meter forgets its counters": Planted(
        Parts(station=ForgetsCounters), CIPHERED | {"reboots": 4, "off_ms_max": 100}, "was used twice"
    ),
    "a line is hostile and a session plain": Planted(
        Parts(),
        {"is_ciphered": False, "control": 0, "is_hostile": True, "forged": 0.2, "medium": Medium.STREAM},
        "is right",
    ),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_fault_is_found(name: str) -> None:
    planted = PLANTED[name]
    seen: list[str] = []
    for seed in range(SEEDS_MAX):
        options: Options = replace(draw(seed), **planted.forced)  # type: ignore[arg-type]
        seen += run_world(options, planted.parts).violations
        if any(planted.seen_as in line for line in seen):
            return
    pytest.fail(f"not found within {SEEDS_MAX} worlds; seen: {seen[:5]}")
