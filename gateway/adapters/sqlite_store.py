"""The gateway's disk: one SQLite file in WAL mode, synchronous, so that what was committed survives a power cut.

The shell opens a transaction, lets the cores read and write through this object, and commits. One thread owns it, and
one process: a lock file beside it keeps a second gateway out.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.core.store import Backlog, Priority, StoredBatch, StoredCommand
from wire.runtime.errors import ConfigError
from wire.runtime.sqlite import lengthen_log, make_durable

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE fact (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL, encoded BLOB NOT NULL);
CREATE INDEX fact_by_priority ON fact (priority, id);
CREATE TABLE reading (id INTEGER PRIMARY KEY, channels BLOB NOT NULL, encoded BLOB NOT NULL);
CREATE TABLE batch (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,           -- pending, committed, quarantined
    epoch INTEGER NOT NULL DEFAULT 0,
    position INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL,
    sealed_at_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX batch_pending ON batch (priority, serial) WHERE state = 'pending';
CREATE INDEX batch_done ON batch (serial) WHERE state <> 'pending';
CREATE TABLE journal (id INTEGER PRIMARY KEY, entry BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE command (
    id BLOB PRIMARY KEY, status TEXT NOT NULL, encoded BLOB NOT NULL, receipt BLOB NOT NULL, held_before INTEGER,
    not_after_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX command_open ON command (status) WHERE status <> 'final';
CREATE TABLE floor (meter TEXT, effect TEXT, version INTEGER NOT NULL, PRIMARY KEY (meter, effect)) WITHOUT ROWID;
CREATE TABLE hold (meter TEXT, hold INTEGER, PRIMARY KEY (meter, hold)) WITHOUT ROWID;
CREATE TABLE relay (meter TEXT PRIMARY KEY, closed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE power_limit (meter TEXT PRIMARY KEY, power_w INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE down_fact (id BLOB PRIMARY KEY, encoded BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (digest BLOB PRIMARY KEY, account TEXT NOT NULL, encoded BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX entry_by_account ON entry (account);
"""


