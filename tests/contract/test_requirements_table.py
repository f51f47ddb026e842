"""`docs/requirements.md` says what the marks of the tests say."""

from pathlib import Path

import pytest

from tests.rig.requirements_table import (
    TABLE_PATH,
    RequirementsError,
    check_marks,
    current_table,
    find_marks,
    read_catalogue,
    render,
)

CATALOGUE = {"A. Here": {"A-1": "Do this", "A-2": "Do that"}}


def plant(root: Path, folder: str, text: str) -> None:
    path = root / "tests" / folder / "test_planted.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_the_table_in_the_tree_is_current() -> None:
    assert TABLE_PATH.exists(), "docs/requirements.md is missing: run `make fix`"
    assert TABLE_PATH.read_text() == current_table(), "docs/requirements.md is out of date: run `make fix`"


def test_row_ids_belong_to_their_section_and_count_up() -> None:
    for title, rows in read_catalogue().items():
        assert list(rows) == [f"{title[0]}-{number}" for number in range(1, len(rows) + 1)]


def test_marks_of_modules_classes_and_tests_add_up(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "e2e",
        'import pytest\npytestmark = [pytest.mark.slow, pytest.mark.req("A-1")]\n'
        '@pytest.mark.req("A-2")\nclass TestBox:\n    async def test_one(self) -> None: ...\n'
        '@pytest.mark.req("A-2", "A-1")\ndef test_two() -> None: ...\ndef helper() -> None: ...\n',
    )
    marks = [(mark.test, mark.row_id) for mark in find_marks(tmp_path)]
    assert marks == [("TestBox.test_one", "A-1"), ("TestBox.test_one", "A-2"), ("test_two", "A-1"), ("test_two", "A-2")]


def test_a_row_links_to_the_tests_that_show_it_and_an_unshown_row_to_none(tmp_path: Path) -> None:
    plant(tmp_path, "integration", 'import pytest\n@pytest.mark.req("A-2")\ndef test_it() -> None: ...\n')
    table = render(CATALOGUE, find_marks(tmp_path))
    assert "| A-1 | Do this | — |" in table
    assert "| A-2 | Do that | [test_it](../tests/integration/test_planted.py) |" in table


@pytest.mark.parametrize(
    ("folder", "row_id", "problem"),
    [("e2e", "A-9", "there is no row A-9"), ("unit", "A-1", "only by tests in e2e and integration")],
)
def test_a_mark_that_shows_nothing_is_refused(tmp_path: Path, folder: str, row_id: str, problem: str) -> None:
    plant(tmp_path, folder, f'import pytest\n@pytest.mark.req("{row_id}")\ndef test_it() -> None: ...\n')
    with pytest.raises(RequirementsError, match=rf"test_planted.py:3: test_it: .*{problem}"):
        check_marks(find_marks(tmp_path), CATALOGUE)
