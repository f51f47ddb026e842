"""A station over a real store, its clock in the test's hand; every call is one committed transaction."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.collection import CollectionSettings
from gateway.core.dlms_profiles import DlmsProfile
from gateway.core.effects import DriveRelay, Effects, SendBatch, SendHello
from gateway.core.moment import Moment
from gateway.core.station import ENERGY_IMPORT, POWER_IMPORT, Identity, Station, StationSettings
from gateway.core.uplink import UplinkSettings
from wire import codec
from wire.address import Address, Direction, Kind
from wire.facts import EntryFact, Event, Health, PrepaidPolicy, Receipt, UpFact, encode_down_fact
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.messages import (
    Ack,
    Command,
    Effect,
    Facts,
    Floor,
    Hello,
    Message,
    Restore,
    Welcome,
    facts_of,
    open_message,
    seal_message,
)
from wire.readings import Channel, Row
from wire.signing import digest_of

T = TypeVar("T")
UTILITY = "hillside"
GATEWAY = "gw-1"
UTC_MS = 1_790_000_000_000
METER = "m-1"
WITHOUT_RELAY = "m-2"
CHANNELS = (Channel(ENERGY_IMPORT, 0, 30), Channel(POWER_IMPORT, 0, 27))


def _key(purpose: Purpose, party: str, number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32, purpose=purpose, party=party)


GATEWAY_KEY = _key(Purpose.GATEWAY, GATEWAY, 1)
ACK_KEY = _key(Purpose.CLOUD_ACK, "cloud", 2)
COMMAND_KEY = _key(Purpose.CLOUD_COMMAND, "cloud", 3)
CREDIT_KEY = _key(Purpose.CLOUD_CREDIT, "cloud", 4)
_SIGNER = {Kind.WELCOME: ACK_KEY, Kind.ACK: ACK_KEY, Kind.COMMAND: COMMAND_KEY, Kind.FACTS: CREDIT_KEY}


class Box:
    """One gateway on one disk."""

    def __init__(
        self,
        folder: Path,
        *,
        collection: CollectionSettings | None = None,
        uplink: UplinkSettings | None = None,
        visited: Mapping[str, DlmsProfile] | None = None,
    ) -> None:
        self._path = folder / "gateway.sqlite3"
        self._settings = StationSettings(
            collection=collection or CollectionSettings(seal_after_ms=0, gather_after_ms=0),
            uplink=uplink or UplinkSettings(),
        )
        self._visited = visited
        self._rng = random.Random(0)
        self.now_ms = 1_000
        self.wall_off_ms = 0
        """By how much the machine's clock is wrong."""
        self.sent: list[UpFact] = []
        """Facts of every batch that was sent, repeated ones too."""
        self.hello: Hello | None = None
        """The last one sent."""
        self.relay_meters = [METER]
        """Taken at the next start."""
        self.start()

    def start(self) -> None:
        """Switch on, with what the disk holds."""
        self.store = SqliteStore(self._path, full_sync=False)
        with self.store.transaction():
            self.station = Station(
                self.store,
                identity=Identity(
                    utility=UTILITY,
                    key=GATEWAY_KEY,
                    trusted=PinnedKeys([ACK_KEY.public, COMMAND_KEY.public, CREDIT_KEY.public]),
                    software="test",
                    boot=self._rng.randbytes(8),
                ),
                meters=[METER, WITHOUT_RELAY],
                relay_meters=self.relay_meters,
                settings=self._settings,
                rng=self._rng,
                fresh_bytes=self._rng.randbytes,
                now=self.now,
                visited=self._visited,
            )

    def restart(self) -> None:
        """Lose power and come up again."""
        self.store.close()
        self.start()

    @property
    def now(self) -> Moment:
        return Moment(self.now_ms, self.now_ms, UTC_MS + self.now_ms + self.wall_off_ms)

    def do(self, handle: Callable[[Station, Moment], Effects]) -> Effects:
        """Let the station handle something in a transaction of its own."""
        with self.store.transaction():
            effects = handle(self.station, self.now)
        for effect in effects:
            if isinstance(effect, SendBatch):
                self.sent += facts_in(effect)
            elif isinstance(effect, SendHello):
                self.hello = hello_in(effect)
        return effects

    def wait(self, wait_ms: int) -> Effects:
        """Let time pass at once and the timer be called."""
        self.now_ms += wait_ms
        return self.do(lambda station, now: station.on_timer(now))

    def hear(self, kind: Kind, message: Message) -> Effects:
        """Bring a message of the cloud."""
        address = Address(UTILITY, Direction.DOWN, kind, GATEWAY)
        sealed = seal_message(message, address, _SIGNER[kind])
        return self.do(lambda station, now: station.on_message(address, sealed, now))

    def connect(self) -> Effects:
        """Reach the broker; the hello is among what comes back."""
        return self.do(lambda station, now: station.on_connected(now))

    def open_session(
        self, *, epoch: int = 1, restores: list[Restore] | None = None, floors: list[Floor] | None = None
    ) -> Effects:
        """Connect and be welcomed."""
        self.connect()
        return self.welcome(epoch=epoch, restores=restores, floors=floors)

    def welcome(
        self,
        *,
        nonce: bytes = b"",
        epoch: int = 1,
        restores: list[Restore] | None = None,
        floors: list[Floor] | None = None,
    ) -> Effects:
        """Answer the last hello, or the one of a nonce."""
        assert self.hello is not None
        return self.hear(
            Kind.WELCOME,
            Welcome(
                nonce=nonce or self.hello.nonce,
                cloud_utc_ms=UTC_MS + self.now_ms,
                epoch=epoch,
                window=16,
                restores=restores or [],
                floors=floors or [],
            ),
        )

    def command(self, effect: Effect, version: int, *, meter: str = METER, lasting_ms: int = 60_000) -> Effects:
        """Bring a command; its id follows from its version."""
        now_ms = UTC_MS + self.now_ms
        command = Command(
            id=version.to_bytes(16),
            meter=meter,
            version=version,
            issued_at_ms=now_ms,
            not_after_ms=now_ms + lasting_ms,
            issuer="client-1",
            effect=effect,
        )
        return self.hear(Kind.COMMAND, command)

    def acknowledge(self, digests: list[bytes], *, epoch: int = 1, position: int = 1) -> Effects:
        """Say that the database has batches."""
        return self.hear(Kind.ACK, Ack(epoch=epoch, position=position, committed=digests, quarantined=[]))

    def drain(self) -> None:
        """Let the database have everything that waits."""
        effects = self.open_session()
        while sent := batches(effects):
            effects = self.acknowledge([batch.digest for batch in sent])

    def facts(self, *facts: EntryFact | PrepaidPolicy) -> Effects:
        """Bring facts of the cloud."""
        return self.hear(Kind.FACTS, Facts(facts=[encode_down_fact(fact) for fact in facts]))

    def read(self, energy_wh: int, power_w: int = 0, *, meter: str = METER) -> Effects:
        """A poll brings the meter's register and power."""
        row = Row(meter, self.now_ms, [energy_wh, power_w])
        return self.do(lambda station, now: station.on_rows(CHANNELS, [row], now))

    def drive(self, drive: DriveRelay, *, closed: bool | None) -> Effects:
        """A drive was carried out and reading back showed a state, or nothing."""
        return self.do(lambda station, now: station.on_relay_driven(drive, closed=closed, now=now))

    def receipts(self, version: int) -> list[Receipt]:
        """Return the receipts sent for the command of a version, each once."""
        found = [fact for fact in self.sent if isinstance(fact, Receipt) and fact.command == version.to_bytes(16)]
        return list({codec.encode(fact): fact for fact in found}.values())

    def final(self, version: int) -> Receipt | None:
        """Return the one final receipt of a command, if there is one."""
        finals = [receipt for receipt in self.receipts(version) if receipt.stage.is_final]
        assert len(finals) <= 1
        return finals[0] if finals else None

    def health(self) -> dict[str, int]:
        """Let the station report on itself and return the numbers, which wait to be sent like all else."""
        self.do(lambda station, now: station.on_health((), {}, now))
        newest = max(self.store.next_batches(live_from=0, count_max=10**6), key=lambda batch: batch.serial)
        sealed = self.store.sealed(newest.digest)
        *_, fact = facts_in(SendBatch(lane=newest.priority.lane, digest=newest.digest, sealed=sealed))
        assert isinstance(fact, Health)
        return {metric.name: metric.value for metric in fact.metrics}

    def events(self, code: str) -> int:
        """Return how often an event was sent."""
        return len({fact for fact in self.sent if isinstance(fact, Event) and fact.code == code})


def batches(effects: Effects) -> list[SendBatch]:
    """Return the batches among effects."""
    return [effect for effect in effects if isinstance(effect, SendBatch)]


def drives(effects: Effects) -> list[DriveRelay]:
    """Return the drives among effects."""
    return [effect for effect in effects if isinstance(effect, DriveRelay)]


def facts_in(effect: SendBatch) -> list[UpFact]:
    """Return the facts of a batch that is sent."""
    assert effect.digest == digest_of(effect.sealed)
    address = Address(UTILITY, Direction.UP, Kind.BATCH, GATEWAY)
    message, _ = open_message(effect.sealed, address, PinnedKeys([GATEWAY_KEY.public]))
    return facts_of(message)  # type: ignore[arg-type]


def hello_in(effect: SendHello) -> Hello:
    """Return the hello that is sent."""
    address = Address(UTILITY, Direction.UP, Kind.HELLO, GATEWAY)
    message, _ = open_message(effect.sealed, address, PinnedKeys([GATEWAY_KEY.public]))
    assert isinstance(message, Hello)
    return message
