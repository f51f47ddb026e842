"""The commands of `wattpost gateway meter`: what can be asked of one meter, and what it can be told.

Decides what a person writes and is shown; how a meter is reached is `gateway.meter_tool`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from gateway.adapters.dlms.controls import Periods
from gateway.adapters.dlms.driver import DlmsDriver, Found
from gateway.adapters.dlms.images import IMAGE_BYTES_MAX, Image, ImageProgress, Stage
from gateway.core.acquisition import Captured, Logged, ReadCaptured, ReadLog, TaskRefused
from gateway.core.coverage import Span
from gateway.meter_tool import Bench, meter_group, on_bench
from gateway.ports import DisagreedError, GarbledError, MeterRefusedError, MeterUnavailableError
from wire.readings import Channel

__all__ = ["meter_group", "push_whole"]

IMAGE_FAILURES_MAX = 5
"""Failures in a row after which the transfer of an image is given up; called again, it goes on."""
PAUSE_S = 1.0
PAUSES_MAX = 300
DAY_S = 86_400


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
    driver: DlmsDriver,
    meter_id: str,
    pushed: Image,
    *,
    activates: bool,
    tell: Callable[[ImageProgress], None],
    pause_s: float = PAUSE_S,
) -> ImageProgress:
    """Bring an image piece by piece to where it should be: verified, or active.

    Args:
        driver: Of the meter's line.
        meter_id: Whose.
        pushed: The image.
        activates: It is to run.
        tell: Takes each step.
        pause_s: How long to leave the meter alone while it verifies or starts, and after a failure.

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
            await asyncio.sleep(pause_s)
            continue
        failures = 0
        tell(progress)
        if progress.stage in {goal, Stage.ACTIVE}:
            return progress
        if progress.stage is not Stage.TRANSFERRING:
            pauses += 1
            if pauses > PAUSES_MAX:
                raise MeterUnavailableError(f"meter {meter_id} is {progress.stage} for too long")
            await asyncio.sleep(pause_s)
