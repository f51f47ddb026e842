"""What client and server propose and grant when an association is opened, as values (Green Book 9.4.6.1, 9.5).

What the bytes look like is `dlms.apdu.initiate`'s business; whether a proposal is acceptable, that of the two sides.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """What a client proposes in the user information of an AARQ, tag 1."""

    conformance: int
    """24 bits, `dlms.apdu.conformance.Conformance`."""
    pdu_bytes_max: int
    """Of what the client can receive; 0 for no limit."""
    dedicated_key: bytes | None = field(default=None, repr=False)
    response_allowed: bool = True
    quality_of_service: int | None = None
    version: int = 6


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """What a server grants in the user information of an AARE, tag 8."""

    conformance: int
    pdu_bytes_max: int
    quality_of_service: int | None = None
    version: int = 6
    vaa_name: int = 7
    """7 for logical name referencing."""
