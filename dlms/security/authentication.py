"""Proving who one is: passwords (LLS) and the challenges of high level security (HLS, Green Book 9.2.2.2, 9.2.7.4).

Decides what the answer to a challenge is and whether the peer's is right, in constant time. Challenges come from the
caller, fresh for every association; in which APDU they travel is the association's business.

Mechanism 2 is the manufacturer's in the standard. What Indian meters and Gurux's programs do is served: AES-128 in ECB
over the challenge, filled up with zeros to whole blocks of 16 bytes. The secret is the key: filled up with zeros to 16
bytes, cut after them. A secret longer than the challenge makes the answer longer, too, by encrypted blocks of zeros.
"""

import hashlib
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from dlms.apdu.acse import Mechanism
from dlms.errors import AuthenticationError, SecurityError
from dlms.security.counters import CounterSource
from dlms.security.keys import Keys
from dlms.security.suite0 import AUTHENTICATED, SUITES, TAG_BYTES, Suite0
from dlms.security.system_title import checked_title

CHALLENGE_BYTES: Final = 16
"""Of ours; Gurux's server in C answers wrongly to longer ones."""
CHALLENGE_BYTES_MIN: Final = 8
CHALLENGE_BYTES_MAX: Final = 64
"""Green Book 9.2.2.2.2."""
_BLOCK_BYTES: Final = 16
_GMAC_BYTES: Final = 1 + 4 + TAG_BYTES
"""Security control byte, invocation counter, tag."""

_GMAC_CONTROLS: Final = frozenset(AUTHENTICATED | suite for suite in SUITES)
HIGH_LEVEL: Final = frozenset(
    {Mechanism.HIGH, Mechanism.HIGH_MD5, Mechanism.HIGH_SHA1, Mechanism.HIGH_GMAC, Mechanism.HIGH_SHA256}
)
"""Mechanisms with challenges that are served here."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Credentials:
    """What both sides of one association know, from this side's point of view."""

    mechanism: Mechanism
    secret: bytes = b""
    """Password or HLS secret; not used by mechanism 5."""
    keys: Keys | None = None
    """For mechanism 5."""
    own_title: bytes = b""
    peer_title: bytes = b""
    """System titles, for mechanisms 5 and 6."""
    suite: int = 0
    """Security suite named in our answers of mechanism 5."""


def checked_challenge(challenge: bytes) -> bytes:
    """Return a challenge of 8 to 64 bytes.

    Raises:
        AuthenticationError: It is shorter or longer.
    """
    if not CHALLENGE_BYTES_MIN <= len(challenge) <= CHALLENGE_BYTES_MAX:
        raise AuthenticationError(
            f"a challenge has {CHALLENGE_BYTES_MIN} to {CHALLENGE_BYTES_MAX} bytes, not {len(challenge)}"
        )
    return challenge


def check_challenges(own: bytes, peer: bytes) -> None:
    """Refuse a peer that sends our own challenge back, to have us make the answer it owes us.

    Raises:
        AuthenticationError: It did, or a challenge is too short or too long.
    """
    if checked_challenge(own) == checked_challenge(peer):
        raise AuthenticationError("the peer sent our own challenge back")


def check_password(given: bytes, expected: bytes) -> None:
    """Check the password of low level security.

    Raises:
        AuthenticationError: It is another, or none is set.
    """
    if not expected or not compare_digest(given, expected):
        raise AuthenticationError("the password is wrong")


def answer(
    credentials: Credentials, challenge: bytes, *, own_challenge: bytes = b"", counters: CounterSource | None = None
) -> bytes:
    """Return this side's answer to the peer's challenge.

    Args:
        credentials: What the peer knows, too.
        challenge: The peer's.
        own_challenge: Ours, for mechanism 6.
        counters: Ours, for mechanism 5.

    Raises:
        SecurityError: The mechanism is not served, or something it needs is missing.
        CountersExhaustedError: The key has to be changed.
    """
    if credentials.mechanism is not Mechanism.HIGH_GMAC:
        titles = credentials.own_title + credentials.peer_title
        return _digest(credentials, challenge, titles + challenge + own_challenge)
    if counters is None:
        raise SecurityError("authentication with GMAC needs an invocation counter")
    head = bytes((AUTHENTICATED | credentials.suite,)) + counters.take().to_bytes(4, "big")
    return head + _gmac(credentials, credentials.own_title, head, challenge)


def check(credentials: Credentials, given: bytes, challenge: bytes, *, peer_challenge: bytes = b"") -> None:
    """Check the peer's answer to our challenge.

    Args:
        credentials: What the peer knows, too.
        given: The peer's answer.
        challenge: Ours.
        peer_challenge: The peer's, for mechanism 6.

    Raises:
        AuthenticationError: It is wrong.
        SecurityError: The mechanism is not served, or something it needs is missing.
    """
    if credentials.mechanism is Mechanism.HIGH_GMAC:
        head, tag = given[: -TAG_BYTES or None], given[-TAG_BYTES:]
        holds = len(given) == _GMAC_BYTES and head[0] in _GMAC_CONTROLS
        holds = holds and compare_digest(tag, _gmac(credentials, credentials.peer_title, head, challenge))
    else:
        titles = credentials.peer_title + credentials.own_title
        expected = _digest(credentials, challenge, titles + challenge + peer_challenge)
        if credentials.mechanism is Mechanism.HIGH:
            # Where the secret is longer than the challenge, others answer for the blocks of the challenge alone.
            expected = expected[: len(given)] if len(given) == _whole_blocks(len(challenge)) else expected
        holds = compare_digest(given, expected)
    if not holds:
        raise AuthenticationError("the peer's answer to our challenge is wrong: it does not know the secret")


def _digest(credentials: Credentials, challenge: bytes, all_of_it: bytes) -> bytes:
    """Return the answer of the mechanisms that go without a counter (Green Book 9.2.7.4, table of HLS mechanisms)."""
    secret = credentials.secret
    if not secret:
        raise SecurityError("there is no secret to authenticate with")
    match credentials.mechanism:
        case Mechanism.HIGH:
            return _encrypted_blocks(secret, challenge)
        case Mechanism.HIGH_MD5:
            return hashlib.md5(challenge + secret, usedforsecurity=False).digest()
        case Mechanism.HIGH_SHA1:
            return hashlib.sha1(challenge + secret, usedforsecurity=False).digest()
        case Mechanism.HIGH_SHA256:
            return hashlib.sha256(secret + all_of_it).digest()
        case _:
            raise SecurityError(f"authentication mechanism {credentials.mechanism:d} has no challenge served here")


def _encrypted_blocks(secret: bytes, challenge: bytes) -> bytes:
    length = _whole_blocks(max(len(secret), len(challenge)))
    key = secret[:_BLOCK_BYTES].ljust(_BLOCK_BYTES, b"\x00")
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - what meters do
    return encryptor.update(challenge.ljust(length, b"\x00")) + encryptor.finalize()


def _whole_blocks(length: int) -> int:
    return -(-length // _BLOCK_BYTES) * _BLOCK_BYTES


def _gmac(credentials: Credentials, title: bytes, head: bytes, challenge: bytes) -> bytes:
    """Return the tag over a challenge by the side whose system title is given."""
    if credentials.keys is None:
        raise SecurityError("authentication with GMAC needs keys")
    checked_title(credentials.own_title)
    checked_title(credentials.peer_title)
    suite = Suite0(credentials.keys.encryption, credentials.keys.authentication)
    return suite.challenge_tag(head[0], title + head[1:], challenge)
