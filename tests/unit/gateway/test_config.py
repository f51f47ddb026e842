"""A configuration that does not hold is refused in one line that says what to change."""

from pathlib import Path

import pytest

from gateway.adapters.disk_shelf import EmptyShelf
from gateway.adapters.meters import Meters
from gateway.config import TEMPLATE, Config, clock_of, load_config
from gateway.core.acquisition import BusEvent, Task
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError

METER = """
[[lines.meters]]
id = "EM-000002"
profile = "eastron-sdm120"
unit = 2
"""
LINE = """
[[lines]]
id = "line-1"
connection = { type = "tcp", host = "127.0.0.1" }
meters = []
"""


def meters_of(config: Config) -> Meters:
    return Meters(config, clock=SystemClock(), sink=_ignore, agenda=_nothing_due, shelf=EmptyShelf(), gateway="gw-1")


def refused(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "gateway.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


def test_the_template_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(TEMPLATE)
    config = load_config(path)
    assert meters_of(config).ids == ("EM-000001",)


def test_what_stands_there_twice_is_named(tmp_path: Path) -> None:
    assert "meter EM-000001 stands there twice" in refused(tmp_path, TEMPLATE + METER.replace("2", "1"))
    assert "line line-1 stands there twice" in refused(tmp_path, TEMPLATE + LINE)
    relay = 'relay = { profile = "relay-coils-16", unit = 200, output = 0 }\n'
    assert "relay (unit, output) (200, 0) stands there twice" in refused(tmp_path, TEMPLATE + METER + relay)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    assert "not TOML" in refused(tmp_path, b"\xff\xfe")


def test_more_meters_than_a_hello_can_name_are_refused(tmp_path: Path) -> None:
    meters = "".join(METER.replace("EM-000002", f"m-{number}") for number in range(1_024))
    assert "1025 meters, 1024 allowed" in refused(tmp_path, TEMPLATE + meters)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("eastron-sdm120", "eastron-sdm999", "use one of acrel-adw300, "),
        ("relay-coils-16", "eastron-sdm120", "use one of relay-coils-16, relay-coils-8"),
        ("output = 0", "output = 16", "outputs 0 to 15"),
    ],
)
def test_a_map_or_output_that_is_not_there_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "gateway.toml"
    head, meters = TEMPLATE.split("\n[[lines.meters]]")
    path.write_text(head + "\n[[lines.meters]]" + meters.replace(old, new))
    with pytest.raises(ConfigError, match=problem):
        meters_of(load_config(path))


def test_a_clock_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('clock = "abc"\n' + TEMPLATE)
    with pytest.raises(ConfigError, match="RATE@REAL_MS=WALL_MS"):
        clock_of(load_config(path))


async def _ignore(_event: BusEvent) -> None:
    pass


async def _nothing_due(_meter: str) -> tuple[Task, ...]:
    return ()
