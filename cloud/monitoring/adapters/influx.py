"""Writers of line protocol: InfluxDB 2 by `influxdb-client`, and the older dialect that all generations understand.

Decide which answers mean that lines are refused and which that trying later makes sense. An answer that names the
account, the database or the load is of the second kind: someone can put it right, and nothing is lost by waiting.
"""

import re
from collections.abc import Sequence
from gzip import compress
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from cloud.config import Influx
from cloud.monitoring.adapters.delivery import WithinRetention
from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.core.lines import PRECISION
from cloud.monitoring.ports import LineWriter, RefusedLinesError
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError, UnavailableError

TIMEOUT_MS: Final = 30_000
_GZIP_LEVEL: Final = 1
_PROBLEM_CHARS_MAX: Final = 300
_REFUSED_STATUSES: Final = frozenset({400, 413, 422})
_DROPPED: Final = re.compile(r"partial write.*\bdropped=(\d+)", re.DOTALL)


class InfluxV2Writer:
    """The v2 write endpoint; a retention policy is a bucket `database/policy`, as InfluxQL finds it by itself.

    Args:
        url: Such as `http://127.0.0.1:8086`.
        token: Of the API.
        org: Organisation.
        database: The buckets' names before the slash; the buckets must exist.
        gzip: Whether lines are compressed on their way.
    """

    def __init__(self, *, url: str, token: str, org: str, database: str, gzip: bool = False) -> None:
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=TIMEOUT_MS, enable_gzip=gzip)
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        self._database = database

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        body = "\n".join(lines).encode()
        bucket = bucket_of(self._database, retention)
        try:
            self._api.write(bucket=bucket, record=body, write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # a str in its stubs
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
        database: Must exist, with its retention policies.
        username: Empty for none.
        password: Its password.
        gzip: Whether lines are compressed on their way.
    """

    def __init__(self, *, url: str, database: str, username: str = "", password: str = "", gzip: bool = False) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_MS / 1000))
        self._url = f"{url.rstrip('/')}/write"
        self._database = database
        self._gzip = gzip
        self._headers = {"Content-Type": "text/plain; charset=utf-8"}
        if gzip:
            self._headers["Content-Encoding"] = "gzip"
        if username:
            self._headers |= urllib3.make_headers(basic_auth=f"{username}:{password}")

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        body = "\n".join(lines).encode()
        if self._gzip:
            body = compress(body, _GZIP_LEVEL)
        query = urlencode({"db": self._database, "rp": retention.value, "precision": PRECISION})
        try:
            answer = self._pool.request("POST", f"{self._url}?{query}", body=body, headers=self._headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnavailableError(f"influxdb: {str(error)[:_PROBLEM_CHARS_MAX]}") from error
        if answer.status >= 300:
            raise _said(answer.status, answer.data.decode(errors="replace"))

    def close(self) -> None:
        self._pool.clear()


def bucket_of(database: str, retention: Retention) -> str:
    """Return the name of the bucket that stands for a retention policy."""
    return f"{database}/{retention.value}"


def open_writer(config: Influx) -> LineWriter:
    """Return the writer that a configuration names; it leaves out what lies before the retention.

    Raises:
        ConfigError: A secret cannot be read, or there is a secret for nobody.
    """
    days = {Retention.DETAIL: config.detail_days, Retention.HISTORY: config.history_days}
    return WithinRetention(_open_server(config), days=days, now_ms=SystemClock().wall_ms)


def _open_server(config: Influx) -> LineWriter:
    if config.dialect == "v1":
        return InfluxV1Writer(
            url=config.url,
            database=config.database,
            username=config.username,
            password=password_of(config),
            gzip=config.gzip,
        )
    token = secret_in(config.token_file) if config.token_file else ""
    return InfluxV2Writer(url=config.url, token=token, org=config.org, database=config.database, gzip=config.gzip)


def password_of(config: Influx) -> str:
    """Return the password of a v1 account; empty for none.

    Raises:
        ConfigError: It cannot be read, or only one of account and password is named.
    """
    if bool(config.username) is not bool(config.password_file):
        lacks = "password_file" if config.username else "username"
        raise ConfigError(f"influx.{lacks}", "an account needs both a name and a password", f"set {lacks}")
    return secret_in(config.password_file) if config.password_file else ""


def secret_in(name: str) -> str:
    """Return the secret in a file, without the line's end.

    Raises:
        ConfigError: There is none.
    """
    try:
        secret = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(name, "the secret in it cannot be read", "name a readable text file") from error
    if not secret:
        raise ConfigError(name, "it is empty", "put the token or password into it")
    return secret


def _said(status: int | None, text: str) -> Exception:
    """Return what an answer that is no success means."""
    problem = f"{status}: {text[:_PROBLEM_CHARS_MAX]}"
    if status not in _REFUSED_STATUSES:
        return UnavailableError(f"influxdb answered {problem}")
    dropped = _DROPPED.search(text)
    return RefusedLinesError(problem, dropped_count=max(1, int(dropped[1])) if dropped else None)
