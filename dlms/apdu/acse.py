"""Opening and releasing an association: AARQ, AARE, RLRQ and RLRE (ACSE in BER, Green Book 9.4)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

FOREIGN: Final = 0xFF
"""Stands for a context or mechanism name that is missing or none of DLMS, so that a server can refuse it in words."""


class ApplicationContext(IntEnum):
    """Last arc of the application context name 2.16.756.5.8.1.x."""

    LOGICAL_NAME = 1
    SHORT_NAME = 2
    LOGICAL_NAME_CIPHERED = 3
    SHORT_NAME_CIPHERED = 4


class Mechanism(IntEnum):
    """Last arc of the authentication mechanism name 2.16.756.5.8.2.x."""

    NONE = 0
    LOW = 1
    HIGH = 2
    """Manufacturer specific in the standard; AES-128 of the challenge in Indian meters."""
    HIGH_MD5 = 3
    HIGH_SHA1 = 4
    HIGH_GMAC = 5
    HIGH_SHA256 = 6
    HIGH_ECDSA = 7


@dataclass(frozen=True, slots=True, repr=False)
class Aarq:
    """A client asks for an association; secrets stand in it, so it has no repr."""

    context: int
    user_information: bytes
    """InitiateRequest, plain or ciphered."""
    mechanism: int = 0
    authentication: bytes = b""
    """The password of LLS, the client's challenge of HLS."""
    calling_title: bytes = b""
    """System title, 8 bytes."""
    calling_invocation: int | None = None
    """Calling-AE-invocation-id: which user of the client this is (Green Book 9.4.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Aare:
    """The server's answer."""

    context: int
    result: int
    """0 accepted, 1 rejected permanently, 2 rejected for now."""
    diagnostic_source: int
    """1 the ACSE service user, 2 the provider."""
    diagnostic: int
    """Of the user: 0 none, 11 mechanism not recognised, 13 authentication failed, 14 authentication required."""
    user_information: bytes = b""
    """InitiateResponse or ConfirmedServiceError, plain or ciphered."""
    mechanism: int | None = None
    authentication: bytes = b""
    """The server's challenge of HLS."""
    responding_title: bytes = b""


@dataclass(frozen=True, slots=True)
class Rlrq:
    """A client releases the association."""

    reason: int | None = 0
    user_information: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Rlre:
    """The server confirms."""

    reason: int | None = 0
    user_information: bytes = b""


Acse = Aarq | Aare | Rlrq | Rlre
