"""Accounts from a CSV file: opened all or none, credited once."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.database import open_database
from cloud.prepaid.adapters.accounts import UnknownMeterError, accounts, balance_of
from cloud.prepaid.adapters.accounts_file import COLUMNS, open_listed, read_accounts
from tests.rig.reporting import UTILITY, assign
from wire.runtime.errors import ConfigError

NOW_MS = 1_780_000_000_000
HEADER = ",".join(COLUMNS)


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "accounts.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


async def test_listed_accounts_are_opened_and_credited_once_however_often_it_is_done(
    database_url: str, tmp_path: Path
) -> None:
    listed = read_accounts(write(tmp_path, HEADER, "A-1,m1,INR,7.50,100,5000,12.34", "A-2,m2,INR,7.50,0,5000,0"))

    def fill(connection: sa.Connection) -> None:
        schema.metadata.create_all(connection)
        assign(connection, "m1", "gw1")
        assign(connection, "m2", "gw1")
        open_listed(connection, UTILITY, listed, now_ms=NOW_MS)
        open_listed(connection, UTILITY, listed, now_ms=NOW_MS + 1)

    def ask(connection: sa.Connection) -> tuple[list[tuple[str, str, str]], list[int]]:
        balances = [balance_of(connection, UTILITY, name, at_ms=NOW_MS + 10) for name in ("A-1", "A-2")]
        return accounts(connection, UTILITY), [each.amount_minor for each in balances]

    async with open_database(database_url) as database:
        await database.transact(fill)
        assert await database.transact(ask) == ([("A-1", "m1", "gw1"), ("A-2", "m2", "gw1")], [1_234, 0])


async def test_one_meter_without_a_gateway_opens_none(database_url: str, tmp_path: Path) -> None:
    listed = read_accounts(write(tmp_path, HEADER, "A-1,m1,INR,7.50,0,5000,1", "A-2,m9,INR,7.50,0,5000,1"))

    def fill(connection: sa.Connection) -> None:
        schema.metadata.create_all(connection)
        assign(connection, "m1", "gw1")

    async with open_database(database_url) as database:
        await database.transact(fill)
        with pytest.raises(UnknownMeterError):
            await database.transact(lambda connection: open_listed(connection, UTILITY, listed, now_ms=NOW_MS))
        assert await database.transact(lambda connection: accounts(connection, UTILITY)) == []


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["name,meter"], "first line"),
        ([HEADER, "A-1,m1,INR,cheap,0,5000,1"], "line 2"),
        ([HEADER, "A-1,m1,INR,7.50,0,5000,1", "A-2,m2,INR,7.50,none,5000,1"], "line 3"),
        ([HEADER, "A-1,m1,INR,7.50"], "line 2"),
    ],
)
def test_a_list_that_does_not_hold_says_where(tmp_path: Path, lines: list[str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        read_accounts(write(tmp_path, *lines))
