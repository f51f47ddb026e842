"""The command `wattpost sim`: runs a simulated village, or prints the description of one."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random

import click
import msgspec

from device_sim.adapters.secret_files import write_secret_files
from device_sim.app import Simulation, load_village, run
from device_sim.core.dlms_making import secrets_from
from device_sim.core.village import DLMS_TRANSPORTS, MODBUS_TRANSPORTS, Transport, VillageError
from device_sim.core.village_plan import UNITS_PER_LINE_MAX, plan_lines, village_text
from wire.runtime.clock import Clock, clock_from_text
from wire.runtime.errors import ConfigError

LINES_MAX = 64
METERS_MAX = LINES_MAX * UNITS_PER_LINE_MAX
MIXED = "mixed"
MIXTURE = (Transport.HDLC_TCP, Transport.WRAPPER_TCP)
WALL_MS_MAX = 7_258_118_400_000
"""The year 2200: beyond it a clock is set wrong."""


@click.group()
def main() -> None:
    """Run simulated meters and relays.

    A village is a TOML file: lines, Modbus and DLMS meters with a household behind each, relay boards, planned faults,
    and network cutters. Make one and run it:

    \b
      wattpost sim village --meters 32 --lines 3 --dlms-meters 16 > village.toml
      wattpost sim run village.toml
    """  # noqa: D301 - click wants a real backspace here


@main.command("run")
@click.argument("village", type=click.Path(path_type=Path))
@click.option(
    "--clock",
    "clock_text",
    default="",
    metavar="RATE@REAL=WALL",
    help="Site clock: RATE times as fast as real time, showing WALL at the real time REAL (Unix ms).",
)
@click.option("--truth", type=click.Path(path_type=Path), help="Truth log, in place of the description's truth_log.")
def run_command(village: Path, clock_text: str, truth: Path | None) -> None:
    """Run the village described in the file VILLAGE.

    Once everything listens, one line of JSON goes to standard output:

    \b
      {"ready": true, "site_ms": …, "control": "127.0.0.1:40001", "lines": {"line-1": "127.0.0.1:40002"}, …}

    It runs until SIGTERM or SIGINT. A day in a minute, beginning on 1 June 2026 UTC:

    \b
      wattpost sim run village.toml --clock "1440@$(date +%s)000=1780272000000"
    """  # noqa: D301 - click wants a real backspace here
    described = load_village(village)
    if truth is not None:
        described = msgspec.structs.replace(described, truth_log=str(truth))
    clock = _clock(clock_text)

    def ready(running: Simulation) -> None:
        print(json.dumps({"ready": True, "site_ms": clock.wall_ms(), **running.described()}), flush=True)

    asyncio.run(run(described, clock=clock, ready=ready))


@main.command("village")
@click.option(
    "--meters",
    "meter_count",
    type=click.IntRange(0, METERS_MAX),
    default=48,
    show_default=True,
    help="Modbus meters, switched by relay boards.",
)
@click.option("--lines", "line_count", type=click.IntRange(1, LINES_MAX), default=3, show_default=True)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Same seed, same village."
)
@click.option(
    "--transport",
    type=click.Choice([kind.value for kind in MODBUS_TRANSPORTS]),
    default=Transport.RTU_TCP.value,
    show_default=True,
)
@click.option(
    "--dlms-meters",
    "dlms_meter_count",
    type=click.IntRange(0, METERS_MAX),
    default=0,
    show_default=True,
    help="DLMS meters, with a switch of their own.",
)
@click.option("--dlms-lines", "dlms_line_count", type=click.IntRange(1, LINES_MAX), default=2, show_default=True)
@click.option(
    "--dlms-transport",
    type=click.Choice([MIXED, *(kind.value for kind in DLMS_TRANSPORTS)]),
    default=MIXED,
    show_default=True,
    help="Mixed: HDLC and wrapper over TCP in turn.",
)
@click.option(
    "--port", "port_base", type=click.IntRange(0, 65_000), default=0, help="Of the first line; 0: any free ones."
)
@click.option("--links", "link_folder", default="", help="Folder for the serial ports of pty lines.")
def village_command(
    *,
    meter_count: int,
    line_count: int,
    seed: int,
    transport: str,
    dlms_meter_count: int,
    dlms_line_count: int,
    dlms_transport: str,
    port_base: int,
    link_folder: str,
) -> None:
    """Print the description of a village.

    \b
      wattpost sim village --meters 250 --lines 4 --seed 7 --port 5020
      wattpost sim village --meters 12 --lines 1 --transport pty --links ports
      wattpost sim village --meters 32 --dlms-meters 16
      wattpost sim village --meters 0 --dlms-meters 32 --dlms-lines 1 --dlms-transport hdlc-pty --links ports
    """  # noqa: D301 - click wants a real backspace here
    dlms_transports = MIXTURE if dlms_transport == MIXED else (Transport(dlms_transport),)
    try:
        lines = []
        if meter_count:
            lines += plan_lines("line", (Transport(transport),), line_count=line_count, meter_count=meter_count)
        if dlms_meter_count:
            lines += plan_lines("dlms", dlms_transports, line_count=dlms_line_count, meter_count=dlms_meter_count)
    except VillageError as exc:
        raise ConfigError("--meters", str(exc), "give more lines") from exc
    rng = Random(seed)  # noqa: S311 - a village, no secret
    print(village_text(seed=seed, lines=lines, port_base=port_base, link_folder=link_folder, rng=rng), end="")


@main.command("secrets")
@click.argument("village", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def secrets_command(village: Path, folder: Path) -> None:
    """Write the secrets of the DLMS meters in VILLAGE to FOLDER, for the configuration of a gateway.

    For each meter: METER.reader, .utility and .firmware (what it authenticates with), .guek, .gak, .firmware-guek and
    .push-guek (keys). They are made of the meter's name where the description gives none, and guard nothing.
    """
    for meter in load_village(village).dlms_meters:
        try:
            write_secret_files(folder, meter.id, secrets_from(meter.id, meter.secrets))
        except OSError as exc:
            raise ConfigError(str(folder), exc.strerror or str(exc), "name a folder that can be written") from exc


def _clock(text: str) -> Clock:
    remedy = "give RATE@REAL=WALL, times in Unix ms"
    try:
        clock = clock_from_text(text)
    except ValueError as exc:
        raise ConfigError("--clock", str(exc), remedy) from exc
    if not 0 <= clock.wall_ms() < WALL_MS_MAX:
        raise ConfigError("--clock", "the site clock shows a time before 1970 or after 2200", remedy)
    return clock


if __name__ == "__main__":
    from wire.runtime.console import ENTRIES
    from wire.runtime.console import run as run_console

    run_console(["sim", *sys.argv[1:]], entries=ENTRIES)
