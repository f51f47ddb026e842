"""The command `wattpost cloud`: run handlers, look after the database, ask it."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from cloud.broker.running import RunningBroker
from cloud.config import TEMPLATE, Config, load_config
from cloud.database import open_database
from cloud.meterdata.adapters.terminal import make_commands
from wire.runtime.clock import clock_from_text
from wire.runtime.errors import ConfigError, UnavailableError
from wire.runtime.logging import set_up_logging

T = TypeVar("T")

_file = click.argument("file", type=click.Path(path_type=Path))


@click.group(help="Run the cloud's handlers, look after their database, ask it.")
def main() -> None:
    """Group the cloud's commands."""


@main.command(epilog="Example: wattpost cloud run cloud.toml", help="Run the handlers that FILE describes.")
@_file
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
@_file
def check(file: Path) -> None:
    """Check a configuration."""
    config = load_config(file)
    click.echo(f"{file}: utility {config.utility}, rooms {', '.join(config.rooms)}, database {_shown(config.database)}")


@main.command(epilog="Example: wattpost cloud template > cloud.toml", help="Print a commented configuration.")
def template() -> None:
    """Print the template."""
    sys.stdout.write(TEMPLATE)


@main.command(epilog="Example: wattpost cloud migrate cloud.toml", help="Bring the database to this program's schema.")
@_file
def migrate(file: Path) -> None:
    """Run migrations."""
    from cloud.migrations import head_revision, upgrade  # noqa: PLC0415 - Alembic is slow to load

    _transact(load_config(file), upgrade)
    click.echo(f"schema {head_revision()}")


@main.command(
    "restored",
    epilog="Example: wattpost cloud restored cloud.toml",
    help="Say that the database was set back to a backup: gateways will send again what it lacks. Run it once, "
    "after the restore and before the handlers start.",
)
@_file
@click.option(
    "--beyond", type=click.IntRange(min=0), default=0, help="Highest epoch ever announced, where it is known."
)
def restored(file: Path, beyond: int) -> None:
    """Raise the epoch."""
    from cloud.epoch import raise_epoch  # noqa: PLC0415

    epoch = _transact(load_config(file), lambda connection: raise_epoch(connection, beyond=beyond))
    click.echo(f"epoch {epoch}")


# ---- registering -----------------------------------------------------------------------------------------------------


@main.command(
    epilog="Example: wattpost cloud register cloud.toml trusted/*.pub",
    help="Put public keys into the registry; a gateway or integrator is known by its key.",
)
@_file
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

    _transact(config, work)
    click.echo(f"{len(loaded)} keys registered")


@main.command(
    epilog="Example: wattpost cloud revoke cloud.toml 0123456789abcdef",
    help="Revoke the key with this id: what it signs from now on is kept aside.",
)
@_file
@click.argument("kid")
def revoke(file: Path, kid: str) -> None:
    """Revoke a key."""
    from cloud.keys import revoke_key  # noqa: PLC0415

    config = load_config(file)
    clock = clock_from_text(config.clock)
    done = _transact(config, lambda connection: revoke_key(connection, config.utility, kid, at_ms=clock.wall_ms()))
    if not done:
        raise click.ClickException(f"no key {kid} in the registry; `wattpost keys show` prints ids")
    click.echo(f"{kid} revoked")


@main.command(
    epilog="Example: wattpost cloud assign cloud.toml gw-0001 EM-000001 EM-000002",
    help="Let GATEWAY report and command these meters from now on, and no other gateway.",
)
@_file
@click.argument("gateway")
@click.argument("meters", nargs=-1, required=True)
def assign(file: Path, gateway: str, meters: tuple[str, ...]) -> None:
    """Assign meters to a gateway."""
    from cloud.headend.adapters.assignments import assign as assign_meters  # noqa: PLC0415

    config = load_config(file)
    now_ms = clock_from_text(config.clock).wall_ms()
    _transact(config, lambda connection: assign_meters(connection, config.utility, gateway, meters, from_ms=now_ms))
    click.echo(f"{len(meters)} meters assigned to {gateway}")


