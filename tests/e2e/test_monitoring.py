"""The copy for looking at: written after the commit, behind for as long as its server is away, complete again after."""

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters import queries
from tests.rig.influx import ORG, InfluxServer
from tests.rig.installation import UTILITY, Install, Installation, Plan
from tests.rig.reconciling import read_disk

ENERGY_IMPORT = bytes((1, 0, 1, 8, 0, 255))
FIELD = "active_energy_import_wh"

Point = tuple[str, int, float]
"""Meter, UTC in milliseconds, Wh."""


def in_database(connection: sa.Connection) -> set[Point]:
    """Return the registers that the cloud has committed and placed."""
    return {
        (meter, reading.utc_ms, float(reading.value * 10**reading.channel.scaler))
        for meter in queries.meters(connection, UTILITY)
        for reading in queries.readings(connection, UTILITY, meter)
        if reading.channel.obis == ENERGY_IMPORT and reading.value is not None
    }


def in_copy(influx: InfluxServer, bucket: str) -> set[Point]:
    """Return the registers that InfluxDB shows."""
    rows = influx.query(f"SELECT {FIELD} FROM reading GROUP BY meter", database=bucket)
    return {(row["meter"], row["time"], row[FIELD]) for row in rows}


def committed(connection: sa.Connection) -> int:
    """Return how many batches are committed."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(schema.message)).scalar_one())


@pytest.mark.req("J-1", "K-2")
async def test_readings_show_after_the_commit_and_none_is_missing_after_an_outage(
    lay_out: Install, own_influx: InfluxServer
) -> None:
    bucket = own_influx.create_database()
    influx = f'[influx]\nurl = "{own_influx.url}"\nbucket = "{bucket}"\norg = "{ORG}"\ntoken_file = "influx.token"\n'
    installation = await lay_out(Plan(meters_per_line=4, period_s=1, influx=influx))
    (installation.folder / "influx.token").write_text(own_influx.token)
    await installation.start()
    await installation.until(lambda: len(in_copy(own_influx, bucket)) > 8, what="readings in InfluxDB")

    own_influx.kill()
    before = await installation.transact(committed)
    await installation.until_committed(
        lambda connection: committed(connection) > before + 5, what="commits without InfluxDB"
    )
    installation.cloud.kill()
    await installation.start(installation.cloud)
    again = await installation.transact(committed)
    await installation.until_committed(
        lambda connection: committed(connection) > again + 5, what="commits without InfluxDB after a restart"
    )
    own_influx.start()
    await stop_with_everything_sent(installation)
    await installation.until_committed(
        lambda connection: in_database(connection) <= in_copy(own_influx, bucket), what="a complete copy"
    )
    stored = await installation.transact(in_database)
    # A reading whose time was corrected after it was shown stands at both times until the copy is rebuilt.
    shown_once = {(meter, energy_wh) for meter, _, energy_wh in in_copy(own_influx, bucket)}
    assert shown_once == {(meter, energy_wh) for meter, _, energy_wh in stored}


async def stop_with_everything_sent(installation: Installation) -> None:
    """Silence the meters, and stop the gateways once the cloud has everything and has placed it."""
    for meter in installation.all_meters():
        installation.control(command="fault", device=meter, kind="dead", on=True)
    path = installation.store_path("gw-1")
    await installation.until(lambda: not read_disk(path, "gw-1").pending_count(), what="the commit of everything")
    for process in installation.gateways.values():
        assert process.terminate() == 0
