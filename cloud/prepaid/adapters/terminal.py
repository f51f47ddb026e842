"""Prepaid accounts on a terminal: opened one by one or from a list, credited, shown."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import sqlalchemy as sa

from cloud.config import load_config
from cloud.prepaid.adapters import accounts
from cloud.prepaid.adapters.accounts_file import open_listed, read_accounts
from cloud.terminal import file_argument, transact
from prepay.money import Currency, amount_minor
from wire.runtime.clock import clock_from_text


@contextmanager
def _one_line() -> Iterator[None]:
    """Say in one line what was asked for and cannot be."""
    try:
        yield
    except accounts.UnknownAccountError as error:
        raise click.ClickException(f"no account {error}; `wattpost cloud open-account` opens one") from None
    except accounts.UnknownMeterError as error:
        raise click.ClickException(f"meter {error} has no gateway; `wattpost cloud assign` gives it one") from None
    except ValueError as error:
        raise click.ClickException(f"{error}; nothing was changed") from None


def _credit_id(text: str) -> bytes:
    if not text:
        return secrets.token_bytes(accounts.TRANSFER_ID_BYTES)
    try:
        name = bytes.fromhex(text)
    except ValueError:
        name = b""
    if len(name) != accounts.TRANSFER_ID_BYTES:
        raise click.BadParameter("write 32 hexadecimal digits", param_hint="--id")
    return name


@click.command(
    "open-account",
    epilog="Example: wattpost cloud open-account cloud.toml A-1 --meter EM-000001 --currency KES --price 25.5",
    help="Open a prepaid account for a meter, and give it a flat price.",
)
@file_argument
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
    config = load_config(file)
    money = Currency(currency, exponent)
    now_ms = clock_from_text(config.clock).wall_ms()
    with _one_line():
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

        def work(connection: sa.Connection) -> bool:
            is_open = any(known == name for known, _, _ in accounts.accounts(connection, config.utility))
            accounts.open_account(connection, config.utility, new, now_ms=now_ms)
            return is_open

        was_open = transact(config, work)
    if was_open:
        click.echo(f"account {name} was open before; nothing was changed")
    else:
        click.echo(f"account {name} on {meter}, {price} {currency}/kWh")


@click.command(
    "open-accounts",
    epilog="Example: wattpost cloud open-accounts cloud.toml accounts.csv",
    help="Open the prepaid accounts that the CSV file ACCOUNTS lists, all or none. Columns: name, meter, currency, "
    "price, opening_wh, rated_power_w, credit.",
)
@file_argument
@click.argument("accounts_file", metavar="ACCOUNTS", type=click.Path(path_type=Path))
def open_accounts(file: Path, accounts_file: Path) -> None:
    """Open many accounts."""
    config = load_config(file)
    listed = read_accounts(accounts_file)
    now_ms = clock_from_text(config.clock).wall_ms()
    with _one_line():
        transact(config, lambda connection: open_listed(connection, config.utility, listed, now_ms=now_ms))
    click.echo(f"{len(listed)} accounts opened")


@click.command(
    epilog="Example: wattpost cloud credit cloud.toml A-1 500.00 --id 00112233445566778899aabbccddeeff",
    help="Book a payment of AMOUNT to ACCOUNT; the same id is booked once.",
)
@file_argument
@click.argument("account")
@click.argument("amount")
@click.option("--id", "credit_id", default="", help="32 hex digits of the payment; a fresh one if left out.")
def credit(file: Path, account: str, amount: str, credit_id: str) -> None:
    """Book a payment."""
    config = load_config(file)
    name = _credit_id(credit_id)
    now_ms = clock_from_text(config.clock).wall_ms()

    def work(connection: sa.Connection) -> None:
        currency = accounts.balance_of(connection, config.utility, account, at_ms=now_ms).currency
        minor = amount_minor(amount, currency)
        accounts.credit(connection, config.utility, account, credit_id=name, amount_minor=minor, now_ms=now_ms)

    with _one_line():
        transact(config, work)
    click.echo(f"credit {name.hex()} of {amount} to {account}")


@click.command(
    epilog="Example: wattpost cloud balance cloud.toml A-1", help="Show the balance of ACCOUNT as the box computes it."
)
@file_argument
@click.argument("account")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def balance(file: Path, account: str, *, as_json: bool) -> None:
    """Show a balance with its version, digest and instant."""
    config = load_config(file)
    now_ms = clock_from_text(config.clock).wall_ms()
    with _one_line():
        found = transact(
            config, lambda connection: accounts.balance_of(connection, config.utility, account, at_ms=now_ms)
        )
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


COMMANDS: tuple[click.Command, ...] = (open_account, open_accounts, credit, balance)
"""To be added to a group."""
