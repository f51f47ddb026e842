"""What the documents tell people to type does what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/operations.md")


def shell_blocks(document: str) -> list[str]:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_readme_block_for_a_real_installation_runs_as_it_stands(tmp_path: Path) -> None:
    (block,) = [block for block in shell_blocks("README.md") if "wattpost keys" in block]

    done = run(block, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "1 keys registered" in done.stdout
    assert "1 meters assigned to gw-0001" in done.stdout


def test_the_operations_block_for_accounts_runs_after_the_installation(tmp_path: Path) -> None:
    (installation,) = [block for block in shell_blocks("README.md") if "wattpost keys" in block]
    (accounts,) = [block for block in shell_blocks("docs/operations.md") if "open-account" in block]

    done = run(f"{installation}\n{accounts}", tmp_path)

    assert done.returncode == 0, done.stderr
    assert "500.00 KES" in done.stdout


def commands() -> list[str]:
    texts = [(REPOSITORY / document).read_text(encoding="utf-8") for document in DOCUMENTS]
    found = re.findall(r"wattpost ((?:[a-z-]+ ?){1,2})", "\n".join(texts))
    known = {" ".join(words.split()[:2]) for words in found}
    return sorted(known)


@pytest.mark.parametrize("command", commands())
def test_every_command_that_is_named_has_help(command: str, tmp_path: Path) -> None:
    done = run(f"wattpost {command} --help", tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "fix", "sim", "help"])
def test_every_make_target_that_is_named_exists(target: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
