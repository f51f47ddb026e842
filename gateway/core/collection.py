"""From rows and facts on the disk to signed, immutable batches; and what goes first when the disk is full.

Urgent facts are sealed in the transaction that brings them, but for the receipt that a command was taken: it waits a
moment for the receipt of what came of it, which mostly follows at once, and the two travel as one. Rows and register
points wait until they fill a batch or have waited long enough; what meters captured waits longer, for few rows of many
meters share what they have in common. Nothing is kept in memory that the disk does not hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from gateway.core.effects import Effects, Note
from gateway.core.moment import Moment
from gateway.core.store import BatchStore, Priority
from gateway.core.timekeeping import Timekeeper
from wire import codec, limits
from wire.address import Address, Direction, Kind
from wire.errors import LimitExceededError
from wire.facts import Event, Health, LineHealth, Receipt, UpFact
from wire.keys import SigningKey
from wire.messages import make_batch_of, seal_message
from wire.readings import Channel, Row, to_block
from wire.signing import digest_of

T = TypeVar("T")

_BATCH_INDEX = "batch-index"
_STORE_ID = "store-id"
DROP_SHARE = 32
"""A disk that is full makes room for one part in so many."""
REPORT_EVERY_MS = 3_600_000
EVENT_STORE_FULL = "5.17.0.93"
"""IEC 61968-9: gateway, logs, maximum limit reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """When to seal and how much to keep."""

    seal_after_ms: int = 2_000
    """How long rows may wait for company, real ms."""
    gather_after_ms: int = 60_000
    """The same for facts that need not hurry."""
    rows_per_batch_max: int = 500
    """With 8 channels about 8 KiB once compressed; with 64 it still fits a message."""
    accepted_after_ms: int = 200
    """How long the receipt that a command was taken may wait for the final one, real ms."""
    facts_per_batch_max: int = 128
    store_bytes_max: int = 512 * 1024 * 1024


