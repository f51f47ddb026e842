"""`wattpost sim` as a process."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import time_ns
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.framer import FramerType

from tests.rig.processes import ManagedProcess

Start = Callable[..., ManagedProcess]


def village(*options: str) -> str:
    command = [sys.executable, "-m", "device_sim", "village", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ask(place: str, **command: Any) -> dict[str, Any]:
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rwb") as lines:
        lines.write(json.dumps(command).encode() + b"\n")
        lines.flush()
        reply: dict[str, Any] = json.loads(lines.readline())
        return reply


def exit_code(process: ManagedProcess) -> int | None:
    process.wait_until(lambda: not process.running, what="the end of the process")
    return process.exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_village_runs_answers_and_ends_cleanly_on_a_signal(
    start_wattpost: Start, tmp_path: Path, number: signal.Signals
) -> None:
    description, truth = tmp_path / "village.toml", tmp_path / "truth.jsonl"
    target = '\n[[cutters]]\nid = "wan"\ntarget = "127.0.0.1:1883"\n'
    description.write_text(village("--meters", "6", "--lines", "2") + target)
    process = start_wattpost(
        "sim",
        "run",
        description,
        "--truth",
        truth,
        "--clock",
        f"1440@{time_ns() // 1_000_000}=1780315200000",
        name="sim",
    )
    ready = process.wait_ready()
    assert ready["meters"] == 6
    assert set(ready["lines"]) == {"line-1", "line-2"}
    host, _, port = ready["lines"]["line-1"].rpartition(":")
    with ModbusTcpClient(host, port=int(port), framer=FramerType.RTU) as client:
        answer = client.read_input_registers(0x48, count=2, device_id=1)
        assert not answer.isError()
    assert ask(ready["control"], command="cutter", cutter="wan", cut="refuse") == {
        "ok": True,
        "cutter": "wan",
        "is_cut": True,
    }
    assert ask(ready["control"], command="truth")["devices"]["m-001"]["energies"] == 1
    process.signal(number)
    assert exit_code(process) == 0
    (entry,) = [json.loads(line) for line in truth.read_text().splitlines()]
    assert entry["raw"] == answer.registers
    assert process.err_path.read_text() == ""


def test_a_village_with_dlms_meters_runs_and_its_secrets_can_be_had(start_wattpost: Start, tmp_path: Path) -> None:
    description = tmp_path / "village.toml"
    description.write_text(village("--meters", "2", "--lines", "1", "--dlms-meters", "4"))
    process = start_wattpost("sim", "run", description, name="sim")
    ready = process.wait_ready()
    assert (ready["meters"], set(ready["lines"])) == (6, {"line-1", "dlms-1", "dlms-2"})
    (state,) = ask(ready["control"], command="state", meter="d-003")["meters"]
    assert state["dlms"]["block_rows"] >= 2 * 96 - 1
    off = ask(ready["control"], command="power", meter="d-003", on=False)
    assert off["dlms"]["is_powered"] is False
    process.signal(signal.SIGTERM)
    assert exit_code(process) == 0
    assert process.err_path.read_text() == ""
    command = [sys.executable, "-m", "device_sim", "secrets", str(description), str(tmp_path / "secrets")]
    subprocess.run(command, check=True, capture_output=True)
    files = sorted(path.name for path in (tmp_path / "secrets").glob("d-003.*"))
    kinds = ["firmware", "firmware-guek", "gak", "guek", "push-guek", "reader", "utility"]
    assert files == [f"d-003.{kind}" for kind in kinds]
    assert len((tmp_path / "secrets" / "d-003.guek").read_text().strip()) == 32


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        (None, (), "No such file"),
        ("seed = 1", (), "lines"),
        ('seed = 1\nlines = []\ntruth_log = "/nowhere/truth"', (), "truth_log: No such file"),
        ("seed = 1\nlines = []", ("--clock", "fast"), "--clock"),
        ("seed = 1\nlines = []", ("--clock", "1440@0=0"), "--clock: the site clock shows"),
        ('seed = 1\n[[lines]]\nid = "a"\ntransport = "tcp"\naddress = "127.0.0.1:70000"', (), "line a: "),
        ('seed = 1\n[[lines]]\nid = "a"\ntransport = "tcp"\naddress = "192.0.2.1:0"', (), "line a: "),
    ],
)
def test_what_cannot_be_run_gets_one_clear_line_and_exit_code_78(
    start_wattpost: Start, tmp_path: Path, text: str | None, options: tuple[str, ...], complaint: str
) -> None:
    description = tmp_path / "village.toml"
    if text is not None:
        description.write_text(text)
    process = start_wattpost("sim", "run", description, *options, name="sim")
    assert exit_code(process) == 78
    (line,) = process.err_path.read_text().splitlines()
    assert line.startswith("Error: ")
    assert complaint in line
