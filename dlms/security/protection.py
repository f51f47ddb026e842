"""Ciphered APDUs: which tag, which key, which counter, and whether what came is what it says (Green Book 9.2.3, 9.5).

Decides that an APDU was protected by the peer, at least as strongly as agreed, with a counter the policy admits, and
that the service inside is the one its tag promises. What an unprotected answer means is the association's business.
Serves the service-specific forms (glo-, ded-) and general-glo and general-ded; general-ciphering and signing belong to
other suites.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dlms.axdr.length import decode_length, encode_length
from dlms.errors import DecodeError, SecurityError, UnprotectedError
from dlms.security import counters as key_names
from dlms.security.counters import CounterSource, PeerCounters
from dlms.security.keys import Keys
from dlms.security.suite0 import (
    AUTHENTICATED,
    BROADCAST,
    ENCRYPTED,
    PROTECTED,
    TAG_BYTES,
    Suite0,
    checked_control,
)
from dlms.security.system_title import SYSTEM_TITLE_BYTES, checked_title

_TAG_GENERAL_GLOBAL: Final = 219
_TAG_GENERAL_DEDICATED: Final = 220
_HEADER_BYTES: Final = 5
"""Security control byte and invocation counter."""


class CipherForm(Enum):
    """How a ciphered APDU is wrapped, and with whose key."""

    SERVICE_GLOBAL = "glo"
    """A tag for every service, global key."""
    SERVICE_DEDICATED = "ded"
    """A tag for every service, key of this association."""
    GENERAL_GLOBAL = "general-glo"
    """Tag 219, the sender's system title, global key."""
    GENERAL_DEDICATED = "general-ded"
    """Tag 220, the sender's system title, key of this association."""

    def __init__(self, words: str) -> None:
        self.is_dedicated = words.endswith("ded")
        self.is_general = words.startswith("general")


_GLOBAL_TAGS: Final[Mapping[int, int]] = {1: 33, 8: 40, 14: 46} | {tag: tag + 8 for tag in (*range(192, 198), 199)}
_DEDICATED_TAGS: Final[Mapping[int, int]] = {1: 65, 8: 72, 14: 78} | {tag: tag + 16 for tag in (*range(192, 198), 199)}
"""Plain tag to ciphered tag: initiate, confirmed-service-error, then get, set, event, action (GB 9.5, xDLMS-APDU)."""

_SERVICE_TAGS: Final[Mapping[CipherForm, Mapping[int, int]]] = {
    CipherForm.SERVICE_GLOBAL: _GLOBAL_TAGS,
    CipherForm.SERVICE_DEDICATED: _DEDICATED_TAGS,
}
_INSIDE: Final[Mapping[int, tuple[CipherForm, int]]] = {
    outer: (form, inner) for form, tags in _SERVICE_TAGS.items() for inner, outer in tags.items()
} | {
    _TAG_GENERAL_GLOBAL: (CipherForm.GENERAL_GLOBAL, -1),
    _TAG_GENERAL_DEDICATED: (CipherForm.GENERAL_DEDICATED, -1),
}
"""Ciphered tag to its form and the plain tag inside; -1 for any."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A ciphered APDU that held."""

    apdu: bytes
    control: int
    """Its security control byte."""
    form: CipherForm
    counter: int
    title: bytes
    """System title of the sender."""


def is_ciphered(apdu: bytes) -> bool:
    """Say whether an APDU is of one of the forms served here."""
    return bool(apdu) and apdu[0] in _INSIDE


def has_service_tag(apdu: bytes, form: CipherForm) -> bool:
    """Say whether this plain APDU can travel in this form; notifications and the like have the general ones only."""
    return form.is_general or apdu[:1] in _PLAIN_TAGS


_PLAIN_TAGS: Final = frozenset(bytes((tag,)) for tag in _GLOBAL_TAGS)


def sender_title(apdu: bytes) -> bytes | None:
    """Return the system title that a general-glo or general-ded APDU names, to find the keys for it.

    Raises:
        DecodeError: It is cut short.
    """
    if not apdu or apdu[0] not in {_TAG_GENERAL_GLOBAL, _TAG_GENERAL_DEDICATED}:
        return None
    return _read_title(apdu)[0] or None


def overhead_bytes(form: CipherForm, control: int, plain_bytes: int) -> int:
    """Return by how many bytes protection makes an APDU of `plain_bytes` longer."""
    body = plain_bytes + _HEADER_BYTES + (TAG_BYTES if control & AUTHENTICATED else 0)
    title = 1 + SYSTEM_TITLE_BYTES if form.is_general else 0
    return 1 + title + len(encode_length(body)) + body - plain_bytes


def _read_title(apdu: bytes) -> tuple[bytes, int]:
    length, offset = decode_length(apdu, 1)
    title = apdu[offset : offset + length]
    if len(title) != length or length not in {0, SYSTEM_TITLE_BYTES}:
        raise DecodeError(f"a system title of {length} bytes in a ciphered APDU")
    return title, offset + length


