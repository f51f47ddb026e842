"""`wattpost cloud influx`: what InfluxDB needs is there afterwards, and running it again changes only what changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from cloud.__main__ import main
from cloud.config import Influx
from cloud.monitoring.adapters.influx import open_writer
from cloud.monitoring.adapters.influx_setup import Admin, set_up
from cloud.monitoring.core.catalogue import Retention
from tests.rig.influx import InfluxServer
from tests.rig.influx2_api import ORG_ID, Influx2Api, serve_influx2_api
from wire.runtime.errors import ConfigError

DAY_S = 86_400
NOBODY = Admin()


def policies(server: InfluxServer, database: str) -> dict[str, tuple[str, str, bool]]:
    rows = server.query(f'SHOW RETENTION POLICIES ON "{database}"', database=database)
    return {row["name"]: (row["duration"], row["shardGroupDuration"], row["default"]) for row in rows}


# ---- InfluxDB 1, the real one ----------------------------------------------------------------------------------------


def test_a_database_gets_its_retention_policies(influx: InfluxServer) -> None:
    config = Influx(url=influx.v1_url, database="set-up-1", dialect="v1")

    said = list(set_up(config, NOBODY))

    assert said == [
        "database set-up-1: created",
        "retention policy detail: created, keeps 30 days",
        "retention policy history: created, keeps 1100 days",
    ]
    assert policies(influx, "set-up-1") == {
        "detail": ("720h0m0s", "24h0m0s", True),
        "history": ("26400h0m0s", "168h0m0s", False),
    }
    assert list(set_up(config, NOBODY)) == [
        "retention policy detail: keeps 30 days, as before",
        "retention policy history: keeps 1100 days, as before",
    ]


def test_retention_follows_the_configuration_and_a_database_that_was_there_is_completed(influx: InfluxServer) -> None:
    config = Influx(url=influx.v1_url, database="set-up-2", dialect="v1")
    influx.query('CREATE DATABASE "set-up-2"', database="set-up-2")
    list(set_up(config, NOBODY))
    changed = msgspec.structs.replace(config, detail_days=1, history_days=400)

    assert list(set_up(changed, NOBODY)) == [
        "retention policy detail: keeps 1 days, before 30",
        "retention policy history: keeps 400 days, before 1100",
    ]
    assert policies(influx, "set-up-2") == {
        "autogen": ("0s", "168h0m0s", False),
        "detail": ("24h0m0s", "1h0m0s", True),
        "history": ("9600h0m0s", "168h0m0s", False),
    }


def test_the_command_sets_up_what_the_writer_then_writes_to(influx: InfluxServer, tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    table = f'[influx]\nurl = "{influx.v1_url}"\ndatabase = "set-up-3"\ndialect = "v1"\n'
    file.write_text(f'utility = "demo"\nkeys_folder = "keys"\n{table}')

    result = CliRunner().invoke(main, ["influx", str(file)], catch_exceptions=False)

    assert result.output.splitlines()[0] == "database set-up-3: created"
    writer = open_writer(Influx(url=influx.v1_url, database="set-up-3", dialect="v1"))
    writer.write(["event,gateway=gw-1 count=1 1800000000000"], retention=Retention.HISTORY)
    writer.close()
    assert influx.query('SELECT count FROM "history"."event"', database="set-up-3")


def test_an_account_that_may_not_is_told_what_to_do(own_influx: InfluxServer, tmp_path: Path) -> None:
    own_influx.query("CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES", database="")
    own_influx.stop()
    own_influx.require_accounts()
    own_influx.start()
    (tmp_path / "password").write_text("secret\n")
    config = Influx(url=own_influx.v1_url, database="x", dialect="v1")

    with pytest.raises(ConfigError, match="--admin-username and --admin-password-file"):
        list(set_up(config, NOBODY))
    with pytest.raises(ConfigError, match="give both options"):
        list(set_up(config, Admin(username="root")))
    root = Admin(username="root", password_file=str(tmp_path / "password"))
    assert next(set_up(config, root)) == "database x: created"
    assert len(list(set_up(config, root))) == len(Retention)

    # And an account with what it may do is what the writer takes.
    own = {"username": "root", "password_file": str(tmp_path / "password")}
    writer = open_writer(msgspec.structs.replace(config, **own))
    writer.write(["event,gateway=gw-1 count=1 1800000000000"], retention=Retention.HISTORY)
    writer.close()


# ---- InfluxDB 2, as documented ---------------------------------------------------------------------------------------


@pytest.fixture(params=["2.7", "old", "with system buckets"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Influx2Api]:
    server = Influx2Api(
        token="admin-token",
        virtual=request.param != "old",
        tells_system_buckets=request.param == "with system buckets",
    )
    async with serve_influx2_api(server):
        yield server


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    (tmp_path / "admin.token").write_text("admin-token\n")
    return Admin(token_file=str(tmp_path / "admin.token"))


async def test_buckets_are_made_that_influxql_finds(api: Influx2Api, admin: Admin) -> None:
    config = Influx(url=api.url)

    said = await asyncio.to_thread(lambda: list(set_up(config, admin)))

    assert [line for line in said if "created" in line] == [
        "bucket wattpost/detail: created, keeps 30 days",
        "bucket wattpost/history: created, keeps 1100 days",
    ]
    assert api.retentions() == {"wattpost/detail": [30 * DAY_S], "wattpost/history": [1_100 * DAY_S]}
    mapped = {(item["retention_policy"], item["default"]) for item in api.mappings}
    assert mapped == {("detail", True)} | (set() if api.virtual else {("history", False)})
    changes = list(api.changes)
    assert await asyncio.to_thread(lambda: list(set_up(config, admin))) == [
        "bucket wattpost/detail: keeps 30 days, as before",
        "bucket wattpost/history: keeps 1100 days, as before",
    ]
    assert api.changes == changes


async def test_the_retention_of_buckets_follows_the_configuration(api: Influx2Api, admin: Admin) -> None:
    await asyncio.to_thread(lambda: list(set_up(Influx(url=api.url), admin)))
    api.buckets["00000000000000b2"]["retentionRules"] = []

    said = await asyncio.to_thread(lambda: list(set_up(Influx(url=api.url, detail_days=60), admin)))

    assert said == [
        "bucket wattpost/detail: keeps 60 days, before 30",
        "bucket wattpost/history: keeps 1100 days, before all",
    ]
    assert api.retentions() == {"wattpost/detail": [60 * DAY_S], "wattpost/history": [1_100 * DAY_S]}


async def test_what_is_in_the_way_is_said_with_a_remedy(api: Influx2Api, admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "other.token").write_text("stranger")
    stranger = Admin(token_file=str(tmp_path / "other.token"))
    with pytest.raises(ConfigError, match=r"401.*--admin-token-file"):
        await asyncio.to_thread(lambda: list(set_up(Influx(url=api.url), stranger)))
    with pytest.raises(ConfigError, match="no organisation 'else'"):
        await asyncio.to_thread(lambda: list(set_up(Influx(url=api.url, org="else"), admin)))
    mapping = {"bucketID": "00000000000000ff", "orgID": ORG_ID, "database": "wattpost", "retention_policy": "detail"}
    api.mappings.append(mapping | {"id": "00000000000000d1", "default": True})
    with pytest.raises(ConfigError, match="another bucket"):
        await asyncio.to_thread(lambda: list(set_up(Influx(url=api.url), admin)))


def test_a_server_that_is_away_or_of_another_kind_is_said(influx: InfluxServer) -> None:
    for dialect in ("v1", "v2"):
        with pytest.raises(ConfigError, match="does not answer"):
            list(set_up(Influx(url="http://127.0.0.1:9", dialect=dialect), NOBODY))
    with pytest.raises(ConfigError, match="for InfluxDB 1 set dialect"):
        list(set_up(Influx(url=influx.v1_url), NOBODY))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"dialect": "v1", "username": "wattpost"}, "influx.password_file"),
        ({"dialect": "v1", "password_file": "somewhere"}, "influx.username"),
        ({"token_file": "/nowhere/token"}, "cannot be read"),
        ({"token_file": "/dev/null"}, "empty"),
    ],
    ids=["name only", "password only", "no file", "empty file"],
)
def test_secrets_that_are_not_there_are_said_before_anything_is_written(settings: dict[str, str], problem: str) -> None:
    config = msgspec.convert({"url": "http://127.0.0.1:9"} | settings, Influx)
    with pytest.raises(ConfigError, match=problem):
        open_writer(config)
