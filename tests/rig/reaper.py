"""The last hand: ends what a test run started, even when the run itself is killed.

A run starts one reaper and keeps its standard input open. On it the run writes which process groups and folders
exist; when the pipe closes, for whatever reason, the reaper kills the groups that are left and removes the folders.
A death signal asked of the kernel would not do: it fires when the *thread* that started the child ends.
This file is also the reaper's program, and so imports nothing of ours.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Final

_GROUP: Final = "group"
_FOLDER: Final = "folder"
_GONE: Final = "gone"

_lock = threading.Lock()
_pipes: list[IO[str]] = []


def watch_group(group_id: int) -> None:
    """Have the process group killed when this run ends."""
    _tell(_GROUP, str(group_id))


def watch_folder(folder: str) -> None:
    """Have the folder removed when this run ends."""
    _tell(_FOLDER, folder)


def forget_group(group_id: int) -> None:
    """Take back `watch_group`: the group has ended, and its number may be given to strangers."""
    _tell(_GONE, str(group_id))


def _tell(word: str, subject: str) -> None:
    with _lock:
        if not _pipes:
            _pipes.append(_start())
        _pipes[0].write(f"{word} {subject}\n")
        _pipes[0].flush()


def _start() -> IO[str]:
    reader, writer = os.pipe()
    # Started by a shell that does not wait: the reaper outlives us, and so must be nobody's child.
    # The shell gives background programs an empty standard input unless told otherwise.
    subprocess.run(
        ["/bin/sh", "-c", 'exec 3<&0; "$0" -I "$1" <&3 3<&- &', sys.executable, __file__],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
    os.close(reader)
    pipe = os.fdopen(writer, "w")
    atexit.register(pipe.close)
    return pipe


def _reap(lines: IO[str]) -> None:
    groups: set[str] = set()
    folders: list[str] = []
    for line in lines:
        word, _, subject = line.rstrip("\n").partition(" ")
        if word == _GROUP:
            groups.add(subject)
        elif word == _GONE:
            groups.discard(subject)
        elif word == _FOLDER:
            folders.append(subject)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(int(group), signal.SIGKILL)
    for folder in folders:
        _remove(folder)


def _remove(folder: str) -> None:
    # A killed server's helpers may write for a moment more.
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    _reap(sys.stdin)
