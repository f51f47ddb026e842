"""Other people's programs as judges of ours, each in an environment of its own.

An environment is made on demand under `.venv-foreign/` from `tests/foreign/requirements-NAME.txt` and kept while that
file and the Python version stay the same.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FOREIGN = ROOT / "tests" / "foreign"
ENVIRONMENTS = ROOT / ".venv-foreign"
INSTALL_SECONDS_MAX = 300
RUN_SECONDS_MAX = 60


class ForeignError(Exception):
    """Raised when a foreign program could not be installed or run."""


def foreign_python(name: str) -> Path:
    """Return the interpreter of an environment, made first if it is missing or out of date."""
    requirements = FOREIGN / f"requirements-{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = ENVIRONMENTS / name
    stamp = folder / "stamp"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--requirement", str(requirements)])
            stamp.write_text(wanted)
    return folder / "bin" / "python"


def ask(name: str, script: str, question: object) -> Any:
    """Return what a script of `tests/foreign` answers, both as JSON, run in the environment `name`."""
    command = [str(foreign_python(name)), str(FOREIGN / script)]
    return json.loads(_run(command, sent=json.dumps(question), seconds_max=RUN_SECONDS_MAX))


@contextmanager
def serving(name: str, script: str, question: object) -> Iterator[Any]:
    """Run a script of `tests/foreign` that serves until its standard input ends; yield what it said, as JSON."""
    command = [str(foreign_python(name)), str(FOREIGN / script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
            if not said:
                raise ForeignError(f"{' '.join(command)} said nothing")
            yield json.loads(said)
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=RUN_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def _run(command: list[str], *, sent: str = "", seconds_max: int = INSTALL_SECONDS_MAX) -> str:
    done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=seconds_max, check=False)
    if done.returncode:
        raise ForeignError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout
