"""The whole story once: the network runs, its troubles come and go, and InfluxDB holds what operators saw."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from cloud.config import Influx
from tests.rig.grafana.queries import Asker, Span
from tests.rig.influx import InfluxServer
from tests.simulation.agenda import ORIGIN_MS
from tests.simulation.options import HOUR_MS
from tests.simulation.quiet import quiet_logs
from tests.simulation.seeing.faults import END_H, TROUBLES, Trouble, plan
from tests.simulation.seeing.world import SeenNetwork


@dataclass(frozen=True, slots=True)
class Observed:
    """The network after its story, and where it can be asked about."""

    world: SeenNetwork
    shown: Influx
    asker: Asker
    influx: InfluxServer


def utc_ms(hours: float) -> int:
    """Return an instant of the story."""
    return ORIGIN_MS + round(hours * HOUR_MS)


def span(from_h: float, until_h: float) -> Span:
    """Return a span of the story."""
    return Span(utc_ms(from_h), utc_ms(until_h))


def shown_by(influx: InfluxServer, folder: Path) -> Influx:
    """Return how a process writes to a new database of the server."""
    token = folder / "influx.token"
    token.write_text(influx.token)
    # The story plays in another year than the server's clock may show.
    return Influx(
        url=influx.url,
        database=influx.create_database(),
        token_file=str(token),
        detail_days=3_650,
        history_days=36_500,
    )


@contextmanager
def observed(folder: Path, influx: InfluxServer, *, troubles: tuple[Trouble, ...] = TROUBLES) -> Iterator[Observed]:
    """Let the story happen."""
    logging = structlog.get_config()
    quiet_logs()
    shown = shown_by(influx, folder)
    world = SeenNetwork(folder, influx, shown)
    try:
        world.begin()
        plan(world, troubles)
        world.run_until(END_H)
        yield Observed(world, shown, Asker(influx.url, database=shown.database), influx)
    finally:
        world.close()
        structlog.configure(**logging)