@main.command(
    epilog="Example: wattpost cloud client cloud.toml billing --effects disconnect,reconnect --meters EM-",
    help="Let an integrator request these effects on meters with these prefixes (* for all).",
)
@_file
@click.argument("name")
@click.option("--effects", default="disconnect,reconnect,limit,read,ping", show_default=True)
@click.option("--meters", default="*", show_default=True)
def client(file: Path, name: str, effects: str, meters: str) -> None:
    """Give an integrator its scope."""
    from cloud.commands.adapters.clients import set_scope  # noqa: PLC0415

    config = load_config(file)
    _transact(config, lambda connection: set_scope(connection, config.utility, name, effects=effects, meters=meters))
    click.echo(f"{name}: {effects} on {meters}")


# ---- prepaid ---------------------------------------------------------------------------------------------------------


@main.command(
    "open-account",
    epilog="Example: wattpost cloud open-account cloud.toml A-1 --meter EM-000001 --currency KES --price 25.5",
    help="Open a prepaid account for a meter, and give it a flat price.",
)
@_file
@click.argument("name")
@click.option("--meter", required=True, help="Its meter, assigned to a gateway before.")
@click.option("--currency", default="KES", show_default=True, help="ISO 4217.")
@click.option("--exponent", type=click.IntRange(0, 4), default=2, show_default=True, help="Digits after the point.")
@click.option("--price", required=True, help="Per kWh, in the currency, for instance 25.5.")
@click.option("--opening-wh", type=click.IntRange(min=0), default=0, show_default=True, help="Register now, Wh.")
@click.option(
    "--rated-power-w", type=click.IntRange(min=1), default=10_000, show_default=True, help="Of the connection."
)
@click.option("--emergency", default="0", show_default=True, help="How far below zero supply goes on.")
@click.option("--low", default="0", show_default=True, help="Balance below which the household is warned.")
def open_account(
    file: Path,
    name: str,
    meter: str,
    currency: str,
    exponent: int,
    price: str,
    opening_wh: int,
    rated_power_w: int,
    emergency: str,
    low: str,
) -> None:
    """Open an account."""
    from cloud.prepaid.adapters import accounts  # noqa: PLC0415
    from prepay.money import Currency, amount_minor  # noqa: PLC0415

    config = load_config(file)
    money = Currency(currency, exponent)
    new = accounts.NewAccount(
        name=name,
        meter=meter,
        currency=currency,
        exponent=exponent,
        price=price,
        opening_wh=opening_wh,
        rated_power_w=rated_power_w,
        emergency_minor=amount_minor(emergency, money),
        low_minor=amount_minor(low, money),
    )
    now_ms = clock_from_text(config.clock).wall_ms()
    _transact(config, lambda connection: accounts.open_account(connection, config.utility, new, now_ms=now_ms))
    click.echo(f"account {name} on {meter}, {price} {currency}/kWh")


@main.command(
    "open-accounts",
    epilog="Example: wattpost cloud open-accounts cloud.toml accounts.csv",
    help="Open the prepaid accounts that the CSV file ACCOUNTS lists, all or none. Columns: name, meter, currency, "
    "price, opening_wh, rated_power_w, credit.",
)
@_file
@click.argument("accounts_file", metavar="ACCOUNTS", type=click.Path(path_type=Path))
def open_accounts(file: Path, accounts_file: Path) -> None:
    """Open many accounts."""
    from cloud.prepaid.adapters.accounts import UnknownMeterError  # noqa: PLC0415
    from cloud.prepaid.adapters.accounts_file import open_listed, read_accounts  # noqa: PLC0415

    config = load_config(file)
    listed = read_accounts(accounts_file)
    now_ms = clock_from_text(config.clock).wall_ms()
    try:
        _transact(config, lambda connection: open_listed(connection, config.utility, listed, now_ms=now_ms))
    except UnknownMeterError as error:
        raise ConfigError(str(accounts_file), f"meter {error} has no gateway", "run `wattpost cloud assign`") from None
    click.echo(f"{len(listed)} accounts opened")


@main.command(
    epilog="Example: wattpost cloud credit cloud.toml A-1 500.00 --id 00112233445566778899aabbccddeeff",
    help="Book a payment of AMOUNT to ACCOUNT; the same id is booked once.",
)
@_file
@click.argument("account")
@click.argument("amount")
@click.option("--id", "credit_id", default="", help="32 hex digits of the payment; a fresh one if left out.")
def credit(file: Path, account: str, amount: str, credit_id: str) -> None:
    """Book a payment."""
    from cloud.prepaid.adapters import accounts  # noqa: PLC0415
    from prepay.money import amount_minor  # noqa: PLC0415

    config = load_config(file)
    name = bytes.fromhex(credit_id) if credit_id else secrets.token_bytes(16)
    now_ms = clock_from_text(config.clock).wall_ms()

    def work(connection: sa.Connection) -> None:
        currency = accounts.balance_of(connection, config.utility, account, at_ms=now_ms).currency
        minor = amount_minor(amount, currency)
        accounts.credit(connection, config.utility, account, credit_id=name, amount_minor=minor, now_ms=now_ms)

    try:
        _transact(config, work)
    except accounts.UnknownAccountError:
        raise click.ClickException(f"no account {account}; `wattpost cloud open-account` opens one") from None
    click.echo(f"credit {name.hex()} of {amount} to {account}")


@main.command(
    epilog="Example: wattpost cloud balance cloud.toml A-1", help="Show the balance of ACCOUNT as the box computes it."
)
@_file
@click.argument("account")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def balance(file: Path, account: str, *, as_json: bool) -> None:
    """Show a balance with its version, digest and instant."""
    from cloud.prepaid.adapters import accounts  # noqa: PLC0415

    config = load_config(file)
    now_ms = clock_from_text(config.clock).wall_ms()
    try:
        found = _transact(
            config, lambda connection: accounts.balance_of(connection, config.utility, account, at_ms=now_ms)
        )
    except accounts.UnknownAccountError:
        raise click.ClickException(f"no account {account}; `wattpost cloud open-account` opens one") from None
    if as_json:
        shown = {
            "account": account,
            "amount_minor": found.amount_minor,
            "currency": found.currency.code,
            "version": found.version,
            "digest": found.digest.hex(),
            "at_ms": found.at_ms,
            "charged_wh": found.charged_wh,
            "quarantined": found.quarantined_count,
        }
        click.echo(json.dumps(shown))
    else:
        click.echo(str(found))


# ---- asking ----------------------------------------------------------------------------------------------------------


@main.group(
    epilog="Example: wattpost cloud ask cloud.toml latest EM-000001",
    help="Ask the database that FILE names: last values, a day's profile, gateways.",
)
@_file
@click.pass_context
def ask(context: click.Context, file: Path) -> None:
    """Remember which database is asked."""
    context.obj = load_config(file)


def _asked_database() -> str:
    config = click.get_current_context().find_object(Config)
    assert config is not None, "the group loads it"
    return config.database


for _command in make_commands(_asked_database):
    ask.add_command(_command)


@main.command(
    epilog="Example: wattpost cloud watch cloud.toml --account A-1",
    help="Print how the installation stands, one line of JSON each time, until SIGTERM or SIGINT.",
)
@_file
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

    try:
        asyncio.run(_until_told(look))
    except UnavailableError as error:
        raise ConfigError("database", str(error), "start it, or correct its address") from error


# ---- plumbing --------------------------------------------------------------------------------------------------------


def _transact(config: Config, work: Callable[[sa.Connection], T]) -> T:
    """Run one transaction on the configured database."""
    try:
        return asyncio.run(_transact_once(config, work))
    except UnavailableError as error:
        raise ConfigError("database", str(error), "start it, or correct its address") from error


async def _transact_once(config: Config, work: Callable[[sa.Connection], T]) -> T:
    from cloud.migrations import require_current  # noqa: PLC0415

    async with open_database(config.database) as database:
        if work.__name__ != "upgrade":
            await require_current(database)
        return await database.transact(work)


def _shown(url: str) -> str:
    return sa.make_url(url).render_as_string(hide_password=True)


if __name__ == "__main__":
    main()