class Collector:
    """Takes rows and facts in, seals batches."""

    def __init__(
        self,
        store: BatchStore,
        time: Timekeeper,
        settings: CollectionSettings,
        *,
        key: SigningKey,
        utility: str,
        boot: bytes,
    ) -> None:
        self._store = store
        self._time = time
        self._settings = settings
        self._key = key
        self._address = Address(utility, Direction.UP, Kind.BATCH, key.public.party)
        self._boot = boot
        self.batches_count = 0
        """Sealed since the start."""
        self._event_serial = 0
        self._facts = dict.fromkeys(Priority, 0) | store.pending_facts()
        self._rows = store.pending_rows()
        self._waiting_since_ms: int | None = None
        self._gathering_since_ms: int | None = None
        self._hasty = self._facts[Priority.LEDGER] > 0
        """Whether a fact of the ledger is among those that wait, other than patient ones."""
        self._accepted_count = 0
        """Receipts that commands were taken, among the urgent facts that wait."""
        self._accepted_until_ms: int | None = None
        self._full = False
        self.dropped_bytes = 0
        """Of readings given up since the start."""
        self._dropped_bytes = 0
        """Not reported by an event yet."""
        self._report_due_ms = 0

    @property
    def store_bytes_max(self) -> int:
        """What the store may keep."""
        return self._settings.store_bytes_max

    @property
    def has_room(self) -> bool:
        """Whether more may be taken than must be."""
        return not self._full

    def add_rows(self, channels: Sequence[Channel], rows: Sequence[Row]) -> bool:
        """Take rows of the same channels; False when the disk is full and they were not taken."""
        if self._full:
            return False
        encoded_channels = _encoded_channels(tuple(channels))
        for row in rows:
            self._store.add_row(encoded_channels, codec.encode([self._boot, row]))
        self._rows += len(rows)
        return True

    def add_fact(self, fact: UpFact, priority: Priority, *, patient: bool = False) -> None:
        """Take a fact; urgent ones go out with the next `seal`, patient ones of the ledger when they are many."""
        self._store.add_fact(priority, codec.encode(fact))
        self._facts[priority] += 1
        self._hasty |= priority is Priority.LEDGER and not patient

    def add_event(self, code: str, *, now: Moment, meter: str = "", detail: str = "") -> None:
        """Report that something happened."""
        self._event_serial += 1
        event = Event(
            boot=self._boot,
            tick_ms=now.tick_ms,
            serial=self._event_serial,
            meter=meter,
            code=code,
            detail=detail[: limits.DETAIL_CHARS_MAX],
        )
        self.add_fact(event, Priority.URGENT)

    def add_receipt(self, receipt: Receipt, now: Moment) -> None:
        """Report what became of a command."""
        self.add_fact(receipt, Priority.URGENT)
        if not receipt.stage.is_final:
            self._accepted_count += 1
            if self._accepted_until_ms is None:
                self._accepted_until_ms = now.mono_ms + self._settings.accepted_after_ms

    def add_health(self, health: Health | LineHealth) -> None:
        """Report how gateway, line or meter is doing, unless the disk is full."""
        if not self._full:
            self.add_fact(health, Priority.TELEMETRY)

    def next_deadline_ms(self) -> int | None:
        """Return when what waits has waited long enough, real ms."""
        deadlines = (self._waiting_until_ms, self._gathering_until_ms, self._accepted_until_ms)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def _waiting_until_ms(self) -> int | None:
        since_ms = self._waiting_since_ms
        return None if since_ms is None else since_ms + self._settings.seal_after_ms

    @property
    def _gathering_until_ms(self) -> int | None:
        since_ms = self._gathering_since_ms
        return None if since_ms is None else since_ms + self._settings.gather_after_ms

    def seal(self, now: Moment, *, everything: bool = False) -> Effects:
        """Seal what is due; call it before each commit."""
        settings = self._settings
        sealed = 0
        if everything or self._is_urgent(now):
            while self._facts[Priority.URGENT]:
                sealed += self._seal_facts(Priority.URGENT, now)
            self._accepted_count, self._accepted_until_ms = 0, None
        due = everything or self._is_due(now)
        ledger_due = everything or self._is_gathered(now) or (due and self._hasty)
        for priority, is_due in ((Priority.LEDGER, ledger_due), (Priority.TELEMETRY, due)):
            while self._facts[priority] >= (1 if is_due else settings.facts_per_batch_max):
                sealed += self._seal_facts(priority, now)
        while self._rows >= (1 if due else settings.rows_per_batch_max):
            sealed += self._seal_rows(now)
        if not self._facts[Priority.LEDGER]:
            self._hasty, self._gathering_since_ms = False, None
        if due or not self._waits():
            self._waiting_since_ms = None
        self.batches_count += sealed
        return self._keep_within_bounds(now) if sealed or self._full or self._dropped_bytes else ()

    def _waits(self) -> bool:
        return bool(self._hasty or self._facts[Priority.TELEMETRY] or self._rows)

    def _is_due(self, now: Moment) -> bool:
        if self._waits() and self._waiting_since_ms is None:
            self._waiting_since_ms = now.mono_ms
        deadline_ms = self._waiting_until_ms
        return deadline_ms is not None and now.mono_ms >= deadline_ms

    def _is_gathered(self, now: Moment) -> bool:
        if self._facts[Priority.LEDGER] and self._gathering_since_ms is None:
            self._gathering_since_ms = now.mono_ms
        deadline_ms = self._gathering_until_ms
        return deadline_ms is not None and now.mono_ms >= deadline_ms

    def _is_urgent(self, now: Moment) -> bool:
        if self._accepted_until_ms is not None and now.mono_ms >= self._accepted_until_ms:
            return True
        return self._facts[Priority.URGENT] > self._accepted_count

    def _seal_facts(self, priority: Priority, now: Moment) -> int:
        encoded = self._store.take_facts(priority, count_max=self._settings.facts_per_batch_max)
        assert encoded, "counted facts are on the disk"
        self._facts[priority] -= len(encoded)
        return self._seal(encoded, list, priority, now)

    def _seal_rows(self, now: Moment) -> int:
        channels, rows = self._store.take_rows(rows_max=self._settings.rows_per_batch_max)
        assert rows, "counted rows are on the disk"
        self._rows -= len(rows)
        columns: list[Channel] = codec.decode_as(channels, list[Channel])
        stamped = [codec.decode_as(item, tuple[bytes, Row]) for item in rows]
        return self._seal(
            stamped, lambda part: [codec.encode(fact) for fact in _blocks(columns, part)], Priority.TELEMETRY, now
        )

    def _seal(
        self, items: Sequence[T], to_facts: Callable[[Sequence[T]], list[bytes]], priority: Priority, now: Moment
    ) -> int:
        """Seal items as one batch, or as several where one cannot hold them; return how many."""
        stored_index = self._store.value(_BATCH_INDEX)
        index = int(stored_index) + 1 if stored_index else 1
        store_id = self._store.value(_STORE_ID)
        assert store_id is not None, "the store was given its id when it was made"
        try:
            batch = make_batch_of(to_facts(items), store=store_id, index=index)
            sealed = seal_message(batch, self._address, self._key)
        except LimitExceededError:
            assert len(items) > 1, "one fact or row fits a batch"
            middle = len(items) // 2
            halves = items[:middle], items[middle:]
            return sum(self._seal(half, to_facts, priority, now) for half in halves)
        self._store.set_value(_BATCH_INDEX, str(index).encode())
        self._store.add_batch(
            digest=digest_of(sealed), priority=priority, sealed=sealed, sealed_at_ms=self._time.stamp_ms(now)
        )
        return 1

    def _keep_within_bounds(self, now: Moment) -> Effects:
        excess = self._store.used_bytes() - self._settings.store_bytes_max
        if excess > 0:
            excess = self._make_room(excess)
        self._report_dropped(now)
        if (excess > 0) is self._full:
            return ()
        self._full = excess > 0
        if self._full:
            remedy = "let the gateway reach the cloud, or raise store.bytes_max; no readings are taken until then"
            return (Note(event="store.full", facts=(("bytes_over", excess), ("remedy", remedy)), is_warning=True),)
        return (Note(event="store.has_room"),)

    def _make_room(self, excess: int) -> int:
        """Drop what may be dropped and return by how much the store is still too large."""
        # Somewhat more than must be, so that a full disk is not busy with this alone.
        margin = self._settings.store_bytes_max // DROP_SHARE
        excess -= self._store.drop_acknowledged(excess + margin)
        if excess > 0:
            dropped = self._store.drop_telemetry(excess + margin)
            self.dropped_bytes += dropped
            self._dropped_bytes += dropped
            excess -= dropped
        return excess

    def _report_dropped(self, now: Moment) -> None:
        """Say what was lost, once an hour at most: events are never dropped and must not fill the disk themselves."""
        if not self._dropped_bytes or now.mono_ms < self._report_due_ms:
            return
        # Sealed with the next transaction, so that a full disk cannot make this call itself.
        self.add_event(EVENT_STORE_FULL, now=now, detail=f"dropped {self._dropped_bytes} bytes of the oldest readings")
        self._dropped_bytes = 0
        self._report_due_ms = now.mono_ms + REPORT_EVERY_MS


def _blocks(columns: Sequence[Channel], stamped: Sequence[tuple[bytes, Row]]) -> list[UpFact]:
    by_boot: dict[bytes, list[Row]] = {}
    for boot, row in stamped:
        by_boot.setdefault(boot, []).append(row)
    return [to_block(boot, columns, rows) for boot, rows in by_boot.items()]


@lru_cache(maxsize=64)
def _encoded_channels(channels: tuple[Channel, ...]) -> bytes:
    # Each row comes by itself, and a gateway knows few register maps.
    return codec.encode(list(channels))


def make_store_id(store: BatchStore, fresh: bytes) -> bytes:
    """Return the id of the store, giving it `fresh` when it is new."""
    known = store.value(_STORE_ID)
    if known is None:
        store.set_value(_STORE_ID, fresh)
        return fresh
    return known
