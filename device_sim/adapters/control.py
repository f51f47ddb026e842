"""The control socket of a simulation: one JSON object a line in, one JSON object a line out, in order.

A request names its command in `command`; the reply has `ok`, and `error` in words if that is false. It is meant for
tests and demonstrations on loopback and asks nobody who they are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from device_sim.adapters.cutter import CutMode, NetworkCutter
from device_sim.core.faults import FaultSettings
from device_sim.core.site import Site, UnknownDeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device_sim.adapters.meter_life import MeterLife
    from device_sim.adapters.truth import Truth
    from device_sim.core.dlms_meter import DlmsMeter
    from wire.runtime.clock import Clock

LINE_BYTES_MAX: Final = 16 * 1024
Name = Annotated[str, msgspec.Meta(max_length=32)]


class _Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command"):
    """A request; the tag tells which."""


class StateCommand(_Command, frozen=True, kw_only=True, tag="state"):
    """Tell how meters and households stand: one, or all."""

    meter: Name | None = None


class FaultCommand(
    FaultSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag="fault"
):
    """Switch a fault on or off from now on, whatever was planned for its kind."""

    device: Name
    on: bool


class RelayCommand(_Command, frozen=True, kw_only=True, tag="relay"):
    """Tell how a household's switch stands; with `closed`, move it by hand first, unless it is inside the meter."""

    meter: Name
    closed: bool | None = None


class PowerCommand(_Command, frozen=True, kw_only=True, tag="power"):
    """Take the mains away from a DLMS meter and its household, or give them back."""

    meter: Name
    on: bool


class EventCommand(_Command, frozen=True, kw_only=True, tag="event"):
    """Let something happen to a DLMS meter that it logs under a code, such as 251: its cover is opened."""

    meter: Name
    code: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)]


class WeldCommand(_Command, frozen=True, kw_only=True, tag="weld"):
    """Let the contacts of a DLMS meter's switch stick, or repair them."""

    meter: Name
    welded: bool


class ButtonCommand(_Command, frozen=True, kw_only=True, tag="button"):
    """Press the button of a DLMS meter."""

    meter: Name


class TruthCommand(_Command, frozen=True, kw_only=True, tag="truth"):
    """Write the truth log to its file and tell the counts of every device."""


class CutterCommand(_Command, frozen=True, kw_only=True, tag="cutter"):
    """Make a network bad or good again: exactly one of the four."""

    cutter: Name
    cut: CutMode | None = None
    restore: bool = False
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] | None = None
    drop_after_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**40)] | None = None


MeterCommand = PowerCommand | EventCommand | WeldCommand | ButtonCommand
Command = StateCommand | FaultCommand | RelayCommand | MeterCommand | TruthCommand | CutterCommand


class CommandError(ValueError):
    """Raised when a command cannot be done as it stands."""


class Control:
    """Carries commands out."""

    def __init__(
        self, *, site: Site, life: MeterLife, clock: Clock, truth: Truth, cutters: Mapping[str, NetworkCutter]
    ) -> None:
        self._site = site
        self._life = life
        self._clock = clock
        self._truth = truth
        self._cutters = dict(cutters)
        self._connections: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self.answer(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            # The peer is gone, or sent a line beyond all bounds: it loses its connection, nothing else.
            return
        finally:
            self._connections.discard(writer)
            writer.close()

    async def close(self) -> None:
        """End all connections."""
        for writer in tuple(self._connections):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def answer(self, line: bytes) -> dict[str, Any]:
        """Return the reply to one request."""
        try:
            command: Command = msgspec.json.decode(line, type=Command)
            return {"ok": True, **await self._perform(command)}
        except (msgspec.DecodeError, CommandError, UnknownDeviceError) as exc:
            return {"ok": False, "error": str(exc)}

    async def _perform(self, command: Command) -> dict[str, Any]:
        now_ms = self._clock.wall_ms()
        match command:
            case StateCommand(meter=meter):
                meters = self._site.meters if meter is None else (meter,)
                return {"site_ms": now_ms, "meters": [self._site.state(each, now_ms=now_ms) for each in meters]}
            case FaultCommand(device=device, on=on):
                self._site.switch_fault(device, command, on=on)
                return {}
            case RelayCommand(meter=meter, closed=closed):
                if closed is not None:
                    self._site.switch_relay(meter, closed=closed, now_ms=now_ms)
                state = self._site.state(meter, now_ms=now_ms)
                return {"meter": meter, "relay_closed": state.relay_closed, "energised": state.energised}
            case PowerCommand() | EventCommand() | WeldCommand() | ButtonCommand():
                found = self._site.dlms_meter(command.meter)
                self._happen(found, command, now_ms)
                self._life.settle(found)
                return {"meter": found.id, "dlms": found.state()}
            case TruthCommand():
                await self._truth.flush()
                return {"site_ms": now_ms, "devices": dict(self._truth.tallies)}
            case CutterCommand():
                return await self._perform_on_network(command)

    def _happen(self, meter: DlmsMeter, command: MeterCommand, now_ms: int) -> None:
        """Let something happen to a DLMS meter."""
        device = meter.device
        match command:
            case PowerCommand(on=True):
                device.restore_power(now_ms=now_ms)
            case PowerCommand():
                device.fail_power(now_ms=now_ms)
            case EventCommand(code=code):
                device.happen(code, now_ms=now_ms)
            case WeldCommand(welded=welded):
                device.weld_relay(is_welded=welded, now_ms=now_ms)
            case ButtonCommand():
                device.press_button(now_ms=now_ms)

    async def _perform_on_network(self, command: CutterCommand) -> dict[str, Any]:
        cutter = self._cutters.get(command.cutter)
        if cutter is None:
            raise CommandError(f"no cutter {command.cutter}")
        match command:
            case CutterCommand(cut=CutMode() as mode, restore=False, delay_ms=None, drop_after_bytes=None):
                await cutter.cut(mode)
            case CutterCommand(cut=None, restore=True, delay_ms=None, drop_after_bytes=None):
                await cutter.restore()
            case CutterCommand(cut=None, restore=False, delay_ms=int(delay_ms), drop_after_bytes=None):
                cutter.delay(delay_ms)
            case CutterCommand(cut=None, restore=False, delay_ms=None, drop_after_bytes=int(byte_count)):
                cutter.drop_after(byte_count)
            case _:
                raise CommandError("a cutter takes exactly one of cut, restore, delay_ms and drop_after_bytes")
        return {"cutter": command.cutter, "is_cut": cutter.is_cut}
