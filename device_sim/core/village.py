"""The description of a village: its lines, meters, relay boards, planned faults and network cutters, as a TOML file.

It decides what a valid description is; `site` builds the devices from it, the adapters the lines.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

from device_sim.core.faults import LINE_FAULTS, FaultSettings
from device_sim.core.meter import MeterKind

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,32}\Z")]
Address = Annotated[str, msgspec.Meta(pattern=r"^[^:]+:[0-9]{1,5}\Z")]
"""`HOST:PORT`; port 0 lets the system choose."""
Unit = Annotated[int, msgspec.Meta(ge=1, le=247)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Transport(StrEnum):
    """How a line is reached."""

    TCP = "tcp"
    """Modbus TCP."""
    RTU_TCP = "rtu-tcp"
    """RTU frames over TCP, as a serial server passes them on."""
    PTY = "pty"
    """RTU frames over a pseudo-terminal, which looks like a serial port."""


class _Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts of a description have in common: no field is ignored."""


class LineSpec(_Described, frozen=True, kw_only=True):
    """One line that meters and relay boards share."""

    id: Name
    transport: Transport
    address: Address = "127.0.0.1:0"
    """tcp and rtu-tcp: where to listen."""
    link: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """pty: the path of a symbolic link to the serial port; none if empty."""
    baud: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """Bits a second; exchanges then take as long as on a real line. 0 for no pacing."""


class _OnLine(_Described, frozen=True, kw_only=True):
    id: Name
    line: Name
    unit: Unit


class BoardSpec(_OnLine, frozen=True, kw_only=True):
    """One relay board."""

    coils: Annotated[int, msgspec.Meta(ge=1, le=2000)]


class MeterSpec(_OnLine, frozen=True, kw_only=True):
    """One meter and the household behind it."""

    kind: MeterKind
    annual_kwh: Annotated[float, msgspec.Meta(ge=1.0, le=200_000.0)]
    start_wh: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0
    """What the meter shows when the village starts."""
    board: Name | None = None
    """The relay board that drives this household's switch; without one it has no switch."""
    coil: Annotated[int, msgspec.Meta(ge=0, le=1999)] = 0


class PlannedFault(FaultSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault of one device between two site times."""

    device: Name
    starts_at: Instant
    ends_at: Instant


class CutterSpec(_Described, frozen=True, kw_only=True):
    """A loopback proxy on which the network can be cut."""

    id: Name
    target: Address
    listen: Address = "127.0.0.1:0"


class Village(_Described, frozen=True, kw_only=True):
    """A whole village."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    utc_offset_min: Annotated[int, msgspec.Meta(ge=-720, le=840)] = 330
    """Local time minus UTC, in minutes: households live by local time."""
    control: Address = "127.0.0.1:0"
    """Where the control socket listens."""
    truth_log: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """File for the energy values sent (JSON lines); none if empty."""
    lines: list[LineSpec]
    boards: list[BoardSpec] = []
    meters: list[MeterSpec] = []
    faults: list[PlannedFault] = []
    cutters: list[CutterSpec] = []


class VillageError(ValueError):
    """Raised when a description cannot be played; the text is one line for its author."""


def parse_village(data: bytes) -> Village:
    """Read and check a description.

    Raises:
        VillageError: It is not TOML, or does not hold together.
    """
    try:
        village = msgspec.toml.decode(data, type=Village)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise VillageError(str(exc)) from exc
    _check_names(village)
    _check_units(village)
    _check_coils(village)
    _check_faults(village)
    return village


def _refuse_repeated(values: Iterable[object], what: str) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise VillageError(f"{what} {value} is used {count} times")


def _check_names(village: Village) -> None:
    _refuse_repeated((line.id for line in village.lines), "line id")
    _refuse_repeated((*(board.id for board in village.boards), *(meter.id for meter in village.meters)), "device id")
    _refuse_repeated((cutter.id for cutter in village.cutters), "cutter id")
    _refuse_repeated((line.link for line in village.lines if line.link), "link")


def _check_units(village: Village) -> None:
    lines = {line.id for line in village.lines}
    devices: tuple[_OnLine, ...] = (*village.boards, *village.meters)
    for device in devices:
        if device.line not in lines:
            raise VillageError(f"device {device.id} is on line {device.line}, which is not described")
    _refuse_repeated((f"{device.unit} of line {device.line}" for device in devices), "unit")


def _check_coils(village: Village) -> None:
    coils = {board.id: board.coils for board in village.boards}
    for meter in village.meters:
        if meter.board is not None and meter.coil >= coils.get(meter.board, 0):
            raise VillageError(f"meter {meter.id} hangs on coil {meter.coil} of {meter.board}, which is not described")
    _refuse_repeated((f"{meter.coil} of {meter.board}" for meter in village.meters if meter.board is not None), "coil")


def _check_faults(village: Village) -> None:
    meters = {meter.id for meter in village.meters}
    boards = {board.id for board in village.boards}
    for fault in village.faults:
        if fault.device not in meters | boards:
            raise VillageError(f"fault {fault.kind} is of device {fault.device}, which is not described")
        if fault.device in boards and fault.kind not in LINE_FAULTS:
            raise VillageError(f"relay board {fault.device} cannot have the fault {fault.kind}")
        if fault.ends_at <= fault.starts_at:
            raise VillageError(f"fault {fault.kind} of device {fault.device} ends before it starts")
