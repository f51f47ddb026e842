"""The style guide as a test: what a reviewer would otherwise have to say again and again.

Every check lists all offenders with their place, what is wrong, and what to do about it.
"""

import ast
import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("wire", "dlms", "prepay", "gateway", "cloud", "device_sim", "certs", "dashboards")
TOP_LEVEL = {
    *PACKAGES,
    *("compose", "tests", "docs", ".ci"),
    *("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md", "LICENSE", ".gitignore"),
}
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
TEXT_BYTES_MAX = 1_000_000

# Put together here, so that this file passes its own checks.
UNFINISHED_WORDS = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error"]) + r")\b")
DEVELOPER_FOLDERS = ("home", "root", "Users", "work", "workspace", "tmp", "mnt")
DEVELOPER_PATH = re.compile(r"(?<![\w.~/>$}-])/(?:" + "|".join(DEVELOPER_FOLDERS) + r")/\w[\w./-]*")
EVASIONS = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b|\bunittest\b|\bmonkeypatch\.setattr\b")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)


@cache
def tree() -> tuple[Path, ...]:
    """Return every file that belongs to the tree, whether committed yet or not."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]

    def belongs(name: str) -> bool:
        return not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

    found: list[Path] = []
    for folder, folder_names, file_names in os.walk(ROOT):
        folder_names[:] = sorted(filter(belongs, folder_names))
        found.extend(Path(folder, name) for name in sorted(file_names) if belongs(name))
    return tuple(found)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules() -> list[Path]:
    """Return the modules of our packages."""
    return [
        path for path in tree() if path.suffix == ".py" and named(path).startswith(tuple(f"{p}/" for p in PACKAGES))
    ]


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the text files of the tree, the licence aside."""
    for path in tree():
        if path.name == "LICENSE" or path.stat().st_size > TEXT_BYTES_MAX:
            continue
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:
            continue


