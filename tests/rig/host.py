"""What the rig needs of the machine it runs on: installed programs, accounts, folders, a clean environment.

Decides where a program is looked for and what it may see; how long it lives is the business of `processes`.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rig import reaper


class RigError(Exception):
    """Raised when a program of the rig cannot be started, or does not do what the rig needs of it."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What makes a child run as somebody, and as nobody else besides; None changes nothing."""

    user: str | None
    group: int | None
    extra_groups: tuple[int, ...] | None


def account_of(user: str | None) -> Account:
    """Return how a child is made to run as `user`; None stands for ourselves."""
    if user is None:
        return Account(user=None, group=None, extra_groups=None)
    return Account(user=user, group=_group_of(user), extra_groups=())


def isolated_environment(home: Path) -> dict[str, str]:
    """Return an environment in which a program finds nothing of the developer's settings."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run_tool(argv: Sequence[str | Path], *, folder: Path, user: str | None = None, seconds_max: float = 60.0) -> str:
    """Run a short-lived tool of a server to its end and return its standard output."""
    account = account_of(user)
    done = subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=isolated_environment(folder),
        cwd=folder,
        timeout=seconds_max,
        check=False,
        user=account.user,
        group=account.group,
        extra_groups=account.extra_groups,
    )
    if done.returncode != 0:
        raise RigError(f"{' '.join(done.args)} failed with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def find_program(name: str, *, package: str, places: Sequence[Path] = ()) -> Path:
    """Return the path of an installed program.

    Args:
        name: The program.
        package: Debian's package that brings it.
        places: Folders to look in before the search path.
    """
    search = os.pathsep.join([*map(str, places), "/usr/sbin", "/usr/bin", os.environ.get("PATH", "")])
    found = shutil.which(name, path=search)
    if found is None:
        raise RigError(f"{name} is not installed; `tests/rig/packages.sh {package}` installs it")
    return Path(found)


def private_folder(prefix: str, *, user: str | None = None) -> Path:
    """Make a temporary folder that only `user` (else we) can enter, removed at the latest when the run ends.

    Not under pytest's own: that one lets no other account in, not even to pass through.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"wattpost-{prefix}-"))
    reaper.watch_folder(str(folder))
    if user is not None:
        shutil.chown(folder, user, _group_of(user))
    return folder


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
