"""Feeds committed batches to InfluxDB as the room of monitoring does; a process of its own.

    python -m tests.bench.feed DATABASE_URL INFLUX_URL COPY METERS GROUP COUNT

It takes the next COUNT messages, GROUP of them visible at a time as if the projector had just read them, and writes
them to the database COPY by the v1 endpoint, with series of meters where METERS is "meters". Prints what that cost.
"""

import asyncio
import json
import sys
from time import perf_counter, process_time

import sqlalchemy as sa

from cloud import schema
from cloud.database import open_database
from cloud.following import advance, position_of
from cloud.meterdata.adapters.clocks import DAYS_FOLLOWER, POINTS_FOLLOWER
from cloud.monitoring.adapters.feeder import Feeder
from cloud.monitoring.adapters.influx import InfluxV1Writer
from wire.runtime.collector import collect_rarely


async def main(url: str, influx_url: str, copy: str, *, meters: bool, group: int, count: int) -> None:
    """Feed and print."""
    writer = InfluxV1Writer(url=influx_url, database=copy)
    wall_s = cpu_s = 0.0
    async with open_database(url, lasts=True) as database:
        feeder = Feeder(database, writer, meters=meters)
        collect_rarely()
        for _ in range(0, count, group):
            await database.transact(lambda connection: _show(connection, group))
            begun_s, used_s = perf_counter(), process_time()
            while await feeder.step():
                pass
            wall_s, cpu_s = wall_s + perf_counter() - begun_s, cpu_s + process_time() - used_s
    writer.close()
    print(
        json.dumps({"ready": True, "wall_s": wall_s, "cpu_s": cpu_s, "lines": feeder.delivered.written_count}),
        flush=True,
    )


def _show(connection: sa.Connection, count: int) -> None:
    """Put the projector's cursor so many messages before the feeder's."""
    table = schema.message.c
    _, after = position_of(connection, POINTS_FOLLOWER)
    query = sa.select(table.tx, table.id).where(table.id > after).order_by(table.id).limit(count)
    last = connection.execute(query).all()[-1]
    advance(connection, DAYS_FOLLOWER, tx=last.tx, message=last.id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], meters=sys.argv[4] == "meters", group=int(sys.argv[5]), count=int(sys.argv[6])))
