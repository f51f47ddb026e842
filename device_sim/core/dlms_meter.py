"""One DLMS meter of a village: the meter after IS 15959 with its name, its place on the line and its clock's fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.faults import FaultKind

if TYPE_CHECKING:
    from device_sim.core.faults import Faults
    from device_sim.core.is15959.meter import Is15959Meter
    from device_sim.core.supply import Supply

KIND: Final = "is15959-d1"
POWER_MAX_W: Final = 7_000
"""What the main fuse of a household with this meter lets through: 30 A."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmsState:
    """How a DLMS meter stands, besides what all meters have."""

    is_powered: bool
    control_state: int
    """0 disconnected, 1 connected, 2 ready for reconnection."""
    is_welded: bool
    clock_offset_ms: int
    """By how much its clock is ahead of the site's."""
    is_prepaid: bool
    """Payment mode, as it was told."""
    balance: int
    """Balance, as it was told, in the smallest unit of the currency."""
    block_rows: int
    event_count: int
    """Entries that its logs have had."""
    firmware: str


class DlmsMeter:
    """One meter on a DLMS line."""

    def __init__(self, *, id: str, unit: int, device: Is15959Meter) -> None:  # noqa: A002 - the name of the device
        self.id = id
        self.unit = unit
        self.device = device
        self._utc_offset_ms = device.settings.utc_offset_min * 60_000
        self._was_skewed = False

    @property
    def faults(self) -> Faults:
        """What is wrong with it."""
        return self.device.faults

    @property
    def supply(self) -> Supply:
        """The household behind it."""
        return self.device.supply

    @property
    def is_powered(self) -> bool:
        """Whether it can hear and answer at all."""
        return self.device.power.is_on

    def advance(self, now_ms: int) -> None:
        """Live up to site time `now_ms`."""
        self.device.advance(now_ms)
        skewed = self.faults.active(FaultKind.SKEWED, now_ms=now_ms)
        if skewed is not None and not self._was_skewed:
            self.device.skew_clock(skewed.skew_s * 1000, now_ms=now_ms)
        self._was_skewed = skewed is not None

    def state(self) -> DlmsState:
        """Return how it stands at the time it has lived to."""
        device = self.device
        return DlmsState(
            is_powered=device.power.is_on,
            control_state=device.relay.state,
            is_welded=device.relay.is_welded,
            clock_offset_ms=device.local_ms - self._utc_offset_ms - device.now_ms,
            is_prepaid=bool(device.prepaid.payment_mode),
            balance=device.prepaid.balance,
            block_rows=len(device.block_ring),
            event_count=sum(device.events.sequences.values()),
            firmware=device.firmware.version,
        )
