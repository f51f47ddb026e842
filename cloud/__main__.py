"""The command `wattpost cloud`: run handlers, look after the database, ask it."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from cloud.broker.running import RunningBroker
from cloud.commands.core.scopes import EFFECTS
from cloud.config import TEMPLATE, Config, load_config
from cloud.database import open_database, require_url
from cloud.epoch import EPOCH_MAX, raise_epoch
from cloud.meterdata.adapters.terminal import make_commands
from cloud.monitoring.adapters.terminal import COMMANDS as MONITORING_COMMANDS
from cloud.prepaid.adapters.terminal import COMMANDS as PREPAID_COMMANDS
from cloud.terminal import file_argument, run_on_database, transact
from wire.address import is_name
from wire.runtime.clock import clock_from_text
from wire.runtime.errors import ConfigError, UnavailableError
from wire.runtime.logging import set_up_logging

T = TypeVar("T")


def _names(_context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Check what is to name gateways, meters or integrators."""
    for name in (value,) if isinstance(value, str) else value:
        if not is_name(name):
            raise click.BadParameter(f"{name!r} is not 1 to 32 of A-Z a-z 0-9 -", param=parameter)
    return value


@click.group(help="Run the cloud's handlers, look after their database, ask it.")
def main() -> None:
    """Group the cloud's commands."""


@main.command(epilog="Example: wattpost cloud run cloud.toml", help="Run the handlers that FILE describes.")
@file_argument
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(file: Path, log_level: str) -> None:
    """Run handlers until SIGTERM or SIGINT."""
    from cloud.app import Cloud  # noqa: PLC0415 - the other commands need not load it

    config = load_config(file)
    set_up_logging(clock=clock_from_text(config.clock), level=log_level)
    cloud = Cloud(config)
    try:
        asyncio.run(_until_told(cloud.run))
    except* ConfigError as group:
        raise _first(group, ConfigError) from None
    except* UnavailableError as group:
        problem = str(_first(group, UnavailableError))
        raise ConfigError("broker", problem, "look into its log, or run it elsewhere and set broker.run") from None


def _first(group: BaseExceptionGroup[Any], kind: type[T]) -> T:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error, kind)
        if isinstance(error, kind):
            return error
    raise AssertionError("the group was chosen for holding one")


