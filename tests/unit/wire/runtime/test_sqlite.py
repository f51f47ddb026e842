"""A log that has its full length does not grow with commits, and nothing else is changed."""

import sqlite3
from pathlib import Path

from wire.runtime.sqlite import lengthen_log, make_durable


def test_commits_do_not_make_the_log_longer(tmp_path: Path) -> None:
    file, log = tmp_path / "store.db", tmp_path / "store.db-wal"
    connection = sqlite3.connect(file, isolation_level=None)
    make_durable(connection)
    connection.execute("CREATE TABLE row (content BLOB)")
    lengthen_log(connection)
    length_bytes = log.stat().st_size
    for _ in range(2_000):
        connection.execute("INSERT INTO row VALUES (zeroblob(3000))")
    assert log.stat().st_size == length_bytes
    assert connection.execute("SELECT count(*) FROM row").fetchone() == (2_000,)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("row",)]
    assert connection.execute("PRAGMA cache_size").fetchone() != (16,)
    connection.close()


def test_what_was_committed_before_is_there_after_a_crash(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    make_durable(connection)
    connection.execute("CREATE TABLE row (content BLOB)")
    connection.execute("INSERT INTO row VALUES ('before')")
    lengthen_log(connection)
    connection.execute("INSERT INTO row VALUES ('after')")
    for suffix in ("", "-wal"):
        (tmp_path / f"copy.db{suffix}").write_bytes((tmp_path / f"store.db{suffix}").read_bytes())
    connection.close()
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT content FROM row").fetchall() == [("before",), ("after",)]
    copy.close()
