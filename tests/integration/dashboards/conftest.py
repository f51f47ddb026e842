"""A database of InfluxDB as ours is set up, to be written by hand and asked as Grafana asks."""

import urllib.request
from collections.abc import Callable, Iterable
from itertools import groupby

import pytest

from cloud.monitoring.core.catalogue import Retention
from cloud.monitoring.core.points import retention_of
from tests.rig.grafana.queries import Asker
from tests.rig.influx import ORG, InfluxServer

Write = Callable[[Iterable[str]], None]


@pytest.fixture
def database(influx: InfluxServer) -> str:
    name = influx.create_database()
    for retention in Retention:
        influx.query(
            f'CREATE RETENTION POLICY "{retention.value}" ON "{name}" DURATION INF REPLICATION 1', database=name
        )
    return name


@pytest.fixture
def write(influx: InfluxServer, database: str) -> Write:
    def written(lines: Iterable[str]) -> None:
        for retention, some in groupby(sorted(lines, key=retention_of), key=retention_of):
            request = urllib.request.Request(
                f"{influx.url}/api/v2/write?org={ORG}&bucket={database}/{retention.value}&precision=ms",
                data="\n".join(some).encode(),
                headers={"Authorization": f"Token {influx.token}"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 204

    return written


@pytest.fixture
def asker(influx: InfluxServer, database: str) -> Asker:
    return Asker(influx.url, database=database, token=influx.token)
