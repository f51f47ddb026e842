"""Debian's PostgreSQL as a server of its own for tests.

Decides where the cluster lies, who runs it and how durable it is; which tables stand in a database is the test's
business. The cluster listens on a free loopback port with a password of its own; we talk to it over its socket.
"""

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from tests.rig.host import find_program, private_folder, run_tool
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.processes import ManagedProcess

SUPERUSER: Final = "wattpost"
_ACCOUNT_OF_ROOT: Final = "postgres"
_READY_LINE_INDEX: Final = 7


class PostgresServer:
    """One cluster in a folder of its own, with as many databases as the tests ask for."""

    def __init__(self, *, fsync: bool = True) -> None:
        """Create the cluster; `start` starts it.

        Args:
            fsync: False trades durability for speed. A killed server keeps its data either way; only a power cut
                tells the two apart.
        """
        # PostgreSQL refuses to run as root.
        self._user = _ACCOUNT_OF_ROOT if os.geteuid() == 0 else None
        self._bin = find_program("postgres", package="postgresql", places=_binary_folders()).parent
        self._password = secrets.token_hex(16)
        self._database_count = 0
        self.port = free_port()
        self.folder = private_folder("postgres", user=self._user)
        self._data = self.folder / "data"
        self._initialise()
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if fsync else "off",
            "shared_buffers": "64MB",
            "jit": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self.process = ManagedProcess(
            [self._bin / "postgres", "-D", self._data, *options], name="postgres", folder=self.folder, user=self._user
        )

    def start(self) -> None:
        """Start the server, also after a kill, and wait until it takes connections."""
        self.process.start()
        self.process.wait_until(self._is_ready, what="PostgreSQL took connections")

    def kill(self) -> None:
        """End the server and all its children at once, as `kill -9` does."""
        self.process.kill()

    def stop(self) -> None:
        """Shut the server down and wait for its end; SIGTERM would wait for clients to leave."""
        if self.process.running:
            run_tool(
                [self._bin / "pg_ctl", "stop", "-m", "fast", "-w", "-D", self._data],
                folder=self.folder,
                user=self._user,
            )
            self.process.terminate()

    def close(self) -> None:
        """Kill the server if it still runs, and remove everything."""
        self.process.close()
        shutil.rmtree(self.folder)

    def create_database(self, *, template: str = "template1") -> str:
        """Create a database as a copy of `template` and return its name."""
        self._database_count += 1
        name = f"test_{self._database_count}"
        self._tool("createdb", "--template", template, name)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, and whoever is still connected to it."""
        self._tool("dropdb", "--force", name)

    def url(self, database: str) -> str:
        """Return SQLAlchemy's address of a database, for asyncpg."""
        return f"postgresql+asyncpg://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def query(self, sql: str, *, database: str) -> list[list[str]]:
        """Run one statement and return its rows as text, for checks that go past the code under test."""
        text = self._tool("psql", "--no-psqlrc", "--tuples-only", "--csv", "-d", database, "-c", sql)
        return [line.split(",") for line in text.splitlines()]

    def _initialise(self) -> None:
        password_path = self.folder / "password"
        password_path.write_text(self._password)
        password_path.chmod(0o600)
        if self._user is not None:
            shutil.chown(password_path, self._user)
        run_tool(
            [
                self._bin / "initdb",
                *("-D", self._data, "-U", SUPERUSER, "--pwfile", password_path),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            folder=self.folder,
            user=self._user,
        )

    def _is_ready(self) -> bool:
        # The server's own lock file says it, as `pg_ctl -w` reads it; a file from before a kill names another pid.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) > _READY_LINE_INDEX
            and lines[0] == str(self.process.pid)
            and lines[_READY_LINE_INDEX].strip() == "ready"
        )

    def _tool(self, program: str, *arguments: str) -> str:
        connection = ["-h", str(self.folder), "-p", str(self.port), "-U", SUPERUSER]
        return run_tool([self._bin / program, *connection, *arguments], folder=self.folder, user=self._user)


def _binary_folders() -> list[Path]:
    """Debian's folders of PostgreSQL's programs, the newest version first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(found, key=lambda path: int(path.parent.name), reverse=True)
