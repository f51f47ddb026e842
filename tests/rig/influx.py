"""Debian's InfluxDB 1.6 as a server of its own for tests, with the v2 write endpoint before it.

Decides how InfluxDB runs and where; what is written there is the business of the code under test. `url` is the
address of the v2 endpoint, the one that programs are given; `query` asks InfluxDB itself, past the endpoint.
"""

import json
import secrets
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.rig import influx_shim
from tests.rig.host import RigError, find_program, private_folder
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.processes import ManagedProcess

ORG: Final = "wattpost"

_CONFIG: Final = """\
reporting-disabled = true
bind-address = "{loopback}:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "tsi1"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "{loopback}:{http_port}"
  log-enabled = false
[continuous_queries]
  enabled = false
"""


class InfluxServer:
    """InfluxDB and its v2 endpoint, in a folder of their own."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """Prepare a server; nothing runs before `start`.

        Args:
            settings: Of InfluxDB, as environment variables, beside those of all tests.
        """
        self.folder = private_folder("influx")
        self.token = secrets.token_hex(16)
        self._http_port = free_port()
        self._shim_port = free_port()
        self._database_count = 0
        self._config_path = self.folder / "influxdb.conf"
        self._config_path.write_text(
            _CONFIG.format(loopback=LOOPBACK, rpc_port=free_port(), http_port=self._http_port, folder=self.folder)
        )
        program = find_program("influxd", package="influxdb")
        command: list[str | Path] = [program, "run", "-config", self._config_path]
        self.process = ManagedProcess(command, name="influxd", folder=self.folder, env=settings)
        self._shim = ManagedProcess(
            [
                *(sys.executable, Path(influx_shim.__file__), "--port", str(self._shim_port)),
                *("--upstream", self.v1_url, "--token", self.token),
            ],
            name="influx-shim",
            folder=self.folder,
        )

    @property
    def url(self) -> str:
        """The address to give to `influxdb-client`, with `ORG` and `token`."""
        return f"http://{LOOPBACK}:{self._shim_port}"

    @property
    def v1_url(self) -> str:
        """The address of InfluxDB itself, which speaks the older dialect."""
        return f"http://{LOOPBACK}:{self._http_port}"

    def start(self) -> None:
        """Start both, also after `stop` or `kill`, and wait until they answer."""
        self.process.start()
        self._shim.start()
        self.process.wait_until(self._answers, what="InfluxDB answered")
        self._shim.wait_ready()

    def stop(self) -> None:
        """Shut both down; their data stay."""
        self._shim.terminate()
        self.process.terminate()

    def kill(self) -> None:
        """End both as `kill -9` does; what was written and answered stays."""
        self._shim.kill()
        self.process.kill()

    def close(self) -> None:
        """Kill what still runs, and remove everything."""
        for process in (self._shim, self.process):
            process.close()
        shutil.rmtree(self.folder)

    def require_accounts(self) -> None:
        """Let no stranger in from the next start on; `query` is one."""
        text = self._config_path.read_text()
        self._config_path.write_text(text.replace("[http]\n", "[http]\n  auth-enabled = true\n"))

    def new_name(self) -> str:
        """Return a name that no database has."""
        self._database_count += 1
        return f"test_{self._database_count}"

    def create_database(self) -> str:
        """Create a database with the retention policies `detail` and `history`, which keep all, and return its name.

        `detail` is the default one, so that a query need not name it; the buckets of the v2 endpoint are NAME/POLICY.
        """
        name = self.new_name()
        self.query(f'CREATE DATABASE "{name}" WITH DURATION INF REPLICATION 1 NAME "detail"', database=name)
        self.query(f'CREATE RETENTION POLICY "history" ON "{name}" DURATION INF REPLICATION 1', database=name)
        return name

    def table(self, database: str, *, meters: bool = True) -> str:
        """Return the table `[influx]` of handlers that speak to InfluxDB itself; no simulated year is too old for it.

        Args:
            database: Need not be there yet.
            meters: Whether meters have series of their own.
        """
        return (
            f'[influx]\nurl = "{self.v1_url}"\ndatabase = "{database}"\ndialect = "v1"\n'
            f"meters = {str(meters).lower()}\ndetail_days = 3650\nhistory_days = 36500\n"
        )

    def table_v2(self, database: str) -> str:
        """Return the same for the v2 endpoint; the database must be there."""
        path = self.folder / "token"
        path.write_text(self.token)
        return (
            f'[influx]\nurl = "{self.url}"\ndatabase = "{database}"\norg = "{ORG}"\ntoken_file = "{path}"\n'
            "detail_days = 3650\nhistory_days = 36500\n"
        )

    def write(self, lines: str, *, database: str, retention: str) -> None:
        """Write lines past the endpoint, as somebody else might; times in milliseconds."""
        where = urllib.parse.urlencode({"db": database, "rp": retention, "precision": "ms"})
        with urllib.request.urlopen(f"{self.v1_url}/write?{where}", data=lines.encode(), timeout=30):
            pass

    def query(self, influxql: str, *, database: str) -> list[dict[str, Any]]:
        """Run InfluxQL and return its rows by column name, tags of `GROUP BY` included, times in milliseconds."""
        parameters = urllib.parse.urlencode({"db": database, "q": influxql, "epoch": "ms"}).encode()
        # A body makes it a POST, which statements that change something need.
        try:
            with urllib.request.urlopen(f"{self.v1_url}/query", data=parameters, timeout=30) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raise RigError(f"{influxql}: {exc.read().decode()}") from exc
        rows: list[dict[str, Any]] = []
        for result in document["results"]:
            if "error" in result:
                raise RigError(f"{influxql}: {result['error']}")
            for series in result.get("series", ()):
                tags = series.get("tags", {})
                rows.extend(tags | dict(zip(series["columns"], row, strict=True)) for row in series.get("values", ()))
        return rows

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.v1_url}/ping", timeout=5):
                return True
        except urllib.error.URLError:
            return False