def lines_with(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield where in the tree the pattern stands, with what it found there."""
    for path, text in texts():
        for number, line in enumerate(text.splitlines(), start=1):
            if match := pattern.search(line):
                yield f"{named(path)}:{number}: {match.group()}"


def none_of(offenders: Sequence[str], *, remedy: str) -> None:
    """Fail with all offenders and the remedy."""
    if offenders:
        pytest.fail("\n".join([remedy, *(f"  {offender}" for offender in offenders)]), pytrace=False)


def test_the_top_level_of_the_tree_stays_as_it_is() -> None:
    strangers = sorted({named(path).split("/")[0] for path in tree()} - TOP_LEVEL)
    none_of(strangers, remedy="The top level is fixed; give these a place below it, or add them to .gitignore:")


def test_functions_fit_a_screen() -> None:
    offenders = []
    for path in modules():
        if "versions" in path.parts:
            continue  # a migration is a list of tables
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    offenders.append(f"{named(path)}:{node.lineno}: {node.name} has {length} lines")
    none_of(offenders, remedy=f"A function does one act; more than {FUNCTION_LINES_MAX} lines are several:")


def test_modules_hold_one_idea() -> None:
    written = [path for path in modules() if "versions" not in path.parts]  # a migration is a list of tables
    lengths = {path: len(path.read_text().splitlines()) for path in written}
    offenders = [f"{named(path)}: {length} lines" for path, length in lengths.items() if length > MODULE_LINES_MAX]
    none_of(offenders, remedy=f"A module past {MODULE_LINES_MAX} lines holds more than one idea; split it by idea:")


def test_modules_say_what_they_decide() -> None:
    offenders = [named(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    none_of(offenders, remedy="Open the module with what it decides and what it leaves to others:")


def test_unit_tests_mirror_the_source() -> None:
    unit = ROOT / "tests" / "unit"
    offenders = []
    for path in tree():
        if path.is_relative_to(unit) and path.name.startswith("test_") and not mirrored_modules(path.relative_to(unit)):
            wanted = path.relative_to(unit).with_name(path.name.removeprefix("test_"))
            offenders.append(f"{named(path)}: there is no {wanted.as_posix()}, nor one in core or adapters")
    none_of(
        offenders,
        remedy="tests/unit/P/test_M.py, or test_M_aspect.py, tests P/M.py or P/core/M.py; move it, or rename it:",
    )


def mirrored_modules(test: Path) -> list[Path]:
    """Return the modules or packages that a unit test can stand for.

    `test_M.py` and `test_M_aspect.py` stand for M, in the same folder or in its `core` or `adapters`.
    """
    words = test.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    folders = [ROOT / test.parent / layer for layer in ("", "core", "adapters")]
    places = [folder / shape for folder in folders for name in names for shape in (name, f"__{name}__")]
    return [place for place in places if place.with_suffix(".py").exists() or (place / "__init__.py").exists()]


def test_nothing_in_the_tree_names_a_developers_machine() -> None:
    none_of(list(lines_with(DEVELOPER_PATH)), remedy="These paths exist on one machine only; make them relative:")


@pytest.mark.parametrize("folder", DEVELOPER_FOLDERS)
def test_a_path_of_a_machine_is_told_from_an_address(folder: str) -> None:
    assert DEVELOPER_PATH.search(f'open("/{folder}/ann/meters.toml")')
    assert not DEVELOPER_PATH.search(f"https://example.org/{folder}/ann, docs/{folder}/ann, $HOME/{folder}/ann")


def test_nothing_is_left_unfinished() -> None:
    none_of(list(lines_with(UNFINISHED_WORDS)), remedy="Finish it or open an issue; the tree holds finished work:")


def test_tests_run_and_use_the_real_parts() -> None:
    tests = ROOT / "tests"
    offenders = [
        f"{named(path)}:{number}: {match.group()}"
        for path, text in texts()
        if path.is_relative_to(tests) and path.suffix == ".py" and path != Path(__file__)
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := EVASIONS.search(line))
    ]
    none_of(offenders, remedy="No test is skipped or expected to fail, and nothing is mocked or patched over:")


def test_relative_links_in_documents_lead_somewhere() -> None:
    offenders = []
    for path, text in texts():
        if path.suffix == ".md":
            for target in LINK.findall(FENCE.sub("", text)):
                problem = problem_of_link(path, target)
                if problem:
                    offenders.append(f"{named(path)}: {target}: {problem}")
    none_of(offenders, remedy="Readers follow these links into nothing:")


@pytest.mark.parametrize(
    ("target", "good"),
    [
        ("https://example.org/nothing", True),
        ("CHANGELOG.md", True),
        ("CHANGELOG.md#unreleased", True),
        ("CHANGELOG.md#no-such-heading", False),
        ("no-such-file.md", False),
        ("../elsewhere.md", False),
        ("/CHANGELOG.md", False),
    ],
)
def test_a_link_is_good_when_its_file_and_heading_exist(target: str, *, good: bool) -> None:
    assert (problem_of_link(ROOT / "README.md", target) is None) is good


def problem_of_link(document: Path, target: str) -> str | None:
    """Return what is wrong with a link, None for a good one and for one that leaves the tree by its scheme."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    name, _, anchor = target.partition("#")
    place = document.parent / name if name else document
    if name.startswith("/") or not place.resolve().is_relative_to(ROOT):
        return "points out of the tree"
    if not place.exists():
        return "does not exist"
    if anchor and place.suffix == ".md" and anchor not in anchors(place.read_text()):
        return f"{named(place.resolve())} has no such heading"
    return None


def anchors(markdown: str) -> set[str]:
    """Return the names by which links reach the headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", FENCE.sub("", markdown), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = sum(1 for name in found if re.fullmatch(re.escape(slug) + r"(?:-\d+)?", name))
        found.add(f"{slug}-{repeats}" if repeats else slug)
    return found
