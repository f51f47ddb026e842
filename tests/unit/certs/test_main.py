"""The command `wattpost certs`, as people type it."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from certs.__main__ import main


def typed(line: str, folder: Path) -> Result:
    """Run an example with its folder below `folder`."""
    words = line.removeprefix("wattpost certs ").split()
    words[1] = str(folder / words[1])
    return CliRunner().invoke(main, words, catch_exceptions=False)


def example(command: click.Command) -> str:
    assert command.epilog is not None
    return command.epilog.removeprefix("Example: ")


def test_the_examples_of_the_help_run_in_order(tmp_path: Path) -> None:
    told = [
        typed(example(main.commands[name]), tmp_path) for name in ("authority", "server", "client", "show", "revoke")
    ]

    assert [result.exit_code for result in told] == [0, 0, 0, 0, 0]
    assert "gw-0001.crt made" in told[2].output
    shown = told[3].output.splitlines()
    assert [line.split()[0] for line in shown] == ["server", "authority", "client"]
    assert "mqtt.example.org 192.0.2.7" in shown[0]
    assert "gw-0001 revoked" in told[4].output


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_shows_an_example(name: str) -> None:
    assert "Example: wattpost certs" in CliRunner().invoke(main, [name, "--help"]).output


def test_a_second_time_it_says_that_it_is_there(tmp_path: Path) -> None:
    typed("wattpost certs authority a", tmp_path)

    assert "is there already" in typed("wattpost certs authority a", tmp_path).output
