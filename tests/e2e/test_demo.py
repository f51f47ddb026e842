"""The demo as a visitor runs it: its own programs, its own count, and the story that must have happened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = {
    "gateways",
    "meters",
    "readings_taken",
    "readings_committed",
    "readings_lost",
    "readings_duplicated",
    "commands_executed",
    "commands_failed",
    "command_latency_ms_p50",
    "command_latency_ms_p99",
    "bytes_per_value",
    "outages_survived",
}
DEMO_S_MAX = 300


@pytest.mark.req("A-2", "A-4", "B-3", "C-4", "F-1")
def test_the_demo_tells_its_story_and_accounts_for_every_reading(tmp_path: Path) -> None:
    wattpost = Path(sys.executable).with_name("wattpost")
    done = subprocess.run(
        [wattpost, "demo", "--json", "--duration", "45", "--keep", tmp_path / "village"],
        capture_output=True,
        text=True,
        timeout=DEMO_S_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert set(numbers) == KEYS
    assert (numbers["gateways"], numbers["meters"], numbers["outages_survived"]) == (3, 48, 1)
    assert numbers["readings_taken"] == numbers["readings_committed"] > 3_000
    assert (numbers["readings_lost"], numbers["readings_duplicated"]) == (0, 0)
    assert numbers["commands_executed"] > 20
    assert numbers["commands_failed"] == 0
    assert "meter open its own switch" in done.stderr
    assert 0 < numbers["command_latency_ms_p50"] <= numbers["command_latency_ms_p99"]
    assert 0 < numbers["bytes_per_value"] < 10
