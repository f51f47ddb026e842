"""The description of a village: its lines, meters, relay boards, planned faults and network cutters, as a TOML file.

It decides what a valid description is; `site` builds the devices from it, the adapters the lines. Lines are either
Modbus, with meters and relay boards, or DLMS, with meters that have a switch, a clock and a memory of their own.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from device_sim.core.faults import LINE_FAULTS, FaultKind, FaultSettings
from device_sim.core.meter import MeterKind

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,32}\Z")]
Address = Annotated[str, msgspec.Meta(pattern=r"^[^:]+:[0-9]{1,5}\Z")]
"""`HOST:PORT`; port 0 lets the system choose."""
Unit = Annotated[int, msgspec.Meta(ge=1, le=247)]
DlmsUnit = Annotated[int, msgspec.Meta(ge=1, le=16_381)]
Key = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{32})?\Z")]
Secret = Annotated[str, msgspec.Meta(max_length=64)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
HDLC_UNITS_TAKEN = frozenset({126, 127})
"""Addresses that mean the calling device and all devices."""


class Transport(StrEnum):
    """How a line is reached."""

    TCP = "tcp"
    """Modbus TCP."""
    RTU_TCP = "rtu-tcp"
    """RTU frames over TCP, as a serial server passes them on."""
    PTY = "pty"
    """RTU frames over a pseudo-terminal, which looks like a serial port."""
    HDLC_TCP = "hdlc-tcp"
    """DLMS: HDLC frames over TCP, as a serial server passes them on."""
    HDLC_PTY = "hdlc-pty"
    """DLMS: HDLC frames over a pseudo-terminal."""
    WRAPPER_TCP = "wrapper-tcp"
    """DLMS: the wrapper over TCP."""
    WRAPPER_UDP = "wrapper-udp"
    """DLMS: the wrapper over UDP."""

    @property
    def is_hdlc(self) -> bool:
        return self in {Transport.HDLC_TCP, Transport.HDLC_PTY}

    @property
    def is_dlms(self) -> bool:
        return self in DLMS_TRANSPORTS


MODBUS_TRANSPORTS = (Transport.TCP, Transport.RTU_TCP, Transport.PTY)
DLMS_TRANSPORTS = (Transport.HDLC_TCP, Transport.WRAPPER_TCP, Transport.HDLC_PTY, Transport.WRAPPER_UDP)


class _Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts of a description have in common: no field is ignored."""


class LineSpec(_Described, frozen=True, kw_only=True):
    """One line that meters and relay boards share."""

    id: Name
    transport: Transport
    address: Address = "127.0.0.1:0"
    """Over TCP and UDP: where to listen."""
    link: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """Over a pseudo-terminal: the path of a symbolic link to the serial port; none if empty."""
    baud: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """Bits a second; exchanges then take as long as on a real line. 0 for no pacing."""
    info_bytes_max: Annotated[int, msgspec.Meta(ge=128, le=2030)] = 512
    """HDLC: what the meters grant for the information field of a frame."""
    window_max: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1
    """HDLC: how many frames they grant at once."""


class _OnLine(_Described, frozen=True, kw_only=True):
    id: Name
    line: Name


class BoardSpec(_OnLine, frozen=True, kw_only=True):
    """One relay board."""

    unit: Unit
    coils: Annotated[int, msgspec.Meta(ge=1, le=2000)]


class MeterSpec(_OnLine, frozen=True, kw_only=True):
    """One Modbus meter and the household behind it."""

    unit: Unit
    kind: MeterKind
    annual_kwh: Annotated[float, msgspec.Meta(ge=1.0, le=200_000.0)]
    start_wh: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0
    """What the meter shows when the village starts."""
    board: Name | None = None
    """The relay board that drives this household's switch; without one it has no switch."""
    coil: Annotated[int, msgspec.Meta(ge=0, le=1999)] = 0


class DlmsSecretsSpec(_Described, frozen=True, kw_only=True):
    """Passwords and keys; what is left out is made of the meter's name (`dlms_secrets`)."""

    reader_password: Secret = ""
    settings_secret: Secret = ""
    firmware_secret: Secret = ""
    push_secret: Secret = ""
    encryption: Key = ""
    """Of utility settings; 32 hexadecimal digits, as all keys."""
    firmware_encryption: Key = ""
    push_encryption: Key = ""
    authentication: Key = ""


