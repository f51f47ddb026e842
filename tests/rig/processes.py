"""Programs under test as real processes: started, watched, killed, always reaped.

Decides how a program of a test runs: its own process group, an environment with nothing of the developer's in it,
standard output and error in files. What it prints when ready is the program's business, which state a killed server
leaves behind the server modules'.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from tests.rig import reaper
from tests.rig.host import RigError, account_of, isolated_environment

READY_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 20.0
LOG_TAIL_LINES: Final = 60
_POLL_SECONDS: Final = 0.01

_known: "weakref.WeakSet[ManagedProcess]" = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process has used so far."""

    cpu_ms: int
    """Processor time in user and kernel mode."""
    rss_bytes: int
    """Resident memory now."""
    rss_bytes_max: int
    """Resident memory at its highest."""


class ManagedProcess:
    """One program with its logs; it can be started again after it ended, which appends to the same logs."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        name: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        ready_key: str = "ready",
    ) -> None:
        """Prepare a program; nothing runs before `start`.

        Args:
            argv: The program, by its path or its name on the search path, and its arguments.
            name: What the logs are called.
            folder: Where the logs go and the program's HOME is. Must exist.
            env: Added to the isolated environment.
            user: The account to run as; only root may ask for another than its own.
            ready_key: The key of the JSON line on standard output by which the program says that it serves.
        """
        self.argv = [str(part) for part in argv]
        self.name = name
        self.folder = folder
        self.out_path = folder / f"{name}.out.log"
        self.err_path = folder / f"{name}.err.log"
        self._env = isolated_environment(folder) | dict(env or {})
        self._user = user
        self._ready_key = ready_key
        self._popen: subprocess.Popen[bytes] | None = None
        self._out_offset_bytes = 0

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._started().poll()

    def start(self) -> None:
        """Start the program, without waiting for it to be ready."""
        assert not self.running, f"{self.name} runs already"
        self._out_offset_bytes = self.out_path.stat().st_size if self.out_path.exists() else 0
        account = account_of(self._user)
        with self.out_path.open("ab") as out, self.err_path.open("ab") as err:
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._env,
                cwd=self.folder,
                start_new_session=True,
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
            )
        reaper.watch_group(self._popen.pid)
        _known.add(self)

    def start_ready(self, *, seconds_max: float = READY_SECONDS_MAX) -> dict[str, Any]:
        """Start the program and return the JSON line by which it said that it serves."""
        self.start()
        return self.wait_ready(seconds_max=seconds_max)

    def wait_ready(self, *, seconds_max: float = READY_SECONDS_MAX) -> dict[str, Any]:
        return self.wait_for_line(lambda line: self._ready_key in line, seconds_max=seconds_max)

    def wait_for_line(
        self, matches: Callable[[dict[str, Any]], bool], *, seconds_max: float = READY_SECONDS_MAX
    ) -> dict[str, Any]:
        """Return the first JSON object on standard output since the latest start for which `matches` holds."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found.extend(line for line in self.json_lines() if matches(line))
            return bool(found)

        self.wait_until(look, what="the awaited line on standard output", seconds_max=seconds_max)
        return found[0]

    def wait_until(self, holds: Callable[[], bool], *, what: str, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Wait until `holds` returns true.

        Raises:
            RigError: The program ended first, or the time is over.
        """
        deadline_s = time.monotonic() + seconds_max
        while True:
            ended = not self.running
            # Asked once more after the end: the program may have said its word and left.
            if holds():
                return
            if ended:
                raise self._error(f"ended with {self.exit_code} before {what}")
            if time.monotonic() > deadline_s:
                raise self._error(f"{what} did not come within {seconds_max:g} s")
            time.sleep(_POLL_SECONDS)

    def json_lines(self) -> list[dict[str, Any]]:
        """Return the JSON objects on standard output since the latest start, complete lines only."""
        with self.out_path.open("rb") as out:
            out.seek(self._out_offset_bytes)
            complete, _, _ = out.read().rpartition(b"\n")
        objects = []
        for line in complete.splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    objects.append(value)
        return objects

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its children."""
        self._started().send_signal(number)

    def terminate(self, *, seconds_max: float = STOP_SECONDS_MAX) -> int:
        """Ask the program to end and return its exit code; one that does not end in time is killed and an error."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self._started().wait(timeout=seconds_max)
            except subprocess.TimeoutExpired as exc:
                self.kill()
                raise self._error(f"did not end within {seconds_max:g} s of SIGTERM") from exc
        return self._collect()

    def kill(self) -> int:
        """Kill the program and everything it started (`kill -9`), wait for the end, return the exit code."""
        family = self._stopped_family()
        if self.running:
            self.signal(signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._started().wait(timeout=STOP_SECONDS_MAX)
        code = self._collect()
        deadline_s = time.monotonic() + STOP_SECONDS_MAX
        while any(is_alive(member) for member in family):
            if time.monotonic() > deadline_s:
                raise self._error("left children that outlive SIGKILL")
            time.sleep(_POLL_SECONDS)
        return code

    def kill_alone(self) -> int:
        """Kill the program only and leave its children to find out, as an out-of-memory killer does."""
        if self.running:
            self.signal(signal.SIGKILL)
        return self._started().wait(timeout=STOP_SECONDS_MAX)

    def close(self) -> None:
        """End whatever of the program still runs, if it was ever started."""
        if self.running:
            self.kill()
        elif self._popen is not None:
            self._collect()

    def usage(self, *, children: bool = False) -> Usage:
        """Return what the program has used since its latest start, with its living children if asked."""
        process = psutil.Process(self.pid)
        members = [process, *(process.children(recursive=True) if children else [])]
        parts = [_usage_of(member) for member in members]
        return Usage(
            cpu_ms=sum(part.cpu_ms for part in parts),
            rss_bytes=sum(part.rss_bytes for part in parts),
            rss_bytes_max=sum(part.rss_bytes_max for part in parts),
        )

    def log_bytes(self) -> int:
        """Return how much has been logged so far."""
        return sum(path.stat().st_size for path in (self.out_path, self.err_path) if path.exists())

    def log_text(self, *, lines_max: int = LOG_TAIL_LINES) -> str:
        """Return the end of both logs."""
        parts = [f"$ {' '.join(self.argv)}"]
        for path in (self.out_path, self.err_path):
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()
                parts.append(
                    "\n".join([f"--- {path.name}, last {lines_max} of {len(lines)} lines", *lines[-lines_max:]])
                )
        return "\n".join(parts)

    def _collect(self) -> int:
        code = self._started().wait(timeout=STOP_SECONDS_MAX)
        # Children that stayed behind in the group end with their program.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        reaper.forget_group(self.pid)
        return code

    def _stopped_family(self) -> list[psutil.Process]:
        # Stopped before its children are counted, so that none is born in between.
        if not self.running:
            return []
        self.signal(signal.SIGSTOP)
        with contextlib.suppress(psutil.NoSuchProcess):
            family: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
            return family
        return []

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen

    def _error(self, problem: str) -> RigError:
        return RigError(f"{self.name} {problem}\n{self.log_text()}")


def wattpost_process(
    *arguments: str | Path, name: str, folder: Path, env: Mapping[str, str] | None = None
) -> ManagedProcess:
    """Return `wattpost …`, not yet started, run by the Python that runs the tests."""
    program = Path(sys.executable).with_name("wattpost")
    return ManagedProcess([program, *arguments], name=name, folder=folder, env=env)


def known_processes() -> list[ManagedProcess]:
    """Return what was started and is still somebody's, running or not, by name."""
    return sorted(_known, key=lambda process: process.name)


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs; an orphan that nobody has collected yet does not."""
    try:
        alive: bool = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return alive


def _usage_of(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        rss_bytes = process.memory_info().rss
    # The kernel's high-water mark, which psutil does not tell.
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return Usage(cpu_ms=round((times.user + times.system) * 1000), rss_bytes=rss_bytes, rss_bytes_max=peak_kib * 1024)