class SqliteStore:
    """Implements `gateway.core.store.Store`."""

    def __init__(self, path: Path, *, full_sync: bool = True) -> None:
        """Open the file at `path`, made if it is not there.

        Raises:
            ConfigError: The file is no store of this program, of another version, damaged, or in use.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except BlockingIOError as error:
            raise ConfigError(
                str(path), "another gateway runs on this store", "stop it, or name another file"
            ) from error
        except OSError as error:
            raise ConfigError(
                str(path), f"the store cannot be opened: {error}", "name a file in a folder this program may write"
            ) from error
        try:
            self._open(path, full_sync=full_sync)
        except ConfigError:
            os.close(self._lock)
            raise

    def _open(self, path: Path, *, full_sync: bool) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            make_durable(self._db)
            if not full_sync:
                self._db.execute("PRAGMA synchronous=OFF")
            self._migrate(path)
            if full_sync:
                lengthen_log(self._db)
            self._count_batches()
        except sqlite3.OperationalError as error:
            raise ConfigError(
                str(path), f"the store cannot be opened: {error}", "see that it is a store this program may write to"
            ) from error
        except sqlite3.DatabaseError as error:
            remedy = "if it is a store, set it aside and start with an empty one; else name another file"
            raise ConfigError(str(path), f"the store cannot be read: {error}", remedy) from error

    def _count_batches(self) -> None:
        """Count anew what is otherwise kept up by each change."""
        self._used_bytes, self._pending_bytes, self._pending_count = self._db.execute(
            "SELECT coalesce(sum(size), 0), coalesce(sum(size) FILTER (WHERE state = 'pending'), 0),"
            " count(*) FILTER (WHERE state = 'pending') FROM batch"
        ).fetchone()

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise ConfigError(str(path), f"the store has version {version}", "run the program that wrote it, or newer")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside as one; on an error none of it happened."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # SQLite itself has rolled back after some errors, a full disk among them.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    # ---- values ------------------------------------------------------------------------------------------------------

    def value(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM value WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_value(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (name, value))

    # ---- what goes up ------------------------------------------------------------------------------------------------

    def add_fact(self, priority: Priority, encoded: bytes) -> None:
        self._db.execute("INSERT INTO fact (priority, encoded) VALUES (?, ?)", (int(priority), encoded))

    def add_row(self, channels: bytes, encoded: bytes) -> None:
        self._db.execute("INSERT INTO reading (channels, encoded) VALUES (?, ?)", (channels, encoded))

    def take_facts(self, priority: Priority, *, count_max: int) -> list[bytes]:
        rows = self._db.execute(
            "SELECT id, encoded FROM fact WHERE priority = ? ORDER BY id LIMIT ?", (int(priority), count_max)
        ).fetchall()
        if rows:
            self._db.execute("DELETE FROM fact WHERE priority = ? AND id <= ?", (int(priority), rows[-1][0]))
        return [encoded for _, encoded in rows]

    def take_rows(self, *, rows_max: int) -> tuple[bytes, list[bytes]]:
        first = self._db.execute("SELECT channels FROM reading ORDER BY id LIMIT 1").fetchone()
        if first is None:
            return b"", []
        rows = self._db.execute(
            "SELECT id, encoded FROM reading WHERE channels = ? ORDER BY id LIMIT ?", (first[0], rows_max)
        ).fetchall()
        self._db.execute("DELETE FROM reading WHERE channels = ? AND id <= ?", (first[0], rows[-1][0]))
        return bytes(first[0]), [encoded for _, encoded in rows]

    def pending_facts(self) -> dict[Priority, int]:
        counted = self._db.execute("SELECT priority, count(*) FROM fact GROUP BY priority").fetchall()
        return {Priority(priority): count for priority, count in counted}

    def pending_rows(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM reading").fetchone()
        return int(count)

    def add_batch(self, *, digest: bytes, priority: Priority, sealed: bytes, sealed_at_ms: int) -> int:
        self._used_bytes += len(sealed)
        self._pending_bytes += len(sealed)
        self._pending_count += 1
        cursor = self._db.execute(
            "INSERT INTO batch (digest, priority, state, size, sealed_at_ms, sealed) VALUES (?, ?, 'pending', ?, ?, ?)",
            (digest, int(priority), len(sealed), sealed_at_ms, sealed),
        )
        return int(cursor.lastrowid or 0)

    def next_serial(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return int(row[0]) + 1 if row else 1

    def next_batches(self, *, live_from: int, count_max: int) -> list[StoredBatch]:
        rows = self._db.execute(
            "SELECT serial, digest, priority, sealed_at_ms FROM ("
            " SELECT * FROM (SELECT serial, digest, priority, sealed_at_ms, 0 AS late FROM batch"
            "  WHERE state = 'pending' AND priority < 2 ORDER BY priority, serial LIMIT :n)"
            " UNION ALL SELECT * FROM (SELECT serial, digest, priority, sealed_at_ms, 0 FROM batch"
            "  WHERE state = 'pending' AND priority = 2 AND serial >= :live ORDER BY serial LIMIT :n)"
            " UNION ALL SELECT * FROM (SELECT serial, digest, priority, sealed_at_ms, 1 FROM batch"
            "  WHERE state = 'pending' AND priority = 2 AND serial < :live ORDER BY serial LIMIT :n)"
            ") ORDER BY priority, late, serial LIMIT :n",
            {"live": live_from, "n": count_max},
        ).fetchall()
        return [_stored_batch(row) for row in rows]

    def sealed(self, digest: bytes) -> bytes:
        row = self._db.execute("SELECT sealed FROM batch WHERE digest = ?", (digest,)).fetchone()
        return bytes(row[0])

    def mark_committed(self, digest: bytes, *, epoch: int, position: int) -> bool:
        if self._settle(digest, "committed", "", epoch, position):
            return True
        cursor = self._db.execute(
            "UPDATE batch SET state = 'committed', epoch = ?, position = ? WHERE digest = ? AND state = 'quarantined'",
            (epoch, position, digest),
        )
        return cursor.rowcount > 0

    def mark_quarantined(self, digest: bytes, *, reason: str, epoch: int, position: int) -> bool:
        return self._settle(digest, "quarantined", reason, epoch, position)

    def _settle(self, digest: bytes, state: str, reason: str, epoch: int, position: int) -> bool:
        sizes = self._db.execute(
            "UPDATE batch SET state = ?, reason = ?, epoch = ?, position = ? WHERE digest = ? AND state = 'pending'"
            " RETURNING size",
            (state, reason, epoch, position, digest),
        ).fetchall()
        self._pending_count -= len(sizes)
        self._pending_bytes -= sum(size for (size,) in sizes)
        return bool(sizes)

    def unmark_other_epochs(self, epochs: Sequence[int]) -> int:
        known = ", ".join(str(int(epoch)) for epoch in epochs)
        cursor = self._db.execute(
            f"UPDATE batch SET state = 'pending' WHERE state <> 'pending' AND epoch NOT IN ({known})"  # noqa: S608
        )
        self._count_batches()
        return cursor.rowcount

    def unmark_after_restore(self, *, epoch: int, position: int) -> int:
        cursor = self._db.execute(
            "UPDATE batch SET state = 'pending' WHERE state <> 'pending' AND epoch < ? AND position > ?",
            (epoch, position),
        )
        self._count_batches()
        return int(cursor.rowcount)

    def used_bytes(self) -> int:
        return int(self._used_bytes)

    def backlog(self) -> Backlog:
        # By priority, as the index has them.
        query = (
            "SELECT serial, digest, priority, sealed_at_ms FROM batch WHERE state = 'pending' AND priority = ?"
            " ORDER BY serial LIMIT 1"
        )
        rows = [row for priority in Priority for row in self._db.execute(query, (int(priority),)).fetchall()]
        oldest = _stored_batch(min(rows)) if rows else None
        return Backlog(self._pending_count, self._pending_bytes, oldest)

    def drop_acknowledged(self, bytes_wanted: int) -> int:
        dropped, _ = self._drop("state <> 'pending'", bytes_wanted)
        return dropped

    def drop_telemetry(self, bytes_wanted: int) -> int:
        dropped, count = self._drop("state = 'pending' AND priority = 2", bytes_wanted)
        self._pending_count -= count
        self._pending_bytes -= dropped
        return dropped

    def _drop(self, condition: str, bytes_wanted: int) -> tuple[int, int]:
        """Drop the oldest of a kind and return how many bytes and how many batches went."""
        dropped = 0
        serials = []
        # The conditions are the two literals above.
        query = f"SELECT serial, size FROM batch WHERE {condition} ORDER BY serial LIMIT 1000"  # noqa: S608
        for serial, size in self._db.execute(query).fetchall():
            if dropped >= bytes_wanted:
                break
            dropped += size
            serials.append((serial,))
        self._db.executemany("DELETE FROM batch WHERE serial = ?", serials)
        self._used_bytes -= dropped
        return dropped, len(serials)

    # ---- journal -----------------------------------------------------------------------------------------------------

    def append_journal(self, entry: bytes, digest: bytes) -> None:
        self._db.execute("INSERT INTO journal (entry, digest) VALUES (?, ?)", (entry, digest))

    def journal_head(self) -> tuple[int, bytes]:
        row = self._db.execute("SELECT id, digest FROM journal ORDER BY id DESC LIMIT 1").fetchone()
        return (row[0], bytes(row[1])) if row else (0, bytes(32))

    def command(self, command: bytes) -> StoredCommand | None:
        row = self._db.execute(
            "SELECT id, status, encoded, receipt, held_before FROM command WHERE id = ?", (command,)
        ).fetchone()
        return None if row is None else _stored_command(row)

    def put_command(self, stored: StoredCommand, *, not_after_ms: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO command VALUES (?, ?, ?, ?, ?, ?)",
            (stored.id, stored.status, stored.encoded, stored.receipt, stored.held_before, not_after_ms),
        )

    def open_commands(self) -> list[StoredCommand]:
        rows = self._db.execute(
            "SELECT id, status, encoded, receipt, held_before FROM command WHERE status <> 'final'"
        ).fetchall()
        return [_stored_command(row) for row in rows]

    def floor(self, meter: str, effect: str) -> int:
        row = self._db.execute("SELECT version FROM floor WHERE meter = ? AND effect = ?", (meter, effect)).fetchone()
        return int(row[0]) if row else 0

    def raise_floor(self, meter: str, effect: str, version: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO floor VALUES (?, ?, ?)", (meter, effect, version))

    def forget_journal(self, *, keep: int) -> int:
        # By number: the newest, from which the chain goes on, is always kept.
        cursor = self._db.execute("DELETE FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?", (keep,))
        return cursor.rowcount

    def forget_commands(self, *, before_ms: int) -> int:
        cursor = self._db.execute("DELETE FROM command WHERE status = 'final' AND not_after_ms < ?", (before_ms,))
        return cursor.rowcount

    # ---- supply ------------------------------------------------------------------------------------------------------

    def holds(self) -> list[tuple[str, int]]:
        return self._db.execute("SELECT meter, hold FROM hold").fetchall()

    def place_hold(self, meter: str, hold: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO hold VALUES (?, ?)", (meter, int(hold)))

    def lift_hold(self, meter: str, hold: int) -> None:
        self._db.execute("DELETE FROM hold WHERE meter = ? AND hold = ?", (meter, int(hold)))

    def relay_state(self, meter: str) -> bool | None:
        row = self._db.execute("SELECT closed FROM relay WHERE meter = ?", (meter,)).fetchone()
        return None if row is None else bool(row[0])

    def set_relay_state(self, meter: str, *, closed: bool) -> None:
        self._db.execute("INSERT OR REPLACE INTO relay VALUES (?, ?)", (meter, closed))

    def power_limits(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT meter, power_w FROM power_limit").fetchall())

    def set_power_limit(self, meter: str, power_w: int | None) -> None:
        if power_w is None:
            self._db.execute("DELETE FROM power_limit WHERE meter = ?", (meter,))
        else:
            self._db.execute("INSERT OR REPLACE INTO power_limit VALUES (?, ?)", (meter, power_w))

    def add_down_fact(self, fact: bytes, encoded: bytes) -> bool:
        cursor = self._db.execute("INSERT OR IGNORE INTO down_fact VALUES (?, ?)", (fact, encoded))
        return cursor.rowcount > 0

    def drop_down_fact(self, fact: bytes) -> None:
        self._db.execute("DELETE FROM down_fact WHERE id = ?", (fact,))

    def down_facts(self) -> list[bytes]:
        return [encoded for (encoded,) in self._db.execute("SELECT encoded FROM down_fact").fetchall()]

    def add_entry(self, account: str, digest: bytes, encoded: bytes) -> bool:
        cursor = self._db.execute("INSERT OR IGNORE INTO entry VALUES (?, ?, ?)", (digest, account, encoded))
        return cursor.rowcount > 0

    def drop_entries(self, digests: Sequence[bytes]) -> None:
        self._db.executemany("DELETE FROM entry WHERE digest = ?", [(digest,) for digest in digests])

    def entries(self) -> list[tuple[str, bytes]]:
        return self._db.execute("SELECT account, encoded FROM entry").fetchall()

    def entries_of(self, account: str) -> list[bytes]:
        rows = self._db.execute("SELECT encoded FROM entry WHERE account = ?", (account,)).fetchall()
        return [encoded for (encoded,) in rows]


def _lock(path: Path) -> int:
    """Take the store for this process: two gateways on one would each run its commands.

    In a file beside it, since closing any other descriptor of the database file would give SQLite's own locks away.
    """
    descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _stored_batch(row: tuple[int, bytes, int, int]) -> StoredBatch:
    serial, digest, priority, sealed_at_ms = row
    return StoredBatch(serial, digest, Priority(priority), sealed_at_ms)


def _stored_command(row: tuple[bytes, str, bytes, bytes, int | None]) -> StoredCommand:
    command, status, encoded, receipt, held_before = row
    return StoredCommand(command, status, encoded, receipt, None if held_before is None else bool(held_before))
