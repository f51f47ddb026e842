"""Accounts listed in a CSV file, as a utility hands over its customers: one line each, with the credit they bring.

It decides what a valid list is; opening and crediting is the business of `accounts`.
"""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cloud.prepaid.adapters.accounts import NewAccount, credit, open_account
from prepay.money import Currency, amount_minor, price_parts
from wire.runtime.errors import ConfigError

COLUMNS: Final = ("name", "meter", "currency", "price", "opening_wh", "rated_power_w", "credit")
EXPONENT: Final = 2
"""Digits after the point, as in all the currencies of ISO 4217 but a few."""


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account with its first credit."""

    new: NewAccount
    credit_minor: int


def read_accounts(path: Path) -> list[ListedAccount]:
    """Return the accounts in a file.

    Raises:
        ConfigError: It cannot be read, or a line does not hold; says which.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ConfigError(str(path), "the first line is another", f"write {','.join(COLUMNS)}")
            return [_listed(path, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), str(error), "name a readable CSV file in UTF-8") from error


def open_listed(connection: sa.Connection, utility: str, listed: list[ListedAccount], *, now_ms: int) -> None:
    """Open accounts and book their first credits; doing it again changes nothing.

    Raises:
        UnknownMeterError: A meter is assigned to no gateway.
    """
    for account in listed:
        open_account(connection, utility, account.new, now_ms=now_ms)
        if account.credit_minor:
            first = hashlib.sha256(f"first credit {utility} {account.new.name}".encode()).digest()[:16]
            credit(
                connection,
                utility,
                account.new.name,
                credit_id=first,
                amount_minor=account.credit_minor,
                now_ms=now_ms,
            )


def _listed(path: Path, line: int, row: dict[str, str]) -> ListedAccount:
    try:
        currency = Currency(row["currency"], EXPONENT)
        price_parts(row["price"], currency)
        new = NewAccount(
            name=row["name"],
            meter=row["meter"],
            currency=currency.code,
            exponent=EXPONENT,
            price=row["price"],
            opening_wh=int(row["opening_wh"]),
            rated_power_w=int(row["rated_power_w"]),
        )
        return ListedAccount(new, amount_minor(row["credit"], currency))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}, line {line}", str(error), "correct the line; nothing was opened") from error
