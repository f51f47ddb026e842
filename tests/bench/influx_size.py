"""How large the copy in InfluxDB becomes: computed from the catalogue, checked by a day of one per cent of it."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from cloud.monitoring.adapters.delivery import deliver
from cloud.monitoring.adapters.influx import InfluxV1Writer
from cloud.monitoring.core.catalogue import BY_NAME, Retention
from cloud.monitoring.core.sizing import Network, Size, sizes, total
from tests.bench.influx_day import others_of_a_day, readings_of_a_day
from tests.bench.report import Aim, Line, Section
from tests.rig.influx import InfluxServer

WHOLE: Final = Network(gateways=20_000, meters=1_000_000)
SAMPLE: Final = Network(gateways=200, meters=10_000)
SCALE: Final = WHOLE.meters // SAMPLE.meters
DAY: Final = dict.fromkeys(Retention, 1)
"""The day that is measured lies in files of its own."""
LINES_PER_WRITE: Final = 20_000
SETTLED_WITHIN_S: Final = 120
QUIET_S: Final = 6
_AT_ONCE: Final = {
    "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "2s",
    "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "2s",
}
"""InfluxDB tidies up after 10 minutes and 4 hours without writes; here nobody waits so long."""


async def bench_influx_size() -> list[Section]:
    """Compute the copy of 20,000 gateways and 1,000,000 meters, and measure one per cent of it.

    Computed is what `cloud.monitoring.core.sizing` makes of the catalogue. Measured is a day of 200 gateways and 10,000
    meters in the real InfluxDB 1.6 with the index tsi1: every measurement with all its points, series counted by
    InfluxDB itself, bytes on the disk after it has compacted its files. Both grow in proportion, so that one per cent
    tells the whole; what does not is the few series of the utility itself. Measured is the size where meters have
    series; where only gateways do, the measurements that are left out are left out of the sum. Sizes do not depend on
    what else the machine does.
    """
    return await asyncio.to_thread(_measure)


def _measure() -> list[Section]:
    server = InfluxServer(_AT_ONCE)
    server.start()
    try:
        copies = {}
        for name, lines in (("with", _everything()), ("without", _of_gateways())):
            copies[name] = server.create_database()
            for retention in Retention:
                policy = f'RETENTION POLICY "{retention.value}" ON "{copies[name]}"'
                server.query(f"ALTER {policy} SHARD DURATION 1d", database=copies[name])
            _write(server, copies[name], lines)
        return [
            _section(server, copies["with"], meters=True),
            _section(server, copies["without"], meters=False),
        ]
    finally:
        server.close()


def _everything() -> Iterator[Sequence[str]]:
    return itertools.chain(readings_of_a_day(SAMPLE), others_of_a_day(SAMPLE, meters=True))


def _of_gateways() -> Iterator[Sequence[str]]:
    return others_of_a_day(SAMPLE, meters=False)


def _write(server: InfluxServer, copy: str, lines: Iterator[Sequence[str]]) -> None:
    writer = InfluxV1Writer(url=server.v1_url, database=copy)
    waiting: list[str] = []
    for some in lines:
        waiting += some
        if len(waiting) >= LINES_PER_WRITE:
            deliver(writer, waiting)
            waiting = []
    deliver(writer, waiting)
    writer.close()
    _settle(server, copy)


def _settle(server: InfluxServer, copy: str) -> None:
    """Wait until nothing waits in the log and the files have kept their size for a while."""
    deadline_s = monotonic() + SETTLED_WITHIN_S
    before, since_s = (-1, -1), monotonic()
    while monotonic() < deadline_s and (monotonic() - since_s < QUIET_S or before[0] > 0):
        now = _bytes(server.folder / "wal" / copy), _bytes(server.folder / "data" / copy)
        if now != before:
            before, since_s = now, monotonic()
        sleep(0.5)


def _bytes(folder: Path) -> int:
    """Return the bytes of the files in a folder; one that goes meanwhile counts nothing."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return found


def _series(server: InfluxServer, copy: str, retention: Retention) -> int:
    names = [shape.name for shape in BY_NAME.values() if shape.retention is retention]
    sources = ", ".join(f'"{retention.value}"."{name}"' for name in names)
    rows = server.query(f"SHOW SERIES EXACT CARDINALITY FROM {sources}", database=copy)
    return sum(int(row["count"]) for row in rows)


def _section(server: InfluxServer, copy: str, *, meters: bool) -> Section:
    expected, whole = sizes(SAMPLE, meters=meters, span_days=DAY), sizes(WHOLE, meters=meters)
    lines: list[Line] = []
    for retention in Retention:
        computed = total(expected, retention=retention)
        series = _series(server, copy, retention)
        stored_bytes = _bytes(server.folder / "data" / copy / retention.value)
        lines += _checked(retention, computed, series=series, stored_bytes=stored_bytes)
    kept_days = {Retention.DETAIL: 30, Retention.HISTORY: 1_100}
    for retention in Retention:
        size = total(whole, retention=retention)
        lines += [
            Line(what=f"whole network, {retention.value}: series", measured=size.series, unit=""),
            Line(what=f"whole network, {retention.value}: a day", measured=size.bytes_a_day / 1e6, unit="MB"),
            Line(
                what=f"whole network, {retention.value}: kept {kept_days[retention]} days",
                measured=size.bytes_a_day * kept_days[retention] / 1e9,
                unit="GB",
            ),
        ]
    how = "series of meters too" if meters else "series of gateways only"
    return Section(
        title=f"The copy of 20,000 gateways and 1,000,000 meters, {how}",
        compared="Measured: one day of 200 gateways and 10,000 meters; baseline: the same computed from the catalogue.",
        lines=lines,
    )


def _checked(retention: Retention, computed: Size, *, series: int, stored_bytes: int) -> list[Line]:
    aim = Aim(bound=1.25, at_least=False)
    return [
        Line(
            what=f"{what}, {retention.value}",
            measured=measured,
            unit=unit,
            against="computed",
            baseline=baseline,
            ratio=measured / baseline,
            aim=aim,
        )
        for what, unit, measured, baseline in (
            ("series of a day in 1 %", "", float(series), computed.series_a_day),
            ("bytes of a day in 1 %", "MB", stored_bytes / 1e6, computed.bytes_a_day / 1e6),
        )
    ]
