import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.__main__ import main
from cloud.monitoring.adapters.terminal import COMMANDS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(f'utility = "demo"\nkeys_folder = "keys"\ndatabase = "sqlite:///{tmp_path / "cloud.db"}"\n')
    return path


def test_targets_are_told_to_people_and_machines(config: Path) -> None:
    table = CliRunner().invoke(main, ["targets", str(config)])
    told = CliRunner().invoke(main, ["targets", str(config), "--json"])
    assert table.exit_code == told.exit_code == 0
    found = json.loads(told.stdout)
    assert {"id", "metric", "percent", "deadline_s", "window", "source", "sourced"} <= set(found[0])
    assert all(target["id"] in table.stdout for target in found)


@pytest.mark.parametrize("command", ["influx", "recopy"])
def test_without_a_copy_there_is_nothing_to_set_up_or_to_write(config: Path, command: str) -> None:
    result = CliRunner().invoke(main, [command, str(config)])
    assert result.exit_code != 0
    assert "has no table [influx]" in str(result.exception)
    assert "`wattpost cloud template` shows one" in str(result.exception)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_each_command_says_in_one_line_and_by_example_what_it_is_for(command: object) -> None:
    name = getattr(command, "name", "")
    (line,) = [row for row in CliRunner().invoke(main, ["--help"]).stdout.splitlines() if row.startswith(f"  {name} ")]
    assert "..." not in line
    assert f"Example: wattpost cloud {name} cloud.toml" in CliRunner().invoke(main, [name, "--help"]).stdout
