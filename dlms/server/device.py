"""What a server serves: a logical device with its objects, and the terms on which it admits each client.

Decides the words between the protocol and the objects. Whether a client may see an object is the device's decision,
taken from `Access`; whether the client is who it says, and what is protected, is settled before the device is asked.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from dlms.apdu.conformance import Conformance
from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.security.counters import CounterSource, PeerCounters
from dlms.security.keys import Keys
from dlms.security.suite0 import PROTECTED

PDU_BYTES_MAX: Final = 1024
TRANSFER_BYTES_MAX: Final = 65_536
SERVER_CONFORMANCE: Final = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.PRIORITY_MANAGEMENT
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.EVENT_NOTIFICATION
    | Conformance.DATA_NOTIFICATION
    | Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.GENERAL_PROTECTION
)
"""All that this server can do; rules may grant less."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ServerSecurity:
    """What protects the associations of one client; it has no repr, for keys stand in it."""

    own_title: bytes
    """System title of the server, 8 bytes."""
    keys: Keys
    counters: CounterSource
    """Of what the server sends; one for all associations that share a key."""
    peer_counters: PeerCounters
    """Of what this client sent, kept from association to association."""
    required: int = PROTECTED
    """Bits of the security control byte that every request of a ciphered association must have."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class AssociationRules:
    """On which terms one client is admitted; it has no repr, for a secret stands in it."""

    mechanism: int = 0
    """The one authentication mechanism accepted, `dlms.apdu.acse.Mechanism`."""
    secret: bytes = b""
    """Password of LLS, or secret of the HLS mechanisms that have one."""
    security: ServerSecurity | None = None
    """What ciphered contexts and mechanism 5 need; without it only plain contexts are accepted."""
    plain_context: bool = True
    """Whether the client may leave its requests unciphered."""
    conformance: int = int(SERVER_CONFORMANCE)
    """The most that is granted."""
    pdu_bytes_max: int = PDU_BYTES_MAX
    """Of what the server can receive."""
    transfer_bytes_max: int = TRANSFER_BYTES_MAX
    """Of what comes in blocks, put together."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks."""

    client_sap: int
    mechanism: int
    """How the client proved who it is."""
    control: int
    """Security control byte of the request, 0 for unprotected."""


class LogicalDevice(Protocol):
    """The objects behind a server; values and parameters are A-XDR.

    A value that does not fit may raise any `DlmsError`; the client is then told that the type did not match.
    """

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        """Return the terms for a client, None if it is not known."""
        ...

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        """Return an attribute, or the part selected.

        Raises:
            AccessRefusedError: With the result for the client.
        """
        ...

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        """Set an attribute.

        Raises:
            AccessRefusedError: With the result for the client.
        """
        ...

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        """Carry a method out, and return what it returns.

        Raises:
            ActionRefusedError: With the result for the client.
        """
        ...
