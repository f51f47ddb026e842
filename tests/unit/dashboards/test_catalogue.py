import pytest

from dashboards import links
from dashboards.catalogue import all_dashboards, files, panel_id


def test_the_same_code_makes_the_same_files() -> None:
    assert files() == files()


def test_a_panel_is_found_by_its_title() -> None:
    panel = all_dashboards()[f"{links.PLATFORM}.json"]["panels"][3]
    assert panel_id(links.PLATFORM, panel["title"]) == panel["id"]


def test_a_title_that_no_panel_has_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        panel_id(links.PLATFORM, "Something else")
