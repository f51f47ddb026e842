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
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dlms.axdr.tags import BitString
from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.units import SYMBOLS
from dlms.errors import DecodeError
from dlms.obis import obis, obis_text
from gateway.adapters.disk_shelf import DiskShelf
from gateway.adapters.dlms.access import DlmsMeter
from gateway.adapters.dlms.controls import Periods
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts, Found
from gateway.adapters.dlms.images import IMAGE_BYTES_MAX, Image, ImageProgress, Stage
from gateway.adapters.meters import dlms_driver, dlms_meters, load_site_profiles
from gateway.adapters.sqlite_store import SqliteStore
from gateway.config import Config, clock_of, load_config
from gateway.core.acquisition import Captured, Logged, ReadCaptured, ReadLog, TaskRefused
from gateway.core.coverage import Span
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
from wire.readings import Channel
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
IMAGE_FAILURES_MAX = 5
"""Failures in a row after which the transfer of an image is given up; called again, it goes on."""
VERIFY_PAUSE_S = 1.0
VERIFY_PAUSES_MAX = 300
DAY_S = 86_400

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


# ---- reading ---------------------------------------------------------------------------------------------------------


@meter_group.command(
    help="Read present values, or the attributes named: OBIS, or CLASS:OBIS:ATTRIBUTE.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 read 1.0.1.8.0.255 1:0.0.96.1.0.255:2 --json",
)
@click.argument("attributes", nargs=-1)
@on_bench
async def read(bench: Bench, attributes: tuple[str, ...]) -> dict[str, Any]:
    """Read attributes."""
    wanted = [_attribute(text, bench) for text in attributes] or [
        AttributeRef(channel.class_id, obis(channel.obis), channel.attribute, VALUE)
        for channel in bench.meter.profile.channels
    ]
    found = await bench.driver.attributes(bench.meter.id, wanted)
    return {"meter": bench.meter.id, "values": [_found(each) for each in found]}


def _attribute(text: str, bench: Bench) -> AttributeRef[Value]:
    """Return the attribute that a person names."""
    head, _, rest = text.partition(":")
    name, _, attribute = rest.partition(":")
    try:
        if rest:
            return AttributeRef(int(head), obis(name), int(attribute or 2), VALUE)
        known = {channel.obis: channel for channel in bench.meter.profile.channels}
        class_id = known[text].class_id if text in known else 3
        return AttributeRef(class_id, obis(text), 2, VALUE)
    except (DecodeError, ValueError) as error:
        raise click.BadParameter(f"{text!r}: write OBIS or CLASS:OBIS:ATTRIBUTE ({error})") from error


def _found(found: Found) -> dict[str, Any]:
    ref = found.attribute
    shown: dict[str, Any] = {"class": ref.class_id, "obis": obis_text(ref.name), "attribute": ref.index}
    if found.refusal:
        return shown | {"refused": found.refusal}
    shown["value"] = _plain(found.value)
    if found.scaler_unit is not None:
        shown |= {"scaler": found.scaler_unit.scaler, "unit": found.scaler_unit.symbol}
    return shown


def _plain(value: Value) -> Any:
    """Return a value as JSON has it: bytes as hexadecimal digits, bits as a string of 0 and 1."""
    match value:
        case bytes():
            return value.hex()
        case BitString():
            return "".join("01"[value[index]] for index in range(len(value)))
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


@meter_group.command(
    help="Read the rows of a profile (block, daily, billing, or its OBIS) of the last days.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 profile block --days 1 --json",
)
@click.argument("name")
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=3_660), default=1.0, show_default=True)
@on_bench
async def profile(bench: Bench, name: str, days: float) -> dict[str, Any]:
    """Read a profile."""
    item = next((each for each in bench.meter.profile.captured if name in {each.kind, each.obis}), None)
    if item is None:
        known = ", ".join(each.kind for each in bench.meter.profile.captured)
        raise click.BadParameter(f"{name!r}: this make has {known}")
    spans = (Span(bench.now_s - round(days * DAY_S), bench.now_s + DAY_S),)
    channels: tuple[Channel, ...] = ()
    rows: list[dict[str, Any]] = []
    async for event in bench.driver.visit(bench.meter.id, (ReadCaptured(profile=item.name, spans=spans),)):
        if isinstance(event, TaskRefused):
            raise MeterRefusedError(event.detail, code=0)
        if isinstance(event, Captured):
            channels = event.channels
            rows += [{"captured_s": row.captured_s, "values": list(row.values)} for row in event.rows]
    columns = [
        {"obis": obis_text(channel.obis), "scaler": channel.scaler, "unit": SYMBOLS.get(channel.unit, "")}
        for channel in channels
    ]
    return {"meter": bench.meter.id, "profile": item.obis, "columns": columns, "rows": rows}


@meter_group.command(
    help="Read an event log by its name in the meter's profile, such as power or control.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 log power",
)
@click.argument("name")
@on_bench
async def log(bench: Bench, name: str) -> dict[str, Any]:
    """Read an event log."""
    make = bench.meter.profile
    item = next((each for each in make.logs if name in {each.name, each.obis}), None)
    if item is None:
        raise click.BadParameter(f"{name!r}: this make has {', '.join(each.name for each in make.logs)}")
    entries = []
    async for event in bench.driver.visit(bench.meter.id, (ReadLog(log=item.log, known_sequence=None, known_s=0),)):
        if isinstance(event, TaskRefused):
            raise MeterRefusedError(event.detail, code=0)
        if isinstance(event, Logged):
            entries += [
                {
                    "captured_s": entry.captured_s,
                    "number": entry.number,
                    "name": make.by_number[entry.number].name if entry.number in make.by_number else "",
                }
                for entry in event.entries
            ]
    return {"meter": bench.meter.id, "log": item.obis, "entries": entries}


