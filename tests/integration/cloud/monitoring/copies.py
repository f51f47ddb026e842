"""What tests of the copy in InfluxDB share: a network in a database, and all of what a copy holds."""

from collections.abc import Sequence
from typing import Any

from cloud.database import Database
from cloud.headend.core.admission import AdmittedBatch
from cloud.meterdata.adapters.projector import project_all
from cloud.monitoring.adapters.influx import InfluxV2Writer
from cloud.monitoring.core.catalogue import MEASUREMENTS, Retention
from cloud.monitoring.ports import LineWriter
from tests.rig.influx import ORG, InfluxServer
from tests.rig.reporting import commit_batches

MIDNIGHT = 1_728_000_000_000
"""Some day of 2024, 00:00 UTC."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Point = dict[str, Any]


class SiteClock:
    """Site time that stands still until it is moved."""

    def __init__(self, now_ms: int = MIDNIGHT + 2 * DAY_MS) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def tick_ms(self) -> int:
        return self.now_ms


def writer_to(server: InfluxServer, copy: str) -> InfluxV2Writer:
    return InfluxV2Writer(url=server.url, token=server.token, org=ORG, database=copy)


async def commit(database: Database, *batches: AdmittedBatch, now_ms: int = MIDNIGHT + DAY_MS) -> None:
    """Commit batches and let the projector read them."""

    await database.transact(lambda connection: commit_batches(connection, *batches, now_ms=now_ms))
    # In a transaction of its own, which sees what the other one committed.
    await database.transact(project_all)


def points_of(server: InfluxServer, copy: str, measurement: str, retention: Retention) -> list[Point]:
    """Return the points of a measurement, tags and fields together, without what they lack."""
    rows = server.query(f'SELECT * FROM "{retention}"."{measurement}"', database=copy)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def everything_in(server: InfluxServer, copy: str) -> dict[str, list[Point]]:
    """Return all points by measurement."""
    found = {item.name: points_of(server, copy, item.name, item.retention) for item in MEASUREMENTS}
    return {
        name: sorted(points, key=lambda point: sorted((key, str(value)) for key, value in point.items()))
        for name, points in found.items()
        if points
    }


def hours(points: Sequence[Point], field: str = "energy_import_wh") -> dict[int, float | None]:
    """Return a field by the hour since `MIDNIGHT`."""
    return {(point["time"] - MIDNIGHT) // HOUR_MS: point.get(field) for point in points}


class RecordingWriter:
    """A writer that passes on what it is given, and remembers it; it may be told to fail afterwards."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self.lines: list[str] = []
        self.fails_with: BaseException | None = None

    def write(self, lines: Sequence[str], /, *, retention: Retention) -> None:
        self._writer.write(lines, retention=retention)
        self.lines += lines
        if self.fails_with is not None:
            raise self.fails_with

    def close(self) -> None:
        self._writer.close()
