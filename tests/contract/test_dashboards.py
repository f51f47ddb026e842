"""Dashboards as they are checked in: made by the code, understood by Grafana's models, asking for what there is."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import dashboards
from cloud.meterdata.core.meter_day import ChannelKey
from cloud.monitoring.core import fields
from cloud.monitoring.core.catalogue import BY_NAME, Retention
from cloud.monitoring.core.event_kinds import KINDS, NONE, UNLISTED, EventKind
from dashboards import links
from dashboards.colours import PALETTE
from dashboards.event_codes import NAMES
from dashboards.query import DATASOURCE_TYPE, DATASOURCE_UID, variant

BOARDS: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text()) for path in sorted(Path(dashboards.__file__).with_name("grafana").glob("*"))
}
UIDS = (
    *(links.OVERVIEW, links.GATEWAY, links.METER, links.PREPAID),
    *(links.COMMANDS, links.COLLECTION, links.EVENTS, links.PLATFORM),
)
MACROS = {"timeFilter", "__interval", "__url_time_range", "__data", "__field", "col"}
GRID_COLUMNS = 24

boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


@dataclass(frozen=True)
class Select:
    """One SELECT of a query, its inner ones taken out."""

    text: str
    sources: tuple[tuple[str, str], ...]
    """Retention policy and measurement of each; none where it selects from inner ones."""

    @property
    def asked(self) -> set[str]:
        """Names of tags, fields or inner columns that it uses."""
        return set(re.findall(r'(?<!AS )(?<!\.)"(\w[^"]*)"(?!\.)', self.text))

    @property
    def named(self) -> set[str]:
        """Names that it gives."""
        return set(re.findall(r'AS "([^"]+)"', self.text))


def selects(query: str) -> list[Select]:
    """Return the SELECTs of a query, the innermost first."""
    text = re.sub(r"([=!]~ )/(\\/|[^/])*/", r"\1REGEX", query)
    found: list[Select] = []
    while inner := re.search(r"\((SELECT (?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", text):
        innermost = inner
        while deeper := re.search(r"\((SELECT (?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", innermost[1]):
            innermost = deeper
        found.append(_select(innermost[1]))
        text = text.replace(innermost[0], "INNER", 1)
    return [*found, _select(text)]


def _select(text: str) -> Select:
    sources = tuple(re.findall(r'"(\w+)"\."(\w+)"', text))
    return Select(re.sub(r'"\w+"\."\w+"', "SOURCE", text), sources)


def panels(board: dict[str, Any], *, asking: bool = False) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in board["panels"] if panel["type"] != "text" or not asking)


def queries(board: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    yield from ((panel, target) for panel in panels(board, asking=True) for target in panel["targets"])


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in board["templating"]["list"]}


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)
        case _:
            pass


def channel_fields() -> set[str]:
    units = sorted(fields._UNIT_NAMES)
    groups = [(c + 20 * phase, d) for c, d in fields._QUANTITIES for phase in range(4)] + [(91, 7)]
    names = {fields.field_name(ChannelKey(bytes((1, 0, c, d, 0, 255)), 0, unit)) for c, d in groups for unit in units}
    return {name for name in names if not name.startswith("obis_")} | {stem for stem, _ in fields._SINGLE.values()}


def columns_of(measurement: str) -> set[str]:
    shape = BY_NAME[measurement]
    return {*shape.tags, *shape.tags_sometimes, *shape.fields} | (channel_fields() if shape.has_channels else set())


# ---- the files -------------------------------------------------------------------------------------------------------


def test_every_dashboard_has_its_address_for_ever() -> None:
    assert {board["uid"] for board in BOARDS.values()} == set(UIDS)
    assert {name: f"{board['uid']}.json" for name, board in BOARDS.items()} == {name: name for name in BOARDS}


@boards
def test_grafanas_own_models_know_everything_in_it(board: dict[str, Any]) -> None:
    plugins.register_default_plugins()
    runtime.register_dataquery_variant(variant())
    read = Dashboard.from_json(board)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == board


# ---- what a person meets ---------------------------------------------------------------------------------------------


@boards
def test_questions_stand_on_top_and_there_are_few_panels(board: dict[str, Any]) -> None:
    first = board["panels"][0]
    assert first["type"] == "text"
    assert first["options"]["content"].count("?") >= 2
    assert len(board["panels"]) <= 17


@boards
def test_every_panel_says_what_it_shows_and_what_to_do(board: dict[str, Any]) -> None:
    for panel in panels(board, asking=True):
        shows, _, wrong = panel["description"].partition("**When it looks wrong:** ")
        assert len(shows) > 20, panel["title"]
        assert len(wrong) > 20, panel["title"]
        assert panel["title"], panel


@boards
def test_every_value_has_a_unit_and_words_where_it_is_missing(board: dict[str, Any]) -> None:
    for panel in panels(board, asking=True):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            if override["matcher"]["id"] == "byName":
                assert "unit" in {each["id"] for each in override["properties"]}, (panel["title"], override)


@boards
def test_every_colour_is_of_the_palette(board: dict[str, Any]) -> None:
    for panel in panels(board):
        colours = {text for text in strings(panel) if re.fullmatch(r"#[0-9A-Fa-f]{6}", text)}
        assert colours <= set(PALETTE), panel["title"]
        modes = re.findall(r'"mode": "((?:palette|continuous)[^"]*)"', json.dumps(panel))
        assert not modes, f"{panel['title']}: {modes} are not of the palette"


@boards
def test_panels_have_numbers_and_places_of_their_own(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in panels(board)]
    assert len(set(numbers)) == len(numbers)
    places = [panel["gridPos"] for panel in panels(board)]
    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= GRID_COLUMNS
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_every_known_event_has_a_name() -> None:
    assert not set(KINDS) - set(NAMES)
    assert {NONE, UNLISTED} <= set(NAMES)
    sources = (*Path("gateway").rglob("*.py"), *Path("gateway").rglob("*.toml"))
    codes = {code for path in sources for code in re.findall(r'"([35]\.\d+\.\d+\.\d+)"', path.read_text())}
    assert codes
    assert not codes - set(NAMES)


def test_every_kind_of_tampering_has_its_name_in_the_curves() -> None:
    (panel,) = [
        panel
        for panel in BOARDS[f"{links.EVENTS}.json"]["panels"]
        if (panel["type"], panel["title"]) == ("timeseries", "Tampering")
    ]
    named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    assert named == {code for code, kind in KINDS.items() if kind is EventKind.TAMPER and code.startswith("3.")}


# ---- where it leads --------------------------------------------------------------------------------------------------


@boards
def test_links_lead_to_dashboards_and_choose_what_is_there_to_choose(board: dict[str, Any]) -> None:
    for text in strings(board):
        for uid, chosen in re.findall(r"/d/([\w-]+)\?(\S*)", text):
            target = BOARDS[f"{uid}.json"]
            assert set(re.findall(r"var-(\w+)=", chosen)) <= set(variables(target)), text
    assert [(link["type"], link["tags"], link["includeVars"]) for link in board["links"]] == [
        ("dashboards", [links.TAG], True)
    ]
    assert links.TAG in board["tags"]


def test_the_way_from_the_network_to_a_meter_is_open() -> None:
    def ways(uid: str) -> set[str]:
        return {way for text in strings(BOARDS[f"{uid}.json"]) for way in re.findall(r"/d/([\w-]+)\?", text)}

    assert links.GATEWAY in ways(links.OVERVIEW)
    assert links.METER in ways(links.GATEWAY)


@boards
def test_links_of_rows_name_columns_of_their_query(board: dict[str, Any]) -> None:
    for panel in panels(board, asking=True):
        wanted = {name for text in strings(panel) for name in re.findall(r"\$\{__data\.fields\.(\w+)\}", text)}
        assert wanted <= _shown(panel), panel["title"]


@boards
def test_columns_that_are_described_are_there(board: dict[str, Any]) -> None:
    for panel in panels(board, asking=True):
        described = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if override["matcher"]["id"] == "byName"
        }
        by_tag = any("$tag_" in target["alias"] for target in panel["targets"])
        assert by_tag or described <= _shown(panel), (panel["title"], described - _shown(panel))


def _shown(panel: dict[str, Any]) -> set[str]:
    """Return the names of what a panel's queries bring."""
    shown: set[str] = set()
    for target in panel["targets"]:
        outer = selects(target["query"])[-1]
        selected = outer.text.partition(" FROM ")[0]
        groups = re.findall(r'"(\w+)"', outer.text.partition("GROUP BY")[2])
        plain = re.findall(r'(?:SELECT|,) "(\w+)"(?= FROM|,|$)', selected)
        shown |= {*outer.named, *groups, *plain} | ({target["alias"]} if "$" not in target["alias"] else set())
    return shown


