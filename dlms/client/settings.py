"""What one association is to be: who asks whom, how it is proved and protected, and how much may be carried.

Decides only that the settings go together. Fresh challenges, counters and dedicated keys are made by the caller for
every association.
"""

from dataclasses import dataclass, field
from typing import Final

from dlms.apdu.acse import Mechanism
from dlms.apdu.conformance import Conformance
from dlms.errors import SecurityError
from dlms.security.authentication import HIGH_LEVEL
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from dlms.security.suite0 import PROTECTED, checked_control
from dlms.security.system_title import SYSTEM_TITLE_BYTES

DEFAULT_CONFORMANCE: Final = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.PRIORITY_MANAGEMENT
    | Conformance.EVENT_NOTIFICATION
)
"""General block transfer is left out: a server that is granted it may use it for everything, and few do it well."""
PDU_BYTES_MAX: Final = 0xFFFF
TRANSFER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one answer put together from blocks: a year of half-hourly rows has less."""
ATTRIBUTES_AT_ONCE_MAX: Final = 16
"""In one request with a list; meters in the field refuse or cut longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationSettings:
    """Of one association of a client with a logical device.

    Raises:
        SecurityError: Keys, titles or secrets do not go with the mechanism or the form.
    """

    client_sap: int = 16
    """Client address: 16 the public client."""
    server_sap: int = 1
    """Logical device: 1 the management logical device."""
    mechanism: Mechanism = Mechanism.NONE
    secret: bytes = field(default=b"", repr=False)
    """Password of LLS, secret of HLS but for mechanism 5."""
    keys: Keys | None = None
    """For ciphering and mechanism 5."""
    system_title: bytes = b""
    """Of the client, 8 bytes; needed for keys."""
    server_title: bytes | None = None
    """Of the server, where it is known; otherwise that of the AARE is believed, which authentication then proves."""
    control: int = PROTECTED
    """Security control byte of what is sent: 0x10, 0x20 or 0x30; 0 for keys that only authenticate (mechanism 5).

    With 0x01 for a server of suite 1.
    """
    required: int | None = None
    """Bits 0x10 and 0x20 that every answer has to have; None for those of `control`."""
    form: CipherForm = CipherForm.SERVICE_GLOBAL
    """Of what is sent; a dedicated form sends `keys.dedicated` to the server when the association is opened."""
    initiate_form: CipherForm = CipherForm.SERVICE_GLOBAL
    """Of the InitiateRequest in AARQ and RLRQ; never dedicated."""
    unprotected_refusals: bool = True
    """Whether an exception-response or confirmed-service-error may come unprotected: few meters protect it.

    It ends the request with its own error, which whoever is on the line can forge, like silence.
    """
    conformance: Conformance = DEFAULT_CONFORMANCE
    """What is proposed; general protection is added for the general forms."""
    pdu_bytes_max: int = PDU_BYTES_MAX
    """Longest APDU the client takes, 0 for any."""
    transfer_bytes_max: int = TRANSFER_BYTES_MAX
    attributes_at_once_max: int = ATTRIBUTES_AT_ONCE_MAX
    general_block_window: int = 1
    """Blocks a server may send before it waits for our acknowledgement."""

    def __post_init__(self) -> None:
        gmac = self.mechanism is Mechanism.HIGH_GMAC
        checked_control(self.control)
        if self.mechanism not in HIGH_LEVEL | {Mechanism.NONE, Mechanism.LOW}:
            raise SecurityError(f"authentication mechanism {self.mechanism:d} is not served")
        if self.mechanism is not Mechanism.NONE and not gmac and not self.secret:
            raise SecurityError("this authentication mechanism needs a secret")
        if gmac and self.keys is None:
            raise SecurityError("authentication with GMAC needs keys")
        if (self.keys is not None or self.system_title) and len(self.system_title) != SYSTEM_TITLE_BYTES:
            raise SecurityError(f"keys need a system title of {SYSTEM_TITLE_BYTES} bytes")
        if self.mechanism is Mechanism.HIGH_SHA256 and not self.system_title:
            raise SecurityError("authentication with SHA-256 needs a system title")
        if self.initiate_form.is_dedicated:
            raise SecurityError("a dedicated key cannot protect the request that brings it")
        if self.form.is_dedicated and (self.keys is None or self.keys.dedicated is None):
            raise SecurityError("a dedicated form needs a dedicated key")

    @property
    def is_ciphered(self) -> bool:
        """Say whether APDUs of the association are ciphered."""
        return self.keys is not None and self.control & PROTECTED != 0

    @property
    def proposed_conformance(self) -> Conformance:
        """Return what the InitiateRequest proposes."""
        if self.is_ciphered and (self.form.is_general or self.initiate_form.is_general):
            return self.conformance | Conformance.GENERAL_PROTECTION
        return self.conformance


@dataclass(frozen=True, slots=True)
class Granted:
    """What the server agreed to."""

    conformance: Conformance
    pdu_bytes_max: int
    """Longest APDU the server takes, 0 for any."""
    server_title: bytes | None
    """System title it gave, if it gave one."""
