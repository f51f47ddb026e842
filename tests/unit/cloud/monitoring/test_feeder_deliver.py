from collections.abc import Sequence

import pytest

from cloud.monitoring.adapters.feeder import Delivered, deliver
from cloud.monitoring.ports import RefusedLinesError
from wire.runtime.errors import UnavailableError


class PickyWriter:
    """A server that refuses every piece with a bad line in it, and may tell that it took the rest."""

    def __init__(self, *, tells: bool = False) -> None:
        self.held: set[str] = set()
        self.request_count = 0
        self._tells = tells

    def write(self, lines: Sequence[str], /) -> None:
        self.request_count += 1
        good = {line for line in lines if not line.startswith("bad")}
        if self._tells or len(good) == len(lines):
            self.held |= good
        if len(good) < len(lines):
            raise RefusedLinesError("400: bad line", dropped_count=len(lines) - len(good) if self._tells else None)

    def close(self) -> None:
        pass


class AbsentWriter:
    """A server that is not there."""

    def write(self, lines: Sequence[str], /) -> None:
        raise UnavailableError(f"{len(lines)} lines for nobody")

    def close(self) -> None:
        pass


LINES = [f"bad {index}" if index in {17, 400} else f"good {index}" for index in range(1_000)]


@pytest.mark.parametrize("tells", [False, True])
def test_bad_lines_are_left_out_and_counted_and_block_nothing(*, tells: bool) -> None:
    writer = PickyWriter(tells=tells)

    delivered = deliver(writer, LINES)

    assert delivered == Delivered(written_count=998, dropped_count=2, problem="400: bad line")
    assert writer.held == {line for line in LINES if line.startswith("good")}
    assert writer.request_count < 60


def test_a_server_that_is_not_there_is_no_bad_line() -> None:
    with pytest.raises(UnavailableError):
        deliver(AbsentWriter(), LINES)
