import asyncio
import threading
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from cloud.monitoring.adapters.delivery import (
    DAY_MS,
    CountedWriter,
    Delivered,
    Outlet,
    WithinRetention,
    deliver,
    in_batches,
)
from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.ports import RefusedLinesError
from cloud.tally import Tally
from wire.runtime.errors import UnavailableError


class PickyWriter:
    """A server that refuses every piece with a bad line in it, and may tell that it took the rest."""

    def __init__(self, *, tells: bool = False) -> None:
        self.held: dict[Retention, set[str]] = {}
        self.request_count = 0
        self._tells = tells

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        self.request_count += 1
        good = {line for line in lines if "bad" not in line}
        if self._tells or len(good) == len(lines):
            self.held.setdefault(retention, set()).update(good)
        if len(good) < len(lines):
            raise RefusedLinesError("400: bad line", dropped_count=len(lines) - len(good) if self._tells else None)

    def close(self) -> None:
        pass


class AbsentWriter:
    """A server that is not there."""

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        raise UnavailableError(f"{len(lines)} lines of {retention} for nobody")

    def close(self) -> None:
        pass


LINES = [f"reading,meter=m{index} {'bad' if index in {17, 400} else 'v=1'} {index}" for index in range(1_000)]


@pytest.mark.parametrize("tells", [False, True])
def test_bad_lines_are_left_out_and_counted_and_block_nothing(*, tells: bool) -> None:
    writer = PickyWriter(tells=tells)

    delivered = deliver(writer, LINES)

    assert delivered == Delivered(written_count=998, dropped_count=2, problem="400: bad line")
    assert writer.held == {Retention.DETAIL: {line for line in LINES if "bad" not in line}}
    assert writer.request_count < 60


def test_a_server_that_is_not_there_is_no_bad_line() -> None:
    with pytest.raises(UnavailableError):
        deliver(AbsentWriter(), LINES)


def test_what_the_server_would_not_keep_is_not_sent() -> None:
    now_ms = 1_790_000_000_000
    ages = {f"meter_health,meter=m v=1 {now_ms - days * DAY_MS}": days for days in (0, 29, 31, 400)}
    ages |= {f"command,gateway=g count=1 {now_ms - days * DAY_MS}": days for days in (0, 31, 999, 1_001)}
    writer = PickyWriter()
    days = {Retention.DETAIL: 30, Retention.HISTORY: 1_000}

    deliver(WithinRetention(writer, days=days, now_ms=lambda: now_ms), list(ages))

    assert {ages[line] for line in writer.held[Retention.DETAIL]} == {0, 29}
    assert {ages[line] for line in writer.held[Retention.HISTORY]} == {0, 31, 999}


def test_a_retention_of_a_hundred_years_keeps_everything() -> None:
    writer = PickyWriter()
    lines = [f"command,gateway=g count=1 {1_600_000_000_000}"]

    deliver(WithinRetention(writer, days={Retention.HISTORY: 36_500}, now_ms=lambda: 1_790_000_000_000), lines)

    assert writer.held[Retention.HISTORY] == set(lines)


def test_each_line_goes_where_its_measurement_is_kept() -> None:
    lines = {
        Retention.DETAIL: {"reading,meter=m v=1 1", "reading,meter=m v=1 2", "gateway_health,gateway=g v=1 1"},
        Retention.HISTORY: {"event,gateway=g count=1 1", "command,gateway=g count=1 1"},
    }
    writer = PickyWriter()

    deliver(writer, [line for of_one in zip(*lines.values(), strict=False) for line in of_one] + LINES[:1])
    deliver(writer, sorted(lines[Retention.DETAIL]))

    assert writer.held == {
        Retention.DETAIL: lines[Retention.DETAIL] | {LINES[0]},
        Retention.HISTORY: lines[Retention.HISTORY],
    }


@pytest.mark.parametrize("tells", [False, True])
def test_what_is_written_is_counted_for_those_who_ask(*, tells: bool) -> None:
    tally = Tally()
    writer = PickyWriter(tells=tells)

    deliver(CountedWriter(writer, tally), LINES)

    assert (tally.lines_count, tally.lines_dropped_count, tally.writes_failed_count) == (998, 2, 0)
    assert tally.writes.total_count == writer.request_count
    mean_ms, max_ms = tally.writes.take()
    assert mean_ms is not None
    assert max_ms is not None
    assert 0 < mean_ms <= max_ms


def test_a_write_without_an_answer_is_a_failure_and_has_no_time() -> None:
    tally = Tally()
    with pytest.raises(UnavailableError):
        deliver(CountedWriter(AbsentWriter(), tally), LINES)
    assert (tally.lines_count, tally.writes_failed_count, tally.writes.take()) == (0, 1, (None, None))


def test_lines_of_which_the_catalogue_knows_nothing_are_left_out() -> None:
    writer = PickyWriter()
    delivered = deliver(writer, ["of_tomorrow,utility=demo v=1 1", *LINES[:5], "no comma"])
    assert (delivered.written_count, delivered.dropped_count) == (5, 2)
    assert delivered.problem == "not in the catalogue: of_tomorrow,utility=demo v=1 1"
    assert writer.held == {Retention.DETAIL: set(LINES[:5])}


async def test_an_outlet_adds_up_and_says_when_lines_begin_to_be_dropped() -> None:
    outlet = Outlet(PickyWriter(), source="surveys")
    with capture_logs() as logs:
        for first in (0, 17, 17, 20, 400):
            await outlet.send(LINES[first : first + 2])
    assert outlet.delivered == Delivered(written_count=7, dropped_count=3, problem="400: bad line")
    assert [(entry["event"], entry["source"]) for entry in logs] == [("lines.dropped", "surveys")] * 2


async def test_an_outlet_says_when_the_server_is_away() -> None:
    with pytest.raises(UnavailableError):
        await Outlet(AbsentWriter(), source="surveys").send(LINES)


async def test_a_server_that_hangs_holds_up_nothing_else() -> None:
    hung = threading.Event()

    class HangingWriter(PickyWriter):
        def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
            hung.wait()
            super().write(lines, retention=retention)

    outlet = Outlet(HangingWriter(), source="surveys")
    waiting = [asyncio.create_task(outlet.send(LINES[:1])) for _ in range(40)]
    # The loop's own threads are fewer than those that hang.
    assert await asyncio.to_thread(lambda: not hung.is_set())
    hung.set()
    await asyncio.gather(*waiting)
    assert outlet.delivered.written_count == 40


def test_batches_are_bounded_in_lines_and_in_size_and_lose_nothing() -> None:
    lines = ["x" * length for length in (3, 3, 3, 50, 1)]
    batches = list(in_batches(lines, lines_max=2, chars_max=10))

    assert batches == [["xxx", "xxx"], ["xxx"], ["x" * 50], ["x"]]