class Protector:
    """One side of a ciphered association: seals what it sends, opens what the peer sent."""

    def __init__(
        self,
        own_title: bytes,
        peer_title: bytes | None,
        keys: Keys,
        counters: CounterSource,
        peer_counters: PeerCounters,
        *,
        required: int = PROTECTED,
    ) -> None:
        """Join titles, keys and counters.

        Args:
            own_title: System title of this side.
            peer_title: That of the other, None as long as it is not known.
            keys: Of the peer.
            counters: Of what is sent, for all keys.
            peer_counters: Of what is received.
            required: Bits 0x10 and 0x20 that every received APDU must have in its control byte.

        Raises:
            SecurityError: A title has not eight bytes, or both are the same.
        """
        self.own_title = checked_title(own_title)
        self.peer_title: bytes | None = None
        self.required = required
        self._counters = counters
        self._peer_counters = peer_counters
        self._suites: dict[str, Suite0] = {key_names.GLOBAL: Suite0(keys.encryption, keys.authentication)}
        if keys.broadcast is not None:
            self._suites[key_names.BROADCAST] = Suite0(keys.broadcast, keys.authentication)
        if keys.dedicated is not None:
            self.use_dedicated(keys)
        if peer_title is not None:
            self.learn_peer_title(peer_title)

    @property
    def peer_counters(self) -> PeerCounters:
        return self._peer_counters

    def learn_peer_title(self, title: bytes) -> None:
        """Take the title the peer gave for itself.

        Raises:
            SecurityError: It has not eight bytes, is our own, or another than was known.
        """
        title = checked_title(title)
        if title == self.own_title:
            raise SecurityError("the peer gives our own system title for its own")
        if self.peer_title not in {None, title}:
            raise SecurityError("the peer has another system title than was expected")
        self.peer_title = title

    def use_dedicated(self, keys: Keys) -> None:
        """Take the dedicated key of an association that begins."""
        if keys.dedicated is None:
            raise SecurityError("there is no dedicated key")
        self._suites[key_names.DEDICATED] = Suite0(keys.dedicated, keys.authentication)
        self._peer_counters.begin_dedicated()

    def protect(self, apdu: bytes, *, control: int, form: CipherForm) -> bytes:
        """Return the ciphered APDU.

        Args:
            apdu: A plain APDU.
            control: 0x10 authenticated, 0x20 encrypted, 0x30 both; with 0x40 under the broadcast key.
            form: How to wrap it.

        Raises:
            SecurityError: No such form for this APDU, no such key, or no such protection.
            CountersExhaustedError: The key has to be changed.
        """
        suite = self._suite(form, control)[0]
        if form.is_general:
            head = bytes((_TAG_GENERAL_GLOBAL + form.is_dedicated, SYSTEM_TITLE_BYTES)) + self.own_title
        else:
            tag = _SERVICE_TAGS[form].get(apdu[0]) if apdu else None
            if tag is None:
                raise SecurityError("this APDU has no service-specific ciphering; use a general form")
            head = bytes((tag,))
        counter = self._counters.take().to_bytes(4, "big")
        body = suite.seal(control, self.own_title + counter, apdu)
        return b"".join((head, encode_length(len(body) + _HEADER_BYTES), bytes((control,)), counter, body))

    def unprotect(self, apdu: bytes) -> Opened:
        """Return the plain APDU inside a ciphered one of the peer.

        Raises:
            DecodeError: It is cut short, or longer than it says.
            UnprotectedError: It is not ciphered, or less than `required`.
            AuthenticationError: Its tag is wrong.
            ReplayError: Its counter is not above what the policy admits.
            SecurityError: Of another sender, with a key that is not there, or another service inside than promised.
        """
        form, inner = _INSIDE.get(apdu[0], (None, 0)) if apdu else (None, 0)
        if form is None:
            raise UnprotectedError("an APDU came unprotected")
        offset = 1
        if form.is_general:
            offset = self._check_sender(apdu)
        title = self.peer_title
        if title is None:
            raise SecurityError("the system title of the sender is not known")
        length, offset = decode_length(apdu, offset)
        if length < _HEADER_BYTES or offset + length != len(apdu):
            raise DecodeError(f"a ciphered APDU announces {length} bytes and has {len(apdu) - offset}")
        control = apdu[offset]
        if control & self.required != self.required:
            raise UnprotectedError(f"an APDU came with security control {control:#04x}, less than agreed")
        suite, key = self._suite(form, control)
        invocation = apdu[offset + 1 : offset + _HEADER_BYTES]
        plain = suite.open(control, title + invocation, apdu[offset + _HEADER_BYTES :])
        if not plain or inner not in {-1, plain[0]}:
            raise SecurityError("the service inside a ciphered APDU is not the one its tag promises")
        counter = int.from_bytes(invocation, "big")
        self._peer_counters.accept(counter, key)
        return Opened(plain, control, form, counter, title)

    def _check_sender(self, apdu: bytes) -> int:
        """Return where the protected part of a general form begins; a sender that names nobody is the known peer."""
        title, offset = _read_title(apdu)
        if title and title != self.peer_title:
            raise SecurityError("a ciphered APDU names another sender than the peer")
        return offset

    def _suite(self, form: CipherForm, control: int) -> tuple[Suite0, str]:
        """Return the key that form and control byte call for, and its name."""
        checked_control(control)
        if not control & (AUTHENTICATED | ENCRYPTED):
            raise UnprotectedError("a ciphered APDU that is neither authenticated nor encrypted")
        key = key_names.DEDICATED if form.is_dedicated else key_names.GLOBAL
        if control & BROADCAST:
            if form.is_dedicated:
                raise SecurityError("there is no broadcast with a dedicated key")
            key = key_names.BROADCAST
        suite = self._suites.get(key)
        if suite is None:
            raise SecurityError(f"there is no {key} key")
        return suite, key
