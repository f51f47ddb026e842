"""The command `wattpost demo`: a village that lives for two minutes, and the account of every reading at its end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from device_sim.village.cast import GATEWAYS_MAX, GATEWAYS_MIN, METERS_PER_GATEWAY_MAX, METERS_PER_GATEWAY_MIN
from device_sim.village.closing import Result, close_accounts
from device_sim.village.configuration import UTILITY, Plan
from device_sim.village.director import Director
from device_sim.village.installation import CLIENT, Installation
from device_sim.village.integrator import Integrator
from device_sim.village.processes import ProgramError, Programs
from device_sim.village.scene import News, Scene, calendar_at
from device_sim.village.view import draw, summary
from wire.address import Kind
from wire.runtime.clock import AcceleratedClock
from wire.runtime.errors import ConfigError
from wire.runtime.mqtt import Event, MqttConfig, MqttSession
from wire.runtime.tasks import background
from wire.topics import TopicTree

RATE: Final = 1440
"""A day in a minute."""
VILLAGE_BEGINS_MS: Final = 1_780_263_000_000
"""1 June 2026, 03:00 in a village five and a half hours east of Greenwich; setting up takes until about dawn."""
FRAME_S: Final = 0.25
DURATION_S_MIN: Final = 30
EXIT_STOPPED: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the visitor asked for."""

    duration_s: int
    gateway_count: int
    meter_count: int
    seed: int
    broker: str
    is_live: bool


@click.command(
    epilog="Example: wattpost demo --duration 60",
    help="Run a small village on this machine: real gateways, cloud and broker as programs of their own, simulated "
    "meters, days that pass in minutes. At the end every reading is accounted for.",
)
@click.option("--duration", "duration_s", type=click.IntRange(DURATION_S_MIN, 3600), default=120, show_default=True)
@click.option(
    "--gateways", "gateway_count", type=click.IntRange(GATEWAYS_MIN, GATEWAYS_MAX), default=3, show_default=True
)
@click.option("--meters", "meter_count", type=click.IntRange(min=1), default=48, show_default=True)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Same seed, same village."
)
@click.option("--broker", type=click.Choice(["auto", "mosquitto", "amqtt"]), default="auto", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave everything in this new folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and plain lines before.")
def main(
    *,
    duration_s: int,
    gateway_count: int,
    meter_count: int,
    seed: int,
    broker: str,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run the demo."""
    _check_size(gateway_count, meter_count)
    wanted = Wanted(
        duration_s=duration_s,
        gateway_count=gateway_count,
        meter_count=meter_count,
        seed=seed,
        broker=broker,
        is_live=sys.stdout.isatty() and not as_json,
    )
    with ExitStack() as stack:
        folder = _new_folder(keep) if keep else Path(stack.enter_context(TemporaryDirectory(prefix="wattpost-demo-")))
        try:
            result = asyncio.run(_until_told(wanted, folder))
        except* ProgramError as group:
            raise click.ClickException(str(_innermost(group))) from None
    if result is None:
        click.echo("stopped", err=True)
        sys.exit(EXIT_STOPPED)
    problems = result.problems()
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        Console().print(summary(result))
    for problem in problems:
        click.echo(f"Not as it should be: {problem}", err=True)
    sys.exit(1 if problems else 0)


def _check_size(gateway_count: int, meter_count: int) -> None:
    fewest, most = METERS_PER_GATEWAY_MIN * gateway_count, METERS_PER_GATEWAY_MAX * gateway_count
    if not fewest <= meter_count <= most:
        remedy = f"give between {fewest} and {most}, or another number of gateways"
        raise ConfigError("--meters", f"{meter_count} do not fit on {gateway_count} gateways", remedy)


def _new_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ConfigError(str(path), "the folder is not empty", "name a new one")
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or str(exc), "name a folder that can be made") from exc
    return path.resolve()


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _until_told(wanted: Wanted, folder: Path) -> Result | None:
    """Run the demo; None if a signal ended it."""
    demo = asyncio.create_task(_run(wanted, folder), name="demo")
    told = False

    def stop() -> None:
        # Once: a second signal must not keep the programs from being ended in order.
        nonlocal told
        if not told:
            told = True
            demo.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await demo
    except asyncio.CancelledError:
        return None


async def _run(wanted: Wanted, folder: Path) -> Result:
    clock = AcceleratedClock(rate=RATE, real_origin_ms=time.time_ns() // 10**6, wall_origin_ms=VILLAGE_BEGINS_MS)
    plan = Plan(
        folder=folder,
        gateway_count=wanted.gateway_count,
        meter_count=wanted.meter_count,
        seed=wanted.seed,
        broker=wanted.broker,
        clock=clock,
    )
    async with Programs(folder) as programs:
        installation = await Installation.set_up(plan, programs, tell=_tell_plainly)
        _tell_plainly(_broker_line(installation.broker.program))
        scene = Scene(
            cast=installation.cast,
            calendar=calendar_at(VILLAGE_BEGINS_MS, installation.village.utc_offset_min),
            tell=_ignore if wanted.is_live else _tell_news,
            now_ms=clock.wall_ms(),
        )
        async with AsyncExitStack() as stack:
            if wanted.is_live:
                await stack.enter_async_context(background(_show(scene), name="view"))
            return await _live(installation, scene, wanted, stack)


async def _live(installation: Installation, scene: Scene, wanted: Wanted, stack: AsyncExitStack) -> Result:
    """Play the story among the running programs, and count at its end."""
    for program in installation.running:
        await stack.enter_async_context(background(program.watch(), name=program.name))
    topics = TopicTree(UTILITY)
    rng = Random(wanted.seed)  # noqa: S311 - whom the billing office asks about, and jitter
    config = MqttConfig(
        host="127.0.0.1",
        port=installation.broker.port,
        protocol="5" if installation.broker.protocol == "5" else "3.1.1",
        client_id=CLIENT,
        subscriptions=(topics.client(CLIENT, Kind.STATUS),),
        clean_start=True,
        session_expiry_s=0,
    )
    session = await stack.enter_async_context(MqttSession(config, rng=rng, on_event=_ignore_event))
    integrator = Integrator(
        session,
        topics=topics,
        key=installation.client_key,
        trusted=installation.trusted,
        clock=installation.plan.clock,
    )
    director = Director(installation, scene, integrator, duration_s=wanted.duration_s, rng=rng)
    await stack.enter_async_context(background(integrator.listen(), name="integrator"))
    await stack.enter_async_context(background(director.watch_meters(), name="meters"))
    await stack.enter_async_context(background(director.watch_cloud(), name="cloud"))
    await director.play()
    result = await close_accounts(installation, scene, integrator, director)
    for program in installation.running:
        program.is_closing = True
    return result


async def _show(scene: Scene) -> None:
    """Draw the village, for ever."""
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(draw(scene, console), refresh=True)
            await asyncio.sleep(FRAME_S)


def _broker_line(program: str) -> str:
    if program == "mosquitto":
        return "broker: Mosquitto, MQTT 5, a program of its own"
    return (
        "broker: amqtt inside the cloud's program, as Mosquitto is not installed or not wanted; it speaks MQTT 3.1.1, "
        "serves this machine only and forgets messages in flight: nothing may be missing all the same"
    )


def _tell_plainly(text: str) -> None:
    click.echo(text, err=True)


def _tell_news(news: News) -> None:
    click.echo(f"{news.time}  {news.text}", err=True)


def _ignore(_: News) -> None:
    """Leave it to the picture."""


def _ignore_event(_: Event) -> None:
    """A broken session mends itself, and requests are sent again."""
