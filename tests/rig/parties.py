"""The parties of the contract's tests: one key of every purpose, from fixed seeds, and the registry that knows them."""

import hashlib
from dataclasses import dataclass

from wire.address import Address, Direction, Kind
from wire.keys import PinnedKeys, PublicKey, Purpose, SigningKey

UTILITY = "hillside"
GATEWAY = "gw-1"
OTHER_GATEWAY = "gw-2"
CLIENT = "acme"
CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Party:
    """A key under its name in the tests."""

    name: str
    seed: bytes
    key: SigningKey
    registered: bool = True
    revoked: bool = False


def _party(name: str, purpose: Purpose, speaks_for: str, *, registered: bool = True, revoked: bool = False) -> Party:
    seed = hashlib.sha256(f"wattpost test key {name}".encode()).digest()
    return Party(name, seed, SigningKey(seed, purpose=purpose, party=speaks_for), registered, revoked)


PARTIES: dict[str, Party] = {
    party.name: party
    for party in (
        _party("gateway", Purpose.GATEWAY, GATEWAY),
        _party("other-gateway", Purpose.GATEWAY, OTHER_GATEWAY),
        _party("revoked-gateway", Purpose.GATEWAY, GATEWAY, revoked=True),
        _party("cloud-ack", Purpose.CLOUD_ACK, CLOUD),
        _party("cloud-command", Purpose.CLOUD_COMMAND, CLOUD),
        _party("cloud-credit", Purpose.CLOUD_CREDIT, CLOUD),
        _party("integrator", Purpose.INTEGRATOR, CLIENT),
        _party("stranger", Purpose.GATEWAY, GATEWAY, registered=False),
    )
}

REGISTRY = PinnedKeys(
    PublicKey(party.key.public.purpose, party.key.public.party, party.key.public.public, party.revoked)
    for party in PARTIES.values()
    if party.registered
)

_ROAD = {
    Kind.HELLO: (Direction.UP, GATEWAY, "gateway"),
    Kind.BATCH: (Direction.UP, GATEWAY, "gateway"),
    Kind.WELCOME: (Direction.DOWN, GATEWAY, "cloud-ack"),
    Kind.ACK: (Direction.DOWN, GATEWAY, "cloud-ack"),
    Kind.FACTS: (Direction.DOWN, GATEWAY, "cloud-credit"),
    Kind.COMMAND: (Direction.DOWN, GATEWAY, "cloud-command"),
    Kind.REQUEST: (Direction.CLIENT_UP, CLIENT, "integrator"),
    Kind.STATUS: (Direction.CLIENT_DOWN, CLIENT, "cloud-ack"),
}


def address_of(kind: Kind, *, party: str = "") -> Address:
    """Return the address by which messages of a kind travel in the tests."""
    direction, usual, _ = _ROAD[kind]
    return Address(UTILITY, direction, kind, party or usual)


def signer_of(kind: Kind) -> Party:
    """Return who signs messages of a kind in the tests."""
    return PARTIES[_ROAD[kind][2]]
