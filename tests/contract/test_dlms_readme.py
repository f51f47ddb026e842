"""What stands in the README of dlms is so: its example runs against the simulator, its tables name what there is."""

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlms.cosem.classes import CLASSES
from tests.rig.processes import wattpost_process

ROOT = Path(__file__).parents[2] / "dlms"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = "4059"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """Do what the README says to type, on a free port, and return the port."""
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    describe, run = block.replace(f"--port {PORT}", "--port 0").splitlines()
    program = Path(sys.executable).with_name("wattpost")
    subprocess.run(["bash", "-eu", "-c", describe.replace("wattpost", str(program), 1)], cwd=tmp_path, check=True)
    process = wattpost_process(*run.split()[1:], name="sim", folder=tmp_path)
    try:
        process.start()
        (line,) = process.wait_ready()["lines"].values()
        yield line.rpartition(":")[2]
    finally:
        process.close()


def test_the_example_in_the_readme_runs_as_printed_against_the_simulator(port: str) -> None:
    parser = doctest.DocTestParser()
    example = parser.get_doctest(TEXT.replace(PORT, port), {}, "README.md", str(ROOT / "README.md"), 0)
    assert len(example.examples) >= 10
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert results.failed == 0, "".join(report)


def test_the_readme_lists_the_classes_there_are() -> None:
    rows = [row for row in TEXT.splitlines() if re.fullmatch(r"(\| \d+ \| [\w ]+ ){3}\|", row)]
    listed = {int(number) for row in rows for number in re.findall(r"\| (\d+) \|", row)}
    assert listed == set(CLASSES)


def test_the_readme_lists_the_rooms_there_are() -> None:
    rooms = TEXT.partition("## Rooms")[2].partition("\n\nRules")[0]
    listed = {name for row in rooms.splitlines() for name in re.findall(r"`(\w+)`", row.partition(" | ")[0])}
    there = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert listed == there - {"__init__"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(dlms\.[\w.]+)`", TEXT))))
def test_names_in_the_readme_exist(name: str) -> None:
    module, _, thing = name.rpartition(".")
    imported = __import__(module, fromlist=[thing])
    assert hasattr(imported, thing)
