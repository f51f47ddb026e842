"""Draws every dashboard as an operator saw it during the story, into `docs/dashboards/`: `make pictures`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.rig.grafana.drawing import draw
from tests.rig.grafana.queries import Choice
from tests.rig.grafana.showing import show
from tests.rig.influx import InfluxServer
from tests.simulation.seeing.observed import Observed, observed, utc_ms

FOLDER: Final = Path("docs/dashboards")
SOURCES: Final = Path("dashboards/grafana")
USUAL_H: Final = 49.9
"""A gateway's disk is full, meters were dead, many were disconnected: something to see on each dashboard."""
MOMENTS_H: Final = {"wattpost-overview": 60.2, "wattpost-platform": 96.2, "wattpost-collection": 97.0}
"""While two gateways are silent; after InfluxDB was away for a day; when targets were missed."""
CHOSEN: Final[dict[str, dict[str, Choice]]] = {
    "wattpost-gateway": {"gateway": "gw-1"},
    "wattpost-meter": {"gateway": "gw-1", "meter": "m-gw-1-0"},
}


def draw_all(network: Observed, folder: Path) -> list[Path]:
    """Draw all dashboards of the story and return the files."""
    drawn: list[Path] = []
    for source in sorted(SOURCES.glob("*.json")):
        dashboard = json.loads(source.read_text())
        uid = dashboard["uid"]
        now_ms = utc_ms(MOMENTS_H.get(uid, USUAL_H))
        seen = show(dashboard, network.asker, now_ms=now_ms, chosen=CHOSEN.get(uid))
        path = folder / f"{source.stem}.png"
        draw(dashboard, seen.answers, seen.spans, path)
        drawn.append(path)
    return drawn


def main() -> None:
    """Let the story happen and draw it."""
    FOLDER.mkdir(exist_ok=True)
    influx = InfluxServer()
    try:
        influx.start()
        print("some days of a simulated network, about a minute", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder, observed(Path(folder), influx) as network:
            for path in draw_all(network, FOLDER):
                print(path)
    finally:
        influx.close()


if __name__ == "__main__":
    main()
