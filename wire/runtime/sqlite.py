"""How both sides open SQLite: what is committed survives a power cut, and a commit costs the disk one flush.

The write-ahead log of SQLite starts empty and grows; each commit that makes it longer flushes twice, once for the bytes
and once for the file's new length. Once written to its full length it is used again from the start, and a commit only
overwrites. A process that is to last therefore writes it full first.
"""

import sqlite3

LOG_PAGES = 1_200
"""Somewhat more than SQLite lets its log grow to before it starts again (`wal_autocheckpoint`, 1,000 pages)."""


def make_durable(connection: sqlite3.Connection) -> None:
    """Have commits survive a power cut.

    Raises:
        sqlite3.Error: The file is no database, or in use.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def lengthen_log(connection: sqlite3.Connection) -> None:
    """Let the log have its full length now; takes about 10 ms, and changes nothing else.

    Args:
        connection: In no transaction, in autocommit mode.

    Raises:
        sqlite3.Error: The database is in use, or its disk is full.
    """
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    (cache_size,) = connection.execute("PRAGMA cache_size").fetchone()
    # What does not fit the cache goes to the log even before the commit that never comes.
    connection.execute("PRAGMA cache_size=16")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE padding (content)")
        connection.execute("INSERT INTO padding VALUES (zeroblob(?))", (LOG_PAGES * page_bytes,))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(f"PRAGMA cache_size={cache_size}")