# ---- telling ---------------------------------------------------------------------------------------------------------


@meter_group.command(
    help="Compare the meter's clock with this machine's; with --set, set it.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 clock --set",
)
@click.option("--set", "sets", is_flag=True, help="Set the meter's clock to this machine's.")
@on_bench
async def clock(bench: Bench, *, sets: bool) -> dict[str, Any]:
    """Read or set the clock."""
    sights = await bench.driver.compare_clock(bench.meter.id, utc_less_tick_ms=bench.utc_less_tick_ms, sets=sets)
    result = {"meter": bench.meter.id, "meter_ms": sights[0].meter_ms, "offset_ms": sights[0].offset_ms}
    return result | ({"offset_after_ms": sights[-1].offset_ms} if sets else {})


@meter_group.command(
    help="Show the meter's relay, or bring it into STATE; it counts only once the meter shows it.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 relay open",
)
@click.argument("state", type=click.Choice(["show", "open", "close"]), default="show")
@on_bench
async def relay(bench: Bench, state: str) -> dict[str, Any]:
    """Read or switch the relay."""
    if state == "show":
        sight = await bench.driver.read_relay(bench.meter.id)
    else:
        sight = await bench.driver.switch_relay(bench.meter.id, closed=state == "close")
        if sight.is_closed is not (state == "close"):
            raise DisagreedError(f"the relay is {sight.state.name.lower().replace('_', ' ')}: press the meter's button")
    return {"meter": bench.meter.id, "closed": sight.is_closed, "state": sight.state.name.lower()}


@meter_group.command(
    help="Show the power limit of the meter, or set it to WATTS.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 limit 3000",
)
@click.argument("watts", type=click.IntRange(min=0, max=10_000_000), required=False)
@on_bench
async def limit(bench: Bench, watts: int | None) -> dict[str, Any]:
    """Read or set the limit."""
    return {"meter": bench.meter.id, "limit_w": await bench.driver.limit(bench.meter.id, watts)}


@meter_group.command(
    help="Show how the meter is set up, or change it.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 configure --capture-period 900 --payment prepaid",
)
@click.option("--capture-period", type=click.IntRange(min=1, max=86_400), help="Of the block profile, s.")
@click.option("--demand-period", type=click.IntRange(min=1, max=86_400), help="Over which demand is averaged, s.")
@click.option("--payment", type=click.Choice(["prepaid", "post-paid"]))
@on_bench
async def configure(
    bench: Bench, capture_period: int | None, demand_period: int | None, payment: str | None
) -> dict[str, Any]:
    """Read or change the setup."""
    wanted = Periods(
        capture_period_s=capture_period,
        demand_period_s=demand_period,
        is_prepaid=None if payment is None else payment == "prepaid",
    )
    shown = await bench.driver.configure(bench.meter.id, wanted)
    modes = {True: "prepaid", False: "post-paid", None: ""}
    return {
        "meter": bench.meter.id,
        "capture_period_s": shown.capture_period_s,
        "demand_period_s": shown.demand_period_s,
        "payment": modes[shown.is_prepaid],
    }


@meter_group.command(
    help="Bring the firmware image FILE into the meter; after a break it goes on where it was.",
    epilog="Example: wattpost gateway meter gateway.toml SM-000001 image v2.bin --identifier FW-2.0 --activate",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--identifier", default="", help="What the meter calls the image; by default the file's name.")
@click.option("--activate", "activates", is_flag=True, help="Let it run once it is verified.")
@on_bench
async def image(bench: Bench, file: Path, identifier: str, *, activates: bool) -> dict[str, Any]:
    """Transfer, verify and perhaps activate an image."""
    content = await asyncio.to_thread(file.read_bytes)
    if not 0 < len(content) <= IMAGE_BYTES_MAX:
        raise click.BadParameter(f"{file} has {len(content)} bytes; an image has 1 to {IMAGE_BYTES_MAX}")
    pushed = Image((identifier or file.name).encode(), content)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        shown = bar.add_task("transferring", total=None)

        def tell(progress: ImageProgress) -> None:
            bar.update(shown, description=progress.stage, completed=progress.blocks_done, total=progress.blocks_total)

        done = await push_whole(bench.driver, bench.meter.id, pushed, activates=activates, tell=tell)
    return {
        "meter": bench.meter.id,
        "stage": done.stage.value,
        "blocks": done.blocks_total,
        "sha256": pushed.digest.hex(),
    }


async def push_whole(
    driver: DlmsDriver, meter_id: str, pushed: Image, *, activates: bool, tell: Callable[[ImageProgress], None]
) -> ImageProgress:
    """Bring an image piece by piece to where it should be: verified, or active.

    Raises:
        BusError: It failed too often in a row, or for good; called again, it goes on.
    """
    goal = Stage.ACTIVE if activates else Stage.VERIFIED
    failures = pauses = 0
    while True:
        try:
            progress = await driver.push_image(meter_id, pushed, activates=activates)
        except (MeterUnavailableError, GarbledError):
            failures += 1
            if failures > IMAGE_FAILURES_MAX:
                raise
            await asyncio.sleep(VERIFY_PAUSE_S)
            continue
        failures = 0
        tell(progress)
        if progress.stage in {goal, Stage.ACTIVE}:
            return progress
        if progress.stage is not Stage.TRANSFERRING:
            pauses += 1
            if pauses > VERIFY_PAUSES_MAX:
                raise MeterUnavailableError(f"meter {meter_id} is {progress.stage} for too long")
            await asyncio.sleep(VERIFY_PAUSE_S)
