"""How the faults of a meter's registers change what it shows: repeated snapshot, counter roll-over, one absurd value.

The supply behind the meter goes on undisturbed; `faults` says when a fault stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from device_sim.core.faults import AbsurdQuantity, FaultKind, Faults
from device_sim.core.supply import UJ_PER_WH, PhaseState, Snapshot

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

ABSURD_ENERGY_WH: Final = 1_000_000_000
"""Added to the energy of an absurd read: a million kWh, which every register map can carry."""
ABSURD_POWER_W: Final = 5_000_000
"""Shown by an absurd read of the power, on each phase."""
_WH_PER_KWH: Final = 1000


class Distortion:
    """The register faults of one meter, with the little they must remember."""

    __slots__ = ("_absurd_spent", "_faults", "_frozen", "_rollover_uj")

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._frozen: Snapshot | None = None
        self._rollover_uj = 0
        self._absurd_spent = False

    def shown(self, actual: Snapshot, read: AbstractSet[AbsurdQuantity], *, now_ms: int) -> Snapshot:
        """Return what the registers show in place of `actual`.

        Args:
            actual: What the meter measures.
            read: Which of the values that can be absurd the request asks for; only these spend the fault.
            now_ms: Site time.
        """
        return self._absurd(self._rolled_over(self._repeated(actual, now_ms), now_ms), read, now_ms)

    def _repeated(self, actual: Snapshot, now_ms: int) -> Snapshot:
        if self._faults.active(FaultKind.REPEATED, now_ms=now_ms) is None:
            self._frozen = None
            return actual
        if self._frozen is None:
            self._frozen = actual
        return self._frozen

    def _rolled_over(self, actual: Snapshot, now_ms: int) -> Snapshot:
        settings = self._faults.active(FaultKind.ROLLOVER, now_ms=now_ms)
        if settings is None:
            self._rollover_uj = 0
            return actual
        if settings.rollover_wh:
            self._rollover_uj = settings.rollover_wh * UJ_PER_WH
        elif not self._rollover_uj:
            kwh_uj = _WH_PER_KWH * UJ_PER_WH
            self._rollover_uj = (actual.import_uj // kwh_uj + 1) * kwh_uj
        return replace(actual, import_uj=actual.import_uj % self._rollover_uj)

    def _absurd(self, actual: Snapshot, read: AbstractSet[AbsurdQuantity], now_ms: int) -> Snapshot:
        settings = self._faults.active(FaultKind.ABSURD, now_ms=now_ms)
        if settings is None:
            self._absurd_spent = False
            return actual
        if self._absurd_spent or settings.absurd not in read:
            return actual
        self._absurd_spent = True
        if settings.absurd is AbsurdQuantity.ENERGY:
            return replace(actual, import_uj=actual.import_uj + ABSURD_ENERGY_WH * UJ_PER_WH)
        return replace(
            actual,
            phases=tuple(PhaseState(phase.voltage_v, ABSURD_POWER_W, phase.reactive_var) for phase in actual.phases),
        )