# ---- what it asks ----------------------------------------------------------------------------------------------------


@boards
def test_everything_is_asked_of_the_one_data_source_in_influxql(board: dict[str, Any]) -> None:
    reference = {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID}
    for panel, target in queries(board):
        assert panel["datasource"] == target["datasource"] == reference
        assert target["rawQuery"] is True
        assert target["query"].startswith("SELECT ")
        assert target["resultFormat"] == ("table" if panel["type"] in {"table", "geomap"} else "time_series")
        assert "|>" not in target["query"]
    for variable in variables(board).values():
        assert variable["datasource"] == reference
        assert variable["query"].startswith("SHOW TAG VALUES FROM ")
    for panel in panels(board, asking=True):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


@boards
def test_every_measurement_tag_and_field_is_of_the_catalogue(board: dict[str, Any]) -> None:
    for panel, target in queries(board):
        given: set[str] = set()
        for select in selects(target["query"]):
            known = set(given)
            for retention, measurement in select.sources:
                assert BY_NAME[measurement].retention == Retention(retention), (panel["title"], measurement)
                known |= columns_of(measurement)
            if select.sources:
                assert select.asked <= known, (panel["title"], select.asked - known)
            else:
                # The tags by which inner rows are told apart are columns outside.
                assert select.asked <= known, (panel["title"], select.asked - known)
            given |= select.named | (select.asked if select.sources else set())


