"""Messages are found by when they came in."""

from functools import partial
from pathlib import Path

from cloud.monitoring.adapters.arrivals import OUT_OF_ORDER_MS, arrivals, message_since
from tests.unit.cloud.office import NOW_MS, Office
from wire.facts import Event


def test_no_message_of_an_instant_or_later_lies_before_the_one_that_is_found(tmp_path: Path) -> None:
    office = Office(tmp_path)
    assert office.transact(lambda connection: message_since(connection, NOW_MS)) == 0
    times = {}
    for number in range(1, 30):
        event = Event(boot=bytes(8), tick_ms=number, serial=number, meter="", code="5.26.0.216", detail="")
        # Two handlers, the clock of one a little behind.
        times[number] = NOW_MS + number * 600_000 - (number % 2) * (OUT_OF_ORDER_MS - 1)
        office.take(office.batch([event]), now_ms=times[number])

    assert office.transact(lambda connection: arrivals(connection, times)) == times
    for number, at_ms in times.items():
        found = office.transact(partial(message_since, at_ms=at_ms))
        assert number - 1 <= found <= number
    assert office.transact(lambda connection: message_since(connection, max(times.values()) + 3_600_000)) == 30
    office.engine.dispose()
