"""The demo's programs as child processes: started, heard, and always ended with the demo.

Each runs `wattpost …` by the Python that runs the demo, in a session of its own, so that Ctrl-C reaches the demo alone
and it ends them in order. Linux ends them too should the demo be killed.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

READY_S_MAX: Final = 60.0
STOP_S_MAX: Final = 10.0
TAIL_LINES: Final = 8
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The export of a meter is one line."""
_PR_SET_PDEATHSIG: Final = 1
_MAIN: Final = "from wire.runtime.console import main; main()"


class ProgramError(Exception):
    """Raised when a program of the demo did not do its part; the text says which, and shows the end of its log."""


class Program:
    """One child process that serves until it is stopped."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.is_closing = False
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Return the JSON objects the program prints, one a line, until it ends."""
        assert self._process.stdout is not None, "it was piped"
        while line := await self._process.stdout.readline():
            yield json.loads(line)

    async def ready(self) -> dict[str, Any]:
        """Wait for the line by which the program says that it serves.

        Raises:
            ProgramError: It ended first, or took too long.
        """
        try:
            async with asyncio.timeout(READY_S_MAX):
                async for line in self.lines():
                    if line.get("ready"):
                        return line
        except TimeoutError:
            raise ProgramError(f"{self.name} was not ready within {READY_S_MAX:.0f} s{tail(self.log)}") from None
        raise ProgramError(f"{self.name} did not start{tail(self.log)}")

    async def watch(self) -> None:
        """Wait until the program ends by itself, which it should not.

        Raises:
            ProgramError: It did.
        """
        code = await self._process.wait()
        if not self.is_closing:
            raise ProgramError(f"{self.name} ended with {code} in the middle of the story{tail(self.log)}")

    async def stop(self) -> None:
        """End the program, politely at first."""
        self.is_closing = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Programs:
    """All child processes of the demo; leaving the block ends them, the youngest first."""

    def __init__(self, folder: Path) -> None:
        """Name the folder they run in; their logs go to `logs` in it."""
        self._folder = folder
        self._logs = folder / "logs"
        self._running: list[Program] = []

    async def __aenter__(self) -> Self:
        self._logs.mkdir(exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        for program in reversed(self._running):
            await program.stop()

    async def start(self, name: str, *arguments: str) -> Program:
        """Start `wattpost` with these arguments."""
        log = self._logs / f"{name}.log"
        program = Program(name, await self._spawn(log, arguments), log)
        self._running.append(program)
        return program

    async def run(self, name: str, *arguments: str) -> str:
        """Run `wattpost` with these arguments to its end, and return what it printed.

        Raises:
            ProgramError: It failed.
        """
        log = self._logs / f"{name}.log"
        process = await self._spawn(log, arguments)
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise ProgramError(f"`wattpost {' '.join(arguments[:2])}` failed{tail(log)}")
        return output.decode()

    async def _spawn(self, log: Path, arguments: tuple[str, ...]) -> Process:
        with log.open("ab") as errors:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _MAIN,
                *arguments,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=errors,
                cwd=self._folder,
                limit=LINE_BYTES_MAX,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )


def tail(log: Path) -> str:
    """Return the end of a log, to be put behind an error; empty if there is none."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        if lines:
            return "; its log ends:\n  " + "\n  ".join(lines)
    return ""


def _die_with(parent_pid: int) -> Callable[[], None]:
    """Return what a child does before its program runs: ask to be terminated when we die."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ask() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent_pid:
                os._exit(1)

    return ask