@boards
def test_every_select_is_bounded_in_time_and_of_the_chosen_utility(board: dict[str, Any]) -> None:
    for panel, target in queries(board):
        for select in selects(target["query"]):
            assert "$timeFilter" in select.text, panel["title"]
            if select.sources:
                assert "\"utility\" = '$utility'" in select.text, panel["title"]


@boards
def test_every_variable_that_is_used_is_declared_before(board: dict[str, Any]) -> None:
    declared: set[str] = set()
    for name, variable in variables(board).items():
        assert _variables_in(variable["query"]) <= declared, name
        declared.add(name)
    for panel in panels(board):
        used = {name for text in strings(panel) for name in _variables_in(text)}
        assert used <= declared, (panel["title"], used - declared)


def _variables_in(text: str) -> set[str]:
    names = {braced or bare for braced, bare in re.findall(r"\$(?:\{(\w+)[^}]*\}|(\w+))", text)}
    return {name for name in names if name not in MACROS and not name.startswith("tag_")}


@boards
def test_variables_ask_what_every_generation_of_influxdb_answers(board: dict[str, Any]) -> None:
    """InfluxDB 2 answers SHOW TAG VALUES from the bucket of the default policy alone, which is `detail`."""
    for name, variable in variables(board).items():
        ((retention, measurement),) = re.findall(r'FROM "(\w+)"\."(\w+)"', variable["query"])
        assert retention == Retention.DETAIL
        assert BY_NAME[measurement].retention == Retention.DETAIL
        assert f'WITH KEY = "{name}"' in variable["query"]
        keys = set(re.findall(r'"(\w+)"(?= =)', variable["query"].partition("WITH KEY")[2])) | {name}
        assert keys <= set(BY_NAME[measurement].tags)


@boards
def test_counters_are_read_by_what_they_grew(board: dict[str, Any]) -> None:
    counters = {
        name
        for measurement in ("gateway_health", "line_health", "handler")
        for name, field in BY_NAME[measurement].fields.items()
        if "since the start" in field.about or (measurement == "handler" and name.endswith("_count"))
    }
    for panel, target in queries(board):
        if panel["type"] == "table":
            continue  # a row of now: it says "since its start"
        plain = re.sub(r"non_negative_(difference|derivative)\((last\()?\"\w+\"\)?", "", target["query"])
        measured = {measurement for _, measurement in re.findall(r'"(\w+)"\."(\w+)"', target["query"])}
        if measured & {"gateway_health", "line_health", "handler"}:
            assert not counters & set(re.findall(r'\("(\w+)"\)', plain)), panel["title"]
