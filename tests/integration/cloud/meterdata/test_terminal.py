import json
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from cloud import schema
from cloud.database import sqlite_engine
from cloud.meterdata.adapters.projector import project_all
from cloud.meterdata.adapters.terminal import make_commands
from tests.rig.reporting import MINUTES_15_MS, Reporter, assign, commit_batches

MIDNIGHT = 1_728_000_000_000
GATEWAY = Reporter("gw1")


@pytest.fixture
def group(tmp_path: Path) -> click.Group:
    url = f"sqlite:///{tmp_path / 'wattpost.sqlite3'}"
    engine = sqlite_engine(url)
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    return click.Group(commands=make_commands(lambda: url))


def fill(connection: sa.Connection) -> None:
    schema.metadata.create_all(connection)
    assign(connection, "m1", "gw1")
    commit_batches(
        connection, GATEWAY.batch(GATEWAY.clock(0, MIDNIGHT), GATEWAY.series("m1", count=2)), now_ms=MIDNIGHT + 5
    )
    project_all(connection)


def json_of(group: click.Group, *arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    rows: list[dict[str, object]] = json.loads(result.output)
    return rows


def test_last_values_as_json(group: click.Group) -> None:
    energy, voltage = json_of(group, "latest", "m1")

    assert (energy["obis"], energy["value"], energy["utc"]) == ("1-0:1.8.0.255", 1_010, "2024-10-04T00:15:00.000Z")
    assert (voltage["value"], voltage["scaler"], voltage["unit"], voltage["conflict"]) == (2_300, -1, 35, False)


def test_a_day_as_json(group: click.Group) -> None:
    rows = json_of(group, "profile", "m1", "2024-10-04")

    assert [(row["tick_ms"], row["value"]) for row in rows if row["unit"] == 30] == [(0, 1_000), (MINUTES_15_MS, 1_010)]
    assert json_of(group, "profile", "m1", "2024-10-05") == []


def test_gateways_as_json(group: click.Group) -> None:
    (row,) = json_of(group, "gateways")
    assert (row["gateway"], row["present"], row["seen"]) == ("gw1", True, "2024-10-04T00:00:00.005Z")


@pytest.mark.parametrize(("arguments", "text"), [(["latest", "m1"], "1010"), (["latest", "m9"], "nothing")])
def test_people_get_a_table_or_a_word(group: click.Group, arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert text in result.output


def test_a_day_that_is_none_is_a_usage_error(group: click.Group) -> None:
    assert CliRunner().invoke(group, ["profile", "m1", "yesterday"]).exit_code == 2


def test_the_export_has_a_line_for_each_meter_with_the_readings_of_one_channel(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["export"], catch_exceptions=False)
    (line,) = result.output.splitlines()
    assert json.loads(line) == {
        "meter": "m1",
        "values": 4,
        "readings": [[MIDNIGHT, 1_000, 0, False], [MIDNIGHT + MINUTES_15_MS, 1_010, 0, False]],
    }


@pytest.mark.parametrize("obis", ["1-0:1.8.0", "1-0:1.8.0.256", "energy"])
def test_an_export_of_no_channel_is_a_usage_error(group: click.Group, obis: str) -> None:
    assert CliRunner().invoke(group, ["export", "--obis", obis]).exit_code == 2
