"""Errors of this program that do not end its process: the picture is worth less than the way in, which may share it.

Whatever else goes wrong in the cloud ends the process, and a new one goes on from what was committed. In what is made
for looking at, one account or message that nobody thought of would end head-end and commands again and again that way.
So the error is written to the log with its traceback and counted (`handler.failures_count`), and what it was about is
left out by whoever works on it. Of what repeats, the first, second, fourth, eighth … are told.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import FilteringBoundLogger

from cloud.tally import Tally
from wire.runtime.errors import UnavailableError


class Failures:
    """Withstands errors of one process.

    Args:
        tally: Where they are counted.
        log: Where they are told; None for the log of the process.
    """

    def __init__(self, tally: Tally, *, log: FilteringBoundLogger | None = None) -> None:
        self._tally = tally
        self._log: FilteringBoundLogger = log or structlog.get_logger()
        self._counts: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many there were since the start."""
        return self._tally.failures_count

    @contextmanager
    def withstood(self, work: str, **about: object) -> Iterator[None]:
        """Go on behind what is done in it, whether or not it came to its end.

        Args:
            work: One of a few words, for the log.
            about: What it was done for.

        Raises:
            UnavailableError: Something was away: that is no error of ours, and what was done is done again.
        """
        try:
            yield
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - told and counted
            self._note(work, error, about)

    async def step(self, work: str, step: Callable[[], Awaitable[bool]]) -> bool:
        """Take a step that cannot leave anything out: after an error it is as if something were away.

        Raises:
            UnavailableError: Something was away, or there was an error.
        """
        try:
            return await step()
        except UnavailableError:
            raise
        except Exception as error:
            self._note(work, error, {})
            raise UnavailableError(f"stands still for an error of this program: {error!r}") from error

    def _note(self, work: str, error: Exception, about: dict[str, object]) -> None:
        self._tally.failures_count += 1
        self._counts[work] += 1
        if self._counts[work].bit_count() == 1:
            self._log.error("work.failed", work=work, times=self._counts[work], **about, exc_info=error)
