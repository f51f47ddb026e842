"""How long batches take to the cloud's database, in site time, so that an outage of hours shows as hours.

A batch counts from its first sending in this run, by ticks, whatever becomes of clock and connection meanwhile. What an
earlier run sealed it may have sent as well: that counts from its sealing, as far as the clock of that run was right.
Nothing here decides what is sent.
"""

from dataclasses import dataclass

from gateway.core.moment import Moment
from gateway.core.numbers import DeliveryNumbers
from gateway.core.store import BatchStore, StoredBatch
from gateway.core.timekeeping import Timekeeper

BATCHES_REMEMBERED_MAX = 1_024
"""Sent and not acknowledged; many windows of connections that broke one after the other."""


@dataclass(slots=True)
class _Waits:
    """Latencies since the last report."""

    count: int = 0
    sum_ms: int = 0
    max_ms: int = 0

    def add(self, waited_ms: int) -> None:
        self.count += 1
        self.sum_ms += waited_ms
        self.max_ms = max(self.max_ms, waited_ms)


class Deliveries:
    """Follows batches from their first sending to their acknowledgement."""

    def __init__(self, store: BatchStore, time: Timekeeper) -> None:
        self._store = store
        self._time = time
        self._run_from = store.next_serial()
        """Serial from which on batches were sealed in this run."""
        self._synchronised_from: int | None = None
        """Serial from which on they were stamped with the cloud's time."""
        self._sent_at: dict[bytes, int] = {}
        """Ticks; below 0 where the machine started later than that."""
        self._acks_count = 0
        self._resends_count = 0
        self._connects_count = 0
        self._waits = _Waits()

    def on_connected(self) -> None:
        """A connection with the broker was opened."""
        self._connects_count += 1

    def on_welcome(self) -> None:
        """The clock is synchronised; call it before anything else is sealed."""
        if self._synchronised_from is None:
            self._synchronised_from = self._store.next_serial()

    def on_sent(self, batch: StoredBatch, now: Moment) -> None:
        """A batch goes out, perhaps again."""
        if batch.digest in self._sent_at:
            self._resends_count += 1
            return
        if len(self._sent_at) >= BATCHES_REMEMBERED_MAX:
            del self._sent_at[next(iter(self._sent_at))]
        is_of_this_run = batch.serial >= self._run_from
        age_ms = 0 if is_of_this_run else self._age_ms(batch.serial, batch.sealed_at_ms, now)
        self._sent_at[batch.digest] = now.tick_ms - age_ms

    def on_acknowledged(self, digest: bytes, now: Moment, *, is_news: bool) -> None:
        """A batch was named by an acknowledgement, perhaps once more."""
        sent_at_ms = self._sent_at.pop(digest, None)
        if not is_news:
            return
        self._acks_count += 1
        if sent_at_ms is not None:
            self._waits.add(now.tick_ms - sent_at_ms)

    def _age_ms(self, serial: int, sealed_at_ms: int, now: Moment) -> int:
        is_corrected = self._synchronised_from is not None and self._run_from <= serial < self._synchronised_from
        shift_ms = self._time.shift_ms if is_corrected else 0
        return max(self._time.stamp_ms(now) - sealed_at_ms - shift_ms, 0)

    def backlog_age_ms(self, oldest: StoredBatch | None, now: Moment) -> int:
        """Return since when a batch has been there; 0 for none."""
        return 0 if oldest is None else self._age_ms(oldest.serial, oldest.sealed_at_ms, now)

    def report(self) -> DeliveryNumbers:
        """Return the numbers; latencies begin anew with it."""
        waits, self._waits = self._waits, _Waits()
        return DeliveryNumbers(
            acks_count=self._acks_count,
            ack_latency_ms=waits.sum_ms // waits.count if waits.count else None,
            ack_latency_max_ms=waits.max_ms if waits.count else None,
            resends_count=self._resends_count,
            connects_count=self._connects_count,
        )
