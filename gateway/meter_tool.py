"""The command `wattpost gateway meter`: speak to one meter, with the gateway's own driver and configuration.

For technicians, and for tests. It takes the gateway's store for itself, since invocation counters and the line have one
owner: a gateway that runs has to be stopped first. Results go to standard output, as text or as one JSON object;
progress and errors go to standard error.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from gateway.adapters.disk_shelf import DiskShelf
from gateway.adapters.dlms.access import DlmsMeter
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts
from gateway.adapters.meters import dlms_driver, dlms_meters, load_site_profiles
from gateway.adapters.sqlite_store import SqliteStore
from gateway.config import Config, clock_of, load_config
from gateway.ports import (
    BusError,
    DisagreedError,
    GarbledError,
    LineDownError,
    MeterRefusedError,
    MeterUnavailableError,
    UntrustedError,
)
from wire.keys import Purpose
from wire.runtime.clock import Clock
from wire.runtime.errors import ConfigError
from wire.runtime.keyring import load_key

EXIT_REFUSED = 77
EXIT_UNAVAILABLE = 69
EXIT_GARBLED = 76
_EXITS: dict[type[BusError], tuple[int, str]] = {
    LineDownError: (EXIT_UNAVAILABLE, "look at the port or address of the line, and whether anything else uses it"),
    MeterUnavailableError: (EXIT_UNAVAILABLE, "look at the meter's power, wiring and address, and at answer_ms_max"),
    MeterRefusedError: (EXIT_REFUSED, "look at the secret and the rights of the role, and at what this meter can do"),
    UntrustedError: (EXIT_REFUSED, "look at the key files, and whether this is the meter they are for"),
    DisagreedError: (EXIT_REFUSED, "look at the meter itself"),
    GarbledError: (EXIT_GARBLED, "look at the line: parity, speed, termination, two meters of one address"),
}
LINE_WAITS_MAX = 3
"""How often a line that hangs up is opened again before the command fails."""

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Bench:
    """One meter and what it takes to speak to it."""

    driver: DlmsDriver
    meter: DlmsMeter
    clock: Clock

    @property
    def utc_less_tick_ms(self) -> int:
        return self.clock.wall_ms() - self.clock.tick_ms()

    @property
    def now_s(self) -> int:
        return self.clock.wall_ms() // 1_000


@dataclass(frozen=True, slots=True)
class _Target:
    config: Path
    meter: str


@click.group(
    name="meter",
    help="Speak to the DLMS meter METER of the gateway that CONFIG describes; stop that gateway first.",
    epilog="Exit codes: 69 the line or meter does not answer, 76 what it answers makes no sense, 77 it refuses or "
    "cannot be trusted, 78 the configuration does not hold. "
    "Example: wattpost gateway meter gateway.toml SM-000001 read",
)
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("meter")
@click.pass_context
def meter_group(context: click.Context, config: Path, meter: str) -> None:
    """Keep what all commands about one meter need."""
    context.obj = _Target(config, meter)


def on_bench(
    work: Callable[Concatenate[Bench, P], Awaitable[dict[str, Any]]],
) -> Callable[Concatenate[click.Context, P], None]:
    """Turn work with a meter into a command that prints what came of it."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @click.pass_context
    @wraps(work)
    def command(context: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        target: _Target = context.obj
        try:
            result = asyncio.run(_with_bench(target, lambda bench: work(bench, *args, **kwargs)))
        except BusError as error:
            _fail(error)
        else:
            click.echo(json.dumps(result) if as_json else _as_text(result))

    return command  # type: ignore[return-value]  # click.pass_context gives the context itself


def _fail(error: BusError) -> None:
    code, remedy = next(
        (found for kind in type(error).__mro__ if (found := _EXITS.get(kind)) is not None), (EXIT_GARBLED, "")
    )
    click.echo(f"Error: {error.reason}: {error} - {remedy}", err=True)
    sys.exit(code)


async def _with_bench(target: _Target, work: Callable[[Bench], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    config = load_config(target.config)
    store = SqliteStore(Path(config.store.path))
    try:
        bench = _bench(config, target, store)
        try:
            return await _patiently(lambda: work(bench))
        finally:
            bench.driver.reset()
    finally:
        store.close()


def _bench(config: Config, target: _Target, store: SqliteStore) -> Bench:
    """Make the driver of the line that a meter is on.

    Raises:
        ConfigError: There is no such meter, or it speaks no DLMS.
    """
    line = next((line for line in config.lines for meter in line.meters if meter.id == target.meter), None)
    if line is None or line.protocol == "modbus":
        known = [meter.id for line in config.lines if line.protocol != "modbus" for meter in line.meters]
        problem = f"no DLMS meter {target.meter!r}"
        raise ConfigError(str(target.config), problem, f"use one of {', '.join(known) or 'those you add to it'}")
    clock = clock_of(config)
    shelf = DiskShelf(store)
    key = load_key(Path(config.key_file), purpose=Purpose.GATEWAY)
    meters = dlms_meters(line, load_site_profiles(config.profiles_folder), gateway=key.public.party)
    ports = DriverPorts(clock=clock, shelf=shelf, counters=CounterBook(shelf), fresh_bytes=secrets.token_bytes)
    return Bench(dlms_driver(line, meters, ports), meters[target.meter], clock)


async def _patiently(work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Do something again as long as only a broken connection keeps it from being done."""
    for _ in range(LINE_WAITS_MAX - 1):
        try:
            return await work()
        except LineDownError as error:
            if error.retry_in_ms:
                raise
    return await work()


def _as_text(result: dict[str, Any]) -> str:
    lines = []
    for key, value in result.items():
        if isinstance(value, list):
            lines += [f"{key}:", *("  " + _row_text(row) for row in value)]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)


def _row_text(row: object) -> str:
    if isinstance(row, dict):
        return "  ".join(f"{key}={value}" for key, value in row.items() if value not in (None, ""))
    return str(row)
