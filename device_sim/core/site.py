"""A village's devices, built from its description and found by name or by line and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.faults import LINE_FAULTS, FaultKind, Faults, FaultSettings, FaultWindow
from device_sim.core.load import HouseholdLoad, stream_key
from device_sim.core.meter import MODELS, Meter
from device_sim.core.profile import StandardProfile, standard_profile
from device_sim.core.relay_board import RelayBoard
from device_sim.core.supply import Feeder, Supply

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from device_sim.core.exchange import Device
    from device_sim.core.village import MeterSpec, PlannedFault, Village

CABLE_OHM_MIN: Final = 0.15
CABLE_OHM_SPREAD: Final = 0.45
"""Households lie at different distances from the transformer."""


class UnknownDeviceError(LookupError):
    """Raised when a village has no such device, or the device cannot do what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """How a meter and its household stand, free of all faults of the meter."""

    id: str
    kind: str
    line: str
    unit: int
    energy_wh: float
    power_w: float
    voltage_v: float
    relay_closed: bool | None
    """The coil's state; none for a household without a switch."""
    energised: bool
    """Whether the household has power."""
    faults: tuple[FaultKind, ...]


class Site:
    """All devices of a village."""

    def __init__(self, village: Village, *, now_ms: int, rng: Callable[[str], Random]) -> None:
        """Build the devices as they stand at site time `now_ms`; `rng` gives each named user its own randomness."""
        self._specs = {meter.id: meter for meter in village.meters}
        self._rng = rng
        profile = standard_profile()
        feeder = Feeder(profile=profile, seed=village.seed)
        windows = _windows_by_device(village.faults)
        self.meters = {
            spec.id: _meter(
                spec, village, profile=profile, feeder=feeder, now_ms=now_ms, faults=self._faults(spec.id, windows)
            )
            for spec in village.meters
        }
        self.boards = {
            board.id: RelayBoard(
                id=board.id,
                unit=board.unit,
                coil_count=board.coils,
                supplies={spec.coil: self.meters[spec.id].supply for spec in village.meters if spec.board == board.id},
                faults=self._faults(board.id, windows),
            )
            for board in village.boards
        }
        self.lines: dict[str, dict[int, Device]] = {line.id: {} for line in village.lines}
        for meter in village.meters:
            self.lines[meter.line][meter.unit] = self.meters[meter.id]
        for board in village.boards:
            self.lines[board.line][board.unit] = self.boards[board.id]

    def _faults(self, device_id: str, windows: dict[str, list[FaultWindow]]) -> Faults:
        return Faults(windows.get(device_id, ()), rng=self._rng(f"faults/{device_id}"))

    def state(self, meter_id: str, *, now_ms: int) -> MeterState:
        """Return how one meter stands."""
        meter, spec = self._meter(meter_id), self._specs[meter_id]
        snapshot = meter.supply.snapshot(now_ms)
        return MeterState(
            id=meter.id,
            kind=meter.kind,
            line=spec.line,
            unit=meter.unit,
            energy_wh=snapshot.import_wh,
            power_w=snapshot.total.active_w,
            voltage_v=snapshot.total.voltage_v,
            relay_closed=self.boards[spec.board].is_on(spec.coil) if spec.board is not None else None,
            energised=meter.supply.closed,
            faults=meter.faults.all_active(now_ms=now_ms),
        )

    def switch_relay(self, meter_id: str, *, closed: bool, now_ms: int) -> None:
        """Switch a household's coil by hand, as somebody at the board would."""
        self._meter(meter_id)
        spec = self._specs[meter_id]
        if spec.board is None:
            raise UnknownDeviceError(f"meter {meter_id} has no relay")
        self.boards[spec.board].drive(spec.coil, on=closed, now_ms=now_ms)

    def switch_fault(self, device_id: str, settings: FaultSettings, *, on: bool) -> None:
        """Switch a fault of a meter or relay board on or off."""
        if device_id in self.boards and settings.kind in LINE_FAULTS:
            self.boards[device_id].faults.switch(settings, on=on)
        elif device_id in self.boards:
            raise UnknownDeviceError(f"relay board {device_id} cannot have the fault {settings.kind}")
        else:
            self._meter(device_id).faults.switch(settings, on=on)

    def _meter(self, meter_id: str) -> Meter:
        try:
            return self.meters[meter_id]
        except KeyError:
            raise UnknownDeviceError(f"no device {meter_id}") from None


def _meter(
    spec: MeterSpec, village: Village, *, profile: StandardProfile, feeder: Feeder, now_ms: int, faults: Faults
) -> Meter:
    model = MODELS[spec.kind]
    key = stream_key(village.seed, f"meter/{spec.id}")
    load = HouseholdLoad(
        profile=profile,
        seed=village.seed,
        household=spec.id,
        annual_kwh=spec.annual_kwh,
        phase_count=model.phase_count,
        power_max_w=model.power_max_w,
    )
    supply = Supply(
        load=load,
        feeder=feeder,
        utc_offset_min=village.utc_offset_min,
        cable_ohm=CABLE_OHM_MIN + CABLE_OHM_SPREAD * (key % 1000) / 1000,
        started_ms=now_ms,
        start_wh=spec.start_wh,
    )
    return Meter(id=spec.id, unit=spec.unit, kind=spec.kind, serial=key >> 33, supply=supply, faults=faults)


def _windows_by_device(planned: list[PlannedFault]) -> dict[str, list[FaultWindow]]:
    windows: dict[str, list[FaultWindow]] = {}
    for fault in planned:
        settings = FaultSettings(
            kind=fault.kind,
            delay_ms=fault.delay_ms,
            one_in=fault.one_in,
            rollover_wh=fault.rollover_wh,
            absurd=fault.absurd,
        )
        window = FaultWindow(settings, starts_ms=_unix_ms(fault.starts_at), ends_ms=_unix_ms(fault.ends_at))
        windows.setdefault(fault.device, []).append(window)
    return windows


def _unix_ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
