"""The broker and the roads to it: anything may be lost, repeated, late, out of order, spoilt, invented or sent later.

Nothing that is handed to it is promised to arrive; what does arrive keeps its topic and, mostly, its bytes.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.simulation.agenda import Agenda
from tests.simulation.options import Options
from wire.topics import TopicTree

KEPT_MAX = 400
"""Messages remembered to be sent again."""
CALM_DELAY_MS = 40

Receive = Callable[[str, bytes, bool], None]
"""Topic, payload, whether the broker says that it had been retained."""


@dataclass(slots=True)
class Traffic:
    """What went through."""

    sent: int = 0
    lost: int = 0
    delivered: int = 0
    spoilt: Counter[str] = field(default_factory=Counter)
    """What was delivered to each party that was altered, on a wrong topic, retained, or from a stranger."""


class Network:
    """Carries messages between parties by the first two levels of their topics."""

    def __init__(self, agenda: Agenda, options: Options, tree: TopicTree) -> None:
        self._agenda = agenda
        self._options = options
        self._tree = tree
        self._rng = random.Random(f"network {options.seed}")
        self._receivers: dict[str, Receive] = {}
        self._cut_until_ms: dict[str, int] = {}
        self._kept: list[tuple[str, bytes]] = []
        self.calm = False
        self.traffic = Traffic()

    def attach(self, party: str, receive: Receive) -> None:
        """Let a party hear what is for it: `cloud`, or a gateway or client by its place in the tree as `g/gw-1`."""
        self._receivers[party] = receive

    def cut(self, party: str, until_ms: int) -> None:
        """Cut a party off; nothing to or from it arrives."""
        self._cut_until_ms[party] = max(until_ms, self._cut_until_ms.get(party, 0))

    def is_cut(self, party: str) -> bool:
        """Tell whether a party is cut off."""
        return not self.calm and self._agenda.now_ms < self._cut_until_ms.get(party, 0)

    def slow_down(self, *, delay_ms_max: int) -> None:
        """Let messages take as long as this from now on."""
        self._options = replace(self._options, delay_ms_max=delay_ms_max)

    def send(self, sender: str, topic: str, payload: bytes) -> None:
        """Publish a message."""
        self.traffic.sent += 1
        self._keep(topic, payload)
        if self.calm:
            self._later(sender, topic, payload, CALM_DELAY_MS)
            return
        options, rng = self._options, self._rng
        copies = 2 if rng.random() < options.duplication else 1
        for _ in range(copies):
            if self.is_cut(sender) or rng.random() < options.loss:
                self.traffic.lost += 1
                continue
            if rng.random() < options.alterations:
                self._later(sender, *self._altered(topic, payload), self._delay_ms(), spoilt=True)
            else:
                self._later(sender, topic, payload, self._delay_ms())

    def send_again(self) -> None:
        """Repeat something that was sent at any time before, perhaps as retained."""
        if self._kept:
            topic, payload = self._rng.choice(self._kept)
            self._later("", topic, payload, self._delay_ms(), retained=self._rng.random() < 0.2)

    def invent(self, payload: bytes) -> None:
        """Send something of nobody's on the topic of a message that was."""
        if self._kept:
            topic, _ = self._rng.choice(self._kept)
            self._later("", topic, payload, self._delay_ms(), spoilt=True)

    def _keep(self, topic: str, payload: bytes) -> None:
        if len(self._kept) < KEPT_MAX:
            self._kept.append((topic, payload))
        else:
            self._kept[self._rng.randrange(KEPT_MAX)] = (topic, payload)

    def _delay_ms(self) -> int:
        top_ms = self._options.delay_ms_max
        # Mostly swift, sometimes very late: that is what changes the order.
        return self._rng.randint(1, top_ms if self._rng.random() < 0.3 else max(top_ms // 10, 5))

    def _altered(self, topic: str, payload: bytes) -> tuple[str, bytes]:
        rng = self._rng
        match rng.randrange(4):
            case 0:
                spoilt = bytearray(payload)
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
                return topic, bytes(spoilt)
            case 1:
                return topic, payload[: rng.randrange(len(payload))]
            case 2:
                return topic, payload + rng.randbytes(1)
            case _:
                other, _ = rng.choice(self._kept)
                same_road = self._tree.parse(other) == self._tree.parse(topic)
                return (topic, payload[:-1]) if same_road else (other, payload)

    def _later(
        self,
        sender: str,
        topic: str,
        payload: bytes,
        delay_ms: int,
        *,
        retained: bool = False,
        spoilt: bool = False,
    ) -> None:
        def deliver() -> None:
            receiver = _receiver(topic)
            receive = self._receivers.get(receiver)
            if receive is None or self.is_cut(receiver) or (sender and self.is_cut(sender)):
                self.traffic.lost += 1
                return
            self.traffic.delivered += 1
            if spoilt or (retained and receiver == "cloud"):
                self.traffic.spoilt[receiver] += 1
            receive(topic, payload, retained)

        self._agenda.after(delay_ms, deliver)


def _receiver(topic: str) -> str:
    """Return who hears a topic of the tree `wp/1`."""
    match topic.split("/"):
        case ["wp", "1", "g", gateway, "down", _]:
            return f"g/{gateway}"
        case ["wp", "1", "c", client, "status"]:
            return f"c/{client}"
        case _:
            return "cloud"