class DlmsMeterSpec(_OnLine, frozen=True, kw_only=True):
    """One DLMS meter after IS 15959, category D1, with its own load switch, and the household behind it."""

    unit: DlmsUnit
    """Physical HDLC address, or wrapper port."""
    annual_kwh: Annotated[float, msgspec.Meta(ge=1.0, le=200_000.0)]
    start_wh: Annotated[int, msgspec.Meta(ge=0, le=4 * 10**9)] = 0
    """What the meter showed when its history began."""
    firmware: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "1.0.0"
    authentication: Literal["high", "high-gmac"] = "high"
    """HLS of utility settings and firmware: mechanism 2 or 5."""
    peer_counters: Literal["strict", "per-association", "unchecked"] = "strict"
    """What it demands of its clients' invocation counters."""
    pdu_bytes_max: Annotated[int, msgspec.Meta(ge=64, le=65_535)] = 1024
    capture_period_s: Literal[300, 600, 900, 1800, 3600] = 900
    """Block load profile."""
    load_limit_w: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """0 for none."""
    clock_offset_s: Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)] = 0
    """By how much its clock was ahead when its history began."""
    drift_ppm: Annotated[int, msgspec.Meta(ge=-10_000, le=10_000)] = 0
    states_deviation: bool = True
    """Whether its times carry the deviation from UTC."""
    push_ciphered: bool = False
    secrets: DlmsSecretsSpec = DlmsSecretsSpec()


class PushSpec(_Described, frozen=True, kw_only=True):
    """Where DLMS meters send what they say by themselves, until somebody writes another destination into them."""

    address: Address
    transport: Literal["tcp", "udp"] = "tcp"
    client_title: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{16}\Z")] = "5750484553303031"
    """System title of the receiver of ciphered pushes."""


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
    dlms_meters: list[DlmsMeterSpec] = []
    history_days: Annotated[int, msgspec.Meta(ge=0, le=60)] = 2
    """How long DLMS meters have been capturing before the village starts; each day costs 25 ms of start a meter."""
    push: PushSpec | None = None
    """Nowhere if left out."""
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
    _refuse_repeated((device.id for device in (*village.boards, *village.meters, *village.dlms_meters)), "device id")
    _refuse_repeated((cutter.id for cutter in village.cutters), "cutter id")
    _refuse_repeated((line.link for line in village.lines if line.link), "link")


def _check_units(village: Village) -> None:
    lines = {line.id: line.transport for line in village.lines}
    devices: tuple[BoardSpec | MeterSpec | DlmsMeterSpec, ...] = (
        *village.boards,
        *village.meters,
        *village.dlms_meters,
    )
    for device in devices:
        transport = lines.get(device.line)
        if transport is None:
            raise VillageError(f"device {device.id} is on line {device.line}, which is not described")
        if transport.is_dlms is not isinstance(device, DlmsMeterSpec):
            raise VillageError(f"device {device.id} is on line {device.line}, whose transport {transport} it lacks")
        if transport.is_hdlc and device.unit in HDLC_UNITS_TAKEN:
            raise VillageError(f"meter {device.id} has the HDLC address {device.unit}, which is no single meter's")
    _refuse_repeated((f"{device.unit} of line {device.line}" for device in devices), "unit")


def _check_coils(village: Village) -> None:
    coils = {board.id: board.coils for board in village.boards}
    for meter in village.meters:
        if meter.board is not None and meter.coil >= coils.get(meter.board, 0):
            raise VillageError(f"meter {meter.id} hangs on coil {meter.coil} of {meter.board}, which is not described")
    _refuse_repeated((f"{meter.coil} of {meter.board}" for meter in village.meters if meter.board is not None), "coil")


def _check_faults(village: Village) -> None:
    dlms_meters = {meter.id for meter in village.dlms_meters}
    meters = {meter.id for meter in village.meters} | dlms_meters
    boards = {board.id for board in village.boards}
    for fault in village.faults:
        if fault.device not in meters | boards:
            raise VillageError(f"fault {fault.kind} is of device {fault.device}, which is not described")
        if fault.device in boards and fault.kind not in LINE_FAULTS:
            raise VillageError(f"relay board {fault.device} cannot have the fault {fault.kind}")
        if fault.kind is FaultKind.SKEWED and fault.device not in dlms_meters:
            raise VillageError(f"meter {fault.device} has no clock that could have the fault {fault.kind}")
        if fault.ends_at <= fault.starts_at:
            raise VillageError(f"fault {fault.kind} of device {fault.device} ends before it starts")
