"""Security policy, suite, titles and keys of an association, class 64 (BB 4.4.7)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import ENUM, NOTHING, OCTETS, enumeration, record, sequence


class SecurityPolicy(IntEnum):
    """What all messages have to be, in version 0; version 1 uses the bits of the number instead."""

    NOTHING = 0
    AUTHENTICATED = 1
    ENCRYPTED = 2
    AUTHENTICATED_ENCRYPTED = 3


class KeyId(IntEnum):
    """Which key is transferred."""

    GLOBAL_UNICAST_ENCRYPTION = 0
    GLOBAL_BROADCAST_ENCRYPTION = 1
    AUTHENTICATION = 2
    MASTER = 3


@dataclass(frozen=True, slots=True)
class KeyTransfer:
    """A new key, wrapped with the master key (RFC 3394)."""

    key_id: KeyId
    wrapped: bytes = field(repr=False)


_KEYS: Final = sequence(record(KeyTransfer, enumeration(KeyId), OCTETS))


class SecuritySetup(CosemObject):
    """What protects an association, class 64; certificates and key agreement of suites 1 and 2 are not here."""

    CLASS_ID = 64
    __slots__ = ()

    security_policy: Attribute[int] = Attribute(2, ENUM)
    """`SecurityPolicy` in version 0, bits in version 1."""
    security_suite: Attribute[int] = Attribute(3, ENUM)
    """0: AES-GCM-128."""
    client_system_title: Attribute[bytes] = Attribute(4, OCTETS)
    server_system_title: Attribute[bytes] = Attribute(5, OCTETS)
    security_activate: Method[int, None] = Method(1, ENUM, NOTHING)
    """Raise the policy."""
    key_transfer: Method[tuple[KeyTransfer, ...], None] = Method(2, _KEYS, NOTHING)
