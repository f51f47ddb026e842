"""Blocking calls inside an event loop as errors.

Decides whose calls count: those on whose stack a package of ours stands. What the tests and the rig themselves do in
a loop is their own affair.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from blockbuster import blockbuster_ctx

PACKAGES: Final = ("wire", "gateway", "cloud", "device_sim")


@contextmanager
def blocking_calls_fail(packages: Sequence[str] = PACKAGES) -> Iterator[None]:
    """Make a blocking call from one of the packages inside a loop raise `blockbuster.BlockingError`."""
    with blockbuster_ctx(packages):
        yield
