"""The rig's InfluxDB: `influxdb-client` writes through the v2 endpoint, InfluxQL reads it back."""

from collections.abc import Iterator

import pytest
from influxdb_client import InfluxDBClient, WritePrecision
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from tests.rig.influx import ORG, InfluxServer

SAMPLED_AT_MS = 1_790_000_000_000
PER_MS = {WritePrecision.NS: 1_000_000, WritePrecision.US: 1_000, WritePrecision.MS: 1}


@pytest.fixture
def bucket(influx: InfluxServer) -> str:
    return influx.create_database()


@pytest.fixture
def client(influx: InfluxServer) -> Iterator[InfluxDBClient]:
    with InfluxDBClient(influx.url, token=influx.token, org=ORG, enable_gzip=True) as made:
        yield made


def write(client: InfluxDBClient, bucket: str, line: str, *, precision: str = WritePrecision.MS) -> None:
    client.write_api(write_options=SYNCHRONOUS).write(bucket, ORG, line, write_precision=precision)


def test_a_compressed_write_is_read_back_with_its_tags(
    influx: InfluxServer, client: InfluxDBClient, bucket: str
) -> None:
    lines = "\n".join(f"reading,meter=m{n % 2} energy_wh={n}i {SAMPLED_AT_MS + n}" for n in range(100))
    write(client, bucket, lines)
    rows = influx.query("SELECT energy_wh FROM reading WHERE time >= 0 GROUP BY meter", database=bucket)
    assert sorted((row["time"] - SAMPLED_AT_MS, row["meter"], row["energy_wh"]) for row in rows) == [
        (n, f"m{n % 2}", n) for n in range(100)
    ]


@pytest.mark.parametrize("precision", ["ns", "us", "ms"])
def test_a_time_keeps_its_value_in_every_precision(
    influx: InfluxServer, client: InfluxDBClient, bucket: str, precision: str
) -> None:
    write(client, bucket, f"reading v=1i {SAMPLED_AT_MS * PER_MS[precision]}", precision=precision)
    assert influx.query("SELECT v FROM reading", database=bucket) == [{"time": SAMPLED_AT_MS, "v": 1}]


async def test_the_asynchronous_client_writes_to_a_named_retention_policy(influx: InfluxServer, bucket: str) -> None:
    influx.query(f'CREATE RETENTION POLICY "short" ON "{bucket}" DURATION INF REPLICATION 1', database=bucket)
    async with InfluxDBClientAsync(influx.url, token=influx.token, org=ORG, enable_gzip=True) as client:
        assert await client.ping()
        await client.write_api().write(
            f"{bucket}/short", ORG, f"reading v=2i {SAMPLED_AT_MS}", write_precision=WritePrecision.MS
        )
    assert influx.query('SELECT v FROM "short".reading', database=bucket) == [{"time": SAMPLED_AT_MS, "v": 2}]


def test_a_change_of_type_a_missing_bucket_and_a_strangers_token_are_refused(
    influx: InfluxServer, client: InfluxDBClient, bucket: str
) -> None:
    write(client, bucket, f"reading v=1i {SAMPLED_AT_MS}")
    with pytest.raises(ApiException, match="field type conflict"):
        write(client, bucket, f"reading v=1.5 {SAMPLED_AT_MS}")
    with pytest.raises(ApiException, match="not found"):
        write(client, "no-such-bucket", f"reading v=1i {SAMPLED_AT_MS}")
    with (
        InfluxDBClient(influx.url, token="stranger", org=ORG) as stranger,
        pytest.raises(ApiException, match="unauthorized"),
    ):
        write(stranger, bucket, f"reading v=1i {SAMPLED_AT_MS}")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_acknowledged_is_there_after_a_restart(own_influx: InfluxServer, end: str) -> None:
    bucket = own_influx.create_database()
    with InfluxDBClient(own_influx.url, token=own_influx.token, org=ORG) as client:
        write(client, bucket, f"reading v=3i {SAMPLED_AT_MS}")
        getattr(own_influx, end)()
        assert not client.ping()
        own_influx.start()
        write(client, bucket, f"reading v=4i {SAMPLED_AT_MS + 1}")
    assert [row["v"] for row in own_influx.query("SELECT v FROM reading", database=bucket)] == [3, 4]
