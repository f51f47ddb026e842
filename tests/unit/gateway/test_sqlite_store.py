"""The store's file: taken by one gateway only, and a readable line where it cannot be used."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.store import Priority
from wire.runtime.errors import ConfigError


def add_batches(store: SqliteStore, rng: Random, count: int) -> list[bytes]:
    digests = [rng.randbytes(32) for _ in range(count)]
    for digest in digests:
        sealed = rng.randbytes(rng.randint(100, 5_000))
        store.add_batch(
            digest=digest, priority=rng.choice(list(Priority)), sealed=sealed, sealed_at_ms=rng.randrange(9)
        )
    return digests


@pytest.mark.parametrize("seed", range(5))
def test_the_backlog_is_that_of_the_batches_on_the_disk_whatever_becomes_of_them(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    path = tmp_path / "gateway.db"
    store = SqliteStore(path, full_sync=False)
    digests: list[bytes] = []
    changes = (
        lambda: digests.extend(add_batches(store, rng, 5)),
        lambda: store.mark_committed(rng.choice(digests), epoch=rng.randint(1, 3), position=rng.randint(1, 9)),
        lambda: store.mark_quarantined(rng.choice(digests), reason="no", epoch=1, position=rng.randint(1, 9)),
        lambda: store.unmark_other_epochs([1, 2]),
        lambda: store.unmark_after_restore(epoch=3, position=7),
        lambda: store.drop_acknowledged(rng.randint(0, 9_000)),
        lambda: store.drop_telemetry(rng.randint(0, 9_000)),
    )
    changes[0]()
    for _ in range(100):
        with store.transaction():
            rng.choices(changes, weights=(4, 9, 3, 1, 1, 2, 2))[0]()
        backlog = store.backlog()
        pending = sorted(store.next_batches(live_from=0, count_max=10**6), key=lambda batch: batch.serial)
        assert backlog.count == len(pending)
        assert backlog.oldest == (pending[0] if pending else None)
        assert backlog.size_bytes == sum(len(store.sealed(batch.digest)) for batch in pending)
    known = store.backlog(), store.used_bytes()
    store.close()
    again = SqliteStore(path, full_sync=False)
    assert (again.backlog(), again.used_bytes()) == known
    again.close()


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
