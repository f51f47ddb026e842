"""Writers of line protocol: InfluxDB 2 by `influxdb-client`, and the older dialect that all generations understand.

Decide which answers mean that lines are refused and which that trying later makes sense. An answer that names the
account, the database or the load is of the second kind: someone can put it right, and nothing is lost by waiting.
"""

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from cloud.config import Influx
from cloud.monitoring.core.lines import PRECISION
from cloud.monitoring.ports import RefusedLinesError
from wire.runtime.errors import ConfigError, UnavailableError

TIMEOUT_MS: Final = 30_000
_GZIP_LEVEL: Final = 1
_PROBLEM_CHARS_MAX: Final = 300
_REFUSED_STATUSES: Final = frozenset({400, 413, 422})
_DROPPED: Final = re.compile(r"partial write.*\bdropped=(\d+)", re.DOTALL)


class InfluxV2Writer:
    """The v2 write endpoint.

    Args:
        url: Such as `http://127.0.0.1:8086`.
        token: Of the API.
        org: Organisation.
        bucket: Or `database/retention-policy` on a server with the compatibility endpoint.
    """

    def __init__(self, *, url: str, token: str, org: str, bucket: str) -> None:
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=TIMEOUT_MS, enable_gzip=True)
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        self._bucket = bucket

    def write(self, lines: Sequence[str], /) -> None:
        body = "\n".join(lines).encode()
        try:
            self._api.write(bucket=self._bucket, record=body, write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # a str in its stubs
        except ApiException as error:
            raise _said(error.status, str(error.body or error.reason or "")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnavailableError(f"influxdb: {str(error)[:_PROBLEM_CHARS_MAX]}") from error

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]


class InfluxV1Writer:
    """The v1 write endpoint: InfluxDB 1, VictoriaMetrics, and newer InfluxDB in compatibility.

    Args:
        url: Such as `http://127.0.0.1:8086`.
        database: Must exist.
        username: Empty for none.
        password: Its password.
    """

    def __init__(self, *, url: str, database: str, username: str = "", password: str = "") -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_MS / 1000))
        self._url = f"{url.rstrip('/')}/write"
        self._database = database
        self._headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
        if username:
            self._headers |= urllib3.make_headers(basic_auth=f"{username}:{password}")

    def write(self, lines: Sequence[str], /) -> None:
        body = gzip.compress("\n".join(lines).encode(), _GZIP_LEVEL)
        query = urlencode({"db": self._database, "precision": PRECISION})
        try:
            answer = self._pool.request("POST", f"{self._url}?{query}", body=body, headers=self._headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnavailableError(f"influxdb: {str(error)[:_PROBLEM_CHARS_MAX]}") from error
        if answer.status >= 300:
            raise _said(answer.status, answer.data.decode(errors="replace"))

    def close(self) -> None:
        self._pool.clear()


def open_writer(config: Influx) -> InfluxV2Writer | InfluxV1Writer:
    """Return the writer that a configuration names.

    Raises:
        ConfigError: The token file cannot be read.
    """
    if config.dialect == "v1":
        return InfluxV1Writer(url=config.url, database=config.bucket)
    token = ""
    if config.token_file:
        try:
            token = Path(config.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(config.token_file, "the token cannot be read", "name a readable file") from error
    return InfluxV2Writer(url=config.url, token=token, org=config.org, bucket=config.bucket)


def _said(status: int | None, text: str) -> Exception:
    """Return what an answer that is no success means."""
    problem = f"{status}: {text[:_PROBLEM_CHARS_MAX]}"
    if status not in _REFUSED_STATUSES:
        return UnavailableError(f"influxdb answered {problem}")
    dropped = _DROPPED.search(text)
    return RefusedLinesError(problem, dropped_count=max(1, int(dropped[1])) if dropped else None)
