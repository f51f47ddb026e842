"""No bytes end a decoder of `dlms/`: each is fuzzed for a while, led by coverage, in a process of its own.

`FUZZ_SECONDS` says how long each, a few seconds unless told; hours find more than seconds. `FUZZ_FOLDER` keeps what was
found for the next run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
TARGETS = (
    *("data", "datetimes", "apdu", "acse", "attributes", "frames", "wrapper", "hdlc_client", "hdlc_server"),
    *("unprotect", "server", "client_opening", "client"),
)
START_SECONDS_MAX = 120
INPUTS_MIN = 100
"""Far less than a slow machine manages, and far more than a broken harness does."""

Run = subprocess.CompletedProcess[str]


def fuzz(target: str, seconds: float, folder: Path) -> Run:
    command = [sys.executable, "-m", "tests.contract.fuzz_dlms", target, str(max(1, round(seconds))), str(folder)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + START_SECONDS_MAX
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """Start all targets, as many at once as there are cores."""
    folder = Path(os.environ.get("FUZZ_FOLDER") or tmp_path_factory.mktemp("fuzz"))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {target: pool.submit(fuzz, target, SECONDS, folder / target) for target in TARGETS}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_give_a_value_or_a_dlms_error(target: str, runs: dict[str, Future[Run]]) -> None:
    run = runs[target].result()
    assert run.returncode == 0, run.stderr[-4_000:]
    executed = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    assert executed is not None
    assert int(executed[1]) >= INPUTS_MIN


@pytest.mark.timeout(0)
def test_a_planted_fault_is_found_and_its_input_printed(tmp_path: Path) -> None:
    run = fuzz("planted", 60, tmp_path)
    assert run.returncode != 0
    assert "IndexError" in run.stdout + run.stderr
    assert f"planted: {b'DLMS'.hex()}" in run.stderr


def test_every_target_is_run() -> None:
    source = (ROOT / "tests/contract/fuzz_dlms.py").read_text()
    assert set(re.findall(r"^def fuzz_(\w+)", source, re.MULTILINE)) == {*TARGETS, "planted"}
