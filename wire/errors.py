"""How a message can fail to hold: one class per reaction, one `Reason` per cause.

WireError                      refuse, count by reason; the sender is told if its signature held
├── MalformedError             not the bytes of any message of ours
├── LimitExceededError         longer or larger than allowed
├── UnsupportedVersionError    a version outside the supported range
├── UntrustedError             unknown or revoked key, bad signature, key of another purpose or party
└── StaleError                 expired, replayed, or overtaken by something newer
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a message was refused; the label of the counter and of the notice to the sender."""

    TOO_LONG = "too-long"
    MALFORMED = "malformed"
    LIMIT_EXCEEDED = "limit-exceeded"
    UNSUPPORTED_VERSION = "unsupported-version"
    UNSUPPORTED_ALGORITHM = "unsupported-algorithm"
    UNKNOWN_KEY = "unknown-key"
    BAD_SIGNATURE = "bad-signature"
    WRONG_PURPOSE = "wrong-purpose"
    WRONG_PARTY = "wrong-party"
    REVOKED_KEY = "revoked-key"
    BAD_TOPIC = "bad-topic"
    RETAINED = "retained"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    QUOTA_EXCEEDED = "quota-exceeded"
    NOT_ASSIGNED = "not-assigned"
    NOT_ALLOWED = "not-allowed"
    UNKNOWN_METER = "unknown-meter"


class WireError(Exception):
    """Raised when a message does not hold; `reason` says why in one word, `detail` in one line."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class MalformedError(WireError):
    """Raised when bytes are not a message of ours."""

    def __init__(self, detail: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(reason, detail)


class LimitExceededError(WireError):
    """Raised when a message is longer, deeper or larger than `wire.limits` allows."""

    def __init__(self, detail: str, reason: Reason = Reason.LIMIT_EXCEEDED) -> None:
        super().__init__(reason, detail)


class UnsupportedVersionError(WireError):
    """Raised when a message is of a version below the floor or above what this program knows."""

    def __init__(self, version: object) -> None:
        super().__init__(Reason.UNSUPPORTED_VERSION, f"version {str(version)[:20]} is not supported; send version 1")


class UntrustedError(WireError):
    """Raised when a signature does not make the message this sender's, for this purpose."""


class StaleError(WireError):
    """Raised when a message once held but its time is over."""
