"""Every query of every dashboard and variable against InfluxDB, which holds a point of everything in the catalogue."""

import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cloud.monitoring.core.catalogue import MEASUREMENTS, Measurement, Retention
from dashboards import links
from dashboards.catalogue import all_dashboards
from tests.rig.grafana.queries import Asker
from tests.rig.grafana.showing import Shown, show
from tests.rig.influx import InfluxServer

NOW_MS = 1_795_305_600_000
STEP_MS = 300_000
STEPS = 3 * 86_400_000 // STEP_MS
GATEWAYS = ("gateway-1", "gateway-2")
WORDS = {
    "utility": ("demo",),
    "currency": ("KES",),
    "line": ("rs485",),
    "source": ("gateway",),
    "handler": ("cloud-1", "cloud-2"),
    "follower": ("points",),
    "reason": ("bad-signature",),
    "target": ("interval-8h", "interval-12h"),
    "effect": ("relay",),
}
"""Values of tags; those that vary together stand in `series_of`."""
CHANNELS = (
    *("active_energy_import_wh", "active_power_w", "voltage_v", "voltage_l1_v", "voltage_l2_v", "voltage_l3_v"),
    *("current_a", "current_l1_a", "current_l2_a", "current_l3_a", "current_neutral_a", "relay_closed"),
)
EVENTS = (("3.12.6.219", "tamper"), ("3.26.0.85", "power"), ("3.20.8.150", "credit"), ("3.1.0.85", "communication"))
EVENTS_OF_GATEWAYS = (("5.12.0.38", "gateway"),)


def series_of(shape: Measurement) -> Iterator[dict[str, str]]:
    """Return tags of some series."""
    for gateway in GATEWAYS if "gateway" in shape.tags else ("",):
        for handler in WORDS["handler"] if "handler" in shape.tags else ("",):
            tags = {name: WORDS[name][0] for name in shape.tags if name in WORDS}
            tags |= {"gateway": gateway} if gateway else {}
            tags |= {"handler": handler} if handler else {}
            tags |= {name: f"{name}-of-{gateway}" for name in ("meter", "account") if name in shape.tags}
            if shape.name == "event":
                yield from (tags | {"code": code, "kind": kind} for code, kind in (*EVENTS, *EVENTS_OF_GATEWAYS))
            elif "state" in shape.tags:
                yield from (tags | {"state": state} for state in ("sent", "executed", "failed", "refused"))
            elif "target" in shape.tags:
                yield from (tags | {"target": target} for target in WORDS["target"])
            else:
                yield tags


def value_of(field: str, tags: Mapping[str, str], step: int) -> float:
    if field == "cut_off":
        return float(tags["gateway"] == GATEWAYS[0])
    return {"latitude": -1.3, "longitude": 36.8, "present": 1.0, "relay_closed": 1.0, "percent": 97.0}.get(
        field, float(step + 1)
    )


def lines_of(shape: Measurement) -> Iterator[str]:
    numbers = [name for name, field in shape.fields.items() if not field.is_text]
    texts = [name for name, field in shape.fields.items() if field.is_text]
    for tags in series_of(shape):
        head = ",".join((shape.name, *(f"{name}={value}" for name, value in sorted(tags.items()))))
        said = {"meter_id": f"meter-of-{tags.get('gateway')}"}
        told = "".join(f',{name}="{said.get(name, "something")}"' for name in texts)
        for step in range(STEPS):
            values = ",".join(
                f"{name}={value_of(name, tags, step)}" for name in (*numbers, *(CHANNELS if shape.has_channels else ()))
            )
            yield f"{head} {values}{told} {NOW_MS - (STEPS - 1 - step) * STEP_MS}"


@pytest.fixture(scope="module")
def asker(influx_server: InfluxServer) -> Asker:
    """What asks a database that holds some days of everything in the catalogue."""
    database = influx_server.create_database()
    for retention in Retention:
        influx_server.query(
            f'CREATE RETENTION POLICY "{retention}" ON "{database}" DURATION INF REPLICATION 1', database=database
        )
        lines = [line for shape in MEASUREMENTS if shape.retention is retention for line in lines_of(shape)]
        request = urllib.request.Request(
            f"{influx_server.url}/api/v2/write?org=wattpost&bucket={database}/{retention}&precision=ms",
            data="\n".join(lines).encode(),
            headers={"Authorization": f"Token {influx_server.token}"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass
    return Asker(influx_server.url, database=database, token=influx_server.token)


BOARDS = all_dashboards()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_query_brings_something(board: dict[str, Any], asker: Asker) -> None:
    shown = show(board, asker, now_ms=NOW_MS)
    empty = {
        (panel["title"], answer.influxql)
        for panel in board["panels"]
        for (owner, _), answer in shown.answers.items()
        if owner == panel["id"] and answer.is_empty
    }
    assert not empty


def _panel(board: dict[str, Any], title: str) -> int:
    return next(int(panel["id"]) for panel in board["panels"] if panel["title"] == title)


def _values(shown: Shown, panel: int) -> dict[str, float | str | None]:
    return {
        frame.name: frame.values[-1]
        for (owner, _), got in shown.answers.items()
        if owner == panel
        for frame in got.frames
    }


def test_shares_are_in_percent_of_what_counts(asker: Asker) -> None:
    board = BOARDS[f"{links.COMMANDS}.json"]
    outcome = _values(show(board, asker, now_ms=NOW_MS), _panel(board, "Outcome"))
    assert outcome["state"] == pytest.approx(50)
    assert outcome["failed"] == pytest.approx(float(outcome["of"] or 0) / 2)


def test_nothing_that_failed_leaves_the_whole_and_no_part(asker: Asker) -> None:
    board = BOARDS[f"{links.EVENTS}.json"]
    shown = show(board, asker, now_ms=NOW_MS, chosen={"gateway": "gateway-of-nobody"})
    assert _values(shown, _panel(board, "Tampering")) == {}
    quiet = asker.ask(
        next(panel for panel in board["panels"] if panel["title"] == "Tampering")["targets"][0]["query"].replace(
            "'tamper'", "'nothing of the kind'"
        ),
        next(iter(shown.spans.values())),
        variables=shown.chosen | {"gateway": ".*"},
        interval_ms=60_000,
    )
    counted = {frame.name: frame.values[-1] for frame in quiet.frames}
    assert counted["tamper"] is None
    assert counted["events"] is not None


def test_counters_of_several_processes_are_added_up(asker: Asker) -> None:
    board = BOARDS[f"{links.PLATFORM}.json"]
    shown = show(board, asker, now_ms=NOW_MS)
    # Each counter grows by one each five minutes; two handlers, six hours.
    refused = _values(shown, _panel(board, "Refused in the time shown"))
    assert refused == {"refused": pytest.approx(2 * 6 * 12)}


def test_a_gateways_dashboard_is_of_that_gateway_alone(asker: Asker) -> None:
    board = BOARDS[f"{links.GATEWAY}.json"]
    shown = show(board, asker, now_ms=NOW_MS, chosen={"gateway": GATEWAYS[1]})
    meters = {
        str(value)
        for (owner, _), got in shown.answers.items()
        if owner == _panel(board, "Silent meters")
        for frame in got.frames
        for name, value in frame.labels
        if name == "meter"
    }
    assert meters == {f"meter-of-{GATEWAYS[1]}"}
