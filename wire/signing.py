"""The envelope: COSE_Sign1 (RFC 9052) with Ed25519 (alg -19, RFC 9864), `kid` protected, address as `external_aad`.

Order of checks on receipt: length, envelope, key lookup, signature over the bytes as sent, then purpose, party and
revocation of the key. The payload is decoded by `wire.codec` only after all of them; nothing is ever re-encoded to
verify.
"""

import hashlib
from dataclasses import dataclass

import cbor2

from wire.address import Address
from wire.codec import decode_strict
from wire.errors import LimitExceededError, MalformedError, Reason, UntrustedError
from wire.keys import KID_BYTES, KeyRegistry, PublicKey, Purpose, SigningKey
from wire.limits import MESSAGE_BYTES_MAX

_TAG_COSE_SIGN1 = 0xD2  # tag 18
_PROTECTED_PREFIX = b"\xa2\x01\x32\x04\x48"  # {1: -19, 4: h'' of 8 bytes}
_SIGNATURE_BYTES = 64
_ENVELOPE_BYTES = 2 + 1 + len(_PROTECTED_PREFIX) + KID_BYTES + 1 + 2 + _SIGNATURE_BYTES
"""Everything but the payload and its head: tag and array, protected, unprotected, signature."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose signature holds."""

    payload: bytes
    key: PublicKey
    digest: bytes
    """SHA-256 of the signed bytes as sent: the name of the message."""


def digest_of(sealed: bytes) -> bytes:
    """Return the name of a signed message: the SHA-256 of its bytes."""
    return hashlib.sha256(sealed).digest()


def seal(payload: bytes, address: Address, key: SigningKey) -> bytes:
    """Return `payload` signed for `address`.

    Raises:
        LimitExceededError: The message would exceed `MESSAGE_BYTES_MAX`.
    """
    protected = _PROTECTED_PREFIX + key.kid
    signature = key.sign(_signed_bytes(protected, address, payload))
    sealed = bytes([_TAG_COSE_SIGN1]) + cbor2.dumps([protected, {}, payload, signature])
    if len(sealed) > MESSAGE_BYTES_MAX:
        raise LimitExceededError(f"{len(sealed)} bytes to send, {MESSAGE_BYTES_MAX} allowed", Reason.TOO_LONG)
    return sealed


def open_sealed(sealed: bytes, address: Address, keys: KeyRegistry, purpose: Purpose) -> Opened:
    """Return the payload of a signed message that came on the road of `address`.

    Raises:
        LimitExceededError: Longer than `MESSAGE_BYTES_MAX`.
        MalformedError: Not an envelope of ours.
        UntrustedError: Unknown key, bad signature, key of another purpose or party, revoked key.
    """
    if len(sealed) > MESSAGE_BYTES_MAX:
        raise LimitExceededError(f"{len(sealed)} bytes, {MESSAGE_BYTES_MAX} allowed", Reason.TOO_LONG)
    protected, payload, signature = _split(sealed)
    key = keys.find(protected[len(_PROTECTED_PREFIX) :])
    if key is None:
        raise UntrustedError(Reason.UNKNOWN_KEY)
    if not key.verifies(_signed_bytes(protected, address, payload), signature):
        raise UntrustedError(Reason.BAD_SIGNATURE)
    if key.purpose is not purpose:
        raise UntrustedError(Reason.WRONG_PURPOSE, f"a {key.purpose} key signed what takes a {purpose} key")
    if purpose in (Purpose.GATEWAY, Purpose.INTEGRATOR) and key.party != address.party:
        raise UntrustedError(Reason.WRONG_PARTY, f"{key.party} signed as {address.party}")
    if key.revoked:
        raise UntrustedError(Reason.REVOKED_KEY, f"the key of {key.party} was revoked")
    return Opened(payload, key, digest_of(sealed))


def _signed_bytes(protected: bytes, address: Address, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, address.to_bytes(), payload])


def _head_bytes(length: int) -> int:
    return 1 if length < 24 else 2 if length < 2**8 else 3 if length < 2**16 else 5


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    if not sealed or sealed[0] != _TAG_COSE_SIGN1:
        raise MalformedError("not a tagged COSE_Sign1")
    match decode_strict(sealed[1:]):
        case [bytes() as protected, dict() as unprotected, bytes() as payload, bytes() as signature] if (
            not unprotected and len(signature) == _SIGNATURE_BYTES
        ):
            pass
        case _:
            raise MalformedError("not the four parts of a COSE_Sign1")
    if len(protected) != len(_PROTECTED_PREFIX) + KID_BYTES or not protected.startswith(_PROTECTED_PREFIX):
        raise MalformedError("protected header is not {1: -19, 4: kid of 8 bytes}", Reason.UNSUPPORTED_ALGORITHM)
    if len(sealed) != _ENVELOPE_BYTES + _head_bytes(len(payload)) + len(payload):
        # The signature does not cover the lengths in the envelope; with a longer form of one of them the same message
        # would get a second name, and the sender would wait for an acknowledgement of the first for ever.
        raise MalformedError("the envelope is not in its shortest form")
    return protected, payload, signature
