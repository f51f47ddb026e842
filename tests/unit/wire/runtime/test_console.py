"""The command `wattpost` lists everything, imports one thing, and says plainly what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from wire.runtime.console import ENTRIES

PROGRAM = """
import sys
from wire.runtime.console import ENTRIES, Entry, run

entries = {
    "good": Entry(target="good_command:main", help="Does its work.", extra="cloud"),
    "lacking": Entry(target="lacking_command:main", help="Lacks a package.", extra="gateway"),
    "broken": Entry(target="wire.no_such_module:main", help="Is our own fault.", extra=""),
    **ENTRIES,
}
try:
    run(sys.argv[1:], entries=entries)
finally:
    targets = {entry.target.partition(":")[0] for entry in entries.values()}
    print("imported", sorted(targets & set(sys.modules)))
"""
GOOD = """
import click
from wire.runtime.errors import ConfigError

@click.command(help="Does its work.")
@click.argument("path")
def main(path: str) -> None:
    raise ConfigError(path, "no broker is named", "add host to [broker]")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good_command.py").write_text(GOOD)
    (tmp_path / "lacking_command.py").write_text("import no_such_package_of_others\n")
    return tmp_path


def wattpost(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{PROGRAM}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_lists_every_program_and_imports_none(folder: Path) -> None:
    done = wattpost(folder, "--help")
    assert done.returncode == 0, done.stderr
    for name, entry in ENTRIES.items():
        assert name in done.stdout
        assert entry.help in done.stdout
    assert "imported []" in done.stdout


def test_the_version_is_that_of_the_distribution(folder: Path) -> None:
    done = wattpost(folder, "--version")
    assert done.stdout.startswith("wattpost, version ")
    assert "imported []" in done.stdout


def test_an_error_of_the_operator_is_one_line_and_exit_code_78(folder: Path) -> None:
    done = wattpost(folder, "good", "site.toml")
    assert done.returncode == 78
    assert done.stderr == "Error: site.toml: no broker is named - add host to [broker]\n"
    assert "imported ['good_command']" in done.stdout


def test_a_missing_package_is_one_line_that_names_the_extra(folder: Path) -> None:
    done = wattpost(folder, "lacking")
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert "no_such_package_of_others" in line
    assert "wattpost[gateway]" in line


def test_a_missing_module_of_ours_is_no_missing_extra(folder: Path) -> None:
    done = wattpost(folder, "broken")
    assert "ModuleNotFoundError" in done.stderr


def test_an_unknown_word_is_a_usage_error(folder: Path) -> None:
    done = wattpost(folder, "nonsense")
    assert done.returncode == 2
    assert "No such command" in done.stderr
