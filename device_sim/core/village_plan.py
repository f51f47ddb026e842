"""A village made up from a few numbers, as the text of its description: what `wattpost sim village` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.meter import MODELS, MeterKind
from device_sim.core.village import HDLC_UNITS_TAKEN, Transport, VillageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

UNITS_PER_LINE_MAX: Final = 246
"""Modbus has 247 addresses; the last is the relay board's."""
BOARD_UNIT: Final = 247
HDLC_UNIT_FIRST: Final = 17
"""Lower HDLC addresses below 16 are reserved (Green Book 8.4.2.4)."""
WRAPPER_UNIT_FIRST: Final = 1
_KINDS: Final = (
    *(MeterKind.SDM120, MeterKind.EM112, MeterKind.SDM120, MeterKind.EM112),
    *(MeterKind.SDM120, MeterKind.IEM3155, MeterKind.EM112, MeterKind.ADW300),
)
"""Dealt out in turn: three in four households have a single phase."""


@dataclass(frozen=True, slots=True)
class LinePlan:
    """One line and how many meters are on it."""

    id: str
    transport: Transport
    meter_count: int


def plan_lines(prefix: str, transports: Sequence[Transport], *, line_count: int, meter_count: int) -> list[LinePlan]:
    """Return lines with the meters dealt to them in turn, and the transports too.

    Raises:
        VillageError: More meters than the lines have addresses.
    """
    if meter_count > line_count * UNITS_PER_LINE_MAX:
        raise VillageError(f"{meter_count} meters do not fit on {line_count} lines of {UNITS_PER_LINE_MAX} addresses")
    return [
        LinePlan(f"{prefix}-{line + 1}", transports[line % len(transports)], len(range(line, meter_count, line_count)))
        for line in range(line_count)
    ]


def village_text(*, seed: int, lines: Sequence[LinePlan], port_base: int, link_folder: str, rng: Random) -> str:
    """Return a village's description as TOML.

    Args:
        seed: Goes into the description.
        lines: A Modbus line has a relay board that switches all its meters; DLMS meters switch by themselves.
        port_base: The first line's port, the others follow; 0 lets the system choose each.
        link_folder: Where lines on pseudo-terminals have their links; none if empty.
        rng: Draws the households.
    """
    parts = [f"seed = {seed}\nutc_offset_min = 330\n"]
    for place, line in enumerate(lines):
        parts.append(_line_text(line, port_base + place if port_base else 0, link_folder))
        if line.meter_count and not line.transport.is_dlms:
            parts.append(_board_text(line))
    modbus = [line for line in lines if not line.transport.is_dlms]
    dlms = [line for line in lines if line.transport.is_dlms]
    parts.extend(_meter_text(index, line, place, rng) for index, (line, place) in enumerate(_in_turn(modbus)))
    parts.extend(_dlms_meter_text(index, line, place, rng) for index, (line, place) in enumerate(_in_turn(dlms)))
    return "\n".join(parts)


def _in_turn(lines: Sequence[LinePlan]) -> Iterator[tuple[LinePlan, int]]:
    """Yield line and place on it of each meter: one of each line, then the next of each line."""
    for place in range(max((line.meter_count for line in lines), default=0)):
        yield from ((line, place) for line in lines if place < line.meter_count)


def _line_text(line: LinePlan, port: int, link_folder: str) -> str:
    place = f'address = "127.0.0.1:{port}"'
    if line.transport in {Transport.PTY, Transport.HDLC_PTY}:
        place = f'link = "{link_folder}/{line.id}"' if link_folder else 'link = ""'
    return f'[[lines]]\nid = "{line.id}"\ntransport = "{line.transport}"\n{place}\n'


def _board_id(line: LinePlan) -> str:
    return f"board-{line.id.removeprefix('line-')}"


def _board_text(line: LinePlan) -> str:
    return (
        f'[[boards]]\nid = "{_board_id(line)}"\nline = "{line.id}"\nunit = {BOARD_UNIT}\ncoils = {line.meter_count}\n'
    )


def _meter_text(index: int, line: LinePlan, place: int, rng: Random) -> str:
    kind = _KINDS[index % len(_KINDS)]
    annual_kwh = _annual_kwh(rng) * MODELS[kind].phase_count
    return (
        f'[[meters]]\nid = "m-{index + 1:03}"\nline = "{line.id}"\nunit = {place + 1}\nkind = "{kind}"\n'
        f"annual_kwh = {annual_kwh:.0f}\nstart_wh = {rng.randrange(9_000_000)}\n"
        f'board = "{_board_id(line)}"\ncoil = {place}\n'
    )


def _dlms_meter_text(index: int, line: LinePlan, place: int, rng: Random) -> str:
    unit = WRAPPER_UNIT_FIRST + place
    if line.transport.is_hdlc:
        unit = HDLC_UNIT_FIRST + place
        unit += len(HDLC_UNITS_TAKEN) if unit >= min(HDLC_UNITS_TAKEN) else 0
    return (
        f'[[dlms_meters]]\nid = "d-{index + 1:03}"\nline = "{line.id}"\nunit = {unit}\n'
        f"annual_kwh = {_annual_kwh(rng):.0f}\nstart_wh = {rng.randrange(9_000_000)}\n"
    )


def _annual_kwh(rng: Random) -> float:
    return rng.lognormvariate(7.3, 0.35)
