"""Targets as data: what comes with the program, what an operator gets wrong, and when a span is settled."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.monitoring.adapters.targets import load_targets
from cloud.monitoring.adapters.terminal import targets as show
from cloud.monitoring.core.targets import HOUR_MS, Metric, Target, level_line, settled_spans
from wire.runtime.errors import ConfigError

GOOD = """
[[target]]
id = "mine"
metric = "command_latency"
percent = 90
deadline_s = 300
window = "hour"
source = "contract, schedule 4"
sourced = true
"""
TARGET = Target(
    id="x", metric=Metric.COMMAND_LATENCY, percent=90, deadline_s=900, window="hour", source="nobody", sourced=False
)


def test_ours_hold_and_only_what_was_found_is_called_sourced() -> None:
    found = load_targets("")

    assert {target.metric for target in found} == set(Metric)
    assert {target.id for target in found if target.sourced} == {
        "intervals-8h",
        "intervals-12h",
        "meter-data-48h",
        "reconnect-2h",
    }
    assert all(target.source.startswith("secondary: " if target.sourced else "working value") for target in found)


def test_the_operators_file_replaces_ours(tmp_path: Path) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(GOOD)

    assert [target.id for target in load_targets(str(file))] == ["mine"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (GOOD + GOOD, "two targets are called mine"),
        (GOOD.replace("percent = 90", "percent = 190"), "percent"),
        (GOOD.replace("command_latency", "happiness"), "happiness"),
        (GOOD.replace("sourced = true", ""), "sourced"),
        (GOOD.replace("sourced = true", "sourced = true\ncolour = 1"), "colour"),
        (GOOD.replace("command_latency", "collection_intervals"), "its window is one"),
        (GOOD.replace("command_latency", "on_demand_read") + 'scope = "bulk"', "only commands"),
        ("target = ", "Invalid value"),
    ],
)
def test_what_does_not_hold_is_said_in_one_line(tmp_path: Path, wrong: str, problem: str) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(wrong)

    with pytest.raises(ConfigError, match=problem) as caught:
        load_targets(str(file))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_targets(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("deadline_s", [1, 899, 3_600, 5_000, 7_200])
@pytest.mark.parametrize("width_ms", [HOUR_MS, 7 * HOUR_MS])
def test_each_span_is_settled_in_one_window_and_not_before_its_deadline(deadline_s: int, width_ms: int) -> None:
    target = Target(
        id="x",
        metric=Metric.COMMAND_LATENCY,
        percent=90,
        deadline_s=deadline_s,
        window="hour",
        source="-",
        sourced=False,
    )
    windows = [(from_ms, from_ms + width_ms) for from_ms in range(0, 70 * HOUR_MS, width_ms)]
    told = [
        (span, until_ms)
        for from_ms, until_ms in windows
        for span in settled_spans(target, from_ms=from_ms, until_ms=until_ms)
    ]

    spans = [span for span, _ in told]
    assert spans == [(first, first + HOUR_MS) for first in range(spans[0][0], spans[-1][1], HOUR_MS)]
    assert all(until_ms - width_ms < end + deadline_s * 1_000 <= until_ms for (_, end), until_ms in told)


def test_nothing_to_be_met_is_no_line() -> None:
    assert level_line(TARGET, "demo", count=0, met_count=0, from_ms=5) is None
    assert level_line(TARGET, "demo", count=4, met_count=3, from_ms=5) == (
        "service_level,target=x,utility=demo percent=75.0,target_percent=90.0,count=4.0,met_count=3.0,sourced=0.0 5"
    )


def test_the_command_shows_the_source_of_each(tmp_path: Path) -> None:
    file, config = tmp_path / "targets.toml", tmp_path / "cloud.toml"
    file.write_text(GOOD)
    config.write_text(f'utility = "demo"\nkeys_folder = "keys"\n[monitoring]\ntargets_file = "{file}"\n')

    result = CliRunner().invoke(show, [str(config)])

    assert result.exit_code == 0
    assert "mine" in result.output
    assert "90 % in 5 min" in result.output
    assert "contract, schedule 4" in " ".join(result.output.split())
