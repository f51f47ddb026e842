"""What a gateway's disk was told, written down beside it: the measure of what the cloud must have in the end.

A fact or row is *sure* once the commit that holds it was reported, and *possible* where a crash left that open or the
disk was set back behind it.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.sqlite_store import SqliteStore
from gateway.core.store import Priority, StoredCommand
from wire import codec
from wire.facts import UpFact
from wire.messages import Batch, Message, facts_of
from wire.readings import Readings, to_rows

Item = tuple[bytes, bytes]
"""A row with the channels of its values, or a fact with nothing."""


class PowerCutError(Exception):
    """Raised where the power goes; nothing catches it but the world."""


@dataclass(slots=True)
class Truth:
    """All that one gateway's disk was told, by order of commit."""

    sure: list[Item] = field(default_factory=list)
    dropped: set[Item] = field(default_factory=set)
    """Readings that were sure until there was no room for them."""
    released: set[Item] = field(default_factory=set)
    """Acknowledged and dropped: a cloud set back can no longer have it again."""
    possible: set[Item] = field(default_factory=set)
    """Told to a disk that was lost, or in a commit that nobody reported."""
    was_set_back: bool = False

    def copy(self) -> "Truth":
        """Return what goes with a copy of the disk."""
        return Truth(list(self.sure), set(self.dropped), set(self.released))

    def set_back(self, earlier: "Truth") -> None:
        """The disk is the copy again; what came later is no more than possible."""
        self.possible.update(self.sure)
        self.sure = list(earlier.sure)
        self.dropped = set(earlier.dropped)
        self.released |= earlier.released
        self.was_set_back = True


class RecordingStore(SqliteStore):
    """The real store, which writes down what it is told and can lose power before any of its writes."""

    def __init__(self, path: Path, truth: Truth) -> None:
        super().__init__(path, full_sync=False)
        self.truth = truth
        self.told: list[Item] = []
        self.steps = 0
        """Writes of the running transaction."""
        self.cut_at_step: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.told = []
        self.steps = 0
        with super().transaction():
            yield

    def on_reported(self) -> None:
        """The commit was reported."""
        self.truth.sure += self.told
        self.told = []

    def on_left_open(self) -> None:
        """The power went during the commit."""
        self.truth.possible.update(self.told)

    def _step(self) -> None:
        if self.steps == self.cut_at_step:
            raise PowerCutError
        self.steps += 1

    # ---- writes ------------------------------------------------------------------------------------------------------

    def set_value(self, name: str, value: bytes) -> None:
        self._step()
        super().set_value(name, value)

    def add_fact(self, priority: Priority, encoded: bytes) -> None:
        self._step()
        self.told.append((b"", encoded))
        super().add_fact(priority, encoded)

    def add_row(self, channels: bytes, encoded: bytes) -> None:
        self._step()
        self.told.append((channels, encoded))
        super().add_row(channels, encoded)

    def add_batch(self, *, digest: bytes, priority: Priority, sealed: bytes, sealed_at_ms: int) -> int:
        self._step()
        return super().add_batch(digest=digest, priority=priority, sealed=sealed, sealed_at_ms=sealed_at_ms)

    def mark_committed(self, digest: bytes, *, epoch: int, position: int) -> bool:
        self._step()
        return super().mark_committed(digest, epoch=epoch, position=position)

    def append_journal(self, entry: bytes, digest: bytes) -> None:
        self._step()
        super().append_journal(entry, digest)

    def put_command(self, stored: StoredCommand, *, not_after_ms: int) -> None:
        self._step()
        super().put_command(stored, not_after_ms=not_after_ms)

    def raise_floor(self, meter: str, effect: str, version: int) -> None:
        self._step()
        super().raise_floor(meter, effect, version)

    def place_hold(self, meter: str, hold: int) -> None:
        self._step()
        super().place_hold(meter, hold)

    def lift_hold(self, meter: str, hold: int) -> None:
        self._step()
        super().lift_hold(meter, hold)

    def set_relay_state(self, meter: str, *, closed: bool) -> None:
        self._step()
        super().set_relay_state(meter, closed=closed)

    def add_down_fact(self, fact: bytes, encoded: bytes) -> bool:
        self._step()
        return super().add_down_fact(fact, encoded)

    def drop_down_fact(self, fact: bytes) -> None:
        self._step()
        super().drop_down_fact(fact)

    def drop_entries(self, digests: Sequence[bytes]) -> None:
        self._step()
        super().drop_entries(digests)

    def add_entry(self, account: str, digest: bytes, encoded: bytes) -> bool:
        self._step()
        return super().add_entry(account, digest, encoded)

    def drop_acknowledged(self, bytes_wanted: int) -> int:
        self._step()
        with self._dropping(self.truth.released):
            return super().drop_acknowledged(bytes_wanted)

    def drop_telemetry(self, bytes_wanted: int) -> int:
        self._step()
        with self._dropping(self.truth.dropped):
            return super().drop_telemetry(bytes_wanted)

    @contextmanager
    def _dropping(self, into: set[Item]) -> Iterator[None]:
        before = dict(self._db.execute("SELECT serial, sealed FROM batch"))
        yield
        left = {serial for (serial,) in self._db.execute("SELECT serial FROM batch")}
        for serial, sealed in before.items():
            if serial not in left:
                into.update(items_of(sealed))

    # ---- looking -----------------------------------------------------------------------------------------------------

    def journal(self) -> list[list[object]]:
        """Return the entries of the journal."""
        rows = self._db.execute("SELECT entry FROM journal ORDER BY id").fetchall()
        return [codec.decode_strict(entry) for (entry,) in rows]

    def commands(self) -> list[StoredCommand]:
        """Return all commands of the journal."""
        ids = self._db.execute("SELECT id FROM command").fetchall()
        found = [SqliteStore.command(self, name) for (name,) in ids]
        return [item for item in found if item is not None]

    def unsent(self) -> int:
        """Return how much waits to be sealed or acknowledged."""
        (batches,) = self._db.execute("SELECT count(*) FROM batch WHERE state = 'pending'").fetchone()
        (facts,) = self._db.execute("SELECT count(*) FROM fact").fetchone()
        return int(batches) + int(facts) + self.pending_rows()


def facts_in(sealed: bytes) -> list[UpFact]:
    """Return the facts of a signed batch, its signature taken for granted."""
    payload = codec.decode_strict(sealed[1:])[2]
    batch: Batch = codec.decode_message(payload, Message)
    return facts_of(batch)


def items_of(sealed: bytes) -> list[Item]:
    """Return the rows and facts of a signed batch as the store was told them."""
    items: list[Item] = []
    for fact in facts_in(sealed):
        if isinstance(fact, Readings):
            channels = codec.encode([column.channel for column in fact.columns])
            items += [(channels, codec.encode([fact.boot, row])) for row in to_rows(fact)]
        else:
            items.append((b"", codec.encode(fact)))
    return items


def random_cut(rng: random.Random) -> int:
    """Return before which write of a transaction the power goes."""
    return rng.choice([0, 1, 2, 3, rng.randint(0, 12), rng.randint(0, 60)])
