"""A gateway's station on a disk of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.gateway.box import Box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A box that was just switched on and never heard of the cloud."""
    box = Box(tmp_path)
    yield box
    box.store.close()
