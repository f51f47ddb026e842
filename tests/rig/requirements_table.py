"""The table of requirements in `docs/requirements.md`, written from the marks of tests.

Decides which tests count as showing a row: integration and end-to-end tests that name it with `@pytest.mark.req`,
on a function, on a class, or as the module's `pytestmark`. What the rows say stands in `requirements.toml`.
"""

import argparse
import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CATALOGUE_PATH: Final = Path(__file__).with_suffix(".toml").with_stem("requirements")
TABLE_PATH: Final = ROOT / "docs" / "requirements.md"
COUNTING_FOLDERS: Final = ("e2e", "integration")

_HEAD: Final = """\
# Requirements

Written by `make fix`; do not edit. The rows stand in `tests/rig/requirements.toml`. A row is shown by tests that run
it through the real parts: broker, database, meter protocol.
"""

Catalogue = Mapping[str, Mapping[str, str]]
"""Sections by title; in each, what a row demands by the row's id."""


class RequirementsError(Exception):
    """Raised when a mark names an unknown row, or stands where it shows nothing."""


@dataclass(frozen=True, kw_only=True, order=True)
class Mark:
    """One test that says it shows one row."""

    path: str
    """Of the test's file, from the root of the tree."""
    line: int
    test: str
    row_id: str


def read_catalogue(path: Path = CATALOGUE_PATH) -> Catalogue:
    """Return the rows by section."""
    return tomllib.loads(path.read_text())


def find_marks(root: Path = ROOT) -> list[Mark]:
    """Return every mark of every test below `root/tests`, in the order of files and lines."""
    paths = sorted((root / "tests").rglob("test_*.py"))
    return sorted(mark for path in paths for mark in _marks_of_file(path, name=path.relative_to(root).as_posix()))


def check_marks(marks: Sequence[Mark], catalogue: Catalogue) -> None:
    """Refuse marks that cannot stand in the table.

    Raises:
        RequirementsError: Names every such mark with its file and line.
    """
    known = {row_id for rows in catalogue.values() for row_id in rows}
    problems = []
    for mark in marks:
        where = f"{mark.path}:{mark.line}: {mark.test}"
        if mark.row_id not in known:
            problems.append(f"{where}: there is no row {mark.row_id}")
        if mark.path.split("/")[1] not in COUNTING_FOLDERS:
            problems.append(f"{where}: a row is shown only by tests in {' and '.join(COUNTING_FOLDERS)}")
    if problems:
        raise RequirementsError("\n".join(problems))


def render(catalogue: Catalogue, marks: Sequence[Mark]) -> str:
    """Return the text of the table."""
    tests_by_row: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        tests_by_row[mark.row_id].append(mark)
    parts = [_HEAD]
    for title, rows in catalogue.items():
        parts.append(f"\n## {title}\n\n| Row | Demands | Shown by |\n| --- | --- | --- |\n")
        parts.extend(
            f"| {row_id} | {demand} | {_links(tests_by_row[row_id]) or '—'} |\n" for row_id, demand in rows.items()
        )
    return "".join(parts)


def current_table() -> str:
    """Return the text that `docs/requirements.md` should have now."""
    catalogue = read_catalogue()
    marks = find_marks()
    check_marks(marks, catalogue)
    return render(catalogue, marks)


def _links(marks: Sequence[Mark]) -> str:
    return "<br>".join(f"[{mark.test}](../{mark.path})" for mark in marks)


def _marks_of_file(path: Path, *, name: str) -> Iterator[Mark]:
    module = ast.parse(path.read_text(), filename=str(path))
    of_module = [row_id for node in module.body for row_id in _assigned_rows(node)]
    for test, node, of_class in _tests_of(module.body):
        of_test = [row_id for decorator in node.decorator_list for row_id in _rows(decorator)]
        for row_id in dict.fromkeys([*of_module, *of_class, *of_test]):
            yield Mark(path=name, line=node.lineno, test=test, row_id=row_id)


def _tests_of(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, list[str]]]:
    """Yield the tests of a module with their names and the rows that their class names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            of_class = [row_id for decorator in node.decorator_list for row_id in _rows(decorator)]
            for name, test, _ in _tests_of(node.body):
                yield f"{node.name}.{name}", test, of_class
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, node, []


def _assigned_rows(node: ast.stmt) -> list[str]:
    """Return the rows of a `pytestmark = …` statement, none of any other."""
    match node:
        case ast.Assign(targets=[ast.Name(id="pytestmark")], value=ast.List(elts=marks)):
            return [row_id for mark in marks for row_id in _rows(mark)]
        case ast.Assign(targets=[ast.Name(id="pytestmark")], value=mark):
            return _rows(mark)
        case _:
            return []


def _rows(mark: ast.expr) -> list[str]:
    """Return the rows that `pytest.mark.req("…", …)` names, none for any other mark."""
    match mark:
        case ast.Call(func=ast.Attribute(attr="req", value=ast.Attribute(attr="mark")), args=arguments):
            return [str(ast.literal_eval(argument)) for argument in arguments]
        case _:
            return []


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Write docs/requirements.md from the marks of the tests.")
    parser.parse_args()
    try:
        table = current_table()
    except RequirementsError as exc:
        print(exc, file=sys.stderr)
        return 1
    TABLE_PATH.write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
