"""Security suite 0: AES-GCM with 128-bit keys and tags cut to 12 bytes (Green Book 9.2.3.3.7, NIST SP 800-38D).

Suite 1 protects APDUs with the same algorithm and keys of the same length (Green Book 9.2.3.7), so that its meters are
served, too, as far as no signature and no key agreement is asked for; suite 2 has longer keys and is refused.

Decides what is encrypted and what is authenticated for a security control byte, and nothing of which key, title and
counter are right: that is `dlms.security.protection`.

Opening calls the encrypting side of the library twice: counter mode is its own inverse, so that the first call turns
cipher text into plain text and the second makes the tag the sender should have sent. This keeps one cipher object for a
key instead of one for every APDU, which costs four times as much. The plain text leaves here only if the tag holds.
"""

from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dlms.errors import AuthenticationError, DecodeError, SecurityError

AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
PROTECTED: Final = AUTHENTICATED | ENCRYPTED
BROADCAST: Final = 0x40
COMPRESSED: Final = 0x80
SUITE_MASK: Final = 0x0F
SUITES: Final = frozenset({0, 1})
"""Suites with the same symmetric algorithms."""
TAG_BYTES: Final = 12
_LIBRARY_TAG_BYTES: Final = 16
_CONTROLS: Final = tuple(kind | suite for kind in range(0, COMPRESSED, AUTHENTICATED) for suite in SUITES)


def checked_control(control: int) -> int:
    """Return a security control byte that is served here (Green Book 9.2.7.2.4.1).

    Raises:
        SecurityError: Suite 2 or above, compression, or no byte at all.
    """
    if control & COMPRESSED:
        raise SecurityError("compressed APDUs are not supported")
    if control & SUITE_MASK not in SUITES or not 0 <= control <= 0xFF:
        raise SecurityError(f"security suite {control & SUITE_MASK} is not supported, only suites 0 and 1")
    return control


class Suite0:
    """One encryption key with the authentication key that goes with it."""

    __slots__ = ("_additional", "_authentication", "_cipher")

    def __init__(self, encryption_key: bytes, authentication_key: bytes) -> None:
        self._cipher = AESGCM(encryption_key)
        self._authentication = authentication_key
        self._additional = {control: bytes((control,)) + authentication_key for control in _CONTROLS}

    def seal(self, control: int, vector: bytes, plain: bytes) -> bytes:
        """Return what follows the invocation counter in a ciphered APDU: text, plain or not, and tag, if any.

        Args:
            control: Security control byte, checked.
            vector: System title of the sender and invocation counter, 12 bytes.
            plain: The APDU.
        """
        kind = control & PROTECTED
        if kind == PROTECTED:
            return self._cipher.encrypt(vector, plain, self._additional[control])[: TAG_BYTES - _LIBRARY_TAG_BYTES]
        if kind == AUTHENTICATED:
            return plain + self._tag(vector, self._additional[control] + plain)
        if kind == ENCRYPTED:
            return self._cipher.encrypt(vector, plain, None)[:-_LIBRARY_TAG_BYTES]
        return plain

    def open(self, control: int, vector: bytes, body: bytes) -> bytes:
        """Return the APDU that `seal` was given.

        Raises:
            DecodeError: The body is shorter than a tag.
            AuthenticationError: The tag is not that of this text, this control byte, this vector and these keys.
        """
        kind = control & PROTECTED
        if not kind & AUTHENTICATED:
            return self._cipher.encrypt(vector, body, None)[:-_LIBRARY_TAG_BYTES] if kind else body
        text, tag = body[:-TAG_BYTES], body[-TAG_BYTES:]
        if len(tag) != TAG_BYTES:
            raise DecodeError("a ciphered APDU too short for its authentication tag")
        additional = self._additional[control]
        if kind == AUTHENTICATED:
            expected = self._tag(vector, additional + text)
        else:
            text = self._cipher.encrypt(vector, text, None)[:-_LIBRARY_TAG_BYTES]
            expected = self._cipher.encrypt(vector, text, additional)[-_LIBRARY_TAG_BYTES:][:TAG_BYTES]
        if not compare_digest(tag, expected):
            raise AuthenticationError("the authentication tag of an APDU is wrong: wrong key, or changed on its way")
        return text

    def challenge_tag(self, control: int, vector: bytes, challenge: bytes) -> bytes:
        """Return the GMAC of a challenge, as HLS mechanism 5 has it (Green Book 9.2.7.4).

        Args:
            control: Security control byte of the answer: 0x10, and the suite.
            vector: System title of who answers and its invocation counter, 12 bytes.
            challenge: That of the other side.
        """
        return self._tag(vector, self._additional[control] + challenge)

    def _tag(self, vector: bytes, additional: bytes) -> bytes:
        return self._cipher.encrypt(vector, b"", additional)[:TAG_BYTES]