async def _until_told(run_cloud: Callable[[Callable[[RunningBroker | None], None]], Any]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await run_cloud(_say_ready)
    except asyncio.CancelledError:
        return


def _say_ready(broker: RunningBroker | None) -> None:
    ready: dict[str, object] = {"ready": True}
    if broker is not None:
        ready |= {"broker": broker.program, "host": broker.host, "port": broker.port, "protocol": broker.protocol}
    print(json.dumps(ready), flush=True)


@main.command(epilog="Example: wattpost cloud check cloud.toml", help="Say whether FILE holds.")
@file_argument
def check(file: Path) -> None:
    """Check a configuration."""
    from cloud.monitoring.adapters.targets import load_targets  # noqa: PLC0415

    config = load_config(file)
    load_targets(config.monitoring.targets_file)
    database = require_url(config.database).render_as_string(hide_password=True)
    click.echo(f"{file}: utility {config.utility}, rooms {', '.join(config.rooms)}, database {database}")


@main.command(
    short_help="Say whether a process still reports.",
    epilog="Example: wattpost cloud health cloud.toml",
    help="Say whether the process that FILE describes still reports to the database; exit 1 if not.",
)
@file_argument
def health(file: Path) -> None:
    """Ask for the last report."""
    from cloud.monitoring.adapters.self_report import handler_name, reports  # noqa: PLC0415

    config = load_config(file)
    clock = clock_from_text(config.clock)
    if not transact(config, lambda connection: reports(connection, config, clock=clock)):
        raise click.ClickException(f"{handler_name(config)} does not report; look whether it runs, and into its log")
    click.echo(f"{handler_name(config)} reports")


@main.command(epilog="Example: wattpost cloud template > cloud.toml", help="Print a commented configuration.")
def template() -> None:
    """Print the template."""
    sys.stdout.write(TEMPLATE)


@main.command(epilog="Example: wattpost cloud migrate cloud.toml", help="Bring the database to this program's schema.")
@file_argument
def migrate(file: Path) -> None:
    """Run migrations."""
    from cloud.migrations import head_revision, upgrade  # noqa: PLC0415 - Alembic is slow to load

    transact(load_config(file), upgrade)
    click.echo(f"schema {head_revision()}")


@main.command(
    "restored",
    epilog="Example: wattpost cloud restored cloud.toml",
    help="Say that the database was set back to a backup: gateways will send again what it lacks. Run it once, "
    "after the restore and before the handlers start.",
)
@file_argument
@click.option(
    "--beyond",
    type=click.IntRange(0, EPOCH_MAX - 1),
    default=0,
    help="Highest epoch ever announced, where it is known.",
)
def restored(file: Path, beyond: int) -> None:
    """Raise the epoch."""
    epoch = transact(load_config(file), lambda connection: raise_epoch(connection, beyond=beyond))
    click.echo(f"epoch {epoch}")


# ---- registering -----------------------------------------------------------------------------------------------------


@main.command(
    epilog="Example: wattpost cloud register cloud.toml trusted/*.pub",
    help="Put public keys into the registry; a gateway or integrator is known by its key.",
)
@file_argument
@click.argument("keys", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def register(file: Path, keys: tuple[Path, ...]) -> None:
    """Register public keys."""
    from cloud.keys import register_key  # noqa: PLC0415
    from wire.runtime.keyring import load_public_key  # noqa: PLC0415

    config = load_config(file)
    loaded = [load_public_key(path) for path in keys]

    def work(connection: sa.Connection) -> None:
        for key in loaded:
            register_key(connection, config.utility, key)

    transact(config, work)
    click.echo(f"{len(loaded)} keys registered")


@main.command(
    epilog="Example: wattpost cloud revoke cloud.toml 0123456789abcdef",
    help="Revoke the key with this id: what it signs from now on is kept aside.",
)
@file_argument
@click.argument("kid")
def revoke(file: Path, kid: str) -> None:
    """Revoke a key."""
    from cloud.keys import revoke_key  # noqa: PLC0415

    config = load_config(file)
    clock = clock_from_text(config.clock)
    done = transact(config, lambda connection: revoke_key(connection, config.utility, kid, at_ms=clock.wall_ms()))
    if not done:
        raise click.ClickException(f"no key {kid} in the registry; `wattpost keys show` prints ids")
    click.echo(f"{kid} revoked")


@main.command(
    epilog="Example: wattpost cloud assign cloud.toml gw-0001 EM-000001 EM-000002",
    help="Let GATEWAY report and command these meters from now on, and no other gateway.",
)
@file_argument
@click.argument("gateway", callback=_names)
@click.argument("meters", nargs=-1, required=True, callback=_names)
def assign(file: Path, gateway: str, meters: tuple[str, ...]) -> None:
    """Assign meters to a gateway."""
    from cloud.headend.adapters.assignments import assign as assign_meters  # noqa: PLC0415

    config = load_config(file)
    now_ms = clock_from_text(config.clock).wall_ms()
    transact(config, lambda connection: assign_meters(connection, config.utility, gateway, meters, from_ms=now_ms))
    click.echo(f"{len(meters)} meters assigned to {gateway}")


@main.command(
    epilog="Example: wattpost cloud client cloud.toml billing --effects disconnect,reconnect --meters EM-",
    help="Let an integrator request these effects on meters with these prefixes (* for all).",
)
@file_argument
@click.argument("name", callback=_names)
@click.option("--effects", default=",".join(EFFECTS), show_default=True)
@click.option("--meters", default="*", show_default=True)
def client(file: Path, name: str, effects: str, meters: str) -> None:
    """Give an integrator its scope."""
    from cloud.commands.adapters.clients import set_scope  # noqa: PLC0415

    config = load_config(file)
    if strangers := set(effects.split(",")) - set(EFFECTS):
        raise click.BadParameter(f"{', '.join(sorted(strangers))!r}: choose of {', '.join(EFFECTS)}, without spaces")
    if any(prefix != "*" and not is_name(prefix) for prefix in meters.split(",")):
        raise click.BadParameter(f"{meters!r}: write prefixes of meter ids with commas and no spaces, or *")
    transact(config, lambda connection: set_scope(connection, config.utility, name, effects=effects, meters=meters))
    click.echo(f"{name}: {effects} on {meters}")


for _command in (*PREPAID_COMMANDS, *MONITORING_COMMANDS):
    main.add_command(_command)


# ---- asking ----------------------------------------------------------------------------------------------------------


@main.group(
    epilog="Example: wattpost cloud ask cloud.toml latest EM-000001",
    help="Ask the database that FILE names: last values, a day's profile, gateways.",
)
@file_argument
@click.pass_context
def ask(context: click.Context, file: Path) -> None:
    """Remember which database is asked."""
    context.obj = load_config(file)


def _asked_database() -> str:
    config = click.get_current_context().find_object(Config)
    assert config is not None, "the group loads it"
    return config.database


def _asked_utility() -> str:
    config = click.get_current_context().find_object(Config)
    assert config is not None, "the group loads it"
    return config.utility


for _command in make_commands(_asked_database, _asked_utility):
    ask.add_command(_command)


@main.command(
    epilog="Example: wattpost cloud watch cloud.toml --account A-1",
    help="Print how the installation stands, one line of JSON each time, until SIGTERM or SIGINT.",
)
@file_argument
@click.option("--account", "accounts", multiple=True, help="Whose balance to tell; may be given again.")
@click.option("--every-ms", type=click.IntRange(100, 3_600_000), default=1_000, show_default=True)
def watch(file: Path, accounts: tuple[str, ...], every_ms: int) -> None:
    """Watch the database."""
    from cloud.watch import keep_watching  # noqa: PLC0415

    config = load_config(file)
    clock = clock_from_text(config.clock)

    async def look(_: Callable[[RunningBroker | None], None]) -> None:
        async with open_database(config.database) as database:
            await keep_watching(database, config.utility, accounts, clock=clock, every_ms=every_ms, show=click.echo)

    run_on_database(_until_told(look))


if __name__ == "__main__":
    main()
