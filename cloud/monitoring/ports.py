"""What monitoring needs of a time-series server."""

from collections.abc import Sequence
from typing import Protocol

from cloud.monitoring.core.catalogue import Retention


class RefusedLinesError(Exception):
    """Raised when a server answers that it did not take all of the lines, and would not take them later either.

    Args:
        problem: What the server said.
        dropped_count: How many it left out while it took all others; None if it did not say that it took any.
    """

    def __init__(self, problem: str, *, dropped_count: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.dropped_count = dropped_count


class LineWriter(Protocol):
    """Writes line protocol with timestamps in milliseconds; blocks until the server has answered."""

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        """Write lines whose points stay as long as each other; writing one again changes nothing.

        Raises:
            UnavailableError: No answer, or one that may be another later.
            RefusedLinesError: Some lines are not taken.
        """

    def close(self) -> None:
        """Let go of connections."""
