"""Reports of a gateway on itself and on its lines: facts like any other, so that they tell of an outage afterwards."""

from collections.abc import Mapping, Sequence

from gateway.core.collection import Collector
from gateway.core.deliveries import Deliveries
from gateway.core.moment import Moment
from gateway.core.numbers import LineNumbers, Numbers, StoreNumbers, metrics_of
from gateway.core.store import BatchStore
from gateway.core.timekeeping import Timekeeper
from wire.facts import Health, LineHealth


class SelfReport:
    """Gathers what the parts of the core know.

    Args:
        store: What waits and how much there is of it.
        collector: Takes the reports; knows what the store may keep and what was given up.
        deliveries: How long batches take.
        time: How far it may be relied on.
        boot: Of this run.
    """

    def __init__(
        self,
        store: BatchStore,
        collector: Collector,
        deliveries: Deliveries,
        time: Timekeeper,
        boot: bytes,
    ) -> None:
        self._store = store
        self._collector = collector
        self._deliveries = deliveries
        self._time = time
        self._boot = boot

    def make(self, parts: Sequence[Numbers], lines: Mapping[str, LineNumbers], now: Moment) -> None:
        """Report on the gateway, with `parts` that others know, and on its lines by their names."""
        own = (self._store_numbers(now), self._deliveries.report(), self._time.numbers(now))
        metrics = metrics_of(*own, *parts)
        self._collector.add_health(Health(boot=self._boot, tick_ms=now.tick_ms, meter="", metrics=metrics))
        for line, numbers in lines.items():
            metrics = metrics_of(numbers)
            self._collector.add_health(LineHealth(boot=self._boot, tick_ms=now.tick_ms, line=line, metrics=metrics))

    def _store_numbers(self, now: Moment) -> StoreNumbers:
        backlog = self._store.backlog()
        return StoreNumbers(
            pending_count=backlog.count,
            pending_age_s=self._deliveries.backlog_age_ms(backlog.oldest, now) // 1_000,
            store_bytes=self._store.used_bytes(),
            store_used_percent=100 * backlog.size_bytes // self._collector.store_bytes_max,
            dropped_bytes=self._collector.dropped_bytes,
        )
