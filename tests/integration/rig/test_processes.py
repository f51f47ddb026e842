"""The rig's processes: logs, readiness, ends, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.rig.host import RigError
from tests.rig.processes import ManagedProcess, is_alive

SERVES = "import json, time; print(json.dumps({'ready': True, 'port': 7}), flush=True); time.sleep(600)"
SERVES_WITH_CHILD = (
    "import json, subprocess, time; child = subprocess.Popen(['sleep', '600']);"
    " print(json.dumps({'ready': True, 'child': child.pid}), flush=True); time.sleep(600)"
)
DEADLINE_SECONDS = 20.0


@pytest.fixture
def python(tmp_path: Path) -> Iterator["Python"]:
    made = Python(tmp_path)
    yield made
    for process in made.processes:
        process.close()


class Python:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[ManagedProcess] = []

    def __call__(self, code: str, *, env: dict[str, str] | None = None) -> ManagedProcess:
        process = ManagedProcess([sys.executable, "-c", code], name="python", folder=self.folder, env=env)
        self.processes.append(process)
        return process


def test_readiness_is_the_json_line_that_the_program_prints(python: Python) -> None:
    assert python(SERVES).start_ready()["port"] == 7


def test_a_program_that_ends_before_it_is_ready_is_an_error_that_shows_its_log(python: Python) -> None:
    with pytest.raises(RigError, match=r"(?s)ended with 3 before.*no such bus"):
        python("import sys; print('no such bus', file=sys.stderr); sys.exit(3)").start_ready()


def test_readiness_of_an_earlier_start_does_not_count(python: Python) -> None:
    process = python("import os, sys; os.path.exists('x') and sys.exit(4); open('x', 'w'); print('{\"ready\": 1}')")
    process.start_ready()
    process.terminate()
    with pytest.raises(RigError, match="ended with 4"):
        process.start_ready()


def test_terminate_returns_the_exit_code_of_an_orderly_end(python: Python) -> None:
    process = python("import signal, sys; signal.signal(15, lambda *_: sys.exit(5));" + SERVES)
    process.start_ready()
    assert process.terminate() == 5


def test_a_program_deaf_to_terminate_is_killed_and_reported(python: Python) -> None:
    process = python("import signal; signal.signal(15, signal.SIG_IGN);" + SERVES)
    process.start_ready()
    with pytest.raises(RigError, match="did not end"):
        process.terminate(seconds_max=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_kill_takes_the_children_along(python: Python) -> None:
    process = python(SERVES_WITH_CHILD)
    child_pid = process.start_ready()["child"]
    assert process.kill() == -signal.SIGKILL
    wait_until_gone(child_pid)


def test_the_developers_environment_stays_outside(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTPOST_CONFIG", "mine")
    process = python("import json, os; print(json.dumps({'ready': dict(os.environ)}))", env={"GIVEN": "yes"})
    environment = process.start_ready()["ready"]
    assert environment["GIVEN"] == "yes"
    assert "WATTPOST_CONFIG" not in environment


def test_usage_counts_processor_time_and_memory(python: Python) -> None:
    burn = "import time; block = bytearray(50_000_000); del block\nwhile time.process_time() < 0.3: pass\n"
    process = python(burn + SERVES)
    process.start_ready()
    usage = process.usage()
    assert usage.cpu_ms >= 280
    assert usage.rss_bytes < 50_000_000 < usage.rss_bytes_max


def test_nothing_survives_a_killed_test_run(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from tests.rig.host import private_folder
        from tests.rig.processes import ManagedProcess
        folder = private_folder("rig-test")
        process = ManagedProcess([sys.executable, "-c", {SERVES_WITH_CHILD!r}], name="p", folder=folder)
        child_pid = process.start_ready()["child"]
        print(process.pid, child_pid, folder, flush=True)
        time.sleep(600)
    """)
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as run:
        assert run.stdout is not None
        pid, child_pid, folder = run.stdout.readline().split()
        run.kill()
    wait_until_gone(int(pid))
    wait_until_gone(int(child_pid))
    wait_until(lambda: not Path(folder).exists())


def wait_until_gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        wait_until(lambda: not is_alive(process))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
