"""The store's file: taken by one gateway only, and a readable line where it cannot be used."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.store import Priority
from wire.runtime.errors import ConfigError


def test_two_gateways_cannot_run_on_one_store(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gateway.db"
    first = SqliteStore(path)
    with pytest.raises(ConfigError, match="another gateway"):
        SqliteStore(path)
    first.close()
    SqliteStore(path).close()


def test_what_is_no_store_is_named_with_a_remedy(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no database " * 100)
    with pytest.raises(ConfigError, match="not a database"):
        SqliteStore(garbage)
    newer = tmp_path / "newer"
    with closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version=9")
    for _ in range(2):
        with pytest.raises(ConfigError, match="version 9"):
            SqliteStore(newer)
    with pytest.raises(ConfigError, match="folder"):
        SqliteStore(garbage / "gateway.db")


def test_a_disk_that_is_full_undoes_the_transaction_and_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "gateway.db")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 4}")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.transaction():
        store.add_fact(Priority.URGENT, bytes(100_000))
    assert store.pending_facts() == {}
    with store.transaction():
        store.add_fact(Priority.URGENT, b"small")
    assert store.pending_facts() == {Priority.URGENT: 1}
    store.close()
