"""The stack of `compose/` without containers: its own setup, configurations and command lines, on this machine.

Decides what is replaced, and that is all it decides: folders, hosts and ports, the account Mosquitto runs as, the
dialect of Debian's InfluxDB, and the capture period, which would be a minute of waiting. Which services a test starts
is the test's business.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.rig.host import RigError, find_program
from tests.rig.influx import InfluxServer
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.postgres import PostgresServer
from tests.rig.processes import ManagedProcess, wattpost_process

COMPOSE: Final = Path(__file__).parents[2] / "compose"
DATABASE: Final = "wattpost"
_FOLDERS: Final = re.compile(
    r"(?<![\w.-])/(?:secrets|config|simulation|mosquitto/config|mosquitto/data|data)(?=/|$|\"|\s)"
)
_SETUP_SECONDS_MAX: Final = 120


class ComposeStack:
    """A stack in a folder, of which nothing runs yet.

    Args:
        folder: For all files; must exist and belong to us.
        postgres: Plays the service `database`, and has no other use.
        influx: Plays the service `influxdb`.
    """

    def __init__(self, folder: Path, *, postgres: PostgresServer, influx: InfluxServer) -> None:
        self.folder = folder
        self.postgres = postgres
        self.influx = influx
        self.services: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
        self.port = free_port()
        """Of the broker, for gateways and integrators."""
        self.handlers_port = free_port()
        """Of the broker, for handlers."""
        self._meter_ports = {port: free_port() for port in range(5020, 5024)}
        self._running: list[ManagedProcess] = []
        self._write_configurations()

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._running:
            process.close()

    # ---- setup -------------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Run what compose runs before anything serves, in its order."""
        self.run_setup("secrets", variables={"WATTPOST_BROKER_HOST": LOOPBACK})
        self._open_database()
        self.run_setup("setup")
        self.run_setup("simulation-setup")

    def run_setup(self, service: str, *, variables: Mapping[str, str] | None = None) -> None:
        """Run a service that runs once."""
        self.task(*self._words(service, variables or {}))

    def task(self, *words: str, given: bytes = b"") -> bytes:
        """Run a task of the setup script and return its standard output."""
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            ["sh", COMPOSE / "setup.sh", *words],
            input=given,
            capture_output=True,
            env=environment,
            cwd=self.folder,
            timeout=_SETUP_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            problem = done.stderr.decode()
            raise RigError(f"setup.sh {' '.join(words)} failed with {done.returncode}\n{problem}")
        return done.stdout

    # ---- services ----------------------------------------------------------------------------------------------------

    def start(self, service: str, *, name: str = "") -> ManagedProcess:
        """Start a service with the arguments that compose gives it."""
        words = self._words(service, {})
        if service == "broker":
            program = find_program("mosquitto", package="mosquitto")
            process = ManagedProcess([program, *words[1:]], name=service, folder=self.folder)
        else:
            process = wattpost_process(*words, name=name or service, folder=self.folder)
        self._running.append(process)
        process.start()
        return process

    def start_broker(self) -> None:
        """Start the broker, or start it anew, and wait until it serves."""
        broker = next((process for process in self._running if process.name == "broker"), None)
        if broker is None:
            broker = self.start("broker")
        else:
            broker.terminate()
            broker.start()
        broker.wait_until(lambda: all(map(_answers, (self.port, self.handlers_port))), what="the broker answered")

    def is_healthy(self, service: str) -> bool:
        """Tell what the health check of one of our services says."""
        kind, program, *words = self.services[service]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "wattpost"), f"{service} is checked otherwise"
        check = wattpost_process(*map(self._place, words), name=f"{service}-health", folder=self.folder)
        check.start()
        self._running.append(check)
        check.wait_until(lambda: not check.running, what="the check ended")
        return check.exit_code == 0

    def query(self, sql: str) -> list[list[str]]:
        """Ask the stack's database."""
        return self.postgres.query(sql, database=DATABASE)

    # ---- what is replaced --------------------------------------------------------------------------------------------

    def _words(self, service: str, variables: Mapping[str, str]) -> list[str]:
        words = []
        for word in self.services[service]["command"]:
            filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1], found[2]), word)
            words.append(self._place(filled))
        return words

    def _place(self, text: str, *, data: str = "data") -> str:
        """Move the folders of containers into ours."""
        own = {"/data": f"/{data}"}
        return _FOLDERS.sub(lambda found: f"{self.folder}{own.get(found[0], found[0])}", text)

    def _write_configurations(self) -> None:
        shipped = {
            "mosquitto/config": sorted((COMPOSE / "mosquitto").iterdir()),
            "config": sorted((COMPOSE / "config").iterdir()),
            "simulation": sorted((COMPOSE / "simulation").iterdir()),
        }
        for folder in ("secrets", "mosquitto/data", *shipped):
            (self.folder / folder).mkdir(parents=True)
        for folder, paths in shipped.items():
            for path in paths:
                (self.folder / folder / path.name).write_text(self._changed(path), encoding="utf-8")

    def _changed(self, path: Path) -> str:
        text = path.read_text(encoding="utf-8")
        if path.name == "mosquitto.conf":
            for shipped, port in ((8883, self.port), (8884, self.handlers_port)):
                text = text.replace(f"listener {shipped}\n", f"listener {port} {LOOPBACK}\n")
            # In its container Mosquitto is not root; as root it would look for another account.
            text += "user root\n" if os.geteuid() == 0 else ""
        if path.suffix == ".toml":
            text = text.replace('"broker"', f'"{LOOPBACK}"').replace('"meters"', f'"{LOOPBACK}"')
            text = text.replace("port = 8883", f"port = {self.port}").replace(
                "port = 8884", f"port = {self.handlers_port}"
            )
            text = text.replace("@database:5432/", f"@{LOOPBACK}:{self.postgres.port}/")
            text = text.replace('"http://influxdb:8086"', f'"{self.influx.v1_url}"\ndialect = "v1"')
            text = text.replace("period_s = 60", "period_s = 5")
            for shipped, port in self._meter_ports.items():
                text = text.replace(f"0.0.0.0:{shipped}", f"{LOOPBACK}:{port}").replace(
                    f"port = {shipped}", f"port = {port}"
                )
        return self._place(text, data=f"data/{path.stem}")

    def _open_database(self) -> None:
        """Do what PostgreSQL's image does at its first start, with the password that it is given."""
        password = (self.secrets / "database/password").read_text(encoding="ascii")
        self.postgres.query(f"ALTER ROLE wattpost PASSWORD '{password}'", database="postgres")
        self.postgres.query(f"CREATE DATABASE {DATABASE}", database="postgres")


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True
