"""The rig tells a loop that our code blocks from one that waits."""

import asyncio
import importlib
from pathlib import Path

import pytest
from blockbuster import BlockingError

from tests.rig.blocking import blocking_calls_fail

SLEEPER = (
    "import asyncio, time\ndef block() -> None: time.sleep(0.001)\nasync def wait() -> None: await asyncio.sleep(0)\n"
)


async def test_only_a_blocking_call_of_a_watched_package_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("watched_sleeper", "other_sleeper"):
        (tmp_path / f"{name}.py").write_text(SLEEPER)
    monkeypatch.syspath_prepend(tmp_path)
    watched, other = (importlib.import_module(name) for name in ("watched_sleeper", "other_sleeper"))
    with blocking_calls_fail(["watched_sleeper"]):
        other.block()
        await watched.wait()
        await asyncio.to_thread(watched.block)
        with pytest.raises(BlockingError):
            watched.block()


def test_the_packages_that_are_watched_can_all_be_found(no_blocking_calls: None) -> None:
    assert no_blocking_calls is None
