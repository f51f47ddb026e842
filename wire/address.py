"""The logical address of a message: what a signature binds besides the payload.

It is not the MQTT topic, so that a bridge, a USB stick or another topic tree can carry the same bytes; and it is not
sent, since the receiver knows by what road a message came. A message replayed as another kind, or as another gateway's,
has another address and its signature does not hold.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import cbor2

from wire.errors import MalformedError, Reason

_NAME = re.compile(r"[A-Za-z0-9-]{1,32}")


class Direction(StrEnum):
    """Who speaks."""

    UP = "up"
    DOWN = "down"
    CLIENT_UP = "client-up"
    CLIENT_DOWN = "client-down"


class Kind(StrEnum):
    """What is said; one message type each."""

    HELLO = "hello"
    BATCH = "batch"
    WELCOME = "welcome"
    ACK = "ack"
    FACTS = "facts"
    COMMAND = "command"
    REQUEST = "request"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Address:
    """Utility, direction, kind and party (gateway or client) of a message."""

    utility: str
    direction: Direction
    kind: Kind
    party: str

    def to_bytes(self) -> bytes:
        """Return the `external_aad` of the envelope (RFC 9052 section 4.3)."""
        return cbor2.dumps(["wattpost", self.utility, self.direction.value, self.kind.value, self.party])


def is_name(text: str) -> bool:
    """Tell whether `text` may name a gateway, client, meter or utility."""
    return _NAME.fullmatch(text) is not None


def require_name(text: str) -> str:
    """Return `text` if it may name a gateway, client, meter or utility.

    Raises:
        MalformedError: It does not match `[A-Za-z0-9-]{1,32}`.
    """
    if not is_name(text):
        raise MalformedError(f"{text[:40]!r} is not 1 to 32 of A-Z a-z 0-9 -", Reason.BAD_TOPIC)
    return text
