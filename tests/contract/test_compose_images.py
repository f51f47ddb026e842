"""The Dockerfile and the setup script: by their linters, and by what the compose file makes of them."""

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "compose"
DOCKERFILE: Final = re.sub(r"\\\n\s*", " ", (COMPOSE / "Dockerfile").read_text(encoding="utf-8"))
SERVICES: Final = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]


def instructions(kind: str) -> list[str]:
    return re.findall(rf"^{kind} (.+)$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [
        ("hadolint", "--failure-threshold=info", "Dockerfile"),
        ("shellcheck", "--enable=all", "--exclude=SC2250,SC2312", "setup.sh"),
    ],
    ids=["hadolint", "shellcheck"],
)
def test_a_linter_has_nothing_to_say(words: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], cwd=COMPOSE, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_stage_stands_on_a_pinned_image_or_on_a_stage_before() -> None:
    stages: list[str] = []
    for line in instructions("FROM"):
        base, _, name = line.partition(" AS ")
        assert base in stages or re.search(r":\d+\.\d+\.\d+-", base), base
        stages.append(name)

    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= set(stages)


def test_every_image_that_is_run_ends_as_somebody_without_rights() -> None:
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[3:]:
        users = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
        assert users[-1] == "10001:10001"


def test_nothing_is_fetched_by_address_and_no_secret_is_built_in() -> None:
    assert not instructions("ADD")
    assert not instructions("ARG")
    assert "http" not in DOCKERFILE
    assert not re.search(r"PASSWORD|TOKEN|SECRET_|_KEY", " ".join(instructions("ENV")))


def test_everything_that_is_copied_exists_and_is_let_in() -> None:
    let_in = [
        line.removeprefix("!")
        for line in (COMPOSE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    copied = [source for line in instructions("COPY") for source in line.split() if not source.startswith(("--", "/"))]
    sources = {source for source in copied if not source.startswith("./")}

    assert sources == set(let_in)
    assert all((ROOT / source).exists() for source in sources)


def test_all_our_packages_are_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {
        path.name
        for path in ROOT.iterdir()
        if (path / "__init__.py").exists() and any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
    }

    assert {line.split()[0] for line in instructions("COPY") if line.split()[0] in packages} == packages


def test_every_extra_that_is_installed_exists_and_was_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    built, *installed = [set(extras.split(",")) for extras in re.findall(r"\[([a-z,]+)\]'", DOCKERFILE)]

    assert built <= set(project["project"]["optional-dependencies"])
    assert set().union(*installed) == built


def test_the_images_have_the_folders_that_volumes_take_their_owner_from() -> None:
    made = set(re.search(r"install --directory.* (/data .*)$", DOCKERFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    written = set()
    for service in SERVICES.values():
        if service["image"].startswith("wattpost/"):
            written |= {mount.partition(":")[2] for mount in service["volumes"] if isinstance(mount, str)}

    assert written <= made


def test_the_version_of_the_images_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tags = {s["image"].rpartition(":")[2] for s in SERVICES.values() if s["image"].startswith("wattpost/")}

    assert tags == {project["version"]}
