"""What one meter is told about itself when it is made: nameplate, secrets, and the ways in which makes differ.

Decides defaults only. Secrets stand here in clear, as in a test bench's list of meters, and show in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dlms.apdu.acse import Mechanism
from dlms.cosem.push_setup import TransportService
from dlms.security.counters import PeerCounterPolicy

CAPTURE_PERIODS_S: Final = (300, 600, 900, 1800, 3600)
"""Block and demand integration periods that can be written; the standard has 900 and 1800."""
DEMAND_PERIODS_S: Final = CAPTURE_PERIODS_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """What stands on the meter."""

    serial: str
    manufacturer: str = "WATTPOST SIM"
    flag: str = "WPS"
    """The manufacturer's three letters."""
    device_number: int = 1
    """Below 2**40; with the letters it makes the system title."""
    firmware: str = "1.0.0"
    current_rating: str = "5-30 A"
    made_in: int = 2026


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """Passwords and keys, 16 bytes each but for the password; without repr."""

    reader_password: bytes = b"reader01"
    """LLS of the meter reader."""
    settings_secret: bytes = b"utility-secret-1"
    """HLS of utility settings, mechanism 2."""
    firmware_secret: bytes = b"firmware-secret1"
    push_secret: bytes = b"push-secret-0001"
    encryption: bytes = bytes(range(0x10, 0x20))
    """Of utility settings."""
    firmware_encryption: bytes = bytes(range(0x30, 0x40))
    push_encryption: bytes = bytes(range(0x50, 0x60))
    authentication: bytes = bytes(range(0xD0, 0xE0))
    """Of all associations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """One meter."""

    nameplate: Nameplate
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    mechanism: Mechanism = Mechanism.HIGH
    """Of the associations with high level security: 2 (as Indian meters) or 5."""
    peer_counters: PeerCounterPolicy = PeerCounterPolicy.STRICT
    first_counter: int = 1
    """First invocation counter of what the meter sends; above all used before with the same keys."""
    pdu_bytes_max: int = 1024
    image_bytes_max: int = 1 << 20
    image_block_bytes: int = 200
    verify_ms: int = 5_000
    """How long an image is verified; the meter says temporary-failure meanwhile."""
    activate_ms: int = 10_000
    """How long the meter takes to start with a new image."""
    utc_offset_min: int = 330
    states_deviation: bool = True
    """Whether times carry the deviation from UTC; many meters leave it unspecified."""
    clock_offset_ms: int = 0
    """By how much the clock is wrong when the meter is made."""
    drift_ppm: int = 0
    """By how much the clock is too fast."""
    capture_period_s: int = 900
    demand_period_s: int = 1800
    load_limit_w: int = 0
    """0 for no limit."""
    limit_attributes: frozenset[int] = frozenset({3, 4})
    """Which thresholds of the limiter can be written; makes differ."""
    push_destination: bytes = b""
    """`host:port`; empty for wherever the adapter sends pushes."""
    push_transport: int = TransportService.TCP
    push_ciphered: bool = False
    push_client_title: bytes = b"WPHES001"
    """System title of whom a ciphered push is for."""
