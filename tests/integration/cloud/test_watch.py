"""The picture of an installation, on both databases."""

import sqlalchemy as sa

from cloud import schema
from cloud.database import open_database
from cloud.meterdata.adapters.projector import project_all
from cloud.watch import Picture, Watch
from tests.rig.reporting import UTILITY, Reporter, assign, commit_batches
from wire.facts import Event

MIDNIGHT = 1_728_000_000_000
GATEWAY = Reporter("gw1")


def event(serial: int, code: str) -> Event:
    return Event(boot=GATEWAY.boot, tick_ms=serial, serial=serial, meter="m1", code=code, detail="")


async def test_each_picture_has_all_readings_and_only_the_events_since_the_one_before(database_url: str) -> None:
    watch = Watch(UTILITY, ["A-1"])

    def fill(connection: sa.Connection) -> None:
        schema.metadata.create_all(connection)
        assign(connection, "m1", "gw1")

    def report(connection: sa.Connection, count: int, code: str) -> None:
        facts = (GATEWAY.clock(0, MIDNIGHT), GATEWAY.series("m1", count=count), event(count, code))
        commit_batches(connection, GATEWAY.batch(*facts), now_ms=MIDNIGHT)

    async with open_database(database_url) as database:

        async def look() -> Picture:
            await database.transact(project_all)
            found = await database.transact(lambda connection: watch.look(connection, at_ms=MIDNIGHT))
            return watch.picture(found, at_ms=MIDNIGHT)

        await database.transact(fill)
        assert (await look()).readings == {}
        await database.transact(lambda connection: report(connection, 3, "3.1.0.85"))
        first = await look()
        await database.transact(lambda connection: report(connection, 5, "3.1.0.216"))
        second = await look()

    assert (first.readings, second.readings) == ({"m1": 3}, {"m1": 5})
    assert [item.code for item in first.events] == ["3.1.0.85"]
    assert [item.code for item in second.events] == ["3.1.0.216"]
    assert (first.batches, second.batches) == (1, 2)
    assert 0 < first.batch_bytes < second.batch_bytes
    assert first.gateways == {"gw1": True}
    assert first.balances == {}
