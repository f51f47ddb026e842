"""Keys: one purpose each, bound to one party; what signs, what verifies, and how a key is named.

Where keys lie (keyring folder, registry) is the business of `wire.runtime.keyring` and of the cloud's database.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import nacl.exceptions
import nacl.signing

KID_BYTES = 8
SEED_BYTES = 32


class Purpose(StrEnum):
    """What a key may sign; checked after the signature."""

    GATEWAY = "gateway"
    """Facts of one gateway, its hellos included."""
    CLOUD_ACK = "cloud-ack"
    """Welcomes, acknowledgements, statuses and feeds."""
    CLOUD_COMMAND = "cloud-command"
    CLOUD_CREDIT = "cloud-credit"
    """Credits, tariffs, assignments, policies: facts that go down."""
    INTEGRATOR = "integrator"
    """Requests of one client."""
    ROOT = "root"
    """Offline: rotation statements."""
    FIRMWARE = "firmware"
    """Offline: firmware manifests."""


def kid_of(public: bytes) -> bytes:
    """Return the key id of a public key: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(public).digest()[:KID_BYTES]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key with its purpose and the party it speaks for."""

    purpose: Purpose
    party: str
    """Gateway or client name; `cloud` for the cloud's keys."""
    public: bytes
    revoked: bool = False

    @property
    def kid(self) -> bytes:
        return kid_of(self.public)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is this key's over `message`."""
        try:
            nacl.signing.VerifyKey(self.public).verify(message, signature)
        except (nacl.exceptions.BadSignatureError, ValueError):
            return False
        return True


class SigningKey:
    """An Ed25519 private key; never shown by `repr`."""

    __slots__ = ("_key", "kid", "public")

    def __init__(self, seed: bytes, *, purpose: Purpose, party: str) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.public = PublicKey(purpose, party, bytes(self._key.verify_key))
        self.kid = self.public.kid

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return self._key.sign(message).signature


class KeyRegistry(Protocol):
    """Where a receiver looks a key id up."""

    def find(self, kid: bytes, /) -> PublicKey | None:
        """Return the key of that id, revoked ones included, or None."""


class PinnedKeys:
    """A fixed set of public keys: what a gateway trusts, or the keys of a test."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.kid: key for key in keys}

    def find(self, kid: bytes, /) -> PublicKey | None:
        return self._keys.get(kid)
