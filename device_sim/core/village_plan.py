"""A village made up from a few numbers, as the text of its description: what `wattpost sim village` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_sim.core.meter import MODELS, MeterKind
from device_sim.core.village import Transport, VillageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

UNITS_PER_LINE_MAX: Final = 246
"""Modbus has 247 addresses; the last is the relay board's."""
BOARD_UNIT: Final = 247
_KINDS: Final = (
    *(MeterKind.SDM120, MeterKind.EM112, MeterKind.SDM120, MeterKind.EM112),
    *(MeterKind.SDM120, MeterKind.IEM3155, MeterKind.EM112, MeterKind.ADW300),
)
"""Dealt out in turn: three in four households have a single phase."""


def village_text(
    *, seed: int, meter_count: int, line_count: int, transport: Transport, port_base: int, link_folder: str, rng: Random
) -> str:
    """Return a village's description as TOML.

    Args:
        seed: Goes into the description.
        meter_count: Dealt to the lines in turn.
        line_count: Lines, each with a relay board that switches all its meters.
        transport: Of all lines.
        port_base: The first line's TCP port, the others follow; 0 lets the system choose each.
        link_folder: Where lines on pseudo-terminals have their links; none if empty.
        rng: Draws the households.

    Raises:
        VillageError: More meters than the lines have addresses.
    """
    if meter_count > line_count * UNITS_PER_LINE_MAX:
        raise VillageError(f"{meter_count} meters do not fit on {line_count} lines of {UNITS_PER_LINE_MAX} addresses")
    parts = [f"seed = {seed}\nutc_offset_min = 330\n"]
    for line in range(line_count):
        coil_count = len(range(line, meter_count, line_count))
        parts.append(_line_text(line, transport, port_base + line if port_base else 0, link_folder))
        if coil_count:
            parts.append(_board_text(line + 1, coil_count))
    parts.extend(_meter_texts(meter_count, line_count, rng))
    return "\n".join(parts)


def _line_text(line: int, transport: Transport, port: int, link_folder: str) -> str:
    place = f'address = "127.0.0.1:{port}"'
    if transport is Transport.PTY:
        place = f'link = "{link_folder}/line-{line + 1}"' if link_folder else 'link = ""'
    return f'[[lines]]\nid = "line-{line + 1}"\ntransport = "{transport}"\n{place}\n'


def _board_text(line: int, coil_count: int) -> str:
    return f'[[boards]]\nid = "board-{line}"\nline = "line-{line}"\nunit = {BOARD_UNIT}\ncoils = {coil_count}\n'


def _meter_texts(meter_count: int, line_count: int, rng: Random) -> Iterator[str]:
    for index in range(meter_count):
        line, coil = index % line_count + 1, index // line_count
        kind = _KINDS[index % len(_KINDS)]
        annual_kwh = rng.lognormvariate(7.3, 0.35) * MODELS[kind].phase_count
        yield (
            f'[[meters]]\nid = "m-{index + 1:03}"\nline = "line-{line}"\nunit = {coil + 1}\nkind = "{kind}"\n'
            f"annual_kwh = {annual_kwh:.0f}\nstart_wh = {rng.randrange(9_000_000)}\n"
            f'board = "board-{line}"\ncoil = {coil}\n'
        )
