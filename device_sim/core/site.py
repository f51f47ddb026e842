"""A village's devices, built from its description and found by name or by line and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_sim.core.dlms_making import make_dlms_meter
from device_sim.core.dlms_meter import KIND, DlmsMeter, DlmsState
from device_sim.core.faults import LINE_FAULTS, FaultKind, Faults, FaultSettings, FaultWindow
from device_sim.core.household import Neighbourhood
from device_sim.core.is15959.witness import NOBODY
from device_sim.core.load import DAY_MS
from device_sim.core.meter import MODELS, Meter
from device_sim.core.relay_board import RelayBoard

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from device_sim.core.exchange import Device
    from device_sim.core.is15959.witness import Witness
    from device_sim.core.village import MeterSpec, PlannedFault, Village


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
    """The coil's state, or that of the meter's own switch; none for a household without a switch."""
    energised: bool
    """Whether the household has power."""
    faults: tuple[FaultKind, ...]
    dlms: DlmsState | None = None
    """For DLMS meters."""


class Site:
    """All devices of a village."""

    def __init__(
        self,
        village: Village,
        *,
        now_ms: int,
        rng: Callable[[str], Random],
        first_counter: int = 1,
        witness: Callable[[str], Witness] = lambda _: NOBODY,
    ) -> None:
        """Build the devices as they stand at site time `now_ms`.

        Args:
            village: Its description.
            now_ms: Site time; DLMS meters have a history before it.
            rng: Gives each named user its own randomness.
            first_counter: Of what DLMS meters send, above all they have sent before with the same keys.
            witness: Gives each DLMS meter, by name, who sees what happens to it.
        """
        self._specs = {spec.id: spec for spec in (*village.meters, *village.dlms_meters)}
        self._coils = {spec.id: (spec.board, spec.coil) for spec in village.meters if spec.board is not None}
        self._rng = rng
        neighbourhood = Neighbourhood(seed=village.seed, utc_offset_min=village.utc_offset_min)
        windows = _windows_by_device(village.faults)
        self.modbus_meters = {
            spec.id: _modbus_meter(
                spec, neighbourhood=neighbourhood, now_ms=now_ms, faults=self._faults(spec.id, windows)
            )
            for spec in village.meters
        }
        self.dlms_meters = {
            spec.id: make_dlms_meter(
                spec,
                village,
                neighbourhood=neighbourhood,
                faults=self._faults(spec.id, windows),
                started_ms=now_ms - village.history_days * DAY_MS,
                first_counter=first_counter,
                witness=witness(spec.id),
            )
            for spec in village.dlms_meters
        }
        self.meters: dict[str, Meter | DlmsMeter] = {**self.modbus_meters, **self.dlms_meters}
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
        self.lines: dict[str, dict[int, Device]] = {line.id: {} for line in village.lines if not line.transport.is_dlms}
        for meter in village.meters:
            self.lines[meter.line][meter.unit] = self.modbus_meters[meter.id]
        for board in village.boards:
            self.lines[board.line][board.unit] = self.boards[board.id]
        self.dlms_lines: dict[str, dict[int, DlmsMeter]] = {
            line.id: {spec.unit: self.dlms_meters[spec.id] for spec in village.dlms_meters if spec.line == line.id}
            for line in village.lines
            if line.transport.is_dlms
        }
        self._live_through_history(now_ms, days=village.history_days)

    def _live_through_history(self, now_ms: int, *, days: int) -> None:
        """Let the DLMS meters capture what they would have; nobody was there to hear what they pushed."""
        for day in range(days - 1, -1, -1):
            # All meters together from day to day: what the feeder does on a day is made once.
            for meter in self.dlms_meters.values():
                meter.advance(now_ms - day * DAY_MS)
        for meter in self.dlms_meters.values():
            meter.device.take_pushes()

    def _faults(self, device_id: str, windows: dict[str, list[FaultWindow]]) -> Faults:
        return Faults(windows.get(device_id, ()), rng=self._rng(f"faults/{device_id}"))

    def state(self, meter_id: str, *, now_ms: int) -> MeterState:
        """Return how one meter stands."""
        meter, spec = self._meter(meter_id), self._specs[meter_id]
        if isinstance(meter, DlmsMeter):
            meter.advance(now_ms)
        snapshot = meter.supply.snapshot(now_ms)
        return MeterState(
            id=meter.id,
            kind=KIND if isinstance(meter, DlmsMeter) else meter.kind,
            line=spec.line,
            unit=meter.unit,
            energy_wh=snapshot.import_wh,
            power_w=snapshot.total.active_w,
            voltage_v=snapshot.total.voltage_v,
            relay_closed=self._relay_closed(meter),
            energised=meter.supply.closed,
            faults=meter.faults.all_active(now_ms=now_ms),
            dlms=meter.state() if isinstance(meter, DlmsMeter) else None,
        )

    def _relay_closed(self, meter: Meter | DlmsMeter) -> bool | None:
        if isinstance(meter, DlmsMeter):
            return meter.device.relay.is_closed
        if meter.id not in self._coils:
            return None
        board, coil = self._coils[meter.id]
        return self.boards[board].is_on(coil)

    def switch_relay(self, meter_id: str, *, closed: bool, now_ms: int) -> None:
        """Switch a household's coil by hand, as somebody at the board would."""
        if isinstance(self._meter(meter_id), DlmsMeter):
            raise UnknownDeviceError(f"the relay of meter {meter_id} is inside it; there is a button")
        if meter_id not in self._coils:
            raise UnknownDeviceError(f"meter {meter_id} has no relay")
        board, coil = self._coils[meter_id]
        self.boards[board].drive(coil, on=closed, now_ms=now_ms)

    def switch_fault(self, device_id: str, settings: FaultSettings, *, on: bool) -> None:
        """Switch a fault of a meter or relay board on or off."""
        if device_id in self.boards and settings.kind in LINE_FAULTS:
            self.boards[device_id].faults.switch(settings, on=on)
        elif device_id in self.boards:
            raise UnknownDeviceError(f"relay board {device_id} cannot have the fault {settings.kind}")
        elif settings.kind is FaultKind.SKEWED and device_id in self.modbus_meters:
            raise UnknownDeviceError(f"meter {device_id} has no clock that could have the fault {settings.kind}")
        else:
            self._meter(device_id).faults.switch(settings, on=on)

    def dlms_meter(self, meter_id: str) -> DlmsMeter:
        """Return a DLMS meter.

        Raises:
            UnknownDeviceError: There is none of that name.
        """
        meter = self._meter(meter_id)
        if not isinstance(meter, DlmsMeter):
            raise UnknownDeviceError(f"meter {meter_id} is no DLMS meter")
        return meter

    def _meter(self, meter_id: str) -> Meter | DlmsMeter:
        try:
            return self.meters[meter_id]
        except KeyError:
            raise UnknownDeviceError(f"no device {meter_id}") from None


def _modbus_meter(spec: MeterSpec, *, neighbourhood: Neighbourhood, now_ms: int, faults: Faults) -> Meter:
    model = MODELS[spec.kind]
    supply = neighbourhood.supply(spec, phase_count=model.phase_count, power_max_w=model.power_max_w, started_ms=now_ms)
    serial = neighbourhood.key(spec.id) >> 33
    return Meter(id=spec.id, unit=spec.unit, kind=spec.kind, serial=serial, supply=supply, faults=faults)


def _windows_by_device(planned: list[PlannedFault]) -> dict[str, list[FaultWindow]]:
    windows: dict[str, list[FaultWindow]] = {}
    for fault in planned:
        settings = FaultSettings(
            kind=fault.kind,
            delay_ms=fault.delay_ms,
            one_in=fault.one_in,
            rollover_wh=fault.rollover_wh,
            absurd=fault.absurd,
            skew_s=fault.skew_s,
        )
        window = FaultWindow(settings, starts_ms=_unix_ms(fault.starts_at), ends_ms=_unix_ms(fault.ends_at))
        windows.setdefault(fault.device, []).append(window)
    return windows


def _unix_ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
