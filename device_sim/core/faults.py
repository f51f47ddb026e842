"""What can be wrong with one device, when, and how badly: planned by site time, or switched at run time.

Faults of the line (dead, slow, garbled) are drawn here; faults of the registers (repeated, rollover, absurd) are only
kept here and take effect in `distortion`, that of the clock (skewed) in `dlms_meter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class FaultKind(StrEnum):
    """The faults a device can have."""

    DEAD = "dead"
    """It neither acts nor answers."""
    SLOW = "slow"
    """It answers `delay_ms` late."""
    GARBLED = "garbled"
    """Bytes of its answers are spoilt: a checksum fails, or without one, what leads the answer is none."""
    REPEATED = "repeated"
    """Its registers stay as they were when first read under the fault."""
    ROLLOVER = "rollover"
    """Its import energy counts up to `rollover_wh` only, and begins again at 0."""
    ABSURD = "absurd"
    """One read shows an energy or a power far too high; the fault is then spent until it is switched on again."""
    SKEWED = "skewed"
    """Its clock goes wrong by `skew_s` when the fault begins, and stays so until somebody sets it."""


LINE_FAULTS: Final = frozenset({FaultKind.DEAD, FaultKind.SLOW, FaultKind.GARBLED})
"""The faults that a relay board can have too."""


class AbsurdQuantity(StrEnum):
    """Which value an absurd read shows."""

    ENERGY = "energy"
    POWER = "power"


class FaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault and its measure; each field matters to the kinds that name it."""

    kind: FaultKind
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 1000
    """Slow: real milliseconds by which the answer is late."""
    one_in: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    """Dead, slow, garbled: the fault strikes one exchange in so many, at random."""
    rollover_wh: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0
    """Rollover: where the register turns over, in Wh; 0 for the next full kilowatt-hour after the fault begins."""
    absurd: AbsurdQuantity = AbsurdQuantity.ENERGY
    """Absurd: which value is too high."""
    skew_s: Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)] = 3600
    """Skewed: by how much the clock jumps, in seconds of site time; negative for back."""


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A fault planned from one site time up to, not including, another."""

    settings: FaultSettings
    starts_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class Impairment:
    """What happens to one exchange on the line."""

    silent: bool = False
    delay_ms: int = 0
    garbled: bool = False


UNIMPAIRED: Final = Impairment()


class Faults:
    """The faults of one device."""

    __slots__ = ("_rng", "_switched", "_windows")

    def __init__(self, windows: Sequence[FaultWindow], *, rng: Random) -> None:
        self._windows = tuple(windows)
        self._rng = rng
        self._switched: dict[FaultKind, FaultSettings | None] = {}

    def switch(self, settings: FaultSettings, *, on: bool) -> None:
        """Switch a fault on or off from now on; this outweighs what is planned for its kind."""
        self._switched[settings.kind] = settings if on else None

    def active(self, kind: FaultKind, *, now_ms: int) -> FaultSettings | None:
        """Return the settings of a fault if it stands at site time `now_ms`."""
        if kind in self._switched:
            return self._switched[kind]
        for window in self._windows:
            if window.settings.kind is kind and window.starts_ms <= now_ms < window.ends_ms:
                return window.settings
        return None

    def all_active(self, *, now_ms: int) -> tuple[FaultKind, ...]:
        """Return the kinds of all faults that stand at site time `now_ms`."""
        return tuple(kind for kind in FaultKind if self.active(kind, now_ms=now_ms) is not None)

    def impairment(self, *, now_ms: int) -> Impairment:
        """Draw what happens to one exchange at site time `now_ms`."""
        if not self._windows and not self._switched:
            return UNIMPAIRED
        slow = self._strikes(FaultKind.SLOW, now_ms)
        return Impairment(
            silent=self._strikes(FaultKind.DEAD, now_ms) is not None,
            delay_ms=slow.delay_ms if slow is not None else 0,
            garbled=self._strikes(FaultKind.GARBLED, now_ms) is not None,
        )

    def _strikes(self, kind: FaultKind, now_ms: int) -> FaultSettings | None:
        settings = self.active(kind, now_ms=now_ms)
        if settings is None or (settings.one_in > 1 and self._rng.randrange(settings.one_in)):
            return None
        return settings
