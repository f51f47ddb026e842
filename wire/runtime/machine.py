"""What the operating system knows of a process and its disk: for reports of how a program is doing."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import process_time

_STATM = Path("/proc/self/statm")
_RESIDENT_FIELD = 1
"""Of that file: pages that are in memory (proc_pid_statm(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a process and its disk stand."""

    cpu_s: float
    """Processor time used since the start, all threads, user and kernel."""
    resident_bytes: int
    disk_free_percent: float


def look(folder: Path) -> Machine:
    """Return how this process stands, and the disk that a folder lies on.

    Raises:
        OSError: The folder is not there.
    """
    disk = shutil.disk_usage(folder)
    pages_count = int(_STATM.read_text(encoding="ascii").split()[_RESIDENT_FIELD])
    return Machine(
        cpu_s=process_time(),
        resident_bytes=pages_count * os.sysconf("SC_PAGE_SIZE"),
        disk_free_percent=100 * disk.free / disk.total,
    )
