import pytest

from dashboards.page import page, questions, row
from dashboards.panels import About, stat
from dashboards.query import Query, where, whole
from dashboards.shown import Shown
from dashboards.variables import utility

ABOUT = About("What it shows.", "What to do.")
QUERY = Query("SELECT 1")


def test_panels_stand_side_by_side_and_rows_below_each_other() -> None:
    made = page(
        "some-page",
        "A page",
        "For a test.",
        variables=(utility(),),
        rows=(
            questions("Is it well?"),
            row(4, stat("A", ABOUT, QUERY, shown=Shown(), width=10), stat("B", ABOUT, QUERY, shown=Shown(), width=14)),
            row(6, stat("C", ABOUT, QUERY, shown=Shown(), width=24)),
        ),
    )
    places = [(panel.id_val, panel.grid_pos.to_json()) for panel in made.panels or ()]  # type: ignore[union-attr]
    assert places == [
        (1, {"h": 2, "w": 24, "x": 0, "y": 0}),
        (2, {"h": 4, "w": 10, "x": 0, "y": 2}),
        (3, {"h": 4, "w": 14, "x": 10, "y": 2}),
        (4, {"h": 6, "w": 24, "x": 0, "y": 6}),
    ]


def test_a_row_that_does_not_fill_the_page_is_refused() -> None:
    with pytest.raises(AssertionError, match="fill 10 of 24"):
        page(
            "some-page",
            "A page",
            "For a test.",
            variables=(),
            rows=(row(4, stat("A", ABOUT, QUERY, shown=Shown(), width=10)),),
        )


def test_queries_of_a_panel_are_told_apart_by_letters() -> None:
    made = stat("A", ABOUT, QUERY, QUERY, QUERY, shown=Shown())
    assert [target.to_json()["refId"] for target in made.targets or ()] == ["A", "B", "C"]  # type: ignore[attr-defined]


def test_a_query_is_read_back_as_it_was_written() -> None:
    query = Query('SELECT last("a") FROM "detail"."b"', "$tag_gateway", "table", "C")
    assert Query.from_json(query.to_json()) == query


def test_every_query_is_of_the_time_and_the_utility_that_are_chosen() -> None:
    assert where("\"a\" = 'b'") == "$timeFilter AND \"utility\" = '$utility' AND \"a\" = 'b'"
    assert where() in whole('last("x")', '"detail"."y"').text
