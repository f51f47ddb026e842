"""The command `wattpost gateway`: run a gateway, check its configuration, print a template."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.config import TEMPLATE, clock_of, load_config
from wire.keys import Purpose
from wire.runtime.keyring import load_key, load_public_keys
from wire.runtime.logging import set_up_logging

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.core.acquisition import BusEvent, Task


class _Commands(click.Group):
    """The commands of this module, and those about one meter, which are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "meter"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "meter":
            from gateway.meter_commands import meter_group  # noqa: PLC0415 - `template` needs no drivers

            return meter_group
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, help="Run a gateway: read meters, obey commands, sell and cut off by itself.")
def main() -> None:
    """Group the gateway's commands."""


@main.command(epilog="Example: wattpost gateway run gateway.toml", help="Run the gateway that FILE describes.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(file: Path, log_level: str) -> None:
    """Run a gateway until SIGTERM or SIGINT."""
    from gateway.app import Gateway  # noqa: PLC0415 - `template` and `check` start nothing

    config = load_config(file)
    set_up_logging(clock=clock_of(config), level=log_level)
    gateway = Gateway(config)
    asyncio.run(_run_until_told(gateway))


async def _run_until_told(gateway: "Gateway") -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    print(json.dumps({"ready": True, "gateway": gateway.name}), flush=True)
    try:
        await gateway.run()
    except asyncio.CancelledError:
        return


@main.command(epilog="Example: wattpost gateway check gateway.toml", help="Say whether FILE holds.")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration with the keys and register maps it names."""
    from gateway.adapters.disk_shelf import EmptyShelf  # noqa: PLC0415 - `template` needs no drivers
    from gateway.adapters.meters import Meters  # noqa: PLC0415

    config = load_config(file)
    key = load_key(Path(config.key_file), purpose=Purpose.GATEWAY)
    load_public_keys(Path(config.trusted_folder))
    Meters(
        config,
        clock=clock_of(config),
        sink=_ignore,
        agenda=_nothing_due,
        shelf=EmptyShelf(),
        gateway=key.public.party,
    )
    meters = sum(len(line.meters) for line in config.lines)
    click.echo(f"{file}: {len(config.lines)} lines, {meters} meters, capture period {config.period_s} s")


async def _ignore(_event: "BusEvent") -> None:
    """Take no event; nothing runs."""


async def _nothing_due(_meter: str) -> "tuple[Task, ...]":
    """Ask nothing; nothing runs."""
    return ()


@main.command(epilog="Example: wattpost gateway template > gateway.toml", help="Print a commented configuration.")
def template() -> None:
    """Print the template."""
    sys.stdout.write(TEMPLATE)


if __name__ == "__main__":
    main()
