"""What InfluxDB needs before it can be written to: a database with its retention policies, or the buckets that are one.

Run again, it changes what the configuration changed, and says so. It removes nothing: points that a shorter retention
has no room for, InfluxDB drops by itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket import Bucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.dbrp_create import DBRPCreate
from influxdb_client.rest import ApiException
from influxdb_client.service.dbr_ps_service import DBRPsService

from cloud.config import Influx
from cloud.monitoring.adapters.influx import TIMEOUT_MS, bucket_of, password_of, secret_in
from cloud.monitoring.core.catalogue import Retention
from wire.runtime.errors import ConfigError

DAY_S: Final = 86_400
_PROBLEM_CHARS_MAX: Final = 300
_DURATION: Final = re.compile(r"(\d+)([hms])")
_SECONDS: Final = {"h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Admin:
    """Who may set up; empty for the account that writes."""

    token_file: str = ""
    """For v2: a token that may read organisations and write buckets."""
    username: str = ""
    password_file: str = ""
    """For v1."""


def set_up(config: Influx, admin: Admin) -> Iterator[str]:
    """Set up what a configuration asks for and say piece by piece what was done.

    Raises:
        ConfigError: The server is away or does not let us; what was said before stands.
    """
    return _set_up_v1(config, admin) if config.dialect == "v1" else _set_up_v2(config, admin)


def days_of(config: Influx, retention: Retention) -> int:
    """Return how long points of a retention policy stay."""
    return {Retention.DETAIL: config.detail_days, Retention.HISTORY: config.history_days}[retention]


# ---- InfluxDB 1 ------------------------------------------------------------------------------------------------------


def _set_up_v1(config: Influx, admin: Admin) -> Iterator[str]:
    server = _V1Server(config, admin)
    name = config.database
    is_new = [name] not in server.ask("SHOW DATABASES")
    if is_new:
        server.ask(f'CREATE DATABASE "{name}" WITH {_terms(config.detail_days)} NAME "{Retention.DETAIL.value}"')
        yield f"database {name}: created"
    policies = {row[0]: row for row in server.ask(f'SHOW RETENTION POLICIES ON "{name}"')}
    for retention in Retention:
        days = days_of(config, retention)
        policy = f'RETENTION POLICY "{retention.value}" ON "{name}" {_terms(days)}'
        # Whoever asks for a measurement without a policy wants to see what is new.
        default = " DEFAULT" if retention is Retention.DETAIL else ""
        row = policies.get(retention.value)
        before_s = None if row is None else _seconds(row[1])
        if row is None:
            server.ask(f"CREATE {policy}{default}")
        elif before_s != days * DAY_S or (default and not row[-1]):
            server.ask(f"ALTER {policy}{default}")
        is_there = row is not None and not is_new
        yield _said(f"retention policy {retention.value}", days, is_there=is_there, before_s=before_s)


class _V1Server:
    """Runs statements.

    Raises:
        ConfigError: Its secrets cannot be read.
    """

    def __init__(self, config: Influx, admin: Admin) -> None:
        if bool(admin.username) is not bool(admin.password_file):
            raise ConfigError("--admin-username", "an account needs a name and a password", "give both options")
        username = admin.username or config.username
        password = secret_in(admin.password_file) if admin.password_file else password_of(config)
        self._url = config.url
        self._headers = urllib3.make_headers(basic_auth=f"{username}:{password}") if username else {}

    def ask(self, statement: str) -> list[list[Any]]:
        """Run one statement and return its rows.

        Raises:
            ConfigError: No answer, or another than wanted.
        """
        body = urlencode({"q": statement})
        headers = self._headers | {"Content-Type": "application/x-www-form-urlencoded"}
        timeout = urllib3.Timeout(total=TIMEOUT_MS / 1_000)
        address = f"{self._url.rstrip('/')}/query"
        try:
            answer = urllib3.request("POST", address, body=body, headers=headers, retries=False, timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _away(self._url, error) from error
        try:
            document = json.loads(answer.data)
            problem = document.get("error") or document["results"][0].get("error")
        except (ValueError, LookupError, AttributeError) as error:
            raise ConfigError(
                self._url, f"answered {answer.status}", "is this InfluxDB 1? see influx.dialect"
            ) from error
        if problem or answer.status >= 300:
            remedy = "give --admin-username and --admin-password-file of an account that may do this"
            raise ConfigError(self._url, f"{statement}: {problem or answer.status}", remedy)
        return [row for series in document["results"][0].get("series", ()) for row in series.get("values", ())]


def _terms(days: int) -> str:
    """Return how long points stay, in files of a length as InfluxDB chooses them for new policies."""
    shard = "1h" if days < 2 else "1d" if days <= 180 else "7d"
    return f"DURATION {days}d REPLICATION 1 SHARD DURATION {shard}"


def _seconds(duration: str) -> int | None:
    """Return a duration as InfluxDB writes it, such as 720h0m0s; None for one without end."""
    return sum(int(count) * _SECONDS[unit] for count, unit in _DURATION.findall(duration)) or None


# ---- InfluxDB 2 ------------------------------------------------------------------------------------------------------


def _set_up_v2(config: Influx, admin: Admin) -> Iterator[str]:
    name = admin.token_file or config.token_file
    token = secret_in(name) if name else ""
    try:
        with InfluxDBClient(url=config.url, token=token, org=config.org, timeout=TIMEOUT_MS) as client:
            org_id = _org_id(client, config)
            for retention in Retention:
                bucket, said = _set_up_bucket(client, config, org_id, retention)
                yield said
                yield from _map_bucket(client, config, bucket, retention)
    except ApiException as error:
        text = str(error.body or error.reason or "")[:_PROBLEM_CHARS_MAX]
        remedy = "give --admin-token-file with a token that may read organisations and write buckets"
        raise ConfigError(config.url, f"answered {error.status}: {text}", remedy) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _away(config.url, error) from error


def _org_id(client: InfluxDBClient, config: Influx) -> str:
    try:
        found = client.organizations_api().find_organizations(org=config.org)  # type: ignore[no-untyped-call]
    except ApiException as error:
        if error.status != 404:
            raise
        found = []
    if not found:
        raise ConfigError(
            "influx.org", f"there is no organisation {config.org!r}", "name one that it has; for InfluxDB 1 set dialect"
        )
    return str(found[0].id)


def _set_up_bucket(client: InfluxDBClient, config: Influx, org_id: str, retention: Retention) -> tuple[Bucket, str]:
    api = client.buckets_api()
    name, days = bucket_of(config.database, retention), days_of(config, retention)
    rule = BucketRetentionRules(type="expire", every_seconds=days * DAY_S)  # type: ignore[no-untyped-call]
    bucket = _bucket(client, org_id, name)
    if bucket is None:
        made: Bucket = api.create_bucket(bucket_name=name, retention_rules=rule, org=org_id)
        return made, _said(f"bucket {name}", days, is_there=False, before_s=None)
    before_s = next((old.every_seconds for old in bucket.retention_rules), 0) or None
    if before_s != days * DAY_S:
        bucket.retention_rules = [rule]
        bucket = api.update_bucket(bucket)
    return bucket, _said(f"bucket {name}", days, is_there=True, before_s=before_s)


def _bucket(client: InfluxDBClient, org_id: str, name: str) -> Bucket | None:
    try:
        found = client.buckets_api().find_buckets(name=name, org_id=org_id).buckets  # type: ignore[no-untyped-call]
    except ApiException as error:
        if error.status != 404:
            raise
        return None
    # Some versions answer with the system's buckets too.
    return next((bucket for bucket in found if bucket.name == name), None)


def _map_bucket(client: InfluxDBClient, config: Influx, bucket: Bucket, retention: Retention) -> Iterator[str]:
    """Let InfluxQL find a bucket; newer servers do so by its name, without being told."""
    service = DBRPsService(client.api_client)  # type: ignore[no-untyped-call]
    mappings = service.get_dbr_ps(org_id=bucket.org_id, db=config.database, rp=retention.value).content or []  # type: ignore[no-untyped-call]
    # A mapping that somebody made goes before one that the server made of a name.
    for mapping in mappings:
        if not mapping.virtual and mapping.bucket_id != bucket.id:
            problem = f"InfluxQL finds another bucket under {bucket.name}: {mapping.bucket_id}"
            raise ConfigError("influx.database", problem, "remove that mapping (`influx v1 dbrp delete`)")
    # None that the server makes of a name like ours is the default one, and without that it lists no values of tags.
    if any(not mapping.virtual or retention is not Retention.DETAIL for mapping in mappings):
        return
    service.post_dbrp(  # type: ignore[no-untyped-call]
        DBRPCreate(  # type: ignore[no-untyped-call]
            org_id=bucket.org_id,
            bucket_id=bucket.id,
            database=config.database,
            retention_policy=retention.value,
            default=retention is Retention.DETAIL,
        )
    )
    yield f"bucket {bucket.name}: mapped for InfluxQL"


# ---- both ------------------------------------------------------------------------------------------------------------


def _said(what: str, days: int, *, is_there: bool, before_s: int | None) -> str:
    if not is_there:
        return f"{what}: created, keeps {days} days"
    if before_s == days * DAY_S:
        return f"{what}: keeps {days} days, as before"
    before = "all" if before_s is None else f"{before_s / DAY_S:g}"
    return f"{what}: keeps {days} days, before {before}"


def _away(url: str, error: Exception) -> ConfigError:
    return ConfigError(url, f"InfluxDB does not answer: {str(error)[:_PROBLEM_CHARS_MAX]}", "start it, or correct url")
