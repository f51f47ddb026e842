"""A cloud of a few lines for one gateway: it issues commands, answers hellos with floors, acknowledges what arrives.

It remembers what gateways said and nothing else, which makes it an independent judge of the journal.
"""

import random
from collections import defaultdict

from tests.simulation.agenda import ORIGIN_MS, Agenda
from tests.simulation.network import Network
from tests.simulation.parties import TREE, UTILITY, cloud_keys, key_of
from tests.simulation.truth import facts_in
from wire.address import Address, Direction, Kind
from wire.errors import WireError
from wire.facts import Receipt
from wire.keys import PinnedKeys, Purpose
from wire.messages import (
    Ack,
    Batch,
    Command,
    Effect,
    Floor,
    Hello,
    Message,
    Welcome,
    effect_group,
    open_message,
    seal_message,
)
from wire.signing import digest_of


class ModelCloud:
    """Issues commands to one gateway until each has a final receipt."""

    def __init__(self, agenda: Agenda, network: Network, gateway: str, rng: random.Random) -> None:
        self.commands: dict[bytes, Command] = {}
        self.finals: dict[bytes, list[Receipt]] = defaultdict(list)
        """Final receipts by command, each value once."""
        self._agenda = agenda
        self._network = network
        self._gateway = gateway
        self._rng = rng
        self._keys = PinnedKeys([key_of(Purpose.GATEWAY, gateway).public])
        self._sealed: dict[bytes, bytes] = {}
        self._over: dict[tuple[str, str], int] = {}
        network.attach("cloud", self._receive)

    def issue(self, meter: str, effect: Effect, *, lasting_ms: int) -> bytes:
        """Make a command newer than all before and send it."""
        now_ms = ORIGIN_MS + self._agenda.now_ms
        command = Command(
            id=self._rng.randbytes(16),
            meter=meter,
            version=len(self.commands) + 1,
            issued_at_ms=now_ms,
            not_after_ms=now_ms + lasting_ms,
            issuer="client-1",
            effect=effect,
        )
        self.commands[command.id] = command
        self._sealed[command.id] = self._seal(Kind.COMMAND, command)
        self.send(command.id)
        return command.id

    def send(self, command: bytes) -> None:
        """Send a command, for the first time or again."""
        self._network.send("cloud", TREE.down(self._gateway, Kind.COMMAND), self._sealed[command])

    def send_latest(self) -> None:
        """Send the last two commands again, the newer one last."""
        for command in list(self.commands)[-2:]:
            self.send(command)

    def open(self) -> list[bytes]:
        """Return the commands without a final receipt."""
        return [name for name in self.commands if name not in self.finals]

    def _seal(self, kind: Kind, message: Message) -> bytes:
        keys = cloud_keys()
        address = Address(UTILITY, Direction.DOWN, kind, self._gateway)
        return seal_message(message, address, keys.command if kind is Kind.COMMAND else keys.ack)

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: ARG002, FBT001
        try:
            message, _ = open_message(payload, TREE.parse(topic), self._keys)
        except WireError:
            return
        match message:
            case Hello(nonce=nonce):
                floors = [Floor(meter, group, version) for (meter, group), version in self._over.items()]
                now_ms = ORIGIN_MS + self._agenda.now_ms
                welcome = Welcome(nonce=nonce, cloud_utc_ms=now_ms, epoch=1, window=16, restores=[], floors=floors)
                self._answer(Kind.WELCOME, welcome)
            case Batch():
                for fact in facts_in(payload):
                    if isinstance(fact, Receipt) and fact.stage.is_final:
                        self._note(fact)
                self._answer(Kind.ACK, Ack(epoch=1, position=1, committed=[digest_of(payload)], quarantined=[]))
            case _:
                pass

    def _note(self, receipt: Receipt) -> None:
        if receipt not in self.finals[receipt.command]:
            self.finals[receipt.command].append(receipt)
        command = self.commands[receipt.command]
        key = (command.meter, effect_group(command.effect))
        self._over[key] = max(command.version, self._over.get(key, 0))

    def _answer(self, kind: Kind, message: Message) -> None:
        self._network.send("cloud", TREE.down(self._gateway, kind), self._seal(kind, message))
